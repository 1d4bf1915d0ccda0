//! A key that stands still when a test wants it to, as a token does whose network is gone.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use probity_pki::keys::{MemoryKey, SignatureAlgorithm, Signer};

/// Whoever waits longer gets an error: a test must fail, not hang.
const STALL_MAX: Duration = Duration::from_secs(15);

/// Signs with a key in memory, once it is let.
pub struct StallingKey {
    key: MemoryKey,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    stalls: bool,
    waiting: usize,
}

impl StallingKey {
    /// One that signs at once until [`StallingKey::stall`].
    #[must_use]
    pub fn new(key: MemoryKey) -> Self {
        Self {
            key,
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Whoever signs from now on waits, until this is called with `false`.
    pub fn stall(&self, stalls: bool) {
        self.state().stalls = stalls;
        self.changed.notify_all();
    }

    /// How many wait for a signature now.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.state().waiting
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Signer for StallingKey {
    fn public_key_der(&self) -> &[u8] {
        self.key.public_key_der()
    }

    #[expect(clippy::disallowed_methods, reason = "hands on")]
    fn sign(&self, message: &[u8]) -> probity_pki::Result<Vec<u8>> {
        let mut state = self.state();
        state.waiting += 1;
        let waited = self
            .changed
            .wait_timeout_while(state, STALL_MAX, |state| state.stalls);
        let (mut state, ended) = waited.unwrap_or_else(PoisonError::into_inner);
        state.waiting -= 1;
        drop(state);
        if ended.timed_out() {
            return Err(probity_pki::Error::Key("stands still".to_owned()));
        }
        self.key.sign(message)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.key.algorithm()
    }
}
