//! The closed list of error kinds, and the one error type that roles hand to transports.

use core::fmt;

/// What kind of failure it is. Each transport maps each kind once: [`crate::edge`] to HTTP and gRPC, [`crate::stage`]
/// to the bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request or bytes break a rule; the same again fails again.
    Malformed,
    Unauthenticated,
    Forbidden,
    NotFound,
    /// Something else stands where this wants to stand.
    Conflict,
    /// A limit of the caller's; later is fine.
    TooMany,
    /// Something this depends on is not there; later is fine.
    Unavailable,
    /// Took longer than allowed; nothing is known to have been done.
    Timeout,
    /// It may or may not have been done: resolved by reading back, never by guessing.
    UnknownOutcome,
    Internal,
}

impl ErrorKind {
    /// The word in problem documents, refusals, logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::TooMany => "too_many",
            Self::Unavailable => "unavailable",
            Self::Timeout => "timeout",
            Self::UnknownOutcome => "unknown_outcome",
            Self::Internal => "internal",
        }
    }

    /// The kind named by `word`; `Internal` for words this version does not know.
    #[must_use]
    pub fn from_word(word: &str) -> Self {
        Self::ALL
            .into_iter()
            .find(|k| k.as_str() == word)
            .unwrap_or(Self::Internal)
    }

    /// Every kind.
    pub const ALL: [Self; 10] = [
        Self::Malformed,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::NotFound,
        Self::Conflict,
        Self::TooMany,
        Self::Unavailable,
        Self::Timeout,
        Self::UnknownOutcome,
        Self::Internal,
    ];

    /// Trying the same again later can help.
    #[must_use]
    pub const fn is_transient(self) -> bool {
        matches!(
            self,
            Self::TooMany | Self::Unavailable | Self::Timeout | Self::UnknownOutcome
        )
    }
}

/// A failure with its kind and a sentence for whoever has to act on it. Never holds a secret.
#[derive(Debug, Clone, thiserror::Error)]
pub struct Error {
    pub kind: ErrorKind,
    pub detail: String,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.as_str(), self.detail)
    }
}

macro_rules! constructors {
    ($($name:ident => $kind:ident),*) => {
        $(
            /// An error of this kind.
            #[must_use]
            pub fn $name(detail: impl fmt::Display) -> Self {
                Self { kind: ErrorKind::$kind, detail: detail.to_string() }
            }
        )*
    };
}

impl Error {
    constructors!(
        malformed => Malformed,
        unauthenticated => Unauthenticated,
        forbidden => Forbidden,
        not_found => NotFound,
        conflict => Conflict,
        too_many => TooMany,
        unavailable => Unavailable,
        timeout => Timeout,
        unknown_outcome => UnknownOutcome,
        internal => Internal
    );
}

impl From<probity_domain::Malformed> for Error {
    fn from(m: probity_domain::Malformed) -> Self {
        Self::malformed(m)
    }
}

/// Result of everything on the platform.
pub type Result<T> = core::result::Result<T, Error>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_round_trip() {
        for kind in ErrorKind::ALL {
            assert_eq!(ErrorKind::from_word(kind.as_str()), kind);
        }
        assert_eq!(ErrorKind::from_word("nonsense"), ErrorKind::Internal);
    }
}
