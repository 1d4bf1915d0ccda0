//! What becomes of a message, by how often it was delivered and how the work on it ended. Pure: the runner goes by these
//! rules, and so does whoever simulates a bus.

use std::time::Duration;

use probity_domain::EvidenceId;

use super::Outcome;
use super::about::Single;
use crate::{Error, quarantine};

/// Deliveries after which a message that still fails is parked.
pub const DELIVERIES_MAX: i64 = 10;

/// After this many deliveries a message is handled alone, so that one that crashes the worker takes
/// no other along.
const DELIVERIES_TOGETHER_MAX: i64 = 3;

/// Pause before held work is tried again.
pub const HOLD: Duration = Duration::from_millis(500);

/// The pause after a failure grows up to so many times the first one.
const PAUSE_GROWS_MAX: u32 = 60;

/// What kills a process takes along what else that has in hand, and nobody sees which message it was. The others get ahead
/// while each is in a message of its own ([`super::run`]), so it counts two rounds after that has begun.
const ROUNDS_NEVER_ENDED: u32 = quarantine::ROUNDS + 2;

const PANICKED: &str = "the work panicked";
const NEVER_ENDED: &str = "no delivery came to an end";

/// How a delivery is worked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// With others in one call.
    Together,
    /// In a call of its own: it has failed before.
    Alone,
    /// Not at all: [`End::Never`].
    Never,
}

impl Turn {
    /// Of a message that is delivered for this time, the first being 1.
    #[must_use]
    pub const fn of(delivered: i64) -> Self {
        if delivered <= DELIVERIES_TOGETHER_MAX {
            Self::Together
        } else if delivered <= DELIVERIES_MAX {
            Self::Alone
        } else {
            Self::Never
        }
    }
}

/// How a call of a stage's function ended.
#[derive(Debug)]
pub enum Call {
    /// One outcome for each message, in order.
    Answered(Vec<Outcome>),
    Panicked,
    /// It took longer than this.
    CutOff(Duration),
    /// Shutdown did not wait for it.
    Stopped,
}

impl Call {
    /// How the work on each of `count` messages ended; `None` when each is to be worked on again in a call of its own: what
    /// one of several brings about is no failed try of the others.
    #[must_use]
    pub fn ends(self, count: usize) -> Option<Vec<End>> {
        let all = |end| Some(vec![end; count]);
        match self {
            Self::Answered(outcomes) => {
                let missing = || Some(Outcome::Retry(Error::internal("the stage gave no outcome")));
                let padded = outcomes.into_iter().chain(std::iter::from_fn(missing));
                Some(padded.take(count).map(End::Said).collect())
            }
            Self::Panicked if count > 1 => None,
            Self::Panicked => all(End::Panicked),
            Self::CutOff(limit) => all(End::CutOff(limit)),
            Self::Stopped => all(End::Said(Outcome::Retry(Error::unavailable(
                "handed back at shutdown",
            )))),
        }
    }
}

/// How the work on one message ended.
#[derive(Debug, Clone)]
pub enum End {
    Said(Outcome),
    Panicked,
    CutOff(Duration),
    /// None of its deliveries came to an end: it kills or outlasts its workers.
    Never,
}

/// What becomes of a message.
#[derive(Debug, Clone)]
pub enum Fate {
    /// Acknowledged.
    Done,
    /// Acknowledged: the reconciler hints again when it is due.
    Early(Error),
    /// Kept, and tried again after [`HOLD`]. That is no delivery.
    Hold(Error),
    /// Handed back, and delivered again after this pause.
    Again(Error, Duration),
    /// Taken off the bus.
    Park(Error),
}

impl End {
    /// What becomes of a message that was delivered for this time. `pause` is that after a first failure.
    #[must_use]
    pub fn fate(self, delivered: i64, pause: Duration) -> Fate {
        let error = match self {
            Self::Said(Outcome::Done) => return Fate::Done,
            Self::Said(Outcome::Early(e)) => return Fate::Early(e),
            Self::Said(Outcome::Hold(e)) => return Fate::Hold(e),
            Self::Said(Outcome::Park(e)) => return Fate::Park(e),
            Self::Never => return Fate::Park(Error::internal(NEVER_ENDED)),
            Self::Said(Outcome::Retry(e)) => e,
            Self::Panicked => Error::internal(PANICKED),
            Self::CutOff(limit) => Error::timeout(format!("the work took over {limit:?}")),
        };
        match delivered < DELIVERIES_MAX {
            true => Fate::Again(error, backoff(delivered, pause)),
            false => Fate::Park(error),
        }
    }

    /// The item that is to be held in quarantine, and why: the last delivery of its message did not end by the stage's own
    /// word, the message speaks of no other, and that has gone on for rounds. What a stage says itself never counts here: it
    /// knows what it refuses for good ([`quarantine::refused`]).
    #[must_use]
    pub fn poison(
        &self,
        delivered: i64,
        single: Option<Single>,
    ) -> Option<(EvidenceId, &'static str)> {
        let (since, reason) = match self {
            Self::Said(_) => return None,
            Self::Panicked => (quarantine::ROUNDS, PANICKED),
            Self::CutOff(_) => (quarantine::ROUNDS, NEVER_ENDED),
            Self::Never => (ROUNDS_NEVER_ENDED, NEVER_ENDED),
        };
        let single = single.filter(|s| delivered >= DELIVERIES_MAX && s.round >= since);
        single.map(|s| (s.evidence, reason))
    }
}

/// Pause before the next delivery: 1, 2, 4 … 60 times the first one. `BackOff` of the consumer does not apply to a
/// nak.
fn backoff(delivered: i64, pause: Duration) -> Duration {
    let doublings = u32::try_from(delivered.saturating_sub(1))
        .unwrap_or(0)
        .min(6);
    pause.saturating_mul((1 << doublings).min(PAUSE_GROWS_MAX))
}

#[cfg(test)]
mod tests {
    use probity_domain::{SubmissionId, Timestamp};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn ends() -> [End; 4] {
        let away = Outcome::Retry(Error::unavailable("the store"));
        let cut_off = End::CutOff(SECOND);
        [End::Said(away), End::Panicked, cut_off, End::Never]
    }

    #[test]
    fn backoff_doubles_to_a_minute() {
        let waits: Vec<_> = (1..=9).map(|n| backoff(n, SECOND).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    }

    #[test]
    fn who_has_failed_goes_alone_and_not_for_ever() {
        let turns: Vec<_> = [1, 3, 4, 10, 11].map(Turn::of).into();
        let (together, alone) = (Turn::Together, Turn::Alone);
        assert_eq!(turns, [together, together, alone, alone, Turn::Never]);
        let parked = |end: End, delivered| matches!(end.fate(delivered, SECOND), Fate::Park(_));
        for end in ends() {
            let ended = !matches!(end, End::Never);
            assert_eq!(parked(end.clone(), 9), !ended, "{end:?}");
            assert!(parked(end, 10));
        }
    }

    #[test]
    fn a_panic_of_several_is_nobodys() {
        assert!(Call::Panicked.ends(2).is_none());
        assert!(matches!(
            Call::Panicked.ends(1).as_deref(),
            Some([End::Panicked])
        ));
        let one = Call::Answered(vec![Outcome::Done]);
        let said = one.ends(2).unwrap();
        assert!(matches!(
            said.as_slice(),
            [
                End::Said(Outcome::Done),
                End::Said(Outcome::Retry(missing))
            ] if missing.kind == crate::ErrorKind::Internal
        ));
    }

    #[test]
    fn only_what_crashes_its_worker_alone_and_late_is_poison() {
        let submission = SubmissionId::new(Timestamp::from_unix_ms(1), [1; 10]);
        let evidence = EvidenceId {
            submission,
            item: 3,
        };
        let single = |round| Some(Single { evidence, round });
        // From which round on, for each of the ends.
        let since = [None, Some(4), Some(4), Some(6)];
        for (end, since) in ends().into_iter().zip(since) {
            for round in 0..10 {
                let held = end.poison(10, single(round)).map(|(evidence, _)| evidence);
                let is_held = since.is_some_and(|since| round >= since);
                assert_eq!(held, is_held.then_some(evidence), "{end:?} in {round}");
                assert_eq!(end.poison(9, single(round)), None, "not its last delivery");
            }
            assert_eq!(end.poison(11, None), None, "of several");
        }
    }
}
