//! `[intake]`.

use std::net::SocketAddr;
use std::path::PathBuf;

use probity_platform::{Error, Result};
use serde::Deserialize;

use crate::upload::BUFFERED_BYTES_MAX;

/// Settings of the role.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub listen: SocketAddr,
    /// Where gRPC is served; none means HTTP alone.
    pub grpc_listen: Option<SocketAddr>,
    /// Largest artifact.
    #[serde(default = "blob_bytes_max")]
    pub blob_bytes_max: u64,
    /// Refuses instructions without a confirmed intent (I2). Off only for demos and load tests.
    #[serde(default = "require_intent")]
    pub require_intent: bool,
    /// Roots (PEM) that submitters' own certificates lead to; without it no submitter's own signature is taken.
    pub submitter_roots_file: Option<PathBuf>,
    /// Memory for bodies being taken in; beyond it callers are told to come back.
    #[serde(default = "inflight_bytes_max")]
    pub inflight_bytes_max: u64,
    /// Uploads of up to 8 MiB being written to the store at once; the others wait for their turn. A store that is given more
    /// than it does well makes everybody wait for whoever gave it most.
    #[serde(default = "store_writes_max")]
    pub store_writes_max: usize,
    /// What one vendor may upload in a second, counted in artifacts: a large one is as many as it has MiB, bytes that are
    /// stored already are none. What was not used in the last five seconds may come at once; beyond it 429. None: a
    /// vendor alone may use all there is, and when others come they share. A bound on each is what keeps their waiting
    /// times as they are while one floods.
    pub uploads_per_second_max: Option<u32>,
    /// Captures that wait for signatures beyond which no instruction is taken: what vendors offer beyond what is
    /// signed is refused, not kept waiting. By Little's law this is the wait it means times the rate of deposits:
    /// 10,000 captures at the 170 a second that two cores reach are a minute, twice that rate offered fills them in a
    /// minute, and what comes then gets 503 at once. Whoever deposits faster, or wants another wait, sets rate × wait.
    /// The queues behind it add their own, some thousand captures each.
    #[serde(default = "backlog_max")]
    pub backlog_max: u64,
    /// Those of one tenant: 4,000 are 24 s at that rate, and room for four batches of a thousand at once. Signing takes
    /// as many hints ahead, so that each tenant has its turn.
    #[serde(default = "backlog_tenant_max")]
    pub backlog_tenant_max: u64,
}

impl Config {
    /// # Errors
    /// `Malformed` for bounds under which nothing could be taken in.
    pub fn check(&self) -> Result<()> {
        if self.inflight_bytes_max < 8 * BUFFERED_BYTES_MAX || self.inflight_bytes_max > 1 << 40 {
            return Err(Error::malformed(
                "[intake] inflight_bytes_max: 64 MiB to 1 TiB",
            ));
        }
        if self.blob_bytes_max == 0 {
            return Err(Error::malformed("[intake] blob_bytes_max: at least 1"));
        }
        if !(4..=100_000).contains(&self.store_writes_max) {
            return Err(Error::malformed("[intake] store_writes_max: 4 to 100000"));
        }
        if self
            .uploads_per_second_max
            .is_some_and(|most| !(1..=1_000_000).contains(&most))
        {
            return Err(Error::malformed(
                "[intake] uploads_per_second_max: 1 to 1000000",
            ));
        }
        if !(1..=1_000_000).contains(&self.backlog_max) {
            return Err(Error::malformed("[intake] backlog_max: 1 to 1000000"));
        }
        if !(1..=self.backlog_max).contains(&self.backlog_tenant_max) {
            return Err(Error::malformed(
                "[intake] backlog_tenant_max: 1 to backlog_max",
            ));
        }
        Ok(())
    }
}

const fn blob_bytes_max() -> u64 {
    16 * 1024 * 1024 * 1024
}

const fn require_intent() -> bool {
    true
}

const fn inflight_bytes_max() -> u64 {
    128 * 1024 * 1024
}

const fn store_writes_max() -> usize {
    32
}

const fn backlog_max() -> u64 {
    10_000
}

const fn backlog_tenant_max() -> u64 {
    4_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strict_with_defaults() {
        let parse = |text: &str| serde_json::from_str::<Config>(text);
        let config = parse(r#"{"listen": "127.0.0.1:0", "grpc_listen": "127.0.0.1:0"}"#).unwrap();
        assert_eq!(
            (config.blob_bytes_max, config.require_intent),
            (17_179_869_184, true)
        );
        config.check().unwrap();
        assert!(parse(r#"{"listen": "127.0.0.1:0", "blob_max": 1}"#).is_err());
        let small = parse(r#"{"listen": "127.0.0.1:0", "inflight_bytes_max": 1}"#).unwrap();
        assert!(small.check().is_err());
        let none = parse(r#"{"listen": "127.0.0.1:0", "store_writes_max": 3}"#).unwrap();
        assert!(none.check().is_err());
    }
}
