//! Who is let in while there is not room for everybody: a tenant that floods must leave room for the others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use probity_domain::TenantId;
use tokio::sync::Notify;

use crate::{Error, Result};

/// How long somebody waits to be let in before being told to come back: half of the time in which who is refused is to
/// know it.
const ADMISSION: Duration = Duration::from_millis(50);
/// This part of the whole is a tenant's own share, and as much is kept free by whoever has used up its share. So one
/// tenant alone may use three quarters, and another one that comes finds room.
const SHARES: u64 = 4;

/// Something that there is only so much of: memory, or calls answered at once. Cheap to clone.
#[derive(Clone)]
pub struct Room(Arc<Inner>);

struct Inner {
    what: &'static str,
    capacity: u64,
    used: Mutex<Used>,
    freed: Notify,
}

#[derive(Default)]
struct Used {
    total: u64,
    by_tenant: HashMap<TenantId, u64>,
}

/// A part of the room, until it is dropped.
#[must_use]
pub struct Held {
    room: Room,
    tenant: TenantId,
    amount: u64,
}

impl Room {
    /// `what` is said to those who find none.
    #[must_use]
    pub fn new(what: &'static str, capacity: u64) -> Self {
        Self(Arc::new(Inner {
            what,
            capacity,
            used: Mutex::default(),
            freed: Notify::new(),
        }))
    }

    /// Takes a part, or waits for it for a twentieth of a second. More than the whole counts as the whole.
    ///
    /// # Errors
    /// `TooMany` when the tenant itself uses too much, `Unavailable` when all together do.
    pub async fn take(&self, tenant: &TenantId, amount: u64) -> Result<Held> {
        let amount = amount.min(self.0.capacity);
        let taken = async {
            loop {
                let freed = self.0.freed.notified();
                tokio::pin!(freed);
                freed.as_mut().enable();
                if self.try_take(tenant, amount) {
                    return;
                }
                freed.await;
            }
        };
        if tokio::time::timeout(ADMISSION, taken).await.is_err() {
            return Err(self.refusal(tenant, amount));
        }
        Ok(Held {
            room: self.clone(),
            tenant: tenant.clone(),
            amount,
        })
    }

    fn try_take(&self, tenant: &TenantId, amount: u64) -> bool {
        let capacity = self.0.capacity;
        let (share, kept) = (capacity / SHARES, capacity / SHARES);
        let mut used = self.used();
        let (total, own) = (used.total + amount, used.of(tenant) + amount);
        // A tenant's first part may be larger than its share: it can have no smaller one.
        let is_modest = own <= share || own == amount;
        if total > capacity || (!is_modest && total > capacity - kept) {
            return false;
        }
        used.total = total;
        used.by_tenant.insert(tenant.clone(), own);
        true
    }

    fn refusal(&self, tenant: &TenantId, amount: u64) -> Error {
        let (what, capacity) = (self.0.what, self.0.capacity);
        let used = self.used();
        let own = used.of(tenant);
        if own > 0 && own + amount > capacity / SHARES {
            return Error::too_many(format!("{what} of yours; try again later"));
        }
        Error::unavailable(format!("{what}; try again later"))
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        self.0.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Used {
    fn of(&self, tenant: &TenantId) -> u64 {
        self.by_tenant.get(tenant).copied().unwrap_or(0)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut used = self.room.used();
        used.total = used.total.saturating_sub(self.amount);
        let left = used.of(&self.tenant).saturating_sub(self.amount);
        if left == 0 {
            used.by_tenant.remove(&self.tenant);
        } else {
            used.by_tenant.insert(self.tenant.clone(), left);
        }
        drop(used);
        self.room.0.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn tenant(name: &str) -> TenantId {
        TenantId::parse(name).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_tenant_that_floods_leaves_room_for_others() {
        let room = Room::new("too much", 100);
        let mut flood = Vec::new();
        let refused = loop {
            match room.take(&tenant("floods"), 1).await {
                Ok(held) => flood.push(held),
                Err(e) => break e,
            }
        };
        assert_eq!((flood.len(), refused.kind), (75, ErrorKind::TooMany));
        let other = room.take(&tenant("other"), 25).await.unwrap();
        let full = room.take(&tenant("third"), 1).await.err().unwrap();
        assert_eq!(full.kind, ErrorKind::Unavailable);
        drop(other);
        drop(room.take(&tenant("third"), 1).await.unwrap());
        flood.clear();
        assert_eq!(room.used().total, 0);
        assert!(room.used().by_tenant.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_is_let_in_when_there_is_room() {
        let room = Room::new("too much", 4);
        let held = room.take(&tenant("a"), 9).await.unwrap();
        let (b, waiting) = (tenant("b"), room.clone());
        let waits = tokio::spawn(async move { waiting.take(&b, 1).await.is_ok() });
        tokio::task::yield_now().await;
        drop(held);
        assert!(waits.await.unwrap());
    }
}
