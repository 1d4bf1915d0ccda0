//! Which calls were answered, and which were while a platform had nothing but its store.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// One call, how long it took, and whether it was answered with success.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    pub began: Instant,
    pub took: Duration,
    pub what: &'static str,
    pub answered: bool,
}

/// From when to when NATS and Redis were away.
#[derive(Debug, Clone, Copy)]
pub struct Alone {
    pub from: Instant,
    pub to: Instant,
}

/// The calls that began in the span.
#[derive(Debug, Default, PartialEq)]
pub struct Availability {
    pub figures: BTreeMap<String, f64>,
    /// One sentence for each kind of call that was asked and not always answered, or never asked.
    pub broken: Vec<String>,
}

impl Availability {
    /// Of each of these kinds there must have been some.
    pub fn of(alone: &Alone, calls: &[Call], kinds: &[&str]) -> Self {
        let span = alone.from..alone.to;
        let mut found = Self::default();
        let (mut asked, mut answered) = (0, 0);
        for kind in kinds {
            let began = calls
                .iter()
                .filter(|c| c.what == *kind && span.contains(&c.began));
            let began: Vec<&Call> = began.collect();
            let good = began.iter().filter(|call| call.answered).count();
            found.figures.insert(
                format!("calls without NATS and Redis: {kind}"),
                began.len() as f64,
            );
            if began.is_empty() {
                found
                    .broken
                    .push(format!("no call {kind} without NATS and Redis"));
            }
            if good < began.len() {
                let failed = began.len() - good;
                found.broken.push(format!(
                    "{failed} of {} calls {kind} failed without NATS and Redis",
                    began.len()
                ));
            }
            asked += began.len();
            answered += good;
        }
        let percent = 100.0 * answered as f64 / asked.max(1) as f64;
        found
            .figures
            .insert("available without NATS and Redis, %".to_owned(), percent);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_calls_in_the_span_count_and_each_kind_must_be_there() {
        let from = Instant::now();
        let to = from + Duration::from_secs(10);
        let call = |what, after_s, answered| Call {
            began: from + Duration::from_secs(after_s),
            took: Duration::ZERO,
            what,
            answered,
        };
        let mut calls = vec![
            call("list", 1, true),
            call("submit", 2, true),
            call("submit", 10, false),
        ];
        let alone = Alone { from, to };
        let kinds = ["list", "submit"];
        let found = Availability::of(&alone, &calls, &kinds);
        assert_eq!(
            (
                found.figures["available without NATS and Redis, %"],
                found.broken.len()
            ),
            (100.0, 0)
        );
        calls.push(call("submit", 9, false));
        calls.push(call("other", 9, false));
        let found = Availability::of(&alone, &calls, &kinds);
        assert_eq!(
            found.figures["available without NATS and Redis, %"].round(),
            67.0
        );
        assert_eq!(
            found.broken,
            ["1 of 2 calls submit failed without NATS and Redis"]
        );
        let found = Availability::of(&alone, &calls, &["fetch"]);
        assert_eq!(found.broken, ["no call fetch without NATS and Redis"]);
    }
}
