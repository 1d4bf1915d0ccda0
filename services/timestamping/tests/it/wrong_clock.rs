//! The wall clock goes wrong by up to ten minutes, ten thousand times: the first refusal comes within a second, and no
//! time is ever given that is further off than it says.

use std::sync::Arc;

use crate::fixture::{Moved, RULES, Watched};

const TRIALS: u64 = 10_000;
const TEN_MINUTES_US: i64 = 600_000_000;

/// xorshift64*: the same trials every time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: i64) -> i64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let drawn = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 1;
        drawn.cast_signed() % limit
    }

    fn either_way(&mut self, limit: i64) -> i64 {
        self.below(2 * limit + 1) - limit
    }
}

/// What is given now, checked against the truth.
fn check(watched: &Watched, clocks: &Arc<Moved>, trial: u64) -> bool {
    let Ok(now) = watched.lease.now() else {
        return false;
    };
    let error_us = (now.at.unix_ms() * 1_000 - clocks.true_us()).abs();
    let stated_us = i64::from(now.accuracy_ms.unwrap()) * 1_000;
    assert!(
        error_us <= stated_us,
        "trial {trial}: {error_us} µs, stated {stated_us}"
    );
    assert!(stated_us <= i64::from(RULES.accuracy_ms) * 1_000);
    true
}

/// Two honest sources and one that says whatever it likes, even just what the wall clock will be turned to.
fn poll(watched: &Watched, dice: &mut Dice, lie_us: i64) {
    let mut honest = || {
        let error_us = 500 + dice.below(20_000);
        (dice.either_way(error_us), error_us)
    };
    watched.poll([honest(), honest(), (lie_us, 1_000)]);
}

#[test]
fn no_bad_time_in_ten_thousand_trials() {
    let (mut given, mut at_once) = (0_u64, 0_u64);
    for trial in 0..TRIALS {
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15 ^ (trial + 1));
        let watched = Watched::new(RULES);
        let clocks = watched.clocks.clone();
        // A quarter of the trials turn the clock by less than two seconds.
        let reach_us = if trial % 4 == 0 {
            2_000_000
        } else {
            TEN_MINUTES_US
        };
        let turned_us = dice.either_way(reach_us);
        let lie_us = if trial % 3 == 0 {
            turned_us
        } else {
            dice.either_way(TEN_MINUTES_US)
        };
        poll(&watched, &mut dice, lie_us);
        watched.renew_and_record();
        for _ in 0..dice.below(5) {
            clocks.advance_ms(200);
            watched.renew_and_record();
        }
        assert!(check(&watched, &clocks, trial), "trial {trial} never began");
        clocks.turn_us(turned_us);
        let mut refused_after_ms = None;
        for elapsed_ms in (0..2_000).step_by(100) {
            match check(&watched, &clocks, trial) {
                true => given += 1,
                false => refused_after_ms = refused_after_ms.or(Some(elapsed_ms)),
            }
            clocks.advance_ms(100);
            if elapsed_ms == 1_000 {
                poll(&watched, &mut dice, lie_us);
            }
            watched.renew_and_record();
        }
        if turned_us.abs() > i64::from(RULES.accuracy_ms) * 1_000 {
            assert!(
                refused_after_ms.is_some_and(|ms| ms <= 1_000),
                "trial {trial}"
            );
            at_once += u64::from(refused_after_ms == Some(0));
        }
        // The jump is forgotten after a minute, the sources' word is not.
        clocks.advance_ms(61_000);
        poll(&watched, &mut dice, lie_us);
        watched.renew_and_record();
        check(&watched, &clocks, trial);
    }
    assert!(given > 0 && at_once > TRIALS / 2);
}

#[test]
fn a_clock_that_drifts_is_followed_by_its_accuracy_and_then_refused() {
    let watched = Watched::trusted();
    let clocks = watched.clocks.clone();
    let (mut stated, mut refused) = (Vec::new(), false);
    // 400 ppm: too slow for a jump. Wrong by a second after 42 minutes.
    for second in 0..3_600 {
        clocks.advance_ms(1_000);
        clocks.turn_us(400);
        if second % 64 == 0 {
            watched.poll([(0, 5_000), (1_000, 5_000), (0, 5_000)]);
        }
        watched.renew_and_record();
        let given = check(&watched, &clocks, second);
        assert!(!(given && refused), "given again while it is wrong");
        refused |= !given;
        if given {
            stated.push(watched.lease.now().unwrap().accuracy_ms.unwrap());
        }
    }
    assert!(refused && stated[0] < 20 && stated[stated.len() - 1] > 900);
}
