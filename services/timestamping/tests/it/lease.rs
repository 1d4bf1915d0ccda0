//! When the lease holds, and what it then claims.

use probity_timestamping::clock::{Heard, Rules};

use crate::fixture::{NOON, RULES, Watched};

#[test]
fn lasts_less_than_a_second() {
    let watched = Watched::trusted();
    watched.clocks.advance_ms(900);
    let now = watched.lease.now().unwrap();
    assert_eq!(now.at, NOON.plus_ms(900));
    watched.clocks.advance_ms(1);
    assert!(watched.refusal().contains("stale"));
    watched.lease.renew();
    assert!(watched.lease.now().is_ok());
}

#[test]
fn is_not_there_before_a_record_is_durable_nor_when_it_is_old() {
    let watched = Watched::new(RULES);
    watched.poll([(0, 1_000); 3]);
    assert!(watched.lease.now().is_err(), "never renewed");
    watched.lease.renew();
    assert!(watched.refusal().contains("not durable"));
    watched.record();
    assert!(watched.lease.now().is_ok());
    watched.clocks.advance_ms(120_000);
    watched.lease.renew();
    assert!(watched.lease.now().is_ok());
    watched.clocks.advance_ms(1);
    assert!(watched.refusal().contains("not durable"));
    watched.record();
    assert!(watched.lease.now().is_ok());
}

#[test]
fn a_record_from_before_trust_was_lost_is_none() {
    let watched = Watched::trusted();
    let before = watched.lease.take_period();
    let record = watched.lease.now().unwrap().evidence.unwrap();
    for source in 0..2 {
        watched.hear(source, Heard::Unfit("not synchronised".to_owned()));
    }
    assert!(watched.refusal().contains("quorum"));
    watched.poll([(0, 1_000); 3]);
    watched.lease.renew();
    // Became durable only now, but tells of the time before.
    watched.lease.recorded(&before, record);
    assert!(watched.refusal().contains("not durable"));
    watched.record();
    assert!(watched.lease.now().is_ok());
}

#[test]
fn accuracy_is_what_a_quorum_bears_out() {
    const MIN: i64 = 600_000_000;
    for (said, expected) in [
        // Bound and margin, rounded up to the millisecond.
        ([(0, 1_000), (0, 1_000), (0, 1_000)], Ok(7)),
        ([(0, 10_000), (0, 20_000), (0, 30_000)], Ok(26)),
        // One lies: the other two decide, and it can only widen what they say.
        ([(0, 10_000), (3_000, 10_000), (MIN, 1_000)], Ok(16)),
        ([(0, 10_000), (3_000, 10_000), (-MIN, 1_000)], Ok(16)),
        // The clock is off by what two of them agree on.
        ([(200_000, 10_000), (205_000, 10_000), (0, 1_000)], Ok(216)),
        (
            [(900_000, 94_000), (900_000, 94_000), (0, 1_000)],
            Ok(1_000),
        ),
        (
            [(900_000, 95_000), (900_000, 95_000), (0, 1_000)],
            Err("accuracy"),
        ),
        ([(MIN, 1_000), (MIN, 1_000), (0, 1_000)], Err("accuracy")),
        // Two pairs agree: the truth may be with either.
        ([(0, 10_000), (50_000, 40_000), (100_000, 10_000)], Ok(96)),
        // Nobody agrees with anybody.
        (
            [(0, 1_000), (10_000, 1_000), (20_000, 1_000)],
            Err("quorum"),
        ),
    ] {
        let watched = Watched::new(RULES);
        watched.poll(said);
        watched.renew_and_record();
        match expected {
            Ok(accuracy_ms) => {
                let now = watched.lease.now().unwrap();
                assert_eq!(now.accuracy_ms, Some(accuracy_ms), "{said:?}");
            }
            Err(reason) => assert!(watched.refusal().contains(reason), "{said:?}"),
        }
    }
}

#[test]
fn what_sources_said_ages() {
    let watched = Watched::new(Rules {
        accuracy_ms: 20,
        ..RULES
    });
    watched.poll([(0, 10_000); 3]);
    watched.renew_and_record();
    assert_eq!(watched.lease.now().unwrap().accuracy_ms, Some(16));
    // 15 ppm of 200 s are 3 ms.
    watched.clocks.advance_ms(200_000);
    watched.renew_and_record();
    assert_eq!(watched.lease.now().unwrap().accuracy_ms, Some(19));
    watched.clocks.advance_ms(200_000);
    watched.lease.renew();
    assert!(watched.refusal().contains("accuracy"));
    watched.poll([(0, 10_000); 3]);
    watched.renew_and_record();
    assert!(watched.lease.now().is_ok());
    // Two that are not heard for eight polls: no quorum, however good they were.
    watched.clocks.advance_ms(500_000);
    watched.hear(0, Heard::Sample(watched.clocks.sample(0, 1_000)));
    watched.clocks.advance_ms(12_001);
    watched.hear(1, Heard::Silent("no answer".to_owned()));
    watched.lease.renew();
    assert!(watched.refusal().contains("quorum"));
}

#[test]
fn a_jump_either_way_ends_it_for_a_minute() {
    for jump_ms in [-3_000, -101, 101, 3_600_000] {
        let watched = Watched::trusted();
        watched.clocks.turn_us(jump_ms * 1_000);
        assert!(watched.refusal().contains("jumped"), "{jump_ms}");
        // Turned back at once: it was touched all the same.
        watched.clocks.turn_us(-jump_ms * 1_000);
        watched.renew_and_record();
        assert!(watched.refusal().contains("jumped"), "{jump_ms}");
        watched.clocks.advance_ms(59_999);
        watched.renew_and_record();
        assert!(watched.refusal().contains("jumped"), "{jump_ms}");
        watched.clocks.advance_ms(1);
        watched.renew_and_record();
        assert!(watched.lease.now().is_ok(), "{jump_ms}");
    }
}

#[test]
fn small_steps_add_up_and_slewing_does_not() {
    let watched = Watched::trusted();
    for _ in 0..2 {
        watched.clocks.turn_us(50_000);
        watched.clocks.advance_ms(200);
        watched.lease.renew();
    }
    assert!(watched.lease.now().is_ok());
    watched.clocks.turn_us(1_000);
    assert!(watched.refusal().contains("jumped"));

    let watched = Watched::trusted();
    for _ in 0..600 {
        watched.clocks.advance_ms(1_000);
        watched.clocks.turn_us(400);
        watched.poll([(0, 1_000); 3]);
        watched.renew_and_record();
        assert!(watched.lease.now().is_ok());
    }
}

#[test]
fn one_measurement_is_one_sample() {
    // chronyd's word is about the wall clock as it was when it measured: repeated after somebody turned the clock a
    // little, it is not a new measurement.
    let watched = Watched::new(Rules {
        quorum: 3,
        max_jump_ms: 2_000,
        ..RULES
    });
    let say = |measurement: &str| {
        for source in 0..3 {
            let mut sample = watched.clocks.sample(0, 1_000);
            let wall_ms = watched.lease.reader().read().wall.unix_ms();
            sample.utc_us = wall_ms * 1_000;
            sample.measurement = Some(measurement.to_owned());
            watched.hear(source, Heard::Sample(sample));
        }
    };
    say("first");
    watched.renew_and_record();
    assert_eq!(watched.lease.now().unwrap().accuracy_ms, Some(7));
    watched.clocks.turn_us(1_500_000);
    say("first");
    watched.lease.renew();
    assert!(watched.refusal().contains("accuracy"));
    say("second");
    watched.renew_and_record();
    assert!(watched.lease.now().is_ok());
}
