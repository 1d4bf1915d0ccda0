//! Signatures that were found good before: the certificates, lists and responses of an authority stand in thousands of
//! records, and are the same bytes in each.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use sha2::{Digest as _, Sha256};

/// Remembers by a digest over key, algorithm, message and signature that the signature verifies. It saves the arithmetic
/// and decides nothing: whose key it is, when, for what, and what the signed bytes say is asked each time. What does not
/// verify is not remembered.
#[derive(Debug)]
pub struct KnownSignatures {
    known: Mutex<Generations>,
    generation_max: usize,
}

/// When the new ones are as many as fit, they become the old ones: what is asked for again and again stays.
#[derive(Debug, Default)]
struct Generations {
    new: HashSet<Known>,
    old: HashSet<Known>,
}

type Known = [u8; 32];

impl KnownSignatures {
    /// Remembers at most so many; each takes some fifty bytes.
    #[must_use]
    pub fn new(signatures_max: usize) -> Self {
        Self {
            known: Mutex::default(),
            generation_max: (signatures_max / 2).max(1),
        }
    }

    /// How many are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.new.len() + known.old.difference(&known.new).count()
    }

    /// Whether none is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn is_known(&self, signature: Known) -> bool {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.new.contains(&signature) {
            return true;
        }
        let is_known = known.old.contains(&signature);
        if is_known {
            self.insert(&mut known, signature);
        }
        is_known
    }

    fn remember(&self, signature: Known) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        self.insert(&mut known, signature);
    }

    fn insert(&self, known: &mut Generations, signature: Known) {
        if known.new.len() >= self.generation_max {
            known.old = std::mem::take(&mut known.new);
        }
        known.new.insert(signature);
    }
}

/// Runs `verify`, unless it is known to succeed. `parts` are everything that the result depends on.
pub(crate) fn unless_known<E>(
    known: Option<&KnownSignatures>,
    parts: [&[u8]; 4],
    verify: impl FnOnce() -> Result<(), E>,
) -> Result<(), E> {
    let Some(known) = known else {
        return verify();
    };
    let mut digest = Sha256::new();
    for part in parts {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    let signature = digest.finalize().into();
    if known.is_known(signature) {
        return Ok(());
    }
    verify()?;
    known.remember(signature);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn what_verified_is_computed_once_and_what_did_not_each_time() {
        let known = KnownSignatures::new(8);
        let computed = Cell::new(0);
        let ask = |parts: [&[u8]; 4], good: bool| {
            let verify = || {
                computed.set(computed.get() + 1);
                if good { Ok(()) } else { Err("bad") }
            };
            unless_known(Some(&known), parts, verify)
        };
        let parts: [&[u8]; 4] = [b"key", b"algorithm", b"message", b"signature"];
        for _ in 0..3 {
            assert_eq!(ask(parts, true), Ok(()));
        }
        assert_eq!((computed.get(), known.len()), (1, 1));
        // Anything else that is asked for is another signature, wherever the difference lies.
        for at in 0..4 {
            let mut other = parts;
            other[at] = b"other";
            assert_eq!(ask(other, false), Err("bad"));
        }
        assert_eq!(
            ask([b"keya", b"lgorithm", b"message", b"signature"], false),
            Err("bad")
        );
        assert_eq!(
            ask([b"key", b"algorithm", b"messages", b"ignature"], false),
            Err("bad")
        );
        assert_eq!((computed.get(), known.len()), (7, 1));
        // Bounded; what is asked for meanwhile is kept.
        for n in 0..100u8 {
            assert_eq!(
                ask([b"key", b"algorithm", &[n], b"signature"], true),
                Ok(())
            );
            assert_eq!(ask(parts, false), Ok(()));
            assert!(known.len() <= 8, "{}", known.len());
        }
        assert_eq!(computed.get(), 107);
        assert_eq!(unless_known(None, parts, || Err("asked")), Err("asked"));
    }
}
