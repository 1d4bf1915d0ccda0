//! Whom the verifier trusts, and as of when.

use probity_domain::Timestamp;
use probity_pki::asic::Limits;
use probity_pki::x509::Certificate;

/// Everything a verdict depends on besides the package.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Root certificates the verifier pinned.
    pub roots: Vec<Certificate>,
    /// Public keys of logs the verifier pinned, `name+id+key`.
    pub log_verifier_keys: Vec<String>,
    /// The instant of verification. Signatures are judged at the time their time-stamp proves; this
    /// instant only refuses what claims to come from the future.
    pub at: Timestamp,
    pub limits: Limits,
}

impl Policy {
    /// Differences between clocks that are let pass, in milliseconds.
    pub const CLOCK_TOLERANCE_MS: i64 = 60_000;

    /// A policy with the usual limits.
    #[must_use]
    pub fn new(roots: Vec<Certificate>, log_verifier_keys: Vec<String>, at: Timestamp) -> Self {
        Self {
            roots,
            log_verifier_keys,
            at,
            limits: Limits::default(),
        }
    }
}
