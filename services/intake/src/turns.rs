//! Who writes to the store next, or reads much from it, while more would than it does well: each tenant's in the order
//! they came, and no tenant so many at once that there is no turn left for the others.

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
    what: &'static str,
    waiting_max: usize,
    all: Arc<Semaphore>,
    of_one: usize,
    queues: Mutex<HashMap<TenantId, Weak<Queue>>>,
}

/// One tenant's: places to wait or write in, and turns to write.
struct Queue {
    places: Arc<Semaphore>,
    turns: Arc<Semaphore>,
}

/// A place among those of a tenant that wait or write, until it is dropped.
pub struct Place {
    _of_tenant: OwnedSemaphorePermit,
    queue: Arc<Queue>,
    all: Arc<Semaphore>,
    what: &'static str,
}

/// A turn, until it is dropped.
pub struct Turn {
    _own: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
    /// Last: nobody makes the tenant another queue while this counts.
    _place: Place,
}

impl Turns {
    /// So many at once, three quarters of them for one tenant, of which so many more may wait. `what` they are is said to
    /// those who are refused.
    #[must_use]
    pub fn new(what: &'static str, at_once: usize, waiting_max: usize) -> Self {
        Self {
            what,
            waiting_max,
            all: Arc::new(Semaphore::new(at_once)),
            of_one: (at_once - at_once / 4).max(1),
            queues: Mutex::default(),
        }
    }

    /// A place for one that will write, before its bytes are taken: who has too many is told so at once.
    ///
    /// # Errors
    /// `TooMany` when so many of the tenant's own wait or write.
    pub fn place(&self, tenant: &TenantId) -> Result<Place> {
        let queue = self.queue(tenant);
        let of_tenant = queue.places.clone().try_acquire_owned();
        Ok(Place {
            _of_tenant: of_tenant.map_err(|_| too_many(self.what))?,
            queue,
            all: self.all.clone(),
            what: self.what,
        })
    }

    fn queue(&self, tenant: &TenantId) -> Arc<Queue> {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(queue) = queues.get(tenant).and_then(Weak::upgrade) {
            return queue;
        }
        queues.retain(|_, queue| queue.strong_count() > 0);
        let queue = Arc::new(Queue {
            places: Arc::new(Semaphore::new(self.of_one + self.waiting_max)),
            turns: Arc::new(Semaphore::new(self.of_one)),
        });
        queues.insert(tenant.clone(), Arc::downgrade(&queue));
        queue
    }
}

impl Place {
    /// Waits for a turn, ten seconds at most.
    ///
    /// # Errors
    /// `TooMany` when so many of the tenant's own are before it, `Unavailable` when all together are.
    pub async fn turn(self) -> Result<Turn> {
        let (what, queue) = (self.what, self.queue.clone());
        let turn = tokio::time::timeout(PATIENCE, self.turn_whenever()).await;
        turn.map_err(|_| match queue.turns.available_permits() {
            0 => too_many(what),
            _ => Error::unavailable(format!("too many {what} are under way; try again later")),
        })?
    }

    /// Waits for a turn as long as it takes: for what nobody stands and waits for.
    ///
    /// # Errors
    /// None: there are always turns.
    pub async fn turn_whenever(self) -> Result<Turn> {
        let own = self.queue.turns.clone().acquire_owned().await;
        let of_all = self.all.clone().acquire_owned().await;
        Ok(Turn {
            // They are never closed.
            _own: own.map_err(Error::internal)?,
            _of_all: of_all.map_err(Error::internal)?,
            _place: self,
        })
    }
}

fn too_many(what: &str) -> Error {
    Error::too_many(format!(
        "too many {what} of yours are under way; try again later"
    ))
}

#[cfg(test)]
mod tests {
    use probity_platform::ErrorKind;

    use super::*;

    const WAITING_MAX: usize = 64;

    fn of(at_once: usize) -> Turns {
        Turns::new("writes", at_once, WAITING_MAX)
    }

    fn tenant(name: &str) -> TenantId {
        TenantId::parse(name).unwrap()
    }

    async fn take(turns: &Turns, tenant: &TenantId) -> Result<Turn> {
        turns.place(tenant)?.turn().await
    }

    #[tokio::test(start_paused = true)]
    async fn a_tenant_that_floods_leaves_turns_for_others() {
        let turns = of(8);
        let mut flood = Vec::new();
        let refused = loop {
            match take(&turns, &tenant("floods")).await {
                Ok(turn) => flood.push(turn),
                Err(e) => break e,
            }
        };
        assert_eq!((flood.len(), refused.kind), (6, ErrorKind::TooMany));
        let _others = (
            take(&turns, &tenant("other")).await.unwrap(),
            take(&turns, &tenant("third")).await.unwrap(),
        );
        let full = take(&turns, &tenant("other")).await.err().unwrap();
        assert_eq!(full.kind, ErrorKind::Unavailable);
        flood.pop();
        take(&turns, &tenant("other")).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_has_the_turn_that_ends_and_nothing_is_kept() {
        let turns = Arc::new(of(1));
        let held = take(&turns, &tenant("a")).await.unwrap();
        let waiting = turns.clone();
        let waits = tokio::spawn(async move { take(&waiting, &tenant("a")).await.is_ok() });
        tokio::task::yield_now().await;
        drop(held);
        assert!(waits.await.unwrap());
        take(&turns, &tenant("b")).await.unwrap();
        take(&turns, &tenant("c")).await.unwrap();
        assert_eq!(turns.queues.lock().unwrap().len(), 1, "of c");
    }

    #[tokio::test(start_paused = true)]
    async fn more_than_may_wait_are_told_at_once() {
        let turns = of(1);
        let a = tenant("a");
        let held = take(&turns, &a).await.unwrap();
        let waiting: Vec<_> = (0..WAITING_MAX).map(|_| take(&turns, &a)).collect();
        let mut waiting = futures::future::join_all(waiting);
        assert!(futures::poll!(&mut waiting).is_pending());
        assert_eq!(turns.place(&a).err().unwrap().kind, ErrorKind::TooMany);
        drop((held, waiting));
        take(&turns, &a).await.unwrap();
    }
}
