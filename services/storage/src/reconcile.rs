//! Finding what got lost: accepted items that are not in the log, hour by hour (design: no marker objects, no scan of
//! everything, no message is believed to be the last word).
//!
//! A round is bounded in submissions, bytes and items. An hour takes at most a quarter of what is left, so that a
//! flooded one does not keep the next from being looked at; what the others leave over is the first one's. Hints go
//! out tenant by tenant in turn.

mod ahead;
mod budget;
mod hints;
mod hours;
mod mark;
mod serve;
mod stuck;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use futures::future::join_all;
use probity_domain::{Submission, SubmissionId, Timestamp};
use probity_platform::ledger::Ledger;
use probity_platform::objects::{Listed, Objects};
use probity_platform::{Clock, Error, Result, quarantine};
use probity_proto::stored::submission_of;

use crate::log::Log;
use crate::submissions::load_sized;

use budget::Budget;
use hints::Hints;
use mark::Mark;
use stuck::Released;

pub use hints::Redrive;
pub(crate) use serve::{Gauges, serve};

const SUBMISSIONS: &str = "submissions/";
const HOUR_MS: i64 = 3_600_000;
const PAGE: u16 = 1_000;
/// After this many hints a submission no longer holds up the low-water mark; it is hinted on, hourly.
const ROUNDS_HOLDING: u32 = 12;
const BACKOFF_MS_MAX: i64 = HOUR_MS;
/// So many submissions one after the other that cannot be had now: it is the store that is away, and the round ends. One
/// alone says nothing of the store, which answers 503 for what has rotted as well.
const UNHAD_MAX: usize = 16;

/// Walks the hours. One at a time runs: the log's writer has it.
pub struct Reconciler {
    truth: Arc<dyn Objects>,
    work: Arc<dyn Objects>,
    ledger: Ledger,
    log: Arc<Log>,
    clock: Arc<dyn Clock>,
    after_ms: i64,
    /// Start of the oldest hour that may have unfinished submissions; `None` before the first round.
    low_water: Option<Timestamp>,
    /// Looked at whatever the mark says, hourly. Remembered with the mark.
    stuck: BTreeSet<SubmissionId>,
    /// What `work` holds of these two.
    saved: Option<Mark>,
    /// When it was last said that no more stuck ones can be remembered.
    crowded_said: Option<Timestamp>,
    finished: HashSet<SubmissionId>,
    attempts: HashMap<SubmissionId, Attempt>,
    /// How many items of a submission are in quarantine.
    held: HashMap<SubmissionId, usize>,
    /// Unfinished submissions of which an item is or was held: looked at as the stuck ones, but it is the ledger that
    /// remembers them.
    known_held: BTreeSet<SubmissionId>,
    /// Whose time has not come.
    ahead: BTreeSet<SubmissionId>,
}

#[derive(Clone, Copy)]
struct Attempt {
    round: u32,
    next_at: Timestamp,
}

/// One round as it goes on.
struct Round {
    now: Timestamp,
    hints: Hints,
    /// Submissions since the last that was read which could not be had.
    unhad: usize,
    /// A submission that has waited long enough found no place among the stuck.
    crowded: bool,
}

/// A submission to look at, and its size in bytes, as far as it is known.
type Candidate = (SubmissionId, u64);

/// A submission as it was read.
struct Read {
    submission: Submission,
    bytes: u64,
    /// Places of its items that are in quarantine.
    held: BTreeSet<u32>,
}

impl Reconciler {
    #[must_use]
    pub fn new(
        truth: Arc<dyn Objects>,
        work: Arc<dyn Objects>,
        ledger: Ledger,
        log: Arc<Log>,
        clock: Arc<dyn Clock>,
        after_s: u32,
    ) -> Self {
        Self {
            truth,
            work,
            ledger,
            log,
            clock,
            after_ms: i64::from(after_s) * 1_000,
            low_water: None,
            stuck: BTreeSet::new(),
            saved: None,
            crowded_said: None,
            finished: HashSet::new(),
            attempts: HashMap::new(),
            held: HashMap::new(),
            known_held: BTreeSet::new(),
            ahead: BTreeSet::new(),
        }
    }

    /// One round: what to hint now. A round that fails half way hints what it has found by then.
    ///
    /// # Errors
    /// Those of the store, when nothing was found; the next round begins where this one did.
    pub async fn round(&mut self) -> Result<Vec<Redrive>> {
        let mut round = Round {
            now: self.clock.now(),
            hints: Hints::default(),
            unhad: 0,
            crowded: false,
        };
        let walked = self.walk(&mut round).await;
        let redrives = round.hints.in_turn();
        match walked {
            Err(e) if !redrives.is_empty() => {
                tracing::warn!(error = %e, "a round of the reconciler was cut short");
                Ok(redrives)
            }
            walked => walked.map(|()| redrives),
        }
    }

    async fn walk(&mut self, round: &mut Round) -> Result<()> {
        let Some(begin) = self.begin(round.now).await? else {
            return Ok(());
        };
        let released = self.released().await?;
        let looked = self.look_around(begin, &released, round).await;
        self.say_crowded(round);
        self.save().await?;
        // Only now: a process that dies before is told again.
        for key in released.keys {
            self.work.remove(&key).await?;
        }
        looked
    }

    async fn look_around(
        &mut self,
        begin: Timestamp,
        released: &Released,
        round: &mut Round,
    ) -> Result<()> {
        let mut budget = Budget::of_a_round();
        let stuck = self.stuck(released, round, &mut budget).await;
        // Many that cannot be had may all be stuck ones: what was submitted since is looked at all the same.
        round.unhad = 0;
        self.hours(begin, round, &mut budget).await?;
        self.later_hours(round.now).await?;
        stuck
    }

    /// Items known to be in quarantine.
    #[must_use]
    pub fn quarantined(&self) -> usize {
        self.held.values().sum()
    }

    fn is_due(&self, id: SubmissionId, now: Timestamp) -> bool {
        now >= self.due_at(id) && !self.finished.contains(&id)
    }

    fn due_at(&self, id: SubmissionId) -> Timestamp {
        let attempt = self.attempts.get(&id);
        attempt.map_or(id.at().plus_ms(self.after_ms), |a| a.next_at)
    }

    /// Reads submissions, some at once, and judges them one after the other, as far as the budget goes.
    async fn look(
        &mut self,
        mut due: &[Candidate],
        round: &mut Round,
        budget: &mut Budget,
    ) -> Result<()> {
        while !due.is_empty() && !budget.is_spent() {
            let (together, rest) = due.split_at(budget.together(due));
            due = rest;
            let read = join_all(together.iter().map(|(id, _)| self.read(*id))).await;
            for ((id, _), read) in together.iter().zip(read) {
                budget.take(read.as_ref().map_or(0, |read| read.bytes));
                match read {
                    Ok(read) => {
                        round.unhad = 0;
                        self.judge(&read, round, budget);
                    }
                    Err(e) => self.unread(*id, e, round)?,
                }
            }
        }
        Ok(())
    }

    /// One that does not read is an alarm, not a reason to leave the others.
    fn unread(&mut self, id: SubmissionId, error: Error, round: &mut Round) -> Result<()> {
        let looks = self.attempt(id, round.now);
        if !error.kind.is_transient() {
            tracing::error!(submission = %id, %error, "a submission does not read");
            return Ok(());
        }
        if looks >= quarantine::ROUNDS {
            tracing::error!(submission = %id, %error, looks, "the store does not give a submission back");
        } else {
            tracing::warn!(submission = %id, %error, "a submission cannot be read now");
        }
        round.unhad += 1;
        match round.unhad < UNHAD_MAX {
            true => Ok(()),
            false => Err(error),
        }
    }

    /// A submission, and the places of its items that are held, if there can be any: nothing is held in early rounds.
    async fn read(&self, id: SubmissionId) -> Result<Read> {
        let (submission, bytes) = load_sized(&*self.truth, id).await?;
        let late = self
            .attempts
            .get(&id)
            .is_some_and(|attempt| attempt.round >= quarantine::ROUNDS);
        let mut held = BTreeSet::new();
        if late || self.known_held.contains(&id) {
            held.extend(quarantine::held(&self.ledger, id).await?.into_keys());
        }
        Ok(Read {
            submission,
            bytes,
            held,
        })
    }

    /// Whether all of a submission is in the log; if not, hints again what nobody has refused for good.
    fn judge(&mut self, read: &Read, round: &mut Round, budget: &mut Budget) {
        let Read {
            submission, held, ..
        } = read;
        let id = submission.id;
        let waiting = submission
            .accepted()
            .filter(|(evidence, _)| self.log.leaf(*evidence).is_none());
        let (held, missing): (Vec<u32>, Vec<u32>) = waiting
            .map(|(evidence, _)| evidence.item)
            .partition(|item| held.contains(item));
        self.held.remove(&id);
        if !held.is_empty() {
            self.held.insert(id, held.len());
            self.known_held.insert(id);
        }
        if missing.is_empty() {
            if held.is_empty() {
                self.attempts.remove(&id);
                self.known_held.remove(&id);
                self.finished.insert(id);
            } else {
                let next_at = round.now.plus_ms(BACKOFF_MS_MAX);
                let round = ROUNDS_HOLDING;
                self.attempts.insert(id, Attempt { round, next_at });
            }
            return;
        }
        let attempt = self.attempt(id, round.now);
        tracing::warn!(submission = %id, missing = missing.len(), round = attempt, "hinting again");
        budget.hinted(missing.len());
        round.hints.add(submission, &missing, attempt);
    }

    /// Notes one more look at a submission, and when the next is due; answers how many it were.
    fn attempt(&mut self, id: SubmissionId, now: Timestamp) -> u32 {
        let round = self.attempts.get(&id).map_or(0, |attempt| attempt.round) + 1;
        let wait_ms = self.after_ms.max(1_000).saturating_mul(1 << round.min(20));
        let next_at = now.plus_ms(wait_ms.min(BACKOFF_MS_MAX));
        self.attempts.insert(id, Attempt { round, next_at });
        round
    }

    /// A hint that could not be sent was none: the submission is due again at once, in the same round. Should the hint
    /// have gone out all the same, it is the same message.
    pub fn unsent(&mut self, redrive: &Redrive) {
        let Ok(id) = SubmissionId::parse(&redrive.hint.submission_id) else {
            return;
        };
        if let Some(attempt) = self.attempts.get_mut(&id)
            && attempt.round == redrive.hint.round
        {
            attempt.round -= 1;
            attempt.next_at = id.at();
        }
    }
}

/// What is listed under the key of a submission. Anything else is said and passed over: whoever may write into the bucket
/// can put it there, a console that makes folders among them.
fn candidate(listed: &Listed) -> Option<Candidate> {
    let id = submission_of(&listed.key);
    if id.is_none() {
        tracing::error!(key = listed.key, "no submission has this key");
    }
    Some((id?, listed.size_bytes))
}
