//! How long one vendor waited before and while something was done to the platform.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::report::p99;

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

/// By name: p99 of what began in each span and took so long, in milliseconds; and by how much the second is the longer, in per
/// cent. Empty where in a span nothing began.
pub fn compare(
    compared: &Compared,
    what: &str,
    took: &[(Instant, Duration)],
) -> BTreeMap<String, f64> {
    let p99_of = |from: Instant, to: Instant| {
        let in_span = took.iter().filter(|(began, _)| (from..to).contains(began));
        p99(in_span.map(|(_, took)| *took).collect())
    };
    let before = p99_of(compared.from, compared.disturbed_from);
    let during = p99_of(compared.disturbed_from, compared.disturbed_to);
    let (Some(before), Some(during)) = (before, during) else {
        return BTreeMap::new();
    };
    let (before, during) = (before.as_secs_f64() * 1e3, during.as_secs_f64() * 1e3);
    BTreeMap::from([
        (format!("others' p99 {what} before, ms"), before),
        (format!("others' p99 {what} during, ms"), during),
        (
            format!("others' p99 {what} longer by, %"),
            (during / before.max(1.0) - 1.0) * 100.0,
        ),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_compared() {
        let began = Instant::now();
        let at = |ms| began + Duration::from_millis(ms);
        let took = |began, ms| (at(began), Duration::from_millis(ms));
        let compared = Compared {
            from: at(100),
            disturbed_from: at(200),
            disturbed_to: at(300),
        };
        let all = [
            took(50, 9_000),
            took(100, 10),
            took(150, 40),
            took(200, 50),
            took(300, 9_000),
        ];
        let found = compare(&compared, "x", &all);
        let found: Vec<f64> = found.into_values().map(f64::round).collect();
        assert_eq!(found, [40.0, 50.0, 25.0]);
        assert!(compare(&compared, "x", &all[..1]).is_empty());
    }
}
