//! Why a command ended without doing what it should.

/// Wrong usage or unreadable input.
pub const USAGE: u8 = 3;
/// Everything else that fails.
pub const FAILED: u8 = 1;

/// A sentence for the person at the terminal, and the exit code.
#[derive(Debug)]
pub struct Failure {
    pub exit: u8,
    pub message: String,
}

impl Failure {
    /// Wrong usage or unreadable input.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { exit: USAGE, message: message.into() }
    }

    /// Something failed.
    pub fn failed(message: impl Into<String>) -> Self {
        Self { exit: FAILED, message: message.into() }
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::failed(error.to_string())
    }
}
