//! Submissions whose time has not come: the clock that accepted them was ahead. Signing and time-stamping leave them
//! alone until then, so they are hinted when it has come, and not before.

use std::collections::BTreeSet;

use probity_domain::{SubmissionId, Timestamp};
use probity_platform::Result;
use probity_platform::stage::is_early;

use super::{Attempt, Candidate, PAGE, Reconciler, SUBMISSIONS, candidate};

/// Remembered at most. The others are seen when their hour has come.
const AHEAD_MAX: usize = 10_000;

impl Reconciler {
    /// Submissions that wait for their time, as far as the last round has seen them, the first one first: all of this
    /// hour, and a page of those after it.
    #[must_use]
    pub const fn ahead(&self) -> &BTreeSet<SubmissionId> {
        &self.ahead
    }

    /// No round is used up by waiting, and no time is lost after it: the hint that came with the submission is gone.
    pub(super) fn note_ahead(&mut self, listed: &[Candidate], now: Timestamp) {
        for (id, _) in listed.iter().filter(|(id, _)| is_early(id.at(), now)) {
            if self.ahead.len() < AHEAD_MAX && self.ahead.insert(*id) {
                let (round, next_at) = (0, id.at());
                let attempt = Attempt { round, next_at };
                self.attempts.entry(*id).or_insert(attempt);
            }
        }
    }

    /// The hours after this one. What lies in them is looked at when they have come.
    pub(super) async fn later_hours(&mut self, now: Timestamp) -> Result<()> {
        self.ahead.retain(|id| is_early(id.at(), now));
        // Behind every key of this hour: a shard is two digits of hexadecimal.
        let after = format!("{SUBMISSIONS}{}/~", now.hour_key());
        let page = self.truth.list(SUBMISSIONS, Some(&after), PAGE).await?;
        let listed: Vec<Candidate> = page.iter().filter_map(candidate).collect();
        self.note_ahead(&listed, now);
        Ok(())
    }
}
