//! When a request is tried again, and when not any more.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::S3Objects;
use super::outcome::Failure;

/// Tries of one request, the first included.
pub(super) const TRIES_MAX: u32 = 5;
const BACKOFF_FIRST_MS: u64 = 50;
const BACKOFF_MAX_MS: u64 = 2_000;
/// A store that asks for more patience gets it from whoever called: the request fails.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(10);

/// What a process may spend on trying again: a store in trouble gets at most half as much again as it answers,
/// however many requests fail at once.
pub(super) struct RetryBudget(AtomicU32);

impl RetryBudget {
    const FULL: u32 = 400;
    const RETRY: u32 = 2;
    const ANSWER: u32 = 1;

    pub const fn full() -> Self {
        Self(AtomicU32::new(Self::FULL))
    }

    pub fn earn(&self) {
        let more = |left: u32| (left < Self::FULL).then(|| left + Self::ANSWER);
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .ok();
    }

    fn spend(&self) -> bool {
        let less = |left: u32| left.checked_sub(Self::RETRY);
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less)
            .is_ok()
    }
}

impl S3Objects {
    /// Waits before the next try and answers `true`, or answers that there is none: `tries` are used up, the store
    /// asked for more patience than a request has, or the budget is spent.
    pub(super) async fn again(&self, tries: u32, failure: &Failure) -> bool {
        let asked = failure.retry_after().unwrap_or_default();
        if tries >= TRIES_MAX || asked > RETRY_AFTER_MAX || !self.budget.spend() {
            return false;
        }
        tokio::time::sleep(asked + self.drawn(tries)).await;
        true
    }

    /// Full jitter: anything between nothing and an exponentially growing bound.
    fn drawn(&self, tries: u32) -> Duration {
        let bound = (BACKOFF_FIRST_MS << tries.min(16)).min(BACKOFF_MAX_MS);
        Duration::from_millis(u64::from_le_bytes(self.random.bytes()) % (bound + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_are_half_of_the_answers_when_the_purse_is_empty() {
        let budget = RetryBudget::full();
        let first = (0..10_000).take_while(|_| budget.spend()).count();
        assert_eq!(first, 200);
        let mut later = 0;
        for _ in 0..1_000 {
            budget.earn();
            later += usize::from(budget.spend());
        }
        assert_eq!(later, 500);
        for _ in 0..10_000 {
            budget.earn();
        }
        assert_eq!((0..10_000).take_while(|_| budget.spend()).count(), 200);
    }
}
