//! The two conditional writes, and how their lost answers are resolved.
//!
//! After a lost answer the object is read back. The same bytes: it is done. Other bytes: somebody else was first.
//! None: the write is tried again, under the same condition, so one that arrives late finds the condition broken. Only
//! when there are no more tries, because they are used up or the store refuses for good, or nothing can be read, is the
//! outcome unknown.

use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::S3Objects;
use super::outcome::Failure;
use crate::objects::{Created, Object, Swapped, Version};
use crate::{Error, Result};

/// What has to hold for a PUT to be done.
pub(super) enum Guard<'a> {
    None,
    Absent,
    At(&'a Version),
}

/// How a guarded PUT came out when it was answered.
enum Guarded {
    Written(Version),
    /// Another object stands there.
    Other(Object),
    /// The object to be replaced is gone.
    Gone,
}

impl S3Objects {
    pub(super) async fn create_bytes(&self, key: &str, bytes: Bytes) -> Result<Created> {
        match self.put_guarded(key, bytes, &Guard::Absent).await? {
            Guarded::Written(_) => Ok(Created::Created),
            Guarded::Other(object) => Ok(Created::Exists(object.bytes)),
            Guarded::Gone => Err(Error::internal(format!("create {key}: cannot be"))),
        }
    }

    pub(super) async fn swap_bytes(
        &self,
        key: &str,
        expected: Option<&Version>,
        bytes: Bytes,
    ) -> Result<Swapped> {
        let guard = expected.map_or(Guard::Absent, Guard::At);
        match self.put_guarded(key, bytes, &guard).await? {
            Guarded::Written(version) => Ok(Swapped::Swapped(version)),
            Guarded::Other(_) | Guarded::Gone => Ok(Swapped::Lost),
        }
    }

    async fn put_guarded(&self, key: &str, bytes: Bytes, guard: &Guard<'_>) -> Result<Guarded> {
        let what = format!("conditional put {key}");
        let mut maybe_done = false;
        let mut tries = 0;
        loop {
            let failure = match self.put_once(key, bytes.clone(), guard).await {
                Ok(version) => return Ok(Guarded::Written(version)),
                Err(failure) => failure,
            };
            tries += 1;
            match failure {
                Failure::Precondition | Failure::Absent | Failure::Lost(_) => {
                    // One lost answer taints everything after it: that write may still be on its way.
                    maybe_done |= matches!(failure, Failure::Lost(_));
                    match self.read_back(key, &bytes, guard, maybe_done).await {
                        Ok(Some(outcome)) => return Ok(outcome),
                        Ok(None) => {}
                        Err(e) if maybe_done => {
                            return Err(Error::unknown_outcome(format!("{what}: {}", e.detail)));
                        }
                        Err(e) => return Err(e),
                    }
                }
                Failure::Conflict | Failure::Refused(_) => {}
                Failure::TooLarge(_) | Failure::Unknown(_) | Failure::Fatal(_) => {
                    // It says nothing of the try whose answer was lost.
                    if maybe_done
                        && let Ok(Some(outcome)) = self.read_back(key, &bytes, guard, true).await
                    {
                        return Ok(outcome);
                    }
                    return Err(self.given_up(&what, failure, maybe_done));
                }
            }
            if !self.again(tries, &failure).await {
                return Err(self.given_up(&what, failure, maybe_done));
            }
        }
    }

    /// The last failure of a write that was perhaps done by an earlier try of it.
    pub(super) fn given_up(&self, what: &str, failure: Failure, maybe_done: bool) -> Error {
        let error = failure.into_error(&self.bucket, what);
        if maybe_done {
            Error::unknown_outcome(error.detail)
        } else {
            error
        }
    }

    /// What stands under `key` says how the write came out; `None` when it says to try again.
    async fn read_back(
        &self,
        key: &str,
        bytes: &Bytes,
        guard: &Guard<'_>,
        maybe_done: bool,
    ) -> Result<Option<Guarded>> {
        // Whatever else stands there may be larger, but never too large to hand back.
        let found = self
            .repeat(&format!("read back {key}"), || self.get_once(key, u64::MAX))
            .await?;
        let outcome = match (found, guard) {
            (Some(object), _) if object.bytes == *bytes => Some(Guarded::Written(object.version)),
            // Still what was to be replaced: after a lost answer the swap has not happened (yet).
            (Some(object), Guard::At(version)) if object.version == **version => {
                // Otherwise the store refuses If-Match on the very ETag it serves: do not turn in circles.
                (!maybe_done).then_some(Guarded::Other(object))
            }
            (Some(object), _) => Some(Guarded::Other(object)),
            (None, Guard::At(_)) => Some(Guarded::Gone),
            (None, _) => None,
        };
        Ok(outcome)
    }

    /// One try at one PUT.
    pub(super) async fn put_once(
        &self,
        key: &str,
        bytes: Bytes,
        guard: &Guard<'_>,
    ) -> core::result::Result<Version, Failure> {
        let body_bytes = bytes.len() as u64;
        let checksum = self.send_checksums.then(|| checksum_of(&bytes));
        let (mode, until) = self.retained(key).unzip();
        let mut request = self.client().put_object().bucket(&self.bucket).key(key);
        request = match guard {
            Guard::None => request,
            Guard::Absent => request.if_none_match("*"),
            Guard::At(version) => request.if_match(&version.0),
        };
        let request = request
            .set_checksum_sha256(checksum)
            .set_object_lock_mode(mode)
            .set_object_lock_retain_until_date(until)
            .body(ByteStream::new(SdkBody::from(bytes)));
        let answer = self.send(body_bytes, request.send()).await?;
        Ok(Version(answer.e_tag().unwrap_or_default().to_owned()))
    }
}

/// The value of `x-amz-checksum-sha256`.
pub(super) fn checksum_of(bytes: &[u8]) -> String {
    STANDARD.encode(Sha256::digest(bytes))
}
