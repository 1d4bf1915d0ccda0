//! Who writes to the store next, while more would than it does well: each tenant's in the order they came, and no tenant
//! so many at once that there is no turn left for the others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use probity_domain::TenantId;
use probity_platform::{Error, Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long somebody waits for a turn, with the bytes at hand, before being told to come back.
const PATIENCE: Duration = Duration::from_secs(10);

/// The turns of one process.
pub struct Turns {
    all: Arc<Semaphore>,
    of_one: usize,
    queues: Mutex<HashMap<TenantId, Weak<Semaphore>>>,
}

/// A turn, until it is dropped.
pub struct Turn {
    _own: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

impl Turns {
    /// So many at once, three quarters of them for one tenant.
    #[must_use]
    pub fn new(at_once: usize) -> Self {
        Self {
            all: Arc::new(Semaphore::new(at_once)),
            of_one: (at_once - at_once / 4).max(1),
            queues: Mutex::default(),
        }
    }

    /// Waits for a turn, ten seconds at most.
    ///
    /// # Errors
    /// `TooMany` when so many of the tenant's own are before it, `Unavailable` when all together are.
    pub async fn take(&self, tenant: &TenantId) -> Result<Turn> {
        let queue = self.queue(tenant);
        let waiting = async {
            let own = queue.clone().acquire_owned().await;
            let of_all = self.all.clone().acquire_owned().await;
            // They are never closed.
            Ok(Turn {
                _own: own.map_err(Error::internal)?,
                _of_all: of_all.map_err(Error::internal)?,
            })
        };
        let turn = tokio::time::timeout(PATIENCE, waiting).await;
        turn.unwrap_or_else(|_| {
            Err(match queue.available_permits() {
                0 => {
                    Error::too_many("too many uploads of yours are being written; try again later")
                }
                _ => Error::unavailable("too many uploads are being written; try again later"),
            })
        })
    }

    fn queue(&self, tenant: &TenantId) -> Arc<Semaphore> {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(queue) = queues.get(tenant).and_then(Weak::upgrade) {
            return queue;
        }
        queues.retain(|_, queue| queue.strong_count() > 0);
        let queue = Arc::new(Semaphore::new(self.of_one));
        queues.insert(tenant.clone(), Arc::downgrade(&queue));
        queue
    }
}

#[cfg(test)]
mod tests {
    use probity_platform::ErrorKind;

    use super::*;

    fn tenant(name: &str) -> TenantId {
        TenantId::parse(name).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_tenant_that_floods_leaves_turns_for_others() {
        let turns = Turns::new(8);
        let mut flood = Vec::new();
        let refused = loop {
            match turns.take(&tenant("floods")).await {
                Ok(turn) => flood.push(turn),
                Err(e) => break e,
            }
        };
        assert_eq!((flood.len(), refused.kind), (6, ErrorKind::TooMany));
        let _others = (
            turns.take(&tenant("other")).await.unwrap(),
            turns.take(&tenant("third")).await.unwrap(),
        );
        let full = turns.take(&tenant("other")).await.err().unwrap();
        assert_eq!(full.kind, ErrorKind::Unavailable);
        flood.pop();
        turns.take(&tenant("other")).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_has_the_turn_that_ends_and_nothing_is_kept() {
        let turns = Arc::new(Turns::new(1));
        let held = turns.take(&tenant("a")).await.unwrap();
        let waiting = turns.clone();
        let waits = tokio::spawn(async move { waiting.take(&tenant("a")).await.is_ok() });
        tokio::task::yield_now().await;
        drop(held);
        assert!(waits.await.unwrap());
        turns.take(&tenant("b")).await.unwrap();
        turns.take(&tenant("c")).await.unwrap();
        assert_eq!(turns.queues.lock().unwrap().len(), 1, "of c");
    }
}
