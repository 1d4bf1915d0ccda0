//! How long one vendor waited before and while something was done to the platform.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A batch that was accepted, and the numbers it was given.
#[derive(Debug, Clone)]
pub struct AcceptedBatch {
    pub planned: Instant,
    pub accepted: Instant,
    pub numbers: Vec<String>,
}

/// Two spans that follow each other.
#[derive(Debug, Clone, Copy)]
pub struct Compared {
    pub from: Instant,
    pub disturbed_from: Instant,
    pub disturbed_to: Instant,
}

/// By name: p99 of what is `measured`, from planned start, of the batches planned in each span, in milliseconds; and by how
/// much the second is the longer, in per cent. Empty where a span has no batch.
pub fn compare(
    compared: &Compared,
    batches: &[AcceptedBatch],
    what: &str,
    measured: impl Fn(&AcceptedBatch) -> Option<Instant>,
) -> BTreeMap<String, f64> {
    let p99_of = |from: Instant, to: Instant| {
        let planned = batches.iter().filter(|b| (from..to).contains(&b.planned));
        let took = planned.filter_map(|b| Some(measured(b)?.duration_since(b.planned)));
        p99(took.collect())
    };
    let before = p99_of(compared.from, compared.disturbed_from);
    let during = p99_of(compared.disturbed_from, compared.disturbed_to);
    let (Some(before), Some(during)) = (before, during) else {
        return BTreeMap::new();
    };
    let (before, during) = (before.as_secs_f64() * 1e3, during.as_secs_f64() * 1e3);
    BTreeMap::from([
        (format!("others' p99 to {what} before, ms"), before),
        (format!("others' p99 to {what} during, ms"), during),
        (
            format!("others' p99 to {what} longer by, %"),
            (during / before.max(1.0) - 1.0) * 100.0,
        ),
    ])
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
    fn spans_are_compared() {
        let began = Instant::now();
        let at = |ms| began + Duration::from_millis(ms);
        let batch = |planned, took| AcceptedBatch {
            planned: at(planned),
            accepted: at(planned + took),
            numbers: Vec::new(),
        };
        let compared = Compared {
            from: at(100),
            disturbed_from: at(200),
            disturbed_to: at(300),
        };
        let batches = [
            batch(50, 9_000),
            batch(100, 10),
            batch(150, 40),
            batch(200, 50),
            batch(300, 9_000),
        ];
        let found = compare(&compared, &batches, "x", |b| Some(b.accepted));
        let found: Vec<f64> = found.into_values().map(f64::round).collect();
        assert_eq!(found, [40.0, 50.0, 25.0]);
        assert!(compare(&compared, &batches[..1], "x", |b| Some(b.accepted)).is_empty());
    }

    #[test]
    fn one_of_a_hundred_may_take_longer() {
        let took = |n: u64| (1..=n).map(Duration::from_secs).collect();
        assert_eq!(p99(took(100)), Some(Duration::from_secs(99)));
        assert_eq!(p99(took(3)), Some(Duration::from_secs(3)));
        assert_eq!(p99(Vec::new()), None);
    }
}
