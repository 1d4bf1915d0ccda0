//! Stored bytes that nobody remembers, read again: beside the requests that ask for them, so that what takes longer than a
//! request is done when it is asked for again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::{BoxFuture, FutureExt as _, Shared};
use probity_domain::{Sha3_256, TenantId};
use probity_platform::{Error, Result};

use crate::blobs::Blob;
use crate::turns::{Place, Turns};

/// Read at once; the others wait for their turn, each tenant's in the order they came.
const AT_ONCE: usize = 8;
/// Of one tenant may wait: eight instructions ask for no more at once.
const WAITING_MAX: usize = 256;
/// Of all tenants wait or are read.
const UNDER_WAY_MAX: usize = 4_096;

type Key = (TenantId, Sha3_256);
/// What a reading comes to, for all who wait for it.
pub type Answer = Shared<BoxFuture<'static, Result<Option<Blob>>>>;

/// The readings under way. Cheap to clone.
#[derive(Clone)]
pub struct Rereads(Arc<Inner>);

struct Inner {
    turns: Turns,
    under_way: Mutex<HashMap<Key, Answer>>,
}

impl Default for Rereads {
    fn default() -> Self {
        Self(Arc::new(Inner {
            turns: Turns::new("readings of stored bytes", AT_ONCE, WAITING_MAX),
            under_way: Mutex::default(),
        }))
    }
}

impl Rereads {
    /// The answer of the reading under way, or of `read`, which begins in a task of its own when its turn comes, and goes
    /// on whoever stops waiting for it. It ends with the runtime: nothing waits for it at shutdown.
    ///
    /// # Errors
    /// `TooMany` or `Unavailable` when too many wait already.
    pub fn ask<F>(&self, key: Key, read: impl FnOnce() -> F) -> Result<Answer>
    where
        F: Future<Output = Result<Option<Blob>>> + Send + 'static,
    {
        let mut under_way = self.0.under_way();
        if let Some(answer) = under_way.get(&key) {
            return Ok(answer.clone());
        }
        if under_way.len() >= UNDER_WAY_MAX {
            let detail = "too many readings of stored bytes are under way; try again later";
            return Err(Error::unavailable(detail));
        }
        let place = self.0.turns.place(&key.0)?;
        let entry = Entry {
            rereads: self.clone(),
            key: key.clone(),
        };
        let task = tokio::spawn(in_turn(place, read(), entry));
        let answer = task
            .map(|ended| ended.map_err(Error::internal).flatten())
            .boxed()
            .shared();
        under_way.insert(key, answer.clone());
        Ok(answer)
    }
}

async fn in_turn(
    place: Place,
    read: impl Future<Output = Result<Option<Blob>>>,
    entry: Entry,
) -> Result<Option<Blob>> {
    let _turn = place.turn_whenever().await?;
    let found = read.await;
    drop(entry);
    found
}

impl Inner {
    fn under_way(&self) -> MutexGuard<'_, HashMap<Key, Answer>> {
        self.under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Of a reading under way; gone however that ends.
struct Entry {
    rereads: Rereads,
    key: Key,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.rereads.0.under_way().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use probity_domain::Sha256;
    use probity_platform::ErrorKind;
    use tokio::sync::Semaphore;

    use super::*;

    const BLOB: Blob = Blob {
        size_bytes: 1,
        sha256: Sha256([2; 32]),
    };

    fn key(tenant: &str, n: u16) -> Key {
        let [high, low] = n.to_be_bytes();
        let mut digest = [0; 32];
        (digest[0], digest[1]) = (high, low);
        (TenantId::parse(tenant).unwrap(), Sha3_256(digest))
    }

    /// Readings that end when they are let.
    struct Gate {
        open: Arc<Semaphore>,
        begun: Arc<AtomicUsize>,
    }

    impl Gate {
        fn shut() -> Self {
            Self {
                open: Arc::new(Semaphore::new(0)),
                begun: Arc::default(),
            }
        }

        fn ask(&self, rereads: &Rereads, key: Key) -> Result<Answer> {
            let (open, begun) = (self.open.clone(), self.begun.clone());
            rereads.ask(key, || async move {
                begun.fetch_add(1, Ordering::SeqCst);
                open.acquire().await.unwrap().forget();
                Ok(Some(BLOB))
            })
        }
    }

    async fn settle() {
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn what_many_ask_for_is_read_once_and_to_its_end() {
        let (rereads, gate) = (Rereads::default(), Gate::shut());
        let first = gate.ask(&rereads, key("a", 1)).unwrap();
        let second = gate.ask(&rereads, key("a", 1)).unwrap();
        settle().await;
        // Whoever asked first goes away.
        drop(first);
        gate.open.add_permits(1);
        assert_eq!(second.await.unwrap(), Some(BLOB));
        assert_eq!(gate.begun.load(Ordering::SeqCst), 1);
        assert!(rereads.0.under_way().is_empty());
    }

    #[tokio::test]
    async fn a_reading_that_fails_is_begun_again_by_the_next() {
        let rereads = Rereads::default();
        let silent = rereads.ask(key("a", 1), || async { Err(Error::timeout("silent")) });
        assert_eq!(silent.unwrap().await.unwrap_err().kind, ErrorKind::Timeout);
        let broken = rereads.ask(key("a", 1), || async { panic!("broken") });
        assert_eq!(broken.unwrap().await.unwrap_err().kind, ErrorKind::Internal);
        let read = rereads.ask(key("a", 1), || async { Ok(None) });
        assert_eq!(read.unwrap().await.unwrap(), None);
    }

    #[tokio::test]
    async fn one_tenant_s_readings_leave_turns_for_others() {
        let (rereads, flood, other) = (Rereads::default(), Gate::shut(), Gate::shut());
        let most = u16::try_from(WAITING_MAX + AT_ONCE - AT_ONCE / 4).unwrap();
        for n in 0..most {
            drop(flood.ask(&rereads, key("floods", n)).unwrap());
        }
        let refused = flood.ask(&rereads, key("floods", most)).err().unwrap();
        assert_eq!(refused.kind, ErrorKind::TooMany);
        // What is under way already costs nothing.
        drop(flood.ask(&rereads, key("floods", 0)).unwrap());
        let others = other.ask(&rereads, key("other", 1)).unwrap();
        other.open.add_permits(1);
        assert_eq!(others.await.unwrap(), Some(BLOB));
        assert_eq!(flood.begun.load(Ordering::SeqCst), AT_ONCE - AT_ONCE / 4);
    }

    /// A process that ends does not wait for what nobody waits for.
    #[test]
    fn the_runtime_ends_with_readings_under_way() {
        let runtime = tokio::runtime::Builder::new_multi_thread().build();
        let runtime = runtime.unwrap();
        let (rereads, gate) = (Rereads::default(), Gate::shut());
        runtime.block_on(async {
            for n in 0..20 {
                drop(gate.ask(&rereads, key("a", n)).unwrap());
            }
            settle().await;
        });
        drop(runtime);
        assert!(rereads.0.under_way().is_empty());
    }
}
