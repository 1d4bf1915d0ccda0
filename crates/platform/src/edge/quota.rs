//! How often something may be done: so often at once, and then as often as time allows.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::{Error, Result};

/// Who may be told apart; somebody new waits until one of the others has nothing left to pay.
const KEYS_MAX: usize = 4_096;

/// A bound for each key, in one process and in memory: the generic cell rate algorithm (ITU-T I.371 annex A), in which what
/// may cost more than is left is still let in, and whatever comes next waits until it is paid.
#[derive(Debug)]
pub struct Quota {
    /// How long one takes to be paid.
    one: Duration,
    /// How much may be unpaid for the next to be let in.
    burst: Duration,
    paid_at: Mutex<HashMap<String, Instant>>,
}

impl Quota {
    /// `most` in every `period`, all of them at once if nothing was done before.
    #[must_use]
    pub fn new(most: u32, period: Duration) -> Self {
        let one = period / most.max(1);
        Self {
            one,
            burst: period.saturating_sub(one),
            paid_at: Mutex::default(),
        }
    }

    /// Does `times` what may be done once more.
    ///
    /// # Errors
    /// `TooMany` when what the key did before is not paid yet.
    pub fn spend(&self, key: &str, times: u32) -> Result<()> {
        let now = Instant::now();
        let mut paid_at = self.paid_at.lock().unwrap_or_else(PoisonError::into_inner);
        if paid_at.len() >= KEYS_MAX && !paid_at.contains_key(key) {
            paid_at.retain(|_, at| *at > now);
        }
        let known = paid_at.get(key).copied();
        let unpaid = known.map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        if unpaid > self.burst || (known.is_none() && paid_at.len() >= KEYS_MAX) {
            let per_minute = Duration::from_secs(60).as_secs_f64() / self.one.as_secs_f64();
            return Err(Error::too_many(format!(
                "at most {per_minute:.0} a minute; try again later"
            )));
        }
        paid_at.insert(
            key.to_owned(),
            now + unpaid + self.one.saturating_mul(times),
        );
        Ok(())
    }

    /// Takes back `times` that were [spent](Quota::spend) and came to nothing.
    pub fn give_back(&self, key: &str, times: u32) {
        let mut paid_at = self.paid_at.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = paid_at.get_mut(key) {
            // What lies in the past is paid, so giving back too much gains nothing.
            *at = at
                .checked_sub(self.one.saturating_mul(times))
                .unwrap_or(*at);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::ErrorKind;

    const SECOND: Duration = Duration::from_secs(1);

    /// How often in a row until it is refused.
    fn spent(quota: &Quota, key: &str) -> usize {
        (0..10_000)
            .take_while(|_| quota.spend(key, 1).is_ok())
            .count()
    }

    #[tokio::test(start_paused = true)]
    async fn so_often_at_once_and_then_as_time_allows() {
        let quota = Quota::new(10, SECOND);
        assert_eq!((spent(&quota, "a"), spent(&quota, "b")), (10, 10));
        let refused = quota.spend("a", 1).err().unwrap();
        assert_eq!(refused.kind, ErrorKind::TooMany);
        assert!(refused.detail.contains("600 a minute"), "{refused}");
        advance(SECOND / 2).await;
        assert_eq!(spent(&quota, "a"), 5);
        advance(100 * SECOND).await;
        assert_eq!(spent(&quota, "a"), 10, "what was not used is not kept");
    }

    #[tokio::test(start_paused = true)]
    async fn what_costs_more_than_is_left_is_paid_afterwards() {
        let quota = Quota::new(10, SECOND);
        quota.spend("a", 50).unwrap();
        advance(4 * SECOND).await;
        assert_eq!(spent(&quota, "a"), 0);
        advance(SECOND).await;
        assert_eq!(spent(&quota, "a"), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_given_back_may_be_done_again() {
        let quota = Quota::new(10, SECOND);
        assert_eq!(spent(&quota, "a"), 10);
        quota.give_back("a", 4);
        assert_eq!(spent(&quota, "a"), 4);
        for key in ["a", "never"] {
            quota.give_back(key, 1_000);
            assert_eq!(spent(&quota, key), 10, "no more than there is");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_is_remembered_than_what_is_unpaid() {
        let quota = Quota::new(1, SECOND);
        for key in 0..KEYS_MAX {
            quota.spend(&key.to_string(), 1).unwrap();
        }
        assert!(quota.spend("new", 1).is_err());
        advance(SECOND).await;
        quota.spend("new", 1).unwrap();
        assert_eq!(quota.paid_at.lock().unwrap().len(), 1);
    }
}
