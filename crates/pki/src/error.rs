//! The one error type of the formats crate.

use crate::path::PathError;

/// What can be wrong with bytes that claim to be one of the formats.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes are not the encoding the standard asks for.
    #[error("malformed {what}: {reason}")]
    Malformed { what: &'static str, reason: String },
    /// Well-formed, but an algorithm, version or option outside what is accepted.
    #[error("unsupported {what}: {reason}")]
    Unsupported { what: &'static str, reason: String },
    /// A signature, tag, digest or proof does not hold.
    #[error("{what} does not verify: {reason}")]
    NotVerified { what: &'static str, reason: String },
    /// About to be signed, and against a rule; nothing was signed.
    #[error("{what} is not signed: {findings}")]
    Lint {
        what: &'static str,
        findings: String,
    },
    /// A documented limit was exceeded.
    #[error("{what} exceeds its limit of {limit}")]
    TooLarge { what: &'static str, limit: u64 },
    /// A key could not be made, opened or used.
    #[error("key: {0}")]
    Key(String),
    /// A certificate does not chain to a trusted root for the purpose and time asked.
    #[error("certificate path: {0}")]
    Path(#[from] PathError),
    /// Reading or writing the stream that was handed in failed.
    #[error("stream: {0}")]
    Io(#[from] std::io::Error),
}

impl Error {
    /// Shorthand for [`Error::Malformed`] from anything printable.
    pub fn malformed(what: &'static str, reason: impl ToString) -> Self {
        Self::Malformed {
            what,
            reason: reason.to_string(),
        }
    }

    /// Shorthand for [`Error::NotVerified`] from anything printable.
    pub fn not_verified(what: &'static str, reason: impl ToString) -> Self {
        Self::NotVerified {
            what,
            reason: reason.to_string(),
        }
    }

    /// Shorthand for [`Error::Unsupported`] from anything printable.
    pub fn unsupported(what: &'static str, reason: impl ToString) -> Self {
        Self::Unsupported {
            what,
            reason: reason.to_string(),
        }
    }
}

/// Result of everything in this crate.
pub type Result<T> = core::result::Result<T, Error>;
