//! Which bytes are stored, and what they are: known from memory, from Redis, or by reading them again.
//!
//! What is said about bytes is signed later, so both digests have to be true. Those of an upload were computed here;
//! those of bytes this process has not seen come from Redis or, with Redis down, from hashing the object once more.
//! Stored bytes never change, so what is known stays true and memory may forget it at any time.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use probity_domain::{Digests, Sha3_256, Sha256, TenantId};
use probity_platform::cache::Cache;
use probity_platform::objects::Objects;
use probity_platform::{Error, Result};
use probity_proto::stored::blob_key;
use tokio::sync::Semaphore;

use crate::verified::{Expected, Hashing, Source};

/// Blobs remembered in memory, in two generations of half as many.
const REMEMBERED_MAX: usize = 100_000;
/// Looked up at once for one instruction.
const LOOKUPS_AT_ONCE: usize = 32;
/// Writes to Redis under way at once; beyond it, they are left out.
const NOTES_AT_ONCE: usize = 64;
/// Redis may forget a blob after this long: vendors submit soon after they upload.
const NOTE_TTL_MS: u64 = 2 * 3_600_000;

/// The artifacts' bytes in bucket `truth`.
pub struct Blobs {
    truth: Arc<dyn Objects>,
    cache: Cache,
    remembered: Mutex<Generations>,
    notes: Arc<Semaphore>,
}

#[derive(Default)]
struct Generations {
    young: HashMap<(TenantId, Sha3_256), Blob>,
    old: HashMap<(TenantId, Sha3_256), Blob>,
}

/// What is known about stored bytes beyond their SHA3-256, which is their name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blob {
    pub size_bytes: u64,
    pub sha256: Sha256,
}

impl Blobs {
    /// In this bucket, noted in this Redis.
    #[must_use]
    pub fn new(truth: Arc<dyn Objects>, cache: Cache) -> Self {
        let notes = Arc::new(Semaphore::new(NOTES_AT_ONCE));
        Self {
            truth,
            cache,
            remembered: Mutex::default(),
            notes,
        }
    }

    pub(crate) fn truth(&self) -> &dyn Objects {
        self.truth.as_ref()
    }

    /// Remembers verified bytes, and notes them in Redis for other processes without waiting for it.
    pub fn remember(&self, tenant: &TenantId, digest: Sha3_256, blob: Blob) {
        self.remember_here(tenant, digest, blob);
        if let Ok(permit) = self.notes.clone().try_acquire_owned() {
            let (cache, key) = (self.cache.clone(), note_key(tenant, digest));
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

    /// What this process knows by itself.
    #[must_use]
    pub fn remembered(&self, tenant: &TenantId, digest: Sha3_256) -> Option<Blob> {
        let remembered = self
            .remembered
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let key = (tenant.clone(), digest);
        remembered
            .young
            .get(&key)
            .or_else(|| remembered.old.get(&key))
            .copied()
    }

    fn remember_here(&self, tenant: &TenantId, digest: Sha3_256, blob: Blob) {
        let mut remembered = self
            .remembered
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if remembered.young.len() >= REMEMBERED_MAX / 2 {
            remembered.old = std::mem::take(&mut remembered.young);
        }
        remembered.young.insert((tenant.clone(), digest), blob);
    }

    /// Size of stored bytes; `None` when they are not there.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn size(&self, tenant: &TenantId, digest: Sha3_256) -> Result<Option<u64>> {
        if let Some(blob) = self.remembered(tenant, digest) {
            return Ok(Some(blob.size_bytes));
        }
        self.truth.head(&blob_key(tenant, &digest)).await
    }

    /// What is stored under each of these digests; those that are not there are left out.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn look_up(
        &self,
        tenant: &TenantId,
        digests: impl IntoIterator<Item = Sha3_256>,
    ) -> Result<HashMap<Sha3_256, Blob>> {
        // One answer that does not come is enough: a whole instruction must not wait for Redis blob by blob.
        let ask_redis = AtomicBool::new(true);
        let lookups: Vec<_> = digests
            .into_iter()
            .map(|digest| self.look_up_one(tenant, digest, &ask_redis))
            .collect();
        let found: Vec<_> = stream::iter(lookups)
            .buffer_unordered(LOOKUPS_AT_ONCE)
            .try_collect()
            .await?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn look_up_one(
        &self,
        tenant: &TenantId,
        digest: Sha3_256,
        ask_redis: &AtomicBool,
    ) -> Result<Option<(Sha3_256, Blob)>> {
        if let Some(blob) = self.remembered(tenant, digest) {
            return Ok(Some((digest, blob)));
        }
        let Some(size_bytes) = self.truth.head(&blob_key(tenant, &digest)).await? else {
            return Ok(None);
        };
        if ask_redis.load(Ordering::Relaxed) {
            match self.cache.get(&note_key(tenant, digest)).await {
                Ok(Some(note)) => {
                    // A note about other bytes than those stored is no note.
                    if let Some(blob) =
                        Blob::from_note(&note).filter(|b| b.size_bytes == size_bytes)
                    {
                        self.remember_here(tenant, digest, blob);
                        return Ok(Some((digest, blob)));
                    }
                }
                Ok(None) => {}
                Err(_) => ask_redis.store(false, Ordering::Relaxed),
            }
        }
        let blob = self.read_again(tenant, digest).await?;
        if let Some(blob) = blob {
            self.remember(tenant, digest, blob);
        }
        Ok(blob.map(|blob| (digest, blob)))
    }

    /// Hashes the stored bytes.
    async fn read_again(&self, tenant: &TenantId, digest: Sha3_256) -> Result<Option<Blob>> {
        let key = blob_key(tenant, &digest);
        let Some((_, mut bytes)) = self.truth.get_streamed(&key).await? else {
            return Ok(None);
        };
        let mut hashing = Hashing::default();
        while let Some(piece) = bytes.next().await {
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
        let Some((_, bytes)) = self.truth.get_streamed(&key).await? else {
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
    use probity_platform::objects::MemoryObjects;

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
        let found = blobs.look_up(&tenant, [sha3_256, absent]).await.unwrap();
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
        assert!(blobs.look_up(&other, [sha3_256]).await.unwrap().is_empty());
        // Rotten bytes are nobody's.
        truth
            .create(&blob_key(&tenant, &absent), Bytes::from_static(b"xyz"))
            .await
            .unwrap();
        assert!(blobs.look_up(&tenant, [absent]).await.is_err());
    }
}
