//! `[identity]`.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use probity_platform::config::SecretFile;
use probity_platform::{Error, Result};
use serde::Deserialize;

/// Settings of the role.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub listen: SocketAddr,
    /// At least 32 characters: the key of the HMACs under which codes are kept. Changing it voids codes in flight.
    pub code_key_file: SecretFile,
    pub channel: ChannelConfig,
    /// How long a code can be used.
    #[serde(default = "code_ttl_s")]
    pub code_ttl_s: u32,
    /// Wrong entries after which a code is void.
    #[serde(default = "attempts_max")]
    pub attempts_max: u32,
    /// Lets officers decide by the provider `sandbox`, which verifies nothing. For demos and tests.
    #[serde(default)]
    pub sandbox_provider: bool,
    /// Applications taken per minute from one address; ten times as many from all.
    #[serde(default = "applications_per_minute_max")]
    pub applications_per_minute_max: u32,
    /// Codes sent per minute to one party.
    #[serde(default = "intents_per_minute_max")]
    pub intents_per_minute_max: u32,
    /// Proxies whose `X-Forwarded-For` is believed; otherwise the peer's own address is recorded.
    #[serde(default)]
    pub trusted_proxies: Vec<IpAddr>,
}

impl Config {
    /// # Errors
    /// `Malformed`, naming the setting that is out of bounds.
    pub fn check(&self) -> Result<()> {
        let rate = 1..=1_000_000;
        let bounds = [
            (
                "code_ttl_s: 30 to 86400",
                (30..=86_400).contains(&self.code_ttl_s),
            ),
            (
                "attempts_max: 1 to 100",
                (1..=100).contains(&self.attempts_max),
            ),
            (
                "applications_per_minute_max: 1 to 1000000",
                rate.contains(&self.applications_per_minute_max),
            ),
            (
                "intents_per_minute_max: 1 to 1000000",
                rate.contains(&self.intents_per_minute_max),
            ),
        ];
        match bounds.iter().find(|(_, holds)| !holds) {
            Some((bound, _)) => Err(Error::malformed(format!("[identity] {bound}"))),
            None => Ok(()),
        }
    }
}

/// How codes reach people.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum ChannelConfig {
    /// One file per code in a directory. For demos and tests.
    File { dir: PathBuf },
    /// Mail.
    Smtp {
        host: String,
        port: u16,
        /// Sender, e.g. `Probity <codes@example.org>`.
        from: String,
        #[serde(default)]
        tls: SmtpTls,
        username: Option<String>,
        password_file: Option<SecretFile>,
    },
}

/// How the mail server is spoken to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SmtpTls {
    /// TLS from the first byte.
    Implicit,
    /// STARTTLS, and nothing without it.
    #[default]
    Starttls,
    /// Plaintext: only to a mail server on the same machine.
    None,
}

const fn code_ttl_s() -> u32 {
    600
}

const fn attempts_max() -> u32 {
    5
}

const fn applications_per_minute_max() -> u32 {
    30
}

const fn intents_per_minute_max() -> u32 {
    60
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strict_with_defaults() {
        let file = serde_json::json!({
            "listen": "127.0.0.1:0", "code_key_file": "/k", "channel": {"kind": "file", "dir": "/tmp/codes"}
        });
        let config: Config = serde_json::from_value(file.clone()).unwrap();
        assert_eq!(
            (
                config.code_ttl_s,
                config.attempts_max,
                config.sandbox_provider
            ),
            (600, 5, false)
        );
        config.check().unwrap();
        for bad in ["code_ttl_s", "attempts_max", "intents_per_minute_max"] {
            let mut file = file.clone();
            file[bad] = 0.into();
            let config: Config = serde_json::from_value(file).unwrap();
            assert!(config.check().unwrap_err().detail.contains(bad));
        }
        let mut smtp = file.clone();
        smtp["channel"] =
            serde_json::json!({"kind": "smtp", "host": "h", "port": 25, "from": "a@b.c"});
        let config: Config = serde_json::from_value(smtp).unwrap();
        assert!(matches!(
            config.channel,
            ChannelConfig::Smtp {
                tls: SmtpTls::Starttls,
                ..
            }
        ));
        for (pointer, value) in [("surplus", "x"), ("attempts", "5")] {
            let mut bad = file.clone();
            bad[pointer] = value.into();
            assert!(serde_json::from_value::<Config>(bad).is_err(), "{pointer}");
        }
        let mut bad = file;
        bad["channel"]["surplus"] = 1.into();
        assert!(serde_json::from_value::<Config>(bad).is_err());
    }
}
