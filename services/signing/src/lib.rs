//! signing: states and signs each piece of evidence for its submitter.
//!
//! | | |
//! |---|---|
//! | does | writes `statement.json` and the manifest over statement and artifacts, signs it (CAdES-B, with the whole path and its status inside) with the instruction's event key |
//! | wakes on | `evidence.submitted` |
//! | needs | the submission in `truth`; ledger: party, agreement acceptance, intent |
//! | makes | `evidence.signed`, in messages of at most 512 KiB; ledger events of the kind `quarantine` |
//! | asks | issuance: one event certificate for each instruction |
//! | holds | event keys, in memory, for minutes, a bounded number of them; wiped when let go |
//! | refuses when | the submission is not there, the statement or record would not fit the log, the certificate names another instruction |
//!
//! A submission that lies in the future is left until its time has come: the clock that accepted it was ahead.
//! What is not established (no agreement, no intent) is stated as such, never left out (W2, I4).
//! Signing twice is harmless: the log takes the first record of a number and no second.

mod event_key;
mod facts;
mod keyring;
mod serve;
mod sign;
mod state;

use probity_platform::stage::StageConfig;
use probity_platform::{Error, Result};
use probity_proto::subjects::SUBMITTED;
use serde::Deserialize;

pub use event_key::{EventKey, UncertifiedKey};
pub use facts::{Facts, Instruction, load_instruction};
pub use keyring::{Keyring, Session};
pub use serve::serve;
pub use sign::{chunks, sign};
pub use state::state;

/// `[signing]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How long one instruction's key and certificate are used before they are wiped.
    pub certificate_reuse_s: u32,
    /// Instructions whose keys are held at once.
    pub instructions_max: usize,
    /// Items of those instructions held at once, all together.
    pub items_max: usize,
    /// Hints worked on at once.
    pub concurrency: usize,
}

/// Hints of one batch, worked on side by side: those of single captures wait for issuance, not for a core.
const HINTS_TOGETHER: usize = 8;

impl Config {
    /// # Errors
    /// `Malformed`, naming the setting that is out of bounds.
    pub fn check(&self) -> Result<()> {
        if !(1..=86_400).contains(&self.certificate_reuse_s) {
            return Err(Error::malformed(
                "[signing] certificate_reuse_s: 1 to 86400",
            ));
        }
        let held = 1..=1_000_000;
        if !held.contains(&self.instructions_max) || !held.contains(&self.items_max) {
            return Err(Error::malformed(
                "[signing] instructions_max, items_max: 1 to 1000000",
            ));
        }
        self.stage().check(SUBMITTED.subject)
    }

    pub(crate) fn stage(&self) -> StageConfig {
        StageConfig {
            batch_max: HINTS_TOGETHER,
            concurrency: self.concurrency,
            ..StageConfig::default()
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            certificate_reuse_s: 600,
            instructions_max: 1_024,
            items_max: 50_000,
            concurrency: 4,
        }
    }
}
