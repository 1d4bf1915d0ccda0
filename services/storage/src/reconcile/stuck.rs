//! Submissions that no longer hold up their hour: remembered by name, looked at hourly, and at once when somebody says so.
//! Those with an item in quarantine are named by the ledger, however many they are; the others by the mark.

use std::collections::BTreeSet;

use probity_domain::SubmissionId;
use probity_platform::Result;

use super::budget::Budget;
use super::{Candidate, HOUR_MS, PAGE, ROUNDS_HOLDING, Reconciler, Round};
use crate::log::RETRIES;

/// Remembered with the mark at most. Whoever finds no place holds up the mark.
const STUCK_MAX: usize = 10_000;
/// How often that is said.
const CROWDED_SAID_MS: i64 = HOUR_MS;
/// The size of a submission that nobody has listed, for how many are read at once. What it costs is known afterwards.
const UNLISTED_BYTES: u64 = 8 * 1024 * 1024;

/// Submissions of which somebody has released an item, and the keys that say so.
pub(super) struct Released {
    pub keys: Vec<String>,
    ids: BTreeSet<SubmissionId>,
}

impl Reconciler {
    /// What is released is looked at in this round.
    pub(super) async fn released(&mut self) -> Result<Released> {
        let (mut keys, mut ids) = (Vec::new(), BTreeSet::new());
        for listed in self.work.list(RETRIES, None, PAGE).await? {
            let name = listed.key.rsplit('/').next().unwrap_or_default();
            if let Ok(id) = SubmissionId::parse(name) {
                self.finished.remove(&id);
                self.attempts.remove(&id);
                self.known_held.insert(id);
                ids.insert(id);
            }
            keys.push(listed.key);
        }
        Ok(Released { keys, ids })
    }

    /// Who was released, then who has waited longest: nobody has a second turn before everybody had one.
    pub(super) async fn stuck(
        &mut self,
        released: &Released,
        round: &mut Round,
        budget: &mut Budget,
    ) -> Result<()> {
        let named = self.stuck.union(&self.known_held).copied();
        let mut due: Vec<_> = named.filter(|id| self.is_due(*id, round.now)).collect();
        due.sort_by_key(|id| (!released.ids.contains(id), self.due_at(*id)));
        let due: Vec<Candidate> = due.into_iter().map(|id| (id, UNLISTED_BYTES)).collect();
        let mut share = budget.share();
        let looked = self.look(&due, round, &mut share).await;
        budget.give_back(share);
        let (finished, held) = (&self.finished, &self.known_held);
        self.stuck
            .retain(|id| !finished.contains(id) && !held.contains(id));
        looked
    }

    /// A submission that was hinted often enough is remembered by name and no longer holds up its hour.
    pub(super) fn give_way(&mut self, id: SubmissionId, round: &mut Round) -> bool {
        if self.known_held.contains(&id) || self.stuck.contains(&id) {
            return true;
        }
        let often = self
            .attempts
            .get(&id)
            .is_some_and(|a| a.round >= ROUNDS_HOLDING);
        let has_room = self.stuck.len() < STUCK_MAX;
        round.crowded |= often && !has_room;
        often && has_room && self.stuck.insert(id)
    }

    pub(super) fn say_crowded(&mut self, round: &Round) {
        let said = self.crowded_said;
        let is_due = said.is_none_or(|at| at.plus_ms(CROWDED_SAID_MS) <= round.now);
        if !round.crowded || !is_due {
            return;
        }
        self.crowded_said = Some(round.now);
        tracing::error!(
            stuck = self.stuck.len(),
            mark = self.low_water.map(|mark| mark.to_rfc3339()),
            "too many submissions are stuck to remember more: the reconciler's mark stands still"
        );
    }
}
