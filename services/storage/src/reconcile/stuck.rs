//! Submissions that no longer hold up their hour: remembered by name, looked at hourly, and at once when somebody says so.

use std::collections::BTreeSet;

use probity_domain::SubmissionId;
use probity_platform::Result;

use super::budget::Budget;
use super::{Candidate, PAGE, ROUNDS_HOLDING, Reconciler, Round};
use crate::log::RETRIES;

/// Remembered at most.
const STUCK_MAX: usize = 10_000;
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
                self.stuck.insert(id);
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
        let stuck = self.stuck.iter().copied();
        let mut due: Vec<_> = stuck.filter(|id| self.is_due(*id, round.now)).collect();
        due.sort_by_key(|id| (!released.ids.contains(id), self.due_at(*id)));
        let due: Vec<Candidate> = due.into_iter().map(|id| (id, UNLISTED_BYTES)).collect();
        let mut share = budget.share();
        let looked = self.look(&due, round, &mut share).await;
        budget.give_back(share);
        self.stuck.retain(|id| !self.finished.contains(id));
        looked
    }

    /// A submission that was hinted often enough is remembered by name and no longer holds up its hour.
    pub(super) fn give_way(&mut self, id: SubmissionId) -> bool {
        let often = self
            .attempts
            .get(&id)
            .is_some_and(|a| a.round >= ROUNDS_HOLDING);
        if often && self.stuck.len() < STUCK_MAX {
            self.stuck.insert(id);
        }
        self.stuck.contains(&id)
    }
}
