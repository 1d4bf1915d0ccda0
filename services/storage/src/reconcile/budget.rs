//! What one round may cost. Pure.

use super::Candidate;

/// Submissions read in one round: hundred thousand lost ones are found within ten.
const READS_MAX: usize = 10_000;
/// Bytes of submissions read in one round.
const BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Items hinted in one round. The last submission is hinted whole.
const ITEMS_MAX: usize = 50_000;
/// Submissions read at once: so many, or so many bytes, and at least one.
const TOGETHER_MAX: usize = 16;
const BYTES_TOGETHER_MAX: u64 = 32 * 1024 * 1024;

/// What is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Budget {
    reads: usize,
    bytes: u64,
    items: usize,
}

impl Budget {
    pub const fn of_a_round() -> Self {
        Self {
            reads: READS_MAX,
            bytes: BYTES_MAX,
            items: ITEMS_MAX,
        }
    }

    pub const fn is_spent(&self) -> bool {
        self.reads == 0 || self.bytes == 0 || self.items == 0
    }

    /// Takes out a quarter.
    pub fn share(&mut self) -> Self {
        let share = Self {
            reads: self.reads.div_ceil(4),
            bytes: self.bytes.div_ceil(4),
            items: self.items.div_ceil(4),
        };
        self.reads -= share.reads;
        self.bytes -= share.bytes;
        self.items -= share.items;
        share
    }

    pub const fn give_back(&mut self, share: Self) {
        self.reads += share.reads;
        self.bytes += share.bytes;
        self.items += share.items;
    }

    /// How many of these are read at once; at least one, unless there is none.
    pub fn together(&self, due: &[Candidate]) -> usize {
        let mut bytes = 0;
        let fits = |(_, size): &&Candidate| {
            bytes += size;
            bytes <= BYTES_TOGETHER_MAX
        };
        let fitting = due.iter().take(TOGETHER_MAX.min(self.reads));
        fitting.take_while(fits).count().max(1).min(due.len())
    }

    pub const fn take(&mut self, bytes: u64) {
        self.reads = self.reads.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    pub const fn hinted(&mut self, items: usize) {
        self.items = self.items.saturating_sub(items);
    }
}

#[cfg(test)]
mod tests {
    use probity_domain::{SubmissionId, Timestamp};

    use super::*;

    #[test]
    fn shares_come_back_and_large_ones_go_alone() {
        let whole = Budget::of_a_round();
        let mut budget = whole;
        let mut share = budget.share();
        share.take(1);
        share.hinted(20);
        budget.give_back(share);
        assert_eq!(
            (budget.reads, budget.items),
            (READS_MAX - 1, ITEMS_MAX - 20)
        );
        let id = SubmissionId::new(Timestamp::from_unix_ms(1), [1; 10]);
        let due = |size, count| vec![(id, size); count];
        assert_eq!(whole.together(&due(10, 100)), TOGETHER_MAX);
        assert_eq!(whole.together(&due(BYTES_TOGETHER_MAX / 2, 5)), 2);
        assert_eq!(whole.together(&due(BYTES_TOGETHER_MAX * 2, 5)), 1);
        assert_eq!(whole.together(&[]), 0);
        budget.take(u64::MAX);
        assert!(budget.is_spent() && budget.share().is_spent());
    }
}
