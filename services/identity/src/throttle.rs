//! A bound on how often something happens per minute: per key, and ten times as often over all keys.
//!
//! Per process and in memory: it protects this process, and the ledger behind it, from floods.

use std::time::Duration;

use probity_platform::Result;
use probity_platform::edge::Quota;

const MINUTE: Duration = Duration::from_secs(60);
const ALL_FACTOR: u32 = 10;
const ALL: &str = "";

/// Two quotas, both of which have to let it pass.
#[derive(Debug)]
pub struct Throttle {
    each: Quota,
    all: Quota,
}

impl Throttle {
    /// At most `per_key_max` a minute for each key.
    #[must_use]
    pub fn new(per_key_max: u32) -> Self {
        Self {
            each: Quota::new(per_key_max, MINUTE),
            all: Quota::new(per_key_max.saturating_mul(ALL_FACTOR), MINUTE),
        }
    }

    /// Counts one more.
    ///
    /// # Errors
    /// `TooMany` when the minute's share is used up.
    pub fn pass(&self, key: &str) -> Result<()> {
        self.each.spend(key, 1)?;
        self.all.spend(ALL, 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn bounded_per_key_over_all_and_per_minute() {
        let throttle = Throttle::new(2);
        assert!(throttle.pass("a").is_ok() && throttle.pass("a").is_ok());
        assert!(throttle.pass("a").is_err());
        let others = (0..100).filter(|n| throttle.pass(&n.to_string()).is_ok());
        assert_eq!(others.count(), 18);
        tokio::time::advance(MINUTE).await;
        assert!(throttle.pass("a").is_ok());
    }
}
