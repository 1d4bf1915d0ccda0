//! Hints to be sent again, each tenant's in turn. Pure.

use std::collections::{BTreeMap, VecDeque};

use probity_domain::{Submission, TenantId};
use probity_proto::v1::Submitted;

/// Items one hint names at most.
const ITEMS_PER_HINT_MAX: u32 = 250;

/// A hint to be sent again.
#[derive(Debug, Clone, PartialEq)]
pub struct Redrive {
    /// Names the round, so that no duplicate window swallows it.
    pub message_id: String,
    pub hint: Submitted,
}

/// Those of one round.
#[derive(Debug, Default)]
pub(super) struct Hints(BTreeMap<TenantId, VecDeque<Redrive>>);

impl Hints {
    pub fn add(&mut self, submission: &Submission, missing: &[u32], round: u32) {
        let of_tenant = self.0.entry(submission.tenant.clone()).or_default();
        of_tenant.extend(hints(submission, missing, round));
    }

    /// One of each tenant, then the next of each: who has lost little does not wait for who has lost much.
    pub fn in_turn(mut self) -> Vec<Redrive> {
        let mut all = Vec::new();
        while !self.0.is_empty() {
            all.extend(self.0.values_mut().filter_map(VecDeque::pop_front));
            self.0.retain(|_, left| !left.is_empty());
        }
        all
    }
}

/// Missing places as ranges of bounded length.
fn hints(submission: &Submission, missing: &[u32], round: u32) -> Vec<Redrive> {
    let id = submission.id;
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
            tenant: submission.tenant.to_string(),
        },
    };
    ranges.into_iter().map(redrive).collect()
}
