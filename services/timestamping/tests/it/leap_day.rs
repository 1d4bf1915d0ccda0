//! 31 December 2016, simulated: a second is inserted, or left out, and announced or not.

use std::time::Duration;

use probity_domain::Timestamp;
use probity_timestamping::ClockLease;
use probity_timestamping::clock::{Heard, LeapIndicator};

use crate::fixture::{Moved, RULES};

const STEP_MS: i64 = 50;

const ALL: usize = 3;

/// Lives through the last and the first minutes; sources are asked every 16 s, and so many of them announce the second,
/// or one that will not come. Yields the wall times at which tokens were possible.
fn live_through(leap: LeapIndicator, announcing: usize, wall_takes_it: bool) -> Vec<Timestamp> {
    let start = Timestamp::parse_rfc3339("2016-12-31T23:59:00Z").unwrap();
    let midnight = Timestamp::parse_rfc3339("2017-01-01T00:00:00Z").unwrap();
    let clocks = Moved::at(start);
    let names = ["a", "b", "c"].map(str::to_owned);
    let lease = ClockLease::new(Box::new(clocks.clone()), RULES, &names);
    // Counted from the start: when UTC steps, and by how much.
    // A kernel repeats the last second rather than the first.
    let (wall_at_ms, step_at_ms, step_ms) = match leap {
        LeapIndicator::Insert => (60_000, 61_000, -1_000),
        LeapIndicator::Delete => (59_000, 59_000, 1_000),
        LeapIndicator::None => (i64::MAX, i64::MAX, 0),
    };
    let mut given = Vec::new();
    for elapsed_ms in (0..180_000).step_by(STEP_MS as usize) {
        let is_over = elapsed_ms >= step_at_ms;
        if elapsed_ms == wall_at_ms && wall_takes_it {
            clocks.turn_us(step_ms * 1_000);
        }
        if elapsed_ms % 16_000 == 0 {
            for source in 0..3 {
                let mut sample = clocks.sample(if is_over { step_ms * 1_000 } else { 0 }, 5_000);
                if source < announcing && !is_over {
                    sample.leap = match leap {
                        LeapIndicator::None => LeapIndicator::Insert,
                        leap => leap,
                    };
                }
                lease.hear(source, Heard::Sample(sample), Duration::from_secs(128));
            }
        }
        if elapsed_ms % 200 == 0 {
            lease.renew();
            record(&lease);
        }
        if let Ok(now) = lease.now() {
            let utc_ms = clocks.true_us() / 1_000 + if is_over { step_ms } else { 0 };
            let error_ms = (now.at.unix_ms() - utc_ms).abs();
            assert!(error_ms <= i64::from(now.accuracy_ms.unwrap()), "{now:?}");
            given.push(now.at);
        }
        clocks.advance_ms(STEP_MS);
    }
    assert!(given.iter().any(|at| *at < midnight.plus_ms(-1_500)));
    given
}

fn record(lease: &ClockLease) {
    let record = probity_pki::tsp::ClockEvidence {
        record: "clock/x".to_owned(),
        digest: [1; 32],
    };
    lease.recorded(&lease.take_period(), record);
}

fn silent_between(given: &[Timestamp], from: &str, to: &str) -> bool {
    let edge = |text: &str| Timestamp::parse_rfc3339(text).unwrap();
    !given.iter().any(|at| edge(from) <= *at && *at < edge(to))
}

#[test]
fn an_announced_second_is_stepped_over_in_silence() {
    for leap in [LeapIndicator::Insert, LeapIndicator::Delete] {
        let given = live_through(leap, ALL, true);
        assert!(silent_between(
            &given,
            "2016-12-31T23:59:59Z",
            "2017-01-01T00:00:01Z"
        ));
        // And no longer: the clock has taken the second as the sources said it would.
        assert!(!silent_between(
            &given,
            "2016-12-31T23:59:58Z",
            "2016-12-31T23:59:59Z"
        ));
        assert!(!silent_between(
            &given,
            "2017-01-01T00:00:01Z",
            "2017-01-01T00:00:02Z"
        ));
    }
}

#[test]
fn a_clock_that_ignores_the_second_is_not_believed_until_it_has_taken_it() {
    for leap in [LeapIndicator::Insert, LeapIndicator::Delete] {
        let given = live_through(leap, ALL, false);
        // The rest of the time it is off by a second, and the claim is a second with its margin.
        assert!(silent_between(
            &given,
            "2016-12-31T23:59:59Z",
            "2017-01-01T01:00:00Z"
        ));
    }
}

#[test]
fn an_unannounced_second_is_a_jump() {
    for leap in [LeapIndicator::Insert, LeapIndicator::Delete] {
        let given = live_through(leap, 0, true);
        assert!(silent_between(
            &given,
            "2017-01-01T00:00:00Z",
            "2017-01-01T00:00:59Z"
        ));
        assert!(!silent_between(
            &given,
            "2017-01-01T00:01:00Z",
            "2017-01-01T00:02:00Z"
        ));
    }
}

#[test]
fn a_month_without_one_ends_without_silence() {
    let given = live_through(LeapIndicator::None, 0, true);
    assert_eq!(given.len(), (180_000 / STEP_MS) as usize);
}

#[test]
fn one_source_alone_announces_nothing() {
    let given = live_through(LeapIndicator::None, 1, true);
    assert_eq!(given.len(), (180_000 / STEP_MS) as usize);
    // Two of three are believed.
    let given = live_through(LeapIndicator::Insert, 2, true);
    assert!(!silent_between(
        &given,
        "2017-01-01T00:00:01Z",
        "2017-01-01T00:00:02Z"
    ));
}
