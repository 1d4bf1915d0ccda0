//! storage: the register. The log's single writer, and what reads it.
//!
//! | | |
//! |---|---|
//! | does | verifies each record as a stranger would, appends it to the log, indexes it; proves and locates; attests how it keeps an evidence ([`Attest`]); re-drives what got lost; reads everything again and says what changed ([`scrub`]) |
//! | wakes on | `evidence.stamped`; questions `storage.prove`, `storage.attest`, `storage.locate`; HTTP requests; the reconciler's period |
//! | needs | submissions in `truth`, the pinned roots |
//! | makes | `log/…` in `truth` (C2SP tlog-tiles), `log/head`, `log/lease`, `log/staged/…`, `log/low-water`, `log/retries/…`, `scrub/position` in `work`; `scrub/…` and ledger events of the kinds `finding` and `quarantine` in `truth`; `evidence.deposited`; the Redis index |
//! | asks | nobody |
//! | holds | the log's key |
//! | refuses when | signature, chain, time-stamp or statement do not hold or are not the submission's; the number is in the log already (it stays where it is); the head was swapped by another writer (read again) |
//!
//! One process holds the lease: it takes the hints, appends, reconciles and scrubs. The others prove, locate, serve the tiles,
//! and stand by. The lease is for efficiency; what keeps the log one log is the swap of its head ([`log`]).

mod attest;
mod audit;
mod command;
mod custody;
mod deposit;
mod insistent;
pub mod log;
mod prove;
mod quarantine;
mod rebuild;
mod reconcile;
mod router;
mod scrub;
mod serve;
mod submissions;
mod verify;

use std::net::SocketAddr;
use std::path::PathBuf;

use probity_platform::config::SecretFile;
use probity_platform::{Error, Result};
use serde::Deserialize;

pub use attest::{Attest, Replica};
pub use audit::{AuditReport, AuditScope, Checked, Finding, FindingKind, Open, audit};
pub use command::rebuild;
pub use custody::{Authority, CarriedOut, Custody, Order, Tell, evidence};
pub use deposit::{Deposit, Deposited};
pub use prove::{locate, prove};
pub use quarantine::release;
pub use rebuild::{Rebuilt, catch_up, rebuild_index};
pub use reconcile::{Reconciler, Redrive};
pub use router::router;
pub use scrub::{
    AreaCount, Finding as ScrubFinding, LapReport, ScrubConfig, Scrubber, What, scrub_once,
};
pub use serve::serve;
pub use submissions::Submissions;
pub use verify::verify;

/// `[storage]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub listen: SocketAddr,
    /// The log's name: first line of every checkpoint (tlog-checkpoint "origin").
    pub log_name: String,
    pub log_key_file: PathBuf,
    pub log_passphrase_file: SecretFile,
    /// The log's public key as it was given to the world. It has to be that of `log_key_file`; the audit needs no other.
    #[serde(default)]
    pub log_verifier_file: Option<PathBuf>,
    /// Roots that event and time-stamping certificates must chain to, PEM.
    pub roots_file: PathBuf,
    /// Most records in one commit.
    #[serde(default = "append_max")]
    pub append_max: usize,
    /// A commit waits this long for company.
    #[serde(default = "append_age_ms")]
    pub append_age_ms: u64,
    /// Another process takes over after this much silence.
    #[serde(default = "lease_ms")]
    pub lease_ms: u64,
    /// Submissions younger than this are left to the bus.
    #[serde(default = "reconcile_s")]
    pub reconcile_after_s: u32,
    #[serde(default = "reconcile_s")]
    pub reconcile_period_s: u32,
    #[serde(default = "concurrency")]
    pub concurrency: usize,
    #[serde(default)]
    pub scrub: ScrubConfig,
}

impl Config {
    /// # Errors
    /// `Malformed`, naming the setting that is out of bounds.
    pub fn check(&self) -> Result<()> {
        let period = 1..=86_400;
        let bounds = [
            (
                "append_max: 1 to 10000",
                (1..=10_000).contains(&self.append_max),
            ),
            ("append_age_ms: at most 60000", self.append_age_ms <= 60_000),
            (
                "lease_ms: 300 to 600000",
                (300..=600_000).contains(&self.lease_ms),
            ),
            (
                "reconcile_after_s: 1 to 86400",
                period.contains(&self.reconcile_after_s),
            ),
            (
                "reconcile_period_s: 1 to 86400",
                period.contains(&self.reconcile_period_s),
            ),
            ("concurrency: 1 to 64", (1..=64).contains(&self.concurrency)),
        ];
        match bounds.iter().find(|(_, holds)| !holds) {
            Some((bound, _)) => Err(Error::malformed(format!("[storage] {bound}"))),
            None => Ok(()),
        }
    }
}

const fn append_max() -> usize {
    1_000
}

const fn append_age_ms() -> u64 {
    200
}

const fn lease_ms() -> u64 {
    5_000
}

const fn reconcile_s() -> u32 {
    30
}

const fn concurrency() -> usize {
    8
}
