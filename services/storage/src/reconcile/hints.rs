//! Hints to be sent again, each tenant's in turn. Pure.

use std::collections::{BTreeMap, VecDeque};

use probity_domain::{Submission, TenantId};
use probity_platform::quarantine;
use probity_proto::v1::Submitted;

/// Items one hint names at most.
const ITEMS_PER_HINT_MAX: u32 = 250;
/// And in the round from which on what stops an item is held against it. In the rounds after it a hint names one item, so
/// that what crashes a stage is alone in its messages everywhere.
const ITEMS_PER_LATE_HINT_MAX: u32 = 16;
/// Narrow hints in one round, of which a submission takes at most a quarter of what is left; those for the places behind
/// them are as wide as ever. So the queue is not filled by them, and what was only lost is not slowed down: it leaves the
/// poisoned places behind, and these come first in a later round.
const NARROW_HINTS_MAX: usize = 2_000;

/// A hint to be sent again.
#[derive(Debug, Clone, PartialEq)]
pub struct Redrive {
    /// Names the round, so that no duplicate window swallows it.
    pub message_id: String,
    pub hint: Submitted,
}

/// Those of one round.
#[derive(Debug)]
pub(super) struct Hints {
    of_tenants: BTreeMap<TenantId, VecDeque<Redrive>>,
    /// Narrow ones that may be added.
    narrow: usize,
}

impl Default for Hints {
    fn default() -> Self {
        Self {
            of_tenants: BTreeMap::new(),
            narrow: NARROW_HINTS_MAX,
        }
    }
}

impl Hints {
    pub fn add(&mut self, submission: &Submission, missing: &[u32], round: u32) {
        let width = width(round);
        let ranges = ranges(missing, width, self.narrow.div_ceil(4));
        if width < ITEMS_PER_HINT_MAX {
            self.narrow = self.narrow.saturating_sub(ranges.len());
        }
        let of_tenant = self.of_tenants.entry(submission.tenant.clone());
        let hints = ranges
            .into_iter()
            .map(|range| hint(submission, range, round));
        of_tenant.or_default().extend(hints);
    }

    /// One of each tenant, then the next of each: who has lost little does not wait for who has lost much.
    pub fn in_turn(mut self) -> Vec<Redrive> {
        let mut all = Vec::new();
        while !self.of_tenants.is_empty() {
            all.extend(self.of_tenants.values_mut().filter_map(VecDeque::pop_front));
            self.of_tenants.retain(|_, left| !left.is_empty());
        }
        all
    }
}

/// How many items a hint of this round names at most.
const fn width(round: u32) -> u32 {
    match round {
        ..quarantine::ROUNDS => ITEMS_PER_HINT_MAX,
        quarantine::ROUNDS => ITEMS_PER_LATE_HINT_MAX,
        _ => 1,
    }
}

/// Missing places, first to last, in ranges of this width, as long as there are no more than `narrow` of them; then of any
/// that a hint may have.
fn ranges(missing: &[u32], width: u32, narrow: usize) -> Vec<(u32, u32)> {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for place in missing {
        let width = match ranges.len() <= narrow {
            true => width,
            false => ITEMS_PER_HINT_MAX,
        };
        match ranges.last_mut() {
            Some((first, last)) if *last + 1 == *place && *place - *first < width => {
                *last = *place;
            }
            _ => ranges.push((*place, *place)),
        }
    }
    ranges
}

fn hint(submission: &Submission, (first_item, last_item): (u32, u32), round: u32) -> Redrive {
    let id = submission.id;
    Redrive {
        message_id: format!("submitted.{id}.{first_item}-{last_item}.{round}"),
        hint: Submitted {
            submission_id: id.to_string(),
            first_item,
            last_item,
            round,
            tenant: submission.tenant.to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_get_narrow_until_each_item_is_alone() {
        let missing: Vec<u32> = (0..300).chain([400, 402]).collect();
        // Round, how many hints, the longest, the last but two.
        let table = [
            (0, 4, 250, (250, 299)),
            (3, 4, 250, (250, 299)),
            (4, 21, 16, (288, 299)),
            (5, 302, 1, (299, 299)),
            (40, 302, 1, (299, 299)),
        ];
        for (round, count, longest, last) in table {
            let ranges = ranges(&missing, width(round), NARROW_HINTS_MAX);
            let lengths = ranges.iter().map(|(first, last)| last - first + 1);
            assert_eq!(lengths.clone().max(), Some(longest), "{round}");
            assert_eq!(ranges.len(), count, "{round}");
            assert_eq!(&ranges[count - 3..], [last, (400, 400), (402, 402)]);
            let named: Vec<u32> = ranges.iter().flat_map(|(a, b)| *a..=*b).collect();
            assert_eq!(named, missing, "each once, none else");
        }
    }

    #[test]
    fn narrow_hints_of_a_round_are_counted() {
        let missing: Vec<u32> = (0..1_000).collect();
        for (narrow, expected) in [(0, 4), (1, 5), (10, 14), (999, 1_000), (5_000, 1_000)] {
            let ranges = ranges(&missing, 1, narrow);
            assert_eq!(ranges.len(), expected, "{narrow}");
            let alone = ranges.iter().filter(|(first, last)| first == last).count();
            assert!(alone >= narrow.min(1_000), "{narrow}: {alone}");
            let named: Vec<u32> = ranges.iter().flat_map(|(a, b)| *a..=*b).collect();
            assert_eq!(named, missing, "{narrow}");
        }
    }
}
