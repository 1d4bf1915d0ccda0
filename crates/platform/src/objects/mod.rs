//! The object store port.
//!
//! Object storage is the truth. Whatever is decided once is decided by a create-only PUT or a swap; both have four
//! outcomes, and the fourth, *unknown*, is resolved by reading back inside the adapter wherever the answer can be
//! known (trap 7), so that callers meet [`crate::ErrorKind::UnknownOutcome`] only when the store stays silent.

mod keeping;
mod memory;
mod probe;
mod report;
mod s3;

use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt};

pub use keeping::{
    Keeping, KeyVersion, LockConfig, LockMode, Protection, VersionMark, VersionPage,
};
pub use memory::{Fault, MemoryObjects, Verb};
pub use probe::{PROBES, ProbeReport, ProbeSize, probe, proved};
pub use report::{StoreReport, Verdict, examine_store};
pub use s3::{ReplicaConfig, S3Config, S3Objects};

use crate::{Error, Result};

/// Bytes arriving piece by piece.
pub type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>;

/// Names one state of one object, for swaps. Opaque (an ETag on S3, so it may name the content: an object that went
/// from A to B and back to A is at its old version again).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version(pub String);

/// What a create-only PUT came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created {
    /// These bytes were written by this call (or by an earlier try of it: same bytes).
    Created,
    /// Somebody else's different bytes stand there.
    Exists(Bytes),
}

/// What a swap came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Swapped {
    Swapped(Version),
    /// The object is not what the caller had read; read again.
    Lost,
}

/// An object with its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    pub bytes: Bytes,
    pub version: Version,
}

/// Name and size of an object in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub key: String,
    pub size_bytes: u64,
}

/// One bucket. Roles hold `Arc<dyn Objects>`, one for `truth` and one for `work`.
///
/// No key may be a folder of another (`a/b` beside `a/b/c`): stores on file systems, MinIO among them, take both and
/// then list only one. [`MemoryObjects`] refuses the second.
///
/// Errors: `Unavailable` and `Timeout` when the store does not answer or asks to slow down (after the adapter's own
/// bounded retries), `UnknownOutcome` when the fate of a conditional write could not be read back, `Malformed` for keys
/// that are no plain paths, bodies of another length than announced and objects over a bound, `Internal` when the store is set up wrongly.
#[async_trait]
pub trait Objects: Send + Sync + 'static {
    /// Writes `bytes` under `key` if nothing stands there. An object of the same bytes counts as created.
    async fn create(&self, key: &str, bytes: Bytes) -> Result<Created>;

    /// Writes a large object under `key` if nothing stands there, from a stream of known length, in parts of bounded
    /// memory; the condition is on completion. An error item in the stream aborts: nothing is left under `key`.
    /// Answers `false` when an object stood there already; large ones are not compared, so their names have to be
    /// those of their content.
    async fn create_streamed(&self, key: &str, size_bytes: u64, body: ByteStream) -> Result<bool>;

    /// As [`Objects::create_streamed`], and in parts, or one, however small it is: what the probe races for.
    async fn create_in_parts(&self, key: &str, size_bytes: u64, body: ByteStream) -> Result<bool> {
        self.create_streamed(key, size_bytes, body).await
    }

    /// Replaces the object if it is still at `expected` (`None`: if there is none). When these very bytes stand there
    /// already it counts as swapped, for it may have been this call whose answer was lost: bytes that decide who won
    /// name their writer.
    async fn swap(&self, key: &str, expected: Option<&Version>, bytes: Bytes) -> Result<Swapped>;

    /// Writes unconditionally. Only for what may be overwritten: bucket `work`. After an error it may have been done.
    async fn put(&self, key: &str, bytes: Bytes) -> Result<()>;

    /// Writes a large object unconditionally, streamed. Only for bucket `work`.
    async fn put_streamed(&self, key: &str, size_bytes: u64, body: ByteStream) -> Result<()>;

    /// Reads a whole object of at most `bytes_max` bytes; `None` when there is none, `Malformed` when it is larger.
    async fn get(&self, key: &str, bytes_max: u64) -> Result<Option<Object>>;

    /// Reads as a stream what an object has of these bytes; `None` when there is none. Also tells the object's size.
    async fn get_range(&self, key: &str, bytes: Range<u64>) -> Result<Option<(u64, ByteStream)>>;

    /// Reads a whole object as a stream; as [`Objects::get_range`].
    async fn get_streamed(&self, key: &str) -> Result<Option<(u64, ByteStream)>> {
        self.get_range(key, 0..u64::MAX).await
    }

    /// Size in bytes; `None` when there is none.
    async fn head(&self, key: &str) -> Result<Option<u64>>;

    /// Up to `limit` (≤ 1,000) objects under `prefix` whose key is greater than `after`, in key order.
    async fn list(&self, prefix: &str, after: Option<&str>, limit: u16) -> Result<Vec<Listed>>;

    /// Removes an object. Only for bucket `work`.
    async fn remove(&self, key: &str) -> Result<()>;

    /// How the bucket keeps what is written.
    async fn keeping(&self) -> Result<Keeping> {
        Ok(Keeping::default())
    }

    /// Up to `limit` (≤ 1,000) versions of the objects under `prefix`, delete markers among them, going on at `from`;
    /// `None` where the store keeps no versions.
    async fn list_versions(
        &self,
        _prefix: &str,
        _from: Option<&VersionMark>,
        _limit: u16,
    ) -> Result<Option<VersionPage>> {
        Ok(None)
    }

    /// What keeps the object from being removed now; nothing where the store has no object lock.
    async fn protection(&self, _key: &str) -> Result<Protection> {
        Ok(Protection::default())
    }

    /// Sets or lifts the store's legal hold on an object. Does nothing where the store has no object lock.
    async fn set_hold(&self, _key: &str, _on: bool) -> Result<()> {
        Ok(())
    }

    /// Removes every version of an object, as only a recorded order may. `Forbidden` when the store's lock keeps it.
    async fn remove_for_good(&self, key: &str) -> Result<()> {
        self.remove(key).await
    }
}

/// The two buckets.
#[derive(Clone)]
pub struct Buckets {
    /// Versioned, keys written once: what may never be lost.
    pub truth: Arc<dyn Objects>,
    /// Unversioned: log head, staged bundles, leases, packages in flight.
    pub work: Arc<dyn Objects>,
}

/// Keys are plain paths, so that every store and every tool takes them: 1 to 1,024 of letters, digits and `-_.!~=+/`,
/// no empty segments, none of dots only.
fn check_key(key: &str) -> Result<()> {
    let good = |b: u8| b.is_ascii_alphanumeric() || b"-_.!~=+/".contains(&b);
    let segment = |s: &str| !s.is_empty() && s != "." && s != "..";
    if key.len() > 1024 || !key.bytes().all(good) || !key.split('/').all(segment) {
        return Err(Error::malformed(format!(
            "object key {key:?} is not a plain path"
        )));
    }
    Ok(())
}

/// Reads a whole stream of announced size into memory.
async fn collect(mut body: ByteStream, size_bytes: u64) -> Result<Bytes> {
    let capacity = usize::try_from(size_bytes).map_err(Error::malformed)?;
    let mut bytes = BytesMut::with_capacity(capacity.min(PART_BYTES));
    while let Some(piece) = body.next().await {
        bytes.extend_from_slice(&piece?);
        if bytes.len() > capacity {
            break;
        }
    }
    if bytes.len() != capacity {
        return Err(wrong_length(size_bytes));
    }
    Ok(bytes.freeze())
}

fn wrong_length(size_bytes: u64) -> Error {
    Error::malformed(format!(
        "the body is not {size_bytes} bytes long as announced"
    ))
}

/// Bodies up to this size go in one request, larger ones in parts of it.
const PART_BYTES: usize = 8 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_plain_paths() {
        for good in ["a", "ledger/party/x/00000000", "log/tile/0/x001/000.p~1"] {
            assert!(check_key(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "/a",
            "a/",
            "a//b",
            "a/../b",
            "a/./b",
            "a b",
            "ü",
            "a\0b",
            &"a".repeat(1025),
        ] {
            assert!(check_key(bad).is_err(), "{bad}");
        }
    }
}
