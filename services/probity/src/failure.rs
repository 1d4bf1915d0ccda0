//! What ends a command: a sentence for the person and an exit code for the script.

use core::fmt;

/// Exit codes: 1 the command failed or the evidence is invalid, 2 indeterminate, 3 wrong use or unreadable input.
#[derive(Debug)]
pub struct Failure {
    pub sentence: String,
    pub exit_code: u8,
}

impl Failure {
    /// The command failed.
    pub fn new(sentence: impl fmt::Display) -> Self {
        Self {
            sentence: sentence.to_string(),
            exit_code: 1,
        }
    }

    /// Wrong use, or input that cannot be read.
    pub fn usage(sentence: impl fmt::Display) -> Self {
        Self {
            sentence: sentence.to_string(),
            exit_code: 3,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl From<probity_client::Error> for Failure {
    fn from(e: probity_client::Error) -> Self {
        Self::new(e)
    }
}

macro_rules! failures {
    ($($error:ty),*) => {
        $(impl From<$error> for Failure {
            fn from(e: $error) -> Self {
                Self::new(e)
            }
        })*
    };
}

failures!(
    probity_pki::Error,
    probity_domain::Malformed,
    serde_json::Error,
    tokio::task::JoinError,
    rcgen::Error,
    rustls::Error,
    rustls::pki_types::pem::Error
);

impl From<std::io::Error> for Failure {
    fn from(e: std::io::Error) -> Self {
        Self::new(e)
    }
}

/// Names the file in the sentence.
pub fn at(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Failure + '_ {
    move |e| Failure::usage(format!("{}: {e}", path.display()))
}
