//! What can go wrong in a ceremony.

use std::path::Path;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{path}: {reason}")]
    File {
        path: String,
        reason: std::io::Error,
    },
    #[error("{0}")]
    Refused(String),
    #[error("{0}")]
    Formats(#[from] probity_pki::Error),
    #[error("record: {0}")]
    Record(#[from] serde_json::Error),
    #[error("output: {0}")]
    Output(#[from] std::io::Error),
}

pub(crate) type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn file(path: &Path, reason: std::io::Error) -> Self {
        Self::File {
            path: path.display().to_string(),
            reason,
        }
    }
}
