//! Latencies, kept in a histogram from planned start.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::Failure;

/// Latencies of one kind of event, 1 ms to 1 h, three significant digits.
pub struct Latencies(Histogram<u64>);

impl Latencies {
    /// An empty one.
    pub fn new() -> Result<Self, Failure> {
        Histogram::new_with_bounds(1, 3_600_000, 3)
            .map(Self)
            .map_err(Failure::new)
    }

    /// Adds one; anything over an hour counts as an hour.
    pub fn add(&mut self, latency: Duration) {
        self.0.saturating_record(
            u64::try_from(latency.as_millis())
                .unwrap_or(u64::MAX)
                .max(1),
        );
    }

    /// Percentiles in milliseconds.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "count": self.0.len(),
            "p50_ms": self.0.value_at_quantile(0.50),
            "p90_ms": self.0.value_at_quantile(0.90),
            "p99_ms": self.0.value_at_quantile(0.99),
            "max_ms": self.0.max(),
        })
    }
}

/// The time that 99 of 100 took at most; `None` of nothing.
pub fn p99(mut took: Vec<Duration>) -> Option<Duration> {
    took.sort_unstable();
    let place = (took.len() * 99).div_ceil(100).checked_sub(1)?;
    took.get(place).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_a_hundred_may_take_longer() {
        let took = |n: u64| (1..=n).map(Duration::from_secs).collect();
        assert_eq!(p99(took(100)), Some(Duration::from_secs(99)));
        assert_eq!(p99(took(3)), Some(Duration::from_secs(3)));
        assert_eq!(p99(Vec::new()), None);
    }
}
