//! A bound on how often something happens per minute: per key, and ten times as often over all keys.
//!
//! Per process and in memory: it protects this process, and the ledger behind it, from floods.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use probity_domain::Timestamp;
use probity_platform::{Error, Result};

const WINDOW_MS: i64 = 60_000;
const ALL_FACTOR: u32 = 10;
const KEYS_MAX: usize = 4_096;

/// Counts within windows of one minute.
#[derive(Debug)]
pub struct Throttle {
    per_key_max: u32,
    window: Mutex<Window>,
}

#[derive(Debug, Default)]
struct Window {
    began_ms: i64,
    all: u32,
    per_key: HashMap<String, u32>,
}

impl Throttle {
    /// At most `per_key_max` a minute for each key.
    #[must_use]
    pub fn new(per_key_max: u32) -> Self {
        Self {
            per_key_max,
            window: Mutex::default(),
        }
    }

    /// Counts one more.
    ///
    /// # Errors
    /// `TooMany` when the minute's share is used up.
    pub fn pass(&self, key: &str, now: Timestamp) -> Result<()> {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        if now.unix_ms().abs_diff(window.began_ms) >= WINDOW_MS.unsigned_abs() {
            *window = Window {
                began_ms: now.unix_ms(),
                ..Window::default()
            };
        }
        let known = window.per_key.get(key).copied();
        let full = known.is_none() && window.per_key.len() >= KEYS_MAX;
        let all_max = self.per_key_max.saturating_mul(ALL_FACTOR);
        if full || window.all >= all_max || known.unwrap_or(0) >= self.per_key_max {
            return Err(Error::too_many(format!(
                "at most {} a minute; try again later",
                self.per_key_max
            )));
        }
        window.all += 1;
        *window.per_key.entry(key.to_owned()).or_default() += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounded_per_key_over_all_and_per_minute() {
        let at = Timestamp::from_unix_ms(1_000_000);
        let throttle = Throttle::new(2);
        assert!(throttle.pass("a", at).is_ok() && throttle.pass("a", at).is_ok());
        assert!(throttle.pass("a", at).is_err());
        let others = (0..100)
            .filter(|n| throttle.pass(&n.to_string(), at).is_ok())
            .count();
        assert_eq!(others, 18);
        assert!(throttle.pass("a", at.plus_ms(WINDOW_MS)).is_ok());
    }
}
