//! Sessions of a token: opened as they are needed up to a bound, lent, given back. Nobody waits for one without end.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::{Error, Result};

pub(super) struct Pool<S> {
    state: Mutex<State<S>>,
    returned: Condvar,
    open_max: usize,
    wait_max: Duration,
}

struct State<S> {
    idle: Vec<Lent<S>>,
    /// Idle ones and those at work.
    open: usize,
    /// Counts losses of the token: sessions from before the last one are not put back.
    epoch: u64,
}

/// A session on loan. It goes back by [`Pool::give_back`], [`Pool::close`] or [`Pool::forget`].
pub(super) struct Lent<S> {
    pub session: S,
    epoch: u64,
}

impl<S> Pool<S> {
    pub(super) fn new(open_max: usize, wait_max: Duration) -> Self {
        let state = State {
            idle: Vec::new(),
            open: 0,
            epoch: 0,
        };
        Self {
            state: Mutex::new(state),
            returned: Condvar::new(),
            open_max: open_max.max(1),
            wait_max,
        }
    }

    fn state(&self) -> MutexGuard<'_, State<S>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An idle session, one that `connect` opens, or the first that is given back.
    ///
    /// # Errors
    /// Those of `connect`; `busy` when none was given back in time.
    pub(super) fn take(
        &self,
        connect: impl FnOnce() -> Result<S>,
        busy: impl FnOnce() -> Error,
    ) -> Result<Lent<S>> {
        let deadline = Instant::now() + self.wait_max;
        let mut state = self.state();
        loop {
            if let Some(idle) = state.idle.pop() {
                return Ok(idle);
            }
            if state.open < self.open_max {
                state.open += 1;
                let epoch = state.epoch;
                drop(state);
                let opened = connect().inspect_err(|_| self.left(1));
                return opened.map(|session| Lent { session, epoch });
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(busy());
            }
            let woken = self.returned.wait_timeout(state, left);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    pub(super) fn give_back(&self, lent: Lent<S>) {
        let mut state = self.state();
        if lent.epoch == state.epoch {
            state.idle.push(lent);
            drop(state);
            self.returned.notify_one();
        } else {
            drop(state);
            self.close(lent);
        }
    }

    /// A session that is of no more use.
    pub(super) fn close(&self, lent: Lent<S>) {
        drop(lent);
        self.left(1);
    }

    /// The token went away: no session from before is of use.
    pub(super) fn forget(&self, lost: Lent<S>) {
        let mut state = self.state();
        let mut stale = Vec::new();
        if lost.epoch == state.epoch {
            state.epoch += 1;
            stale = std::mem::take(&mut state.idle);
        }
        drop(state);
        let gone = stale.len() + 1;
        drop((stale, lost));
        self.left(gone);
    }

    fn left(&self, gone: usize) {
        let mut state = self.state();
        state.open = state.open.saturating_sub(gone);
        drop(state);
        self.returned.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(pool: &Pool<u32>, opened: u32) -> Result<Lent<u32>> {
        pool.take(|| Ok(opened), || Error::unavailable("busy"))
    }

    #[test]
    fn nobody_waits_for_ever() {
        let pool = Pool::new(1, Duration::from_millis(20));
        let first = take(&pool, 1).unwrap();
        let refused = take(&pool, 2).err().unwrap();
        assert_eq!(refused.kind, crate::ErrorKind::Unavailable);
        pool.give_back(first);
        assert_eq!(take(&pool, 3).unwrap().session, 1);
    }

    #[test]
    fn who_waits_gets_what_is_given_back() {
        let pool = Pool::new(1, Duration::from_secs(60));
        let first = take(&pool, 1).unwrap();
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| take(&pool, 2).unwrap().session);
            pool.give_back(first);
            assert_eq!(waits.join().unwrap(), 1);
        });
    }

    #[test]
    fn a_loss_takes_all_sessions_from_before_it() {
        let pool = Pool::new(3, Duration::from_millis(1));
        let [a, b, c] = [1, 2, 3].map(|n| take(&pool, n).unwrap());
        pool.give_back(a);
        pool.forget(b);
        pool.give_back(c);
        let after = [4, 5, 6].map(|n| take(&pool, n).unwrap());
        assert_eq!([4, 5, 6], after.each_ref().map(|lent| lent.session));
        assert!(take(&pool, 7).is_err(), "and no more than the bound");
        let failed = Error::malformed("no login");
        pool.forget(after.into_iter().next().unwrap());
        assert!(
            pool.take(|| Err(failed), || Error::unavailable("busy"))
                .is_err()
        );
        assert_eq!(
            take(&pool, 8).unwrap().session,
            8,
            "a failed one counts no more"
        );
    }
}
