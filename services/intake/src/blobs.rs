//! Which bytes are stored, and what they are: known from memory, from Redis, or by reading them again.
//!
//! What is said about bytes is signed later, so both digests have to be true. Those of an upload were computed here;
//! those of bytes this process has not seen come from Redis or, with Redis down, from hashing the object once more.
//! Stored bytes never change, so what they are stays true, and memory may forget it at any time. That they are there is
//! another matter: a recorded order may remove them. It is believed for [`BELIEVED_MS`] after they were seen, and
//! then the store is asked again ([`probity_proto::removal`]).

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use probity_domain::{Digests, Sha3_256, Sha256, TenantId};
use probity_platform::cache::Cache;
use probity_platform::objects::Objects;
use probity_platform::{Error, Result};
use probity_proto::removal::BELIEVED_MS;
use probity_proto::stored::blob_key;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};

use crate::rereads::Rereads;
use crate::verified::{Expected, Hashing, Source};

/// Blobs remembered in memory, in two generations of half as many.
const REMEMBERED_MAX: usize = 100_000;
const BELIEVED: Duration = Duration::from_millis(BELIEVED_MS.unsigned_abs());
/// Looked up at once for one instruction.
const LOOKUPS_AT_ONCE: usize = 32;
/// How long a request waits for bytes that are being read again; they are so whether it waits or not.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long the store may be silent while it gives bytes.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// Writes to Redis under way at once; beyond it, they are left out.
const NOTES_AT_ONCE: usize = 64;
/// Redis may forget a blob after this long: vendors submit soon after they upload.
const NOTE_TTL_MS: u64 = 2 * 3_600_000;

/// The artifacts' bytes in bucket `truth`. Cheap to clone.
#[derive(Clone)]
pub struct Blobs(Arc<Inner>);

struct Inner {
    truth: Arc<dyn Objects>,
    cache: Cache,
    remembered: Mutex<Generations>,
    notes: Arc<Semaphore>,
    rereads: Rereads,
}

#[derive(Default)]
struct Generations {
    young: HashMap<(TenantId, Sha3_256), Remembered>,
    old: HashMap<(TenantId, Sha3_256), Remembered>,
}

#[derive(Clone, Copy)]
struct Remembered {
    blob: Blob,
    /// When it was in the store, or later.
    seen: Instant,
}

/// What is known about stored bytes beyond their SHA3-256, which is their name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blob {
    pub size_bytes: u64,
    pub sha256: Sha256,
}

/// What one looking up of many has in common.
struct Lookup<'a> {
    tenant: &'a TenantId,
    /// What is seen now counts as seen then.
    seen: Instant,
    /// Nothing is waited for longer.
    deadline: Instant,
    /// One answer that does not come is enough: a whole instruction must not wait for Redis blob by blob.
    ask_redis: AtomicBool,
}

impl Blobs {
    /// In this bucket, noted in this Redis.
    #[must_use]
    pub fn new(truth: Arc<dyn Objects>, cache: Cache) -> Self {
        Self(Arc::new(Inner {
            truth,
            cache,
            remembered: Mutex::default(),
            notes: Arc::new(Semaphore::new(NOTES_AT_ONCE)),
            rereads: Rereads::default(),
        }))
    }

    pub(crate) fn truth(&self) -> &dyn Objects {
        self.0.truth.as_ref()
    }

    /// Remembers verified bytes that were there at `seen` or later, and notes them in Redis for other processes without
    /// waiting for it.
    pub fn remember(&self, tenant: &TenantId, digest: Sha3_256, blob: Blob, seen: Instant) {
        self.remember_here(tenant, digest, blob, seen);
        if let Ok(permit) = self.0.notes.clone().try_acquire_owned() {
            let (cache, key) = (self.0.cache.clone(), note_key(tenant, digest));
            tokio::spawn(async move {
                // A note that is not taken costs one reading of the object later.
                cache
                    .set(&key, &blob.to_note(), Some(NOTE_TTL_MS))
                    .await
                    .ok();
                drop(permit);
            });
        }
    }

    /// Bytes that this process saw in the store not long ago.
    #[must_use]
    pub fn remembered(&self, tenant: &TenantId, digest: Sha3_256) -> Option<Blob> {
        self.known(tenant, digest)
            .filter(|known| known.seen.elapsed() < BELIEVED)
            .map(|known| known.blob)
    }

    /// What this process knows by itself, whether the bytes are there now or not.
    fn known(&self, tenant: &TenantId, digest: Sha3_256) -> Option<Remembered> {
        let generations = self.generations();
        let key = (tenant.clone(), digest);
        let (young, old) = (generations.young.get(&key), generations.old.get(&key));
        young.or(old).copied()
    }

    fn remember_here(&self, tenant: &TenantId, digest: Sha3_256, blob: Blob, seen: Instant) {
        let mut generations = self.generations();
        if generations.young.len() >= REMEMBERED_MAX / 2 {
            generations.old = std::mem::take(&mut generations.young);
        }
        let key = (tenant.clone(), digest);
        generations.young.insert(key, Remembered { blob, seen });
    }

    fn generations(&self) -> MutexGuard<'_, Generations> {
        self.0
            .remembered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Size of stored bytes; `None` when they are not there.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn size(&self, tenant: &TenantId, digest: Sha3_256) -> Result<Option<u64>> {
        if let Some(blob) = self.remembered(tenant, digest) {
            return Ok(Some(blob.size_bytes));
        }
        self.0.truth.head(&blob_key(tenant, &digest)).await
    }

    /// What is stored under each of these digests; those that are not there are left out. `seen` is what
    /// [`Removals::check`](crate::removals::Removals::check) answered for them.
    ///
    /// # Errors
    /// `Unavailable` when bytes that nobody remembers are not read again within 20 s: they are read on, and the same
    /// question later finds them. Those of the store.
    pub async fn look_up(
        &self,
        tenant: &TenantId,
        digests: impl IntoIterator<Item = Sha3_256>,
        seen: Instant,
    ) -> Result<HashMap<Sha3_256, Blob>> {
        let lookup = Lookup {
            tenant,
            seen,
            deadline: Instant::now() + PATIENCE,
            ask_redis: AtomicBool::new(true),
        };
        let lookup = &lookup;
        stream::iter(digests)
            .map(|digest| async move {
                let blob = self.look_up_one(lookup, digest).await?;
                Ok(blob.map(|blob| (digest, blob)))
            })
            .buffer_unordered(LOOKUPS_AT_ONCE)
            .try_filter_map(async |found| Ok(found))
            .try_collect()
            .await
    }

    async fn look_up_one(&self, lookup: &Lookup<'_>, digest: Sha3_256) -> Result<Option<Blob>> {
        let Lookup { tenant, seen, .. } = *lookup;
        if let Some(blob) = self.remembered(tenant, digest) {
            return Ok(Some(blob));
        }
        let key = blob_key(tenant, &digest);
        let Some(size_bytes) = self.0.truth.head(&key).await? else {
            return Ok(None);
        };
        let known = self.known(tenant, digest).map(|known| known.blob);
        let known = match known {
            None => self.noted(lookup, digest).await,
            known => known,
        };
        // What is known about other bytes than those stored is not known.
        if let Some(blob) = known.filter(|blob| blob.size_bytes == size_bytes) {
            self.remember_here(tenant, digest, blob, seen);
            return Ok(Some(blob));
        }
        self.read_again(lookup, digest).await
    }

    async fn noted(&self, lookup: &Lookup<'_>, digest: Sha3_256) -> Option<Blob> {
        if !lookup.ask_redis.load(Ordering::Relaxed) {
            return None;
        }
        match self.0.cache.get(&note_key(lookup.tenant, digest)).await {
            Ok(note) => Blob::from_note(&note?),
            Err(_) => {
                lookup.ask_redis.store(false, Ordering::Relaxed);
                None
            }
        }
    }

    /// Has the stored bytes hashed, and waits for that until the deadline.
    async fn read_again(&self, lookup: &Lookup<'_>, digest: Sha3_256) -> Result<Option<Blob>> {
        let (blobs, tenant, seen) = (self.clone(), lookup.tenant.clone(), lookup.seen);
        let answer = self
            .0
            .rereads
            .ask((tenant.clone(), digest), || async move {
                let found = blobs.hash(&tenant, digest).await?;
                if let Some(blob) = found {
                    blobs.remember(&tenant, digest, blob, seen);
                }
                Ok(found)
            })?;
        let in_time = timeout_at(lookup.deadline, answer).await;
        in_time.map_err(|_| {
            Error::unavailable("stored bytes are being read again; try again in a while")
        })?
    }

    async fn hash(&self, tenant: &TenantId, digest: Sha3_256) -> Result<Option<Blob>> {
        let key = blob_key(tenant, &digest);
        let Some((_, mut bytes)) = self.0.truth.get_streamed(&key).await? else {
            return Ok(None);
        };
        let silent = || Error::timeout(format!("{key}: the store fell silent"));
        let mut hashing = Hashing::default();
        while let Some(piece) = timeout(SILENCE_MAX, bytes.next())
            .await
            .map_err(|_| silent())?
        {
            hashing.update(&piece?);
        }
        let Expected {
            size_bytes,
            digests: Digests { sha3_256, sha256 },
        } = hashing.finish();
        if sha3_256 != digest {
            return Err(Error::internal(format!(
                "{key} holds other bytes: {sha3_256}"
            )));
        }
        Ok(Some(Blob { size_bytes, sha256 }))
    }

    /// The stored bytes as a stream that does not end well unless they are `expected`.
    ///
    /// # Errors
    /// `Internal` when the bytes of accepted evidence are missing, and those of the store.
    pub async fn open(
        &self,
        tenant: &TenantId,
        expected: Expected,
    ) -> Result<probity_platform::objects::ByteStream> {
        let key = blob_key(tenant, &expected.digests.sha3_256);
        let Some((_, bytes)) = self.0.truth.get_streamed(&key).await? else {
            return Err(Error::internal(format!("{key} is missing")));
        };
        Ok(crate::verified::verified(bytes, expected, Source::Store))
    }
}

impl Blob {
    fn to_note(self) -> [u8; 40] {
        let mut note = [0; 40];
        let (size, digest) = note.split_at_mut(8);
        size.copy_from_slice(&self.size_bytes.to_be_bytes());
        digest.copy_from_slice(&self.sha256.0);
        note
    }

    fn from_note(note: &[u8]) -> Option<Self> {
        let (size, digest) = note.split_at_checked(8)?;
        let size_bytes = u64::from_be_bytes(size.try_into().ok()?);
        Some(Self {
            size_bytes,
            sha256: Sha256(digest.try_into().ok()?),
        })
    }
}

fn note_key(tenant: &TenantId, digest: Sha3_256) -> String {
    format!("b:{tenant}:{digest}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use probity_platform::ErrorKind;
    use probity_platform::objects::{Fault, MemoryObjects, Verb};

    #[test]
    fn notes_round_trip() {
        let blob = Blob {
            size_bytes: 7,
            sha256: Sha256([9; 32]),
        };
        assert_eq!(Blob::from_note(&blob.to_note()), Some(blob));
        assert_eq!(Blob::from_note(b"short"), None);
        assert_eq!(Blob::from_note(&[0; 41]), None);
    }

    #[tokio::test]
    async fn digests_of_unknown_bytes_are_computed_again() {
        let truth = Arc::new(MemoryObjects::new());
        let tenant = TenantId::parse("t").unwrap();
        let mut hashing = Hashing::default();
        hashing.update(b"abc");
        let Digests { sha3_256, sha256 } = hashing.finish().digests;
        truth
            .create(&blob_key(&tenant, &sha3_256), Bytes::from_static(b"abc"))
            .await
            .unwrap();
        let absent = Sha3_256([1; 32]);
        let blobs = Blobs::new(truth.clone(), Cache::disabled());
        let now = Instant::now();
        let found = blobs.look_up(&tenant, [sha3_256, absent], now).await;
        let found = found.unwrap();
        assert_eq!(
            found,
            HashMap::from([(
                sha3_256,
                Blob {
                    size_bytes: 3,
                    sha256
                }
            )])
        );
        // Another tenant's bytes are not this one's.
        let other = TenantId::parse("u").unwrap();
        let found = blobs.look_up(&other, [sha3_256], now).await;
        assert!(found.unwrap().is_empty());
        // Rotten bytes are nobody's.
        truth
            .create(&blob_key(&tenant, &absent), Bytes::from_static(b"xyz"))
            .await
            .unwrap();
        assert!(blobs.look_up(&tenant, [absent], now).await.is_err());
    }

    /// The reading waits for its turn; the request for twenty seconds.
    #[tokio::test(start_paused = true)]
    async fn what_is_read_longer_than_a_request_waits_is_found_by_the_next() {
        let truth = Arc::new(MemoryObjects::new());
        let tenant = TenantId::parse("t").unwrap();
        let mut hashing = Hashing::default();
        hashing.update(b"abc");
        let Digests { sha3_256, sha256 } = hashing.finish().digests;
        let key = blob_key(&tenant, &sha3_256);
        let created = truth.create(&key, Bytes::from_static(b"abc")).await;
        created.unwrap();
        let blobs = Blobs::new(truth.clone(), Cache::disabled());
        let large = Arc::new(Semaphore::new(0));
        for n in 0..6 {
            let ended = large.clone();
            let of_hours = (tenant.clone(), Sha3_256([n; 32]));
            let asked = blobs.0.rereads.ask(of_hours, || async move {
                ended.acquire().await.unwrap().forget();
                Ok(None)
            });
            drop(asked.unwrap());
        }
        let now = Instant::now();
        let refused = blobs.look_up(&tenant, [sha3_256], now).await.unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Unavailable);
        assert!(refused.detail.contains("read again"), "{refused}");
        large.add_permits(6);
        // Nobody asks for it now.
        while blobs.remembered(&tenant, sha3_256).is_none() {
            tokio::task::yield_now().await;
        }
        let again = |verb, _: &str| (verb == Verb::Get).then_some(Fault::Refuse);
        truth.set_faults(again);
        let found = blobs.look_up(&tenant, [sha3_256], now).await.unwrap();
        assert_eq!(found.get(&sha3_256).unwrap().sha256, sha256);
    }
}
