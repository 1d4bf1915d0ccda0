//! The right to say what time it is: judged at every use, renewed while somebody watches.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use probity_domain::Timestamp;
use probity_pki::tsp::{ClockEvidence, GenTime};
use probity_platform::{Error, Result};
use tokio::sync::Notify;

use super::doubt::Doubt;
use super::interval::{Interval, agree};
use super::leap::{LeapIndicator, LeapSecond};
use super::period::Period;
use super::reading::{ClockReader, Reading};
use super::sample::Sample;
use super::source::Heard;

/// A lease lasts this long without renewal.
const LEASE_US: i64 = 900_000;
/// After a jump nothing is issued for this long, so that whoever moved the clock has finished and alarms have been
/// seen.
const HOLD_US: i64 = 60_000_000;
/// Jumps are measured from a point at most this old.
const ANCHOR_US: i64 = 60_000_000;
/// Adjusting the rate of a clock moves it by at most 500 parts per million (adjtimex).
const SLEW_PPM: i64 = 500;

/// By what the clock is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Sources that must agree.
    pub quorum: usize,
    /// The unit's claim: no token when the error may be larger.
    pub accuracy_ms: u32,
    /// Added to the measured bound in tokens.
    pub margin_ms: u32,
    /// Wall against monotonic clock, within a minute.
    pub max_jump_ms: u32,
    /// By which a source's word loses accuracy.
    pub drift_ppm: u32,
    /// Age of the newest durable record of the clock log beyond which nothing is issued.
    pub evidence_age_ms_max: i64,
}

/// Decides whether the wall clock may be believed now.
pub struct ClockLease {
    reader: Box<dyn ClockReader>,
    rules: Rules,
    state: Mutex<State>,
    changed: Notify,
}

struct State {
    anchor: Option<Reading>,
    held_until_us: i64,
    renewed_us: Option<i64>,
    said: Vec<Option<Said>>,
    leap: Option<LeapSecond>,
    doubt: Option<Doubt>,
    /// How often trust was lost: evidence from before the last time is none.
    losses: u64,
    evidence: Option<Evidence>,
    period: Period,
}

/// What a source said last.
struct Said {
    sample: Sample,
    valid_until_us: i64,
}

struct Evidence {
    record: ClockEvidence,
    taken_us: i64,
}

fn refusal(doubt: Doubt) -> Error {
    Error::unavailable(format!("{doubt}; nothing is stamped"))
}

impl ClockLease {
    /// For sources of these names; not trusted yet.
    #[must_use]
    pub fn new(reader: Box<dyn ClockReader>, rules: Rules, sources: &[String]) -> Self {
        let period = Period::begin(reader.read(), None, 0, sources);
        let state = State {
            anchor: None,
            held_until_us: i64::MIN,
            renewed_us: None,
            said: sources.iter().map(|_| None).collect(),
            leap: None,
            doubt: Some(Doubt::NoQuorum),
            losses: 0,
            evidence: None,
            period,
        };
        Self {
            reader,
            rules,
            state: Mutex::new(state),
            changed: Notify::new(),
        }
    }

    /// For tests: a unit whose one source is `reader`'s own wall clock now, with a log that is always durable. Renew it
    /// like any other.
    #[must_use]
    pub fn for_tests(reader: Box<dyn ClockReader>) -> Self {
        let rules = Rules {
            quorum: 1,
            accuracy_ms: 1_000,
            margin_ms: 5,
            max_jump_ms: 100,
            drift_ppm: 0,
            evidence_age_ms_max: i64::MAX / 1_000,
        };
        let now = reader.read();
        let lease = Self::new(reader, rules, &["test".to_owned()]);
        let sample = Sample {
            monotonic_us: now.monotonic_us,
            utc_us: now.wall_us(),
            error_us: 1_000,
            delay_us: 0,
            stratum: 1,
            leap: LeapIndicator::None,
            measurement: None,
        };
        lease.hear(0, Heard::Sample(sample), Duration::MAX);
        lease.renew();
        let record = ClockEvidence {
            record: "clock/test/1970010100/0".to_owned(),
            digest: [0; 32],
        };
        lease.recorded(&lease.take_period(), record);
        lease
    }

    /// The clocks it reads.
    #[must_use]
    pub fn reader(&self) -> &dyn ClockReader {
        &*self.reader
    }

    #[must_use]
    pub const fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Takes what a source said; it counts for `valid_for` unless the source says otherwise.
    pub fn hear(&self, source: usize, heard: Heard, valid_for: Duration) {
        let mut state = self.state();
        let reading = self.reader.read();
        let drift_ppm = self.rules.drift_ppm;
        let leap = state.leap;
        let State { said, period, .. } = &mut *state;
        let Some(said) = said.get_mut(source) else {
            return;
        };
        match heard {
            Heard::Silent(reason) => period.failed(source, reason),
            Heard::Unfit(reason) => {
                *said = None;
                period.failed(source, reason);
            }
            Heard::Sample(sample) => {
                // Within a leap second nobody's Unix time is to be understood.
                let utc = Timestamp::from_unix_ms(sample.utc_us.div_euclid(1_000));
                if leap.is_some_and(|leap| leap.silences(utc)) {
                    return;
                }
                let offset = sample.offset_at(&reading, drift_ppm, leap.as_ref());
                period.answered(source, &sample, offset);
                let valid_us = i64::try_from(valid_for.as_micros()).unwrap_or(i64::MAX);
                let valid_until_us = reading.monotonic_us.saturating_add(valid_us);
                match said {
                    Some(said) if sample.is_known_from(&said.sample) => {
                        said.sample.leap = sample.leap;
                        said.valid_until_us = valid_until_us;
                    }
                    _ => {
                        *said = Some(Said {
                            sample,
                            valid_until_us,
                        });
                    }
                }
            }
        }
    }

    /// Renews the lease if the clock may be believed. Called several times a second by whoever watches.
    pub fn renew(&self) {
        let mut state = self.state();
        let reading = self.reader.read();
        self.follow_leap_seconds(&mut state, &reading);
        let judged = self.judge(&mut state, &reading);
        state.period.judged(judged.ok());
        if judged.is_ok() {
            state.renewed_us = Some(reading.monotonic_us);
        }
    }

    /// The time, as long as the lease holds: with a bound on its error and the record that says why.
    ///
    /// # Errors
    /// `Unavailable`, with the [`Doubt`].
    pub fn now(&self) -> Result<GenTime> {
        let mut state = self.state();
        let reading = self.reader.read();
        let given = self.give(&mut state, &reading);
        match &given {
            Ok(_) => state.period.times_given += 1,
            Err(doubt) => state.period.refused(*doubt),
        }
        given.map_err(refusal)
    }

    /// Whether the lease holds, for those who do not want the time: leaves no trace in the clock log.
    ///
    /// # Errors
    /// `Unavailable`, with the [`Doubt`].
    pub fn holds(&self) -> Result<()> {
        let mut state = self.state();
        let reading = self.reader.read();
        self.give(&mut state, &reading).map(drop).map_err(refusal)
    }

    /// What happened since the last call, to be written down.
    pub fn take_period(&self) -> Period {
        let mut state = self.state();
        let reading = self.reader.read();
        let offsets = self.offsets(&state, &reading);
        let agreed = agree(&present(&offsets), self.rules.quorum);
        let sources: Vec<String> = state
            .period
            .sources
            .iter()
            .map(|s| s.name.clone())
            .collect();
        let next = Period::begin(reading, state.doubt, state.losses, &sources);
        let leap = state.leap;
        let mut period = core::mem::replace(&mut state.period, next);
        period.end(reading, leap, &offsets, agreed);
        period
    }

    /// A period's record is durable: tokens may refer to it, unless the clock was not trusted at its end or not ever
    /// since.
    pub fn recorded(&self, period: &Period, record: ClockEvidence) {
        let mut state = self.state();
        if state.losses == period.losses_at_end && period.doubt_at_end.is_none() {
            let taken_us = period.to.monotonic_us;
            state.evidence = Some(Evidence { record, taken_us });
        }
    }

    /// Waits until trust is lost or found.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give(&self, state: &mut State, reading: &Reading) -> core::result::Result<GenTime, Doubt> {
        let bound_us = self.judge(state, reading)?;
        let age_us = |since_us: i64| reading.monotonic_us.saturating_sub(since_us);
        if state.renewed_us.is_none_or(|at| age_us(at) > LEASE_US) {
            return Err(Doubt::Stale);
        }
        let age_us_max = self.rules.evidence_age_ms_max.saturating_mul(1_000);
        match &state.evidence {
            Some(evidence) if age_us(evidence.taken_us) <= age_us_max => Ok(GenTime {
                at: reading.wall,
                accuracy_ms: Some(self.accuracy_ms(bound_us)),
                evidence: Some(evidence.record.clone()),
            }),
            _ => Err(Doubt::Unlogged),
        }
    }

    /// A bound on the wall clock's error, or why there is none; notes when that changes.
    fn judge(&self, state: &mut State, reading: &Reading) -> core::result::Result<i64, Doubt> {
        let judged = if state.leap.is_some_and(|leap| leap.silences(reading.wall)) {
            // Whatever the wall clock does now is between it and the sources, once this is over.
            state.anchor = Some(*reading);
            Err(Doubt::LeapSecond)
        } else if self.has_jumped(state, reading) {
            Err(Doubt::Jumped)
        } else {
            let offsets = self.offsets(state, reading);
            match agree(&present(&offsets), self.rules.quorum) {
                None => Err(Doubt::NoQuorum),
                Some(agreed) => Ok(agreed.bound_us()),
            }
        };
        let judged = judged.and_then(|bound_us| {
            if self.accuracy_ms(bound_us) > self.rules.accuracy_ms {
                return Err(Doubt::Inaccurate);
            }
            Ok(bound_us)
        });
        let doubt = judged.err();
        if doubt != state.doubt {
            match doubt {
                None => tracing::info!("the clock is trusted"),
                Some(doubt) => {
                    tracing::error!(%doubt, "time-stamping is suspended");
                    state.losses += 1;
                    state.evidence = None;
                    state.renewed_us = None;
                }
            }
            state.doubt = doubt;
            state.period.changed(reading.wall, doubt, state.losses);
            self.changed.notify_one();
        }
        judged
    }

    fn accuracy_ms(&self, bound_us: i64) -> u32 {
        let bound_ms = bound_us.saturating_add(999) / 1_000;
        u32::try_from(bound_ms)
            .unwrap_or(u32::MAX)
            .saturating_add(self.rules.margin_ms)
    }

    /// UTC minus the wall clock, by each source that has said something lately.
    fn offsets(&self, state: &State, reading: &Reading) -> Vec<Option<Interval>> {
        let offset = |said: &Said| {
            let is_valid = reading.monotonic_us <= said.valid_until_us;
            let drift_ppm = self.rules.drift_ppm;
            is_valid.then(|| {
                said.sample
                    .offset_at(reading, drift_ppm, state.leap.as_ref())
            })
        };
        let said = state.said.iter();
        said.map(|said| said.as_ref().and_then(offset)).collect()
    }

    fn has_jumped(&self, state: &mut State, reading: &Reading) -> bool {
        let anchor = *state.anchor.get_or_insert(*reading);
        let elapsed_us = reading.monotonic_us.saturating_sub(anchor.monotonic_us);
        let moved_us = reading.wall_us() - anchor.wall_us() - elapsed_us;
        let allowed_us = i64::from(self.rules.max_jump_ms) * 1_000
            + elapsed_us.saturating_abs() / 1_000_000 * SLEW_PPM
            + reading.gap_us
            + anchor.gap_us;
        if moved_us.saturating_abs() > allowed_us {
            tracing::error!(moved_us, "the wall clock jumped");
            state.held_until_us = reading.monotonic_us.saturating_add(HOLD_US);
            state.anchor = Some(*reading);
        } else if elapsed_us > ANCHOR_US {
            state.anchor = Some(*reading);
        }
        reading.monotonic_us < state.held_until_us
    }

    /// Believes an announcement of a quorum of the sources that agree about the time: by it all of them are counted
    /// over midnight. One flag alone proves nothing; were it right, the sources would part with the wall clock at
    /// midnight, and nothing would be stamped until they agree again.
    fn follow_leap_seconds(&self, state: &mut State, reading: &Reading) {
        let offsets = self.offsets(state, reading);
        let Some(agreed) = agree(&present(&offsets), self.rules.quorum) else {
            return;
        };
        let agreeing = state
            .said
            .iter()
            .zip(&offsets)
            .filter_map(|(said, offset)| {
                let agrees = offset.is_some_and(|offset| offset.overlaps(&agreed));
                Some(said.as_ref().filter(|_| agrees)?.sample.leap)
            });
        let flags: Vec<LeapIndicator> = agreeing.collect();
        let has_quorum = |leap: &LeapIndicator| {
            flags.iter().filter(|flag| *flag == leap).count() >= self.rules.quorum
        };
        let announced = [LeapIndicator::Insert, LeapIndicator::Delete]
            .into_iter()
            .find(has_quorum)
            .and_then(|leap| LeapSecond::announced(leap, reading.wall));
        let is_over = |leap: &LeapSecond| reading.wall.ms_since(leap.midnight) > LEAP_KEPT_MS;
        match (state.leap, announced) {
            (Some(known), _) if known.silences(reading.wall) => {}
            // Samples from before it are still about; the servers' flags go down only after a while.
            (Some(known), _) if reading.wall >= known.midnight && !is_over(&known) => {}
            (_, announced) => state.leap = announced,
        }
    }
}

/// A leap second is remembered this long after it.
const LEAP_KEPT_MS: i64 = 24 * 3_600_000;

fn present(offsets: &[Option<Interval>]) -> Vec<Interval> {
    offsets.iter().copied().flatten().collect()
}
