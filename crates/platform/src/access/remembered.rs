//! What was read lately, so that not every request reads the ledger. Bounded in age and in number.

use std::collections::HashMap;

use probity_domain::{CredentialId, Timestamp};

/// Older answers are read again.
pub(super) const AGE_MS_MAX: i64 = 5_000;
/// More are not kept; half for ids that stand for something, half for those that do not, so that guessing ids does
/// not push real ones out.
const ENTRIES_MAX: usize = 20_000;

/// Answers by credential id.
pub(super) struct Remembered<T> {
    found: HashMap<CredentialId, (Timestamp, T)>,
    absent: HashMap<CredentialId, (Timestamp, T)>,
}

impl<T> Default for Remembered<T> {
    fn default() -> Self {
        Self {
            found: HashMap::new(),
            absent: HashMap::new(),
        }
    }
}

impl<T: Clone> Remembered<Option<T>> {
    /// The answer, unless it is too old, or from the future because the clock was set back.
    pub(super) fn get(&self, id: &CredentialId, now: Timestamp) -> Option<Option<T>> {
        let (at, answer) = self.found.get(id).or_else(|| self.absent.get(id))?;
        is_fresh(*at, now).then(|| answer.clone())
    }

    /// Keeps an answer that was true at `at`, unless the id was found absent since: a read that began before a
    /// revocation must not undo it.
    pub(super) fn put(&mut self, id: CredentialId, answer: Option<T>, at: Timestamp) {
        if answer.is_some() && self.absent.get(&id).is_some_and(|(since, _)| *since >= at) {
            return;
        }
        let (into, out_of) = if answer.is_some() {
            (&mut self.found, &mut self.absent)
        } else {
            (&mut self.absent, &mut self.found)
        };
        out_of.remove(&id);
        if into.len() >= ENTRIES_MAX / 2 && !into.contains_key(&id) {
            into.retain(|_, (kept_at, _)| is_fresh(*kept_at, at));
            if into.len() >= ENTRIES_MAX / 2 {
                into.clear();
            }
        }
        into.insert(id, (at, answer));
    }
}

fn is_fresh(at: Timestamp, now: Timestamp) -> bool {
    (0..AGE_MS_MAX).contains(&now.ms_since(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u64) -> CredentialId {
        let mut random = [0; 10];
        random[2..].copy_from_slice(&n.to_be_bytes());
        CredentialId::new(Timestamp::from_unix_ms(1_795_000_000_000), random)
    }

    #[test]
    fn forgets_by_age_and_when_the_clock_goes_back() {
        let mut remembered = Remembered::default();
        let at = Timestamp::from_unix_ms(1_795_000_000_000);
        remembered.put(id(1), Some("x"), at);
        remembered.put(id(2), None, at);
        assert_eq!(remembered.get(&id(1), at.plus_ms(4_999)), Some(Some("x")));
        assert_eq!(remembered.get(&id(2), at.plus_ms(4_999)), Some(None));
        assert_eq!(remembered.get(&id(1), at.plus_ms(5_000)), None);
        assert_eq!(remembered.get(&id(1), at.plus_ms(-1)), None);
    }

    #[test]
    fn slow_reads_do_not_undo_a_revocation() {
        let mut remembered = Remembered::default();
        let at = Timestamp::from_unix_ms(1_795_000_000_000);
        remembered.put(id(1), None, at);
        remembered.put(id(1), Some("x"), at.plus_ms(-3));
        assert_eq!(remembered.get(&id(1), at), Some(None));
        remembered.put(id(1), Some("x"), at.plus_ms(1));
        assert_eq!(remembered.get(&id(1), at.plus_ms(1)), Some(Some("x")));
    }

    #[test]
    fn is_bounded_and_guesses_do_not_push_out_real_ones() {
        let mut remembered = Remembered::default();
        let at = Timestamp::from_unix_ms(1_795_000_000_000);
        remembered.put(id(u64::MAX), Some("real"), at);
        for n in 0..ENTRIES_MAX as u64 * 2 {
            remembered.put(id(n), None, at);
        }
        assert!(remembered.absent.len() <= ENTRIES_MAX / 2);
        assert_eq!(remembered.get(&id(u64::MAX), at), Some(Some("real")));
    }
}
