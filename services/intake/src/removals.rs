//! What recorded orders are removing now ([`probity_proto::removal`]): nothing new may rely on those bytes, whether this
//! process remembers them or the store still has them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt as _, Shared, try_join_all};
use probity_domain::{Sha3_256, TenantId, Timestamp};
use probity_platform::ledger::Ledger;
use probity_platform::{Error, Result};
use probity_proto::ledger::RemovalEvent;
use probity_proto::removal::{NOTICED_WITHIN_MS, UnderWay, stream_ids, under_way};
use probity_proto::stored::blob_key;
use tokio::time::Instant;

/// How long what was read is good for.
const AGE_MAX: Duration = Duration::from_millis(NOTICED_WITHIN_MS.unsigned_abs());
const TENANTS_MAX: usize = 10_000;

/// Keys that are being removed, with the order that removes each.
type Removed = Arc<BTreeMap<String, String>>;

/// The removals under way, of the tenants that were asked for in the last minute.
#[derive(Default)]
pub struct Removals(Mutex<HashMap<TenantId, Reading>>);

/// One reading of the ledger, for all who ask meanwhile and a while after.
#[derive(Clone)]
struct Reading {
    began: Instant,
    keys: Shared<BoxFuture<'static, Result<Removed>>>,
}

impl Removals {
    /// Passes bytes that no order is removing; answers since when that is so: whatever is seen of them from then on is
    /// believed for [`BELIEVED_MS`](probity_proto::removal::BELIEVED_MS).
    ///
    /// # Errors
    /// `Unavailable`, naming the order; those of the ledger.
    pub async fn check(
        &self,
        ledger: &Ledger,
        now: Timestamp,
        tenant: &TenantId,
        digests: impl IntoIterator<Item = Sha3_256>,
    ) -> Result<Instant> {
        let since = Instant::now();
        let removed = self.reading(ledger, now, tenant).keys.await?;
        if removed.is_empty() {
            return Ok(since);
        }
        for digest in digests {
            if let Some(order) = removed.get(&blob_key(tenant, &digest)) {
                return Err(Error::unavailable(format!(
                    "the bytes {digest} are being removed by order {order}; try again in half an hour"
                )));
            }
        }
        Ok(since)
    }

    fn reading(&self, ledger: &Ledger, now: Timestamp, tenant: &TenantId) -> Reading {
        let mut readings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = readings.get(tenant).filter(|known| known.is_good()) {
            return known.clone();
        }
        if readings.len() >= TENANTS_MAX {
            readings.retain(|_, known| known.is_good());
        }
        let fresh = Reading {
            began: Instant::now(),
            keys: read(ledger.clone(), now, tenant.clone()).boxed().shared(),
        };
        if readings.len() < TENANTS_MAX {
            readings.insert(tenant.clone(), fresh.clone());
        }
        fresh
    }
}

impl Reading {
    fn is_good(&self) -> bool {
        self.began.elapsed() < AGE_MAX && !matches!(self.keys.peek(), Some(Err(_)))
    }
}

async fn read(ledger: Ledger, now: Timestamp, tenant: TenantId) -> Result<Removed> {
    let ids = stream_ids(&tenant, now);
    let histories = ids.iter().map(|id| ledger.read::<RemovalEvent>(id));
    let histories = try_join_all(histories).await?;
    let events = histories.iter().flat_map(|history| history.facts());
    let mut removed = BTreeMap::new();
    for UnderWay { order, keys, .. } in under_way(events) {
        removed.extend(keys.iter().map(|key| (key.clone(), order.to_owned())));
    }
    Ok(Arc::new(removed))
}
