//! `[timestamping]`.

use std::net::SocketAddr;
use std::path::PathBuf;

use probity_platform::config::SecretFile;
use probity_platform::keys::Pkcs11Config;
use probity_platform::stage::StageConfig;
use probity_platform::{Error, Result};
use probity_proto::subjects::SIGNED;
use serde::Deserialize;

use crate::clock::Rules;

/// ETSI EN 319 421 7.7.2: a second or better.
const ACCURACY_MS_MAX: u32 = 1_000;
const SOURCES_MAX: usize = 16;
/// Public servers throw out whoever asks more often (RFC 5905: the least poll exponent is 4).
const POLL_S_MIN: u32 = 16;
const POLL_S_MAX: u32 = 4_096;

/// The role's section.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub listen: SocketAddr,
    pub key_file: Option<PathBuf>,
    pub passphrase_file: Option<SecretFile>,
    /// Instead of the two: the key is in a token.
    pub pkcs11: Option<Pkcs11Config>,
    pub certificate_file: PathBuf,
    /// Intermediate CAs, without the root; none when the root certified the unit.
    #[serde(default)]
    pub chain_files: Vec<PathBuf>,
    pub policy_oid: String,
    /// The unit's claim, 1 to 1,000. A token states what was measured, at most this; when it is more, there is none.
    pub accuracy_ms: u32,
    pub clock: ClockConfig,
    #[serde(default = "two")]
    pub concurrency: usize,
}

/// Where trust in the clock comes from.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClockConfig {
    pub sources: Vec<SourceConfig>,
    /// Sources that must agree: more than half of them, so that no two opinions can both have it.
    pub quorum: usize,
    /// Added to the measured bound in tokens, for what is not measured.
    #[serde(default = "margin_ms")]
    pub margin_ms: u32,
    /// Largest disagreement of wall and monotonic clock within a minute.
    #[serde(default = "max_jump_ms")]
    pub max_jump_ms: u32,
    /// Parts per million by which a source's word loses accuracy while it ages. It ages by the oscillator, undisciplined:
    /// 100 is what one may be off by; RFC 5905's 15 is for a disciplined one.
    #[serde(default = "drift_ppm")]
    pub drift_ppm: u32,
    /// No tokens when the newest durable record of the clock log is older: a store that is down for longer stops
    /// time-stamping.
    #[serde(default = "evidence_age_max_s")]
    pub evidence_age_max_s: u32,
}

/// One time source.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum SourceConfig {
    /// The machine's own clock, taken to be right within `error_ms`. For development: it notices jumps and nothing else,
    /// and knows of no leap seconds.
    System {
        #[serde(default = "error_ms")]
        error_ms: u32,
    },
    /// The local chronyd's word about the machine's clock.
    Chrony {
        #[serde(default = "chronyc")]
        command: PathBuf,
    },
    /// A server of NTP version 4, `host:port`.
    Ntp {
        server: String,
        #[serde(default = "poll_s")]
        poll_s: u32,
    },
}

/// Messages of one batch, worked on side by side.
const MESSAGES_TOGETHER: usize = 4;

impl Config {
    /// # Errors
    /// `Malformed`, naming the setting.
    pub fn check(&self) -> Result<()> {
        self.stage().check(SIGNED.subject)?;
        self.pkcs11.as_ref().map_or(Ok(()), Pkcs11Config::check)?;
        self.rules().map(drop)
    }

    pub(crate) fn stage(&self) -> StageConfig {
        StageConfig {
            batch_max: MESSAGES_TOGETHER,
            concurrency: self.concurrency,
            ..StageConfig::default()
        }
    }

    /// What the lease judges by.
    ///
    /// # Errors
    /// `Malformed`, naming the setting.
    pub fn rules(&self) -> Result<Rules> {
        let clock = &self.clock;
        let wrong = |what: &str| Err(Error::malformed(format!("timestamping: {what}")));
        if !(1..=ACCURACY_MS_MAX).contains(&self.accuracy_ms) {
            return wrong("accuracy_ms is 1 to 1000");
        }
        if clock.sources.len() > SOURCES_MAX {
            return wrong("clock.sources are 16 at most");
        }
        if clock.quorum * 2 <= clock.sources.len() || clock.quorum > clock.sources.len() {
            return wrong("clock.quorum is more than half of clock.sources, and not more than all");
        }
        if clock.margin_ms >= self.accuracy_ms {
            return wrong("clock.margin_ms leaves nothing of accuracy_ms");
        }
        if clock.drift_ppm > 1_000 || !(1..=10_000).contains(&clock.max_jump_ms) {
            return wrong("clock.drift_ppm is at most 1000, clock.max_jump_ms 1 to 10000");
        }
        // A record a minute is written when all is well.
        if !(90..=3_600).contains(&clock.evidence_age_max_s) {
            return wrong("clock.evidence_age_max_s is 90 to 3600");
        }
        for source in &clock.sources {
            match source {
                SourceConfig::Ntp { poll_s, .. } if !(POLL_S_MIN..=POLL_S_MAX).contains(poll_s) => {
                    return wrong("poll_s of an NTP server is 16 to 4096");
                }
                SourceConfig::Ntp { server, .. } if !server.contains(':') => {
                    return wrong("server of an NTP source is host:port");
                }
                _ => {}
            }
        }
        Ok(Rules {
            quorum: clock.quorum,
            accuracy_ms: self.accuracy_ms,
            margin_ms: clock.margin_ms,
            max_jump_ms: clock.max_jump_ms,
            drift_ppm: clock.drift_ppm,
            evidence_age_ms_max: i64::from(clock.evidence_age_max_s) * 1_000,
        })
    }
}

const fn margin_ms() -> u32 {
    5
}

const fn max_jump_ms() -> u32 {
    100
}

const fn drift_ppm() -> u32 {
    100
}

const fn evidence_age_max_s() -> u32 {
    120
}

const fn error_ms() -> u32 {
    500
}

const fn poll_s() -> u32 {
    64
}

const fn two() -> usize {
    2
}

fn chronyc() -> PathBuf {
    PathBuf::from("chronyc")
}

#[cfg(test)]
mod tests {
    use probity_platform::config::parse_section;

    use super::*;

    const GOOD: &str = r#"
        listen = "127.0.0.1:1"
        key_file = "k"
        passphrase_file = "p"
        certificate_file = "c"
        policy_oid = "1.2.3"
        accuracy_ms = 1000
        [clock]
        quorum = 2
        sources = [
            { kind = "chrony" },
            { kind = "ntp", server = "192.0.2.1:123" },
            { kind = "ntp", server = "ntp.example:123", poll_s = 16 },
        ]
    "#;

    fn rules(text: &str) -> Result<Rules> {
        parse_section::<Config>("timestamping", toml::from_str(text).unwrap())?.rules()
    }

    #[test]
    fn right_and_wrong() {
        assert_eq!(rules(GOOD).unwrap().quorum, 2);
        for (from, to, names) in [
            ("quorum = 2", "quorum = 1", "quorum"),
            ("quorum = 2", "quorum = 4", "quorum"),
            ("quorum = 2", "quorum = 0", "quorum"),
            ("accuracy_ms = 1000", "accuracy_ms = 1001", "accuracy_ms"),
            ("accuracy_ms = 1000", "accuracy_ms = 0", "accuracy_ms"),
            ("accuracy_ms = 1000", "accuracy_ms = 5", "margin_ms"),
            ("poll_s = 16", "poll_s = 1", "poll_s"),
            ("192.0.2.1:123", "192.0.2.1", "server"),
            ("kind = \"chrony\"", "kind = \"sundial\"", "sundial"),
            ("quorum = 2", "quorum = 2\n other = 1", "other"),
            ("quorum = 2", "quorum = 2\n drift_ppm = 1001", "drift_ppm"),
            ("quorum = 2", "quorum = 2\n max_jump_ms = 0", "max_jump_ms"),
            (
                "quorum = 2",
                "quorum = 2\n evidence_age_max_s = 60",
                "evidence_age",
            ),
        ] {
            let e = rules(&GOOD.replace(from, to)).unwrap_err();
            assert!(e.detail.contains(names), "{to}: {e}");
        }
    }
}
