//! timestamping: RFC 3161 tokens, for the pipeline and for anybody.
//!
//! | | |
//! |---|---|
//! | does | puts a token over each event signature (CAdES-B becomes CAdES-T); answers `POST /tsa` |
//! | wakes on | `evidence.signed`; HTTP requests |
//! | needs | a clock it has reason to trust |
//! | makes | `evidence.stamped`; nothing in the store |
//! | asks | nobody; with `clock.kind = "chrony"` the local chronyd |
//! | holds | the time-stamping unit's key |
//! | refuses when | its clock lease is stale: no token then, `timeNotAvailable` to the public, retry to the pipeline (T3) |
//!
//! The lease lasts at most a second. It is renewed five times a second as long as the wall clock agrees with the
//! monotonic one; a jump ends it for a minute. That detects jumps, not a clock that was wrong from the start: kind
//! `system` trusts the machine's synchronisation blindly, kind `chrony` also asks chronyd for the offset's bound and
//! the leap status and lets the lease run out when they are not within `accuracy_ms`.

mod clock;
mod router;
mod serve;
mod stamp;

use std::net::SocketAddr;
use std::path::PathBuf;

use probity_platform::config::SecretFile;
use probity_platform::keys::Pkcs11Config;
use serde::Deserialize;

pub use clock::{ClockLease, ClockReader, Reading, SystemReader};
pub use router::router;
pub use serve::serve;
pub use stamp::TimeStamper;

/// `[timestamping]`.
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
    /// Stands in every token; a unit that cannot hold it does not issue.
    pub accuracy_ms: u32,
    #[serde(default)]
    pub clock: ClockConfig,
    #[serde(default = "two")]
    pub concurrency: usize,
}

/// Where trust in the clock comes from.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum ClockConfig {
    /// The machine's clock, watched for jumps.
    System {
        /// Largest disagreement of wall and monotonic clock within a minute.
        #[serde(default = "max_offset_ms")]
        max_offset_ms: u32,
    },
    /// The same, and chronyd's word about its offset.
    Chrony {
        #[serde(default = "max_offset_ms")]
        max_offset_ms: u32,
        #[serde(default = "chronyc")]
        command: PathBuf,
    },
}

impl Default for ClockConfig {
    fn default() -> Self {
        Self::System {
            max_offset_ms: max_offset_ms(),
        }
    }
}

const fn max_offset_ms() -> u32 {
    100
}

const fn two() -> usize {
    2
}

fn chronyc() -> PathBuf {
    PathBuf::from("chronyc")
}
