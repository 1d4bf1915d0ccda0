//! How one-time codes reach people.

mod file;
mod smtp;

use async_trait::async_trait;
use probity_domain::{IntentId, Timestamp};
use probity_platform::Result;

use crate::ChannelConfig;
use crate::code::Code;

pub use file::FileChannel;
pub use smtp::SmtpChannel;

/// What is sent: the code, and what it will confirm, so that nobody confirms what they do not know.
pub struct CodeMessage<'a> {
    pub intent: IntentId,
    /// Mail address.
    pub destination: &'a str,
    pub code: &'a Code,
    pub summary: &'a str,
    pub instruction_sha256: &'a str,
    pub expires_at: Timestamp,
}

/// Sends codes out of band.
#[async_trait]
pub trait CodeChannel: Send + Sync + 'static {
    /// The word recorded with each code: `smtp`, `file`.
    fn name(&self) -> &'static str;

    /// Hands the code over.
    ///
    /// # Errors
    /// `Unavailable` or `Timeout` when it may not have been taken.
    async fn send(&self, message: &CodeMessage<'_>) -> Result<()>;
}

/// The channel that the configuration names.
///
/// # Errors
/// `Malformed` for settings that cannot work.
pub fn open(config: &ChannelConfig) -> Result<std::sync::Arc<dyn CodeChannel>> {
    Ok(match config {
        ChannelConfig::File { dir } => std::sync::Arc::new(FileChannel::open(dir)?),
        ChannelConfig::Smtp {
            host,
            port,
            from,
            tls,
            username,
            password_file,
        } => {
            let password = password_file.as_ref().map(|f| f.read()).transpose()?;
            let login = username.as_deref().zip(password.as_ref());
            std::sync::Arc::new(SmtpChannel::open(host, *port, from, *tls, login)?)
        }
    })
}

/// A mail address of which only its owner recognises the rest: `a***@example.com`.
#[must_use]
pub fn masked(address: &str) -> String {
    match address.rsplit_once('@') {
        Some((local, domain)) => format!("{}***@{domain}", local.chars().next().unwrap_or('*')),
        None => "***".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks() {
        assert_eq!(masked("alice@example.com"), "a***@example.com");
        assert_eq!(masked("@example.com"), "****@example.com");
        assert_eq!(masked("nonsense"), "***");
    }
}
