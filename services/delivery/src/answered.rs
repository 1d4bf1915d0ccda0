//! Courts' answers that are not on record yet. What a court has answered this process does not ask it again: while the
//! store does not take the answer, it is kept, and recorded later. One that ends before then has lost it: the delivery
//! is pushed again, as after a push that was cut off.

use std::collections::HashMap;

use probity_domain::{DeliveryId, Timestamp};

use crate::answer::Verdict;

/// Answers kept at once. While so many wait, nothing more is pushed: a store that takes no answer takes none of theirs.
const KEPT_MAX: usize = 1_024;

/// What a push led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answered {
    pub verdict: Verdict,
    pub at: Timestamp,
    /// How many events the delivery had before: one after them may tell of this answer.
    pub events_before: usize,
}

/// Those that are not on record, by their delivery.
#[derive(Debug, Default)]
pub(crate) struct Unrecorded(HashMap<DeliveryId, Answered>);

impl Unrecorded {
    /// There is no room for the answer to one more push. Those under way come on top, one for each place.
    pub fn is_full(&self) -> bool {
        self.0.len() >= KEPT_MAX
    }

    pub fn keep(&mut self, id: DeliveryId, answered: Answered) {
        self.0.insert(id, answered);
    }

    pub fn of(&self, id: DeliveryId) -> Option<Answered> {
        self.0.get(&id).cloned()
    }

    pub fn recorded(&mut self, id: DeliveryId) {
        self.0.remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_are_kept_and_no_more_is_pushed() {
        let at = Timestamp::from_unix_ms(1);
        let answered = Answered {
            verdict: Verdict::Entered,
            at,
            events_before: 2,
        };
        let id = |n: usize| DeliveryId::new(at.plus_ms(i64::try_from(n).unwrap()), [1; 10]);
        let mut unrecorded = Unrecorded::default();
        for n in 0..KEPT_MAX {
            assert!(!unrecorded.is_full());
            unrecorded.keep(id(n), answered.clone());
        }
        assert!(unrecorded.is_full());
        assert_eq!(unrecorded.of(id(7)), Some(answered));
        unrecorded.recorded(id(7));
        assert_eq!(unrecorded.of(id(7)), None);
        assert!(!unrecorded.is_full());
    }
}
