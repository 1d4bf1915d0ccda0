//! Finding what got lost: accepted items that are not in the log, hour by hour (design: no marker objects, no scan of
//! everything, no message is believed to be the last word).

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use probity_domain::{SubmissionId, TenantId, Timestamp};
use probity_platform::objects::Objects;
use probity_platform::{Clock, Error, Result};
use probity_proto::v1::Submitted;
use serde::{Deserialize, Serialize};

use crate::log::Log;
use crate::submissions::load;

const SUBMISSIONS: &str = "submissions/";
const HOUR_MS: i64 = 3_600_000;
const PAGE: u16 = 1_000;
/// Submissions read in one round; the rest waits for the next.
const READS_MAX: usize = 2_000;
/// Hints sent in one round.
const HINTS_MAX: usize = 2_000;
/// Items one hint names at most.
const ITEMS_PER_HINT_MAX: u32 = 250;
/// Hours walked in one round.
const HOURS_MAX: usize = 24 * 14;
/// After this many hints a submission no longer holds up the low-water mark; it is hinted on, hourly.
const ROUNDS_HOLDING: u32 = 12;
const BACKOFF_MS_MAX: i64 = HOUR_MS;
/// Submissions remembered as stuck.
const STUCK_MAX: usize = 10_000;
const MARK_BYTES_MAX: u64 = 2 * 1024 * 1024;
const FORMAT: &str = "probity.low-water/1";

/// A hint to be sent again.
#[derive(Debug, Clone, PartialEq)]
pub struct Redrive {
    /// Names the round, so that no duplicate window swallows it.
    pub message_id: String,
    pub hint: Submitted,
}

/// Walks the hours. One at a time runs: the log's writer has it.
pub struct Reconciler {
    truth: Arc<dyn Objects>,
    work: Arc<dyn Objects>,
    log: Arc<Log>,
    clock: Arc<dyn Clock>,
    after_ms: i64,
    /// Start of the oldest hour that may have unfinished submissions; `None` before the first round.
    low_water: Option<Timestamp>,
    stuck: BTreeSet<SubmissionId>,
    finished: HashSet<SubmissionId>,
    attempts: HashMap<SubmissionId, Attempt>,
}

#[derive(Clone, Copy)]
struct Attempt {
    round: u32,
    next_at: Timestamp,
}

/// `log/low-water` in bucket `work`. Losing it costs a walk from the first submission.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mark {
    format: String,
    low_water: String,
    stuck: Vec<String>,
}

/// What is left of one round.
struct Budget {
    reads: usize,
    hints: Vec<Redrive>,
}

impl Budget {
    fn is_spent(&self) -> bool {
        self.reads == 0 || self.hints.len() >= HINTS_MAX
    }
}

impl Reconciler {
    #[must_use]
    pub fn new(
        truth: Arc<dyn Objects>,
        work: Arc<dyn Objects>,
        log: Arc<Log>,
        clock: Arc<dyn Clock>,
        after_s: u32,
    ) -> Self {
        let after_ms = i64::from(after_s) * 1_000;
        let (finished, attempts) = (HashSet::new(), HashMap::new());
        let stuck = BTreeSet::new();
        Self {
            truth,
            work,
            log,
            clock,
            after_ms,
            low_water: None,
            stuck,
            finished,
            attempts,
        }
    }

    /// One round: what to hint now. Bounded in reads and hints.
    ///
    /// # Errors
    /// Those of the store; the next round begins where this one did.
    pub async fn round(&mut self) -> Result<Vec<Redrive>> {
        let now = self.clock.now();
        let Some(begin) = self.begin().await? else {
            return Ok(Vec::new());
        };
        let mut budget = Budget {
            reads: READS_MAX,
            hints: Vec::new(),
        };
        for id in self.stuck.iter().copied().collect::<Vec<_>>() {
            if self.look(id, now, &mut budget).await? {
                self.stuck.remove(&id);
            }
        }
        let (mut hour, mut advancing) = (begin, true);
        for _ in 0..HOURS_MAX {
            if hour > now || budget.is_spent() {
                break;
            }
            let complete = self.hour(hour, now, &mut budget).await?;
            let next = hour.plus_ms(HOUR_MS);
            // An hour is over when nothing can still be written into it: ids are made a little before.
            advancing &= complete && next.plus_ms(self.after_ms.max(HOUR_MS / 6)) < now;
            if advancing {
                self.low_water = Some(next);
                self.forget_before(next);
            }
            hour = next;
        }
        if self.low_water != Some(begin) {
            self.save().await?;
        }
        Ok(budget.hints)
    }

    /// Looks at every submission of an hour; answers whether none is left to wait for.
    async fn hour(&mut self, hour: Timestamp, now: Timestamp, budget: &mut Budget) -> Result<bool> {
        let prefix = format!("{SUBMISSIONS}{}/", hour.hour_key());
        let (mut after, mut complete): (Option<String>, bool) = (None, true);
        loop {
            let page = self.truth.list(&prefix, after.as_deref(), PAGE).await?;
            for listed in &page {
                let name = listed.key.rsplit('/').next().unwrap_or_default();
                let Ok(id) = SubmissionId::parse(name) else {
                    tracing::error!(key = listed.key, "no submission has this key");
                    continue;
                };
                if budget.is_spent() {
                    return Ok(false);
                }
                if !self.look(id, now, budget).await? && !self.give_way(id) {
                    complete = false;
                }
            }
            match page.last() {
                Some(last) if page.len() == usize::from(PAGE) => after = Some(last.key.clone()),
                _ => return Ok(complete),
            }
        }
    }

    /// Whether all of a submission is in the log; if not and it is time, hints again.
    async fn look(
        &mut self,
        id: SubmissionId,
        now: Timestamp,
        budget: &mut Budget,
    ) -> Result<bool> {
        if self.finished.contains(&id) {
            return Ok(true);
        }
        let attempt = self.attempts.get(&id).copied();
        let due = attempt.map_or(id.at().plus_ms(self.after_ms), |a| a.next_at);
        if now < due || budget.is_spent() {
            return Ok(false);
        }
        budget.reads -= 1;
        let submission = match load(&*self.truth, id).await {
            Ok(submission) => submission,
            // One that does not read is an alarm, not a reason to leave the others.
            Err(e) if !e.kind.is_transient() => {
                tracing::error!(submission = %id, error = %e, "a submission does not read");
                return Ok(false);
            }
            Err(e) => return Err(e),
        };
        let missing: Vec<u32> = submission
            .accepted()
            .filter(|(evidence, _)| self.log.leaf(*evidence).is_none())
            .map(|(evidence, _)| evidence.item)
            .collect();
        if missing.is_empty() {
            self.attempts.remove(&id);
            self.finished.insert(id);
            return Ok(true);
        }
        let round = attempt.map_or(0, |a| a.round) + 1;
        let wait_ms = self
            .after_ms
            .max(1_000)
            .saturating_mul(1 << round.min(20))
            .min(BACKOFF_MS_MAX);
        self.attempts.insert(
            id,
            Attempt {
                round,
                next_at: now.plus_ms(wait_ms),
            },
        );
        tracing::warn!(submission = %id, missing = missing.len(), round, "hinting again");
        budget
            .hints
            .extend(hints(id, &submission.tenant, &missing, round));
        Ok(false)
    }

    /// A submission that was hinted often enough is remembered by name and no longer holds up its hour.
    fn give_way(&mut self, id: SubmissionId) -> bool {
        let often = self
            .attempts
            .get(&id)
            .is_some_and(|a| a.round >= ROUNDS_HOLDING);
        if often && self.stuck.len() < STUCK_MAX {
            self.stuck.insert(id);
        }
        self.stuck.contains(&id)
    }

    fn forget_before(&mut self, low_water: Timestamp) {
        self.finished.retain(|id| id.at() >= low_water);
        let stuck = &self.stuck;
        self.attempts
            .retain(|id, _| id.at() >= low_water || stuck.contains(id));
    }

    async fn begin(&mut self) -> Result<Option<Timestamp>> {
        if self.low_water.is_none() {
            self.low_water = match self.saved().await? {
                Some(mark) => Some(mark),
                None => self.first_hour().await?,
            };
        }
        Ok(self.low_water)
    }

    async fn saved(&mut self) -> Result<Option<Timestamp>> {
        let Some(object) = self.work.get(crate::log::LOW_WATER, MARK_BYTES_MAX).await? else {
            return Ok(None);
        };
        let read = || -> Option<(Timestamp, BTreeSet<SubmissionId>)> {
            let mark: Mark = serde_json::from_slice(&object.bytes).ok()?;
            let stuck = mark.stuck.iter().map(|id| SubmissionId::parse(id).ok());
            let low_water = Timestamp::parse_rfc3339(&mark.low_water).ok()?;
            (mark.format == FORMAT).then_some((low_water, stuck.collect::<Option<_>>()?))
        };
        // It can be computed again, so a mark that does not read is as good as none.
        Ok(read().map(|(low_water, stuck)| {
            self.stuck = stuck;
            low_water
        }))
    }

    async fn save(&self) -> Result<()> {
        let Some(low_water) = self.low_water else {
            return Ok(());
        };
        let mark = Mark {
            format: FORMAT.to_owned(),
            low_water: low_water.to_rfc3339(),
            stuck: self.stuck.iter().map(ToString::to_string).collect(),
        };
        let bytes = serde_json::to_vec(&mark).map_err(Error::internal)?;
        self.work.put(crate::log::LOW_WATER, bytes.into()).await
    }

    /// The hour of the first submission ever.
    async fn first_hour(&self) -> Result<Option<Timestamp>> {
        let first = self.truth.list(SUBMISSIONS, None, 1).await?;
        let Some(first) = first.first() else {
            return Ok(None);
        };
        let name = first.key.rsplit('/').next().unwrap_or_default();
        let id = SubmissionId::parse(name).map_err(Error::internal)?;
        let ms = id.at().unix_ms();
        Ok(Some(Timestamp::from_unix_ms(ms - ms.rem_euclid(HOUR_MS))))
    }
}

/// Missing places as ranges of bounded length.
fn hints(id: SubmissionId, tenant: &TenantId, missing: &[u32], round: u32) -> Vec<Redrive> {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for place in missing {
        match ranges.last_mut() {
            Some((first, last)) if *last + 1 == *place && *place - *first < ITEMS_PER_HINT_MAX => {
                *last = *place;
            }
            _ => ranges.push((*place, *place)),
        }
    }
    let redrive = |(first_item, last_item)| Redrive {
        message_id: format!("submitted.{id}.{first_item}-{last_item}.{round}"),
        hint: Submitted {
            submission_id: id.to_string(),
            first_item,
            last_item,
            round,
            tenant: tenant.to_string(),
        },
    };
    ranges.into_iter().map(redrive).collect()
}
