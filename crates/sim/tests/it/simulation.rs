//! The platform's own code, run by seeds on a simulated store, bus, clock and scheduler.
//!
//! A run is a function of its seed: the same seed leaves the same history, byte for byte, signatures included (event keys,
//! certificates and tokens are signed by RFC 6979). `PROBITY_SEED=n` runs one seed and prints its history,
//! `PROBITY_SEEDS=n` runs n of them instead of 200.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::run::{Left, run};
use crate::sim::{Mutation, locked};

const SEEDS: u64 = 200;
/// Lines of history that a failure shows.
const TAIL: usize = 60;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text} is no number")),
    )
}

fn tail(left: &Left) -> String {
    let from = left.history.len().saturating_sub(TAIL);
    format!(
        "PROBITY_SEED={} broke:\n  {}\nhistory, last lines of {}:\n{}",
        left.seed,
        left.violations.join("\n  "),
        left.history.len(),
        left.history[from..].join("\n")
    )
}

/// Runs seeds on every core, until one breaks as `is_it` says or all have run.
fn first_broken(
    seeds: u64,
    mutation: Option<Mutation>,
    is_it: impl Fn(&Left) -> bool + Sync,
) -> Option<Left> {
    let (next, broken) = (AtomicU64::new(0), Mutex::new(None::<Left>));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= seeds || locked(&broken).is_some() {
                        return;
                    }
                    let left = run(seed, mutation);
                    if is_it(&left) {
                        *locked(&broken) = Some(left);
                    }
                }
            });
        }
    });
    broken.into_inner().unwrap()
}

#[test]
fn no_seed_breaks_a_promise() {
    if let Some(seed) = number("PROBITY_SEED") {
        let left = run(seed, None);
        println!("{}", left.history.join("\n"));
        assert!(left.violations.is_empty(), "{}", tail(&left));
        return;
    }
    let seeds = number("PROBITY_SEEDS").unwrap_or(SEEDS);
    let accepted = AtomicU64::new(0);
    let broken = first_broken(seeds, None, |left| {
        accepted.fetch_add(left.accepted as u64, Ordering::SeqCst);
        !left.violations.is_empty()
    });
    if let Some(left) = broken {
        panic!("{}", tail(&left));
    }
    let accepted = accepted.into_inner();
    assert!(
        accepted >= seeds,
        "{accepted}: hardly anything was submitted"
    );
}

#[test]
fn the_same_seed_leaves_the_same_history() {
    for seed in [1, 2, 3] {
        let (one, other) = (run(seed, None), run(seed, None));
        let differs = one.history.iter().zip(&other.history).find(|(a, b)| a != b);
        assert_eq!(differs, None, "seed {seed}");
        assert_eq!(one.history.len(), other.history.len());
    }
    assert_ne!(run(1, None).history, run(2, None).history);
}

/// Each defect must be found by some seed of so many, and for what it is. A swap that is none does harm only rarely, and of
/// many kinds: what is written once holds most of it up.
#[test]
fn defects_are_found() {
    let found = [
        (Mutation::SwapIgnoresVersion, 150, ""),
        (Mutation::CreateOverwrites, 60, "has a second version"),
        (Mutation::NoDuplicateCheck, 30, "stands at"),
        (Mutation::NoReconciler, 30, "accepted and is not in the log"),
        (
            Mutation::AcknowledgedNotDurable,
            30,
            "given to a vendor and is not in",
        ),
        (Mutation::BlindToClockJumps, 60, "a token is wrong"),
        (Mutation::NothingEarly, 60, "before it was submitted"),
        (
            Mutation::NothingVerified,
            30,
            "in the log without its submission",
        ),
    ];
    for (mutation, seeds, as_what) in found {
        let is_it = |left: &Left| left.violations.iter().any(|what| what.contains(as_what));
        let broken = first_broken(seeds, Some(mutation), is_it);
        let seed = broken
            .unwrap_or_else(|| panic!("{mutation:?} passes {seeds} seeds"))
            .seed;
        println!("{mutation:?}: seed {seed}");
    }
}
