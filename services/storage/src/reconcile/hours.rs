//! Hour by hour: from the mark on, and the newest hours where the mark stands too far back for that.

use std::iter::successors;

use probity_domain::Timestamp;
use probity_platform::Result;

use super::budget::Budget;
use super::mark::hour_of;
use super::{Candidate, HOUR_MS, PAGE, Reconciler, Round, SUBMISSIONS, candidate};

/// Hours walked in one round from the mark on; and as many of the newest.
const HOURS_MAX: i64 = 24 * 14;
/// An hour is walked for so long after its end: ids are made a little before, and by clocks that may be behind.
const OPEN_MS: i64 = HOUR_MS;

/// The hours of one round: `mark .. end` and those from `newest` on. Pure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Walk {
    mark: Timestamp,
    end: Timestamp,
    newest: Timestamp,
}

impl Walk {
    fn of(mark: Timestamp, now: Timestamp) -> Self {
        let end = mark.plus_ms(HOURS_MAX * HOUR_MS);
        let newest = hour_of(now).plus_ms((1 - HOURS_MAX) * HOUR_MS).max(end);
        Self { mark, end, newest }
    }

    /// Up to now, none twice. The newest come first: however much lies at a mark that stands still, they have their look.
    fn hours(self, now: Timestamp) -> impl Iterator<Item = Timestamp> {
        let from = |first: Timestamp| {
            successors(Some(first), |hour| Some(hour.plus_ms(HOUR_MS)))
                .take_while(move |hour| *hour <= now)
        };
        let at_mark = from(self.mark).take_while(move |hour| *hour < self.end);
        from(self.newest).chain(at_mark)
    }

    fn covers(&self, at: Timestamp) -> bool {
        (self.mark <= at && at < self.end) || self.newest <= at
    }
}

impl Reconciler {
    pub(super) async fn hours(
        &mut self,
        begin: Timestamp,
        round: &mut Round,
        budget: &mut Budget,
    ) -> Result<()> {
        let walk = Walk::of(begin, round.now);
        self.forget_beside(walk);
        let mut unfinished = Vec::new();
        for hour in walk.hours(round.now) {
            if budget.is_spent() {
                break;
            }
            let mut share = budget.share();
            let complete = self.hour(hour, round, &mut share).await?;
            if share.is_spent() {
                unfinished.push(hour);
            }
            budget.give_back(share);
            let next = hour.plus_ms(HOUR_MS);
            // An hour is over when nothing can still be written into it.
            let is_over = next.plus_ms(self.after_ms.max(OPEN_MS)) < round.now;
            if complete && is_over && self.low_water == Some(hour) {
                self.low_water = Some(next);
            }
        }
        for hour in unfinished {
            if budget.is_spent() {
                break;
            }
            self.hour(hour, round, budget).await?;
        }
        Ok(())
    }

    /// Looks at every submission of an hour; answers whether none is left for the mark to wait for.
    async fn hour(
        &mut self,
        hour: Timestamp,
        round: &mut Round,
        budget: &mut Budget,
    ) -> Result<bool> {
        let prefix = format!("{SUBMISSIONS}{}/", hour.hour_key());
        let (mut after, mut complete): (Option<String>, bool) = (None, true);
        // In later hours nothing needs a place among the stuck, which the mark may be waiting for.
        let at_mark = self.low_water == Some(hour);
        loop {
            let page = self.truth.list(&prefix, after.as_deref(), PAGE).await?;
            let listed: Vec<Candidate> = page.iter().filter_map(candidate).collect();
            self.note_ahead(&listed, round.now);
            let mut due = listed.clone();
            due.retain(|(id, _)| self.is_due(*id, round.now));
            self.look(&due, round, budget).await?;
            for (id, _) in listed {
                complete &= self.finished.contains(&id) || (at_mark && self.give_way(id, round));
            }
            match page.last() {
                Some(_) if budget.is_spent() => return Ok(false),
                Some(last) if page.len() == usize::from(PAGE) => after = Some(last.key.clone()),
                _ => return Ok(complete),
            }
        }
    }

    /// Forgets what no round will ask for.
    fn forget_beside(&mut self, walk: Walk) {
        self.finished.retain(|id| walk.covers(id.at()));
        let (stuck, held) = (&self.stuck, &self.known_held);
        self.attempts
            .retain(|id, _| walk.covers(id.at()) || stuck.contains(id) || held.contains(id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_hour_twice_and_the_newest_whatever_the_mark() {
        let mark = Timestamp::from_unix_ms(500_000 * HOUR_MS);
        for (behind, walked) in [(0, 1), (335, 336), (336, 337), (400, 401), (2_000, 672)] {
            let now = mark.plus_ms(behind * HOUR_MS + 1);
            let walk = Walk::of(mark, now);
            let mut hours: Vec<_> = walk.hours(now).collect();
            hours.sort();
            hours.dedup();
            assert_eq!(hours.len(), walked, "{behind}");
            assert_eq!(hours.first(), Some(&mark));
            let newest = &hours[hours.len().saturating_sub(336)..];
            let first = hour_of(now).plus_ms((1 - newest.len() as i64) * HOUR_MS);
            assert_eq!(newest.first(), Some(&first), "{behind}: none is left out");
            assert!(hours.iter().all(|hour| walk.covers(*hour)));
            assert_eq!(walk.hours(now).count(), walked, "{behind}: once");
        }
        let now = mark.plus_ms(2_000 * HOUR_MS);
        let walk = Walk::of(mark, now);
        assert!(!walk.covers(mark.plus_ms(-1)) && !walk.covers(walk.end));
        assert!(!walk.covers(walk.newest.plus_ms(-1)) && walk.covers(now.plus_ms(HOUR_MS)));
        // All lies in the future.
        assert_eq!(walk.hours(mark.plus_ms(-1)).count(), 0);
    }
}
