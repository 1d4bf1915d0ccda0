//! The store port on S3 and what calls itself S3.
//!
//! The SDK's own retries and checksums are off: its retries would hide whether a write may have been sent twice, its
//! checksum trailers break several stores (traps 9 to 12). Instead every request is tried a bounded number of times
//! with full jitter, out of a budget of the process ([`retry`]), and the SHA-256 of a body is sent as a header on a plain
//! body.

mod config;
mod kept;
mod list;
mod multipart;
mod outcome;
mod retry;
mod write;

use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::error::SdkError;
use bytes::{Bytes, BytesMut};
use futures::stream;

pub use config::{ReplicaConfig, S3Config};

use super::{
    ByteStream, Created, Keeping, Listed, LockConfig, Object, Objects, Protection, Swapped,
    Version, VersionMark, VersionPage, check_key,
};
use crate::{Error, Random, Result};
use outcome::{Failure, Said, classify};
use retry::RetryBudget;

/// Added to the time one try may take, for every MiB it carries.
const MS_PER_MIB: u64 = 1_000;
/// A body may pause this long between two pieces.
const BODY_PAUSE_MAX: Duration = Duration::from_secs(30);

/// One bucket on S3. Connections are shared by all buckets of one [`S3Config`].
#[derive(Clone)]
pub struct S3Objects {
    doors: Arc<Doors>,
    bucket: String,
    send_checksums: bool,
    attempt_timeout: Duration,
    random: Arc<dyn Random>,
    budget: Arc<RetryBudget>,
    lock: LockConfig,
}

/// The store's endpoints, each with its client; one of them is used until it does not answer.
struct Doors {
    clients: Vec<Client>,
    first: Client,
    used: AtomicUsize,
}

impl Doors {
    fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    fn client(&self) -> &Client {
        self.clients.get(self.used()).unwrap_or(&self.first)
    }

    /// Moves on from a door that did not answer, unless somebody has already.
    fn leave(&self, silent: usize) {
        let next = (silent + 1) % self.clients.len().max(1);
        self.used
            .compare_exchange(silent, next, Ordering::Relaxed, Ordering::Relaxed)
            .ok();
    }
}

impl S3Objects {
    fn client(&self) -> &Client {
        self.doors.client()
    }

    /// Sends one request, in bounded time; `body_bytes` is what goes either way.
    fn send<T, E, F>(
        &self,
        body_bytes: u64,
        request: F,
    ) -> impl Future<Output = core::result::Result<T, Failure>>
    where
        F: Future<Output = core::result::Result<T, SdkError<E>>>,
        E: aws_sdk_s3::error::ProvideErrorMetadata + std::error::Error + 'static,
    {
        let mib = body_bytes.div_ceil(1024 * 1024);
        let limit = self.attempt_timeout + Duration::from_millis(mib * MS_PER_MIB);
        // The SDK's futures are some 20 KB: too much to carry in every future above them.
        let request = Box::pin(request);
        let door = self.doors.used();
        async move {
            let failure = match tokio::time::timeout(limit, request).await {
                Ok(Ok(answer)) => {
                    self.budget.earn();
                    return Ok(answer);
                }
                Ok(Err(error)) => classify(&error),
                Err(_) => Failure::Lost(Said::by_us("no answer in time")),
            };
            if failure.is_silence() {
                self.doors.leave(door);
            }
            Err(failure)
        }
    }

    /// Does something harmless to repeat until it is answered, a bounded number of times.
    async fn repeat<T, Fut>(&self, what: &str, mut request: impl FnMut() -> Fut) -> Result<T>
    where
        Fut: Future<Output = core::result::Result<T, Failure>>,
    {
        let mut tries = 0;
        loop {
            let failure = match request().await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            tries += 1;
            if !failure.is_transient() || !self.again(tries, &failure).await {
                return Err(failure.into_error(&self.bucket, what));
            }
        }
    }

    /// One try at reading a whole object.
    async fn get_once(
        &self,
        key: &str,
        bytes_max: u64,
    ) -> core::result::Result<Option<Object>, Failure> {
        let request = self
            .client()
            .get_object()
            .bucket(&self.bucket)
            .key(key)
            .send();
        let answer = match self.send(0, request).await {
            Ok(answer) => answer,
            Err(Failure::Absent) => return Ok(None),
            Err(failure) => return Err(failure),
        };
        let announced = answer
            .content_length()
            .and_then(|n| u64::try_from(n).ok())
            .unwrap_or(0);
        if announced > bytes_max {
            return Err(Failure::TooLarge(bytes_max));
        }
        let version = Version(answer.e_tag().unwrap_or_default().to_owned());
        let mut body = answer.body;
        let mut bytes = BytesMut::with_capacity(usize::try_from(announced).unwrap_or(0));
        while let Some(piece) = next_piece(&mut body).await.map_err(lost)? {
            bytes.extend_from_slice(&piece);
            if bytes.len() as u64 > bytes_max {
                return Err(Failure::TooLarge(bytes_max));
            }
        }
        if bytes.len() as u64 != announced {
            return Err(lost("the body ended early"));
        }
        Ok(Some(Object {
            bytes: bytes.freeze(),
            version,
        }))
    }
}

fn lost(reason: impl Into<String>) -> Failure {
    Failure::Lost(Said::by_us(reason))
}

async fn next_piece(
    body: &mut aws_sdk_s3::primitives::ByteStream,
) -> core::result::Result<Option<Bytes>, String> {
    match tokio::time::timeout(BODY_PAUSE_MAX, body.next()).await {
        Ok(Some(Ok(piece))) => Ok(Some(piece)),
        Ok(Some(Err(e))) => Err(format!("the body broke off: {e}")),
        Ok(None) => Ok(None),
        Err(_) => Err("the body stalled".to_owned()),
    }
}

#[async_trait]
impl Objects for S3Objects {
    async fn create(&self, key: &str, bytes: Bytes) -> Result<Created> {
        check_key(key)?;
        self.create_bytes(key, bytes).await
    }

    async fn create_streamed(&self, key: &str, size_bytes: u64, body: ByteStream) -> Result<bool> {
        check_key(key)?;
        self.upload(key, size_bytes, body, multipart::Condition::Absent)
            .await
    }

    async fn create_in_parts(&self, key: &str, size_bytes: u64, body: ByteStream) -> Result<bool> {
        check_key(key)?;
        self.upload_in_parts(key, size_bytes, body, multipart::Condition::Absent)
            .await
    }

    async fn swap(&self, key: &str, expected: Option<&Version>, bytes: Bytes) -> Result<Swapped> {
        check_key(key)?;
        self.swap_bytes(key, expected, bytes).await
    }

    async fn put(&self, key: &str, bytes: Bytes) -> Result<()> {
        check_key(key)?;
        let what = format!("put {key}");
        self.repeat(&what, || {
            self.put_once(key, bytes.clone(), &write::Guard::None)
        })
        .await
        .map(drop)
    }

    async fn put_streamed(&self, key: &str, size_bytes: u64, body: ByteStream) -> Result<()> {
        check_key(key)?;
        self.upload(key, size_bytes, body, multipart::Condition::None)
            .await
            .map(drop)
    }

    async fn get(&self, key: &str, bytes_max: u64) -> Result<Option<Object>> {
        check_key(key)?;
        self.repeat(&format!("get {key}"), || self.get_once(key, bytes_max))
            .await
    }

    async fn get_range(&self, key: &str, bytes: Range<u64>) -> Result<Option<(u64, ByteStream)>> {
        check_key(key)?;
        let Some(size_bytes) = self.head(key).await? else {
            return Ok(None);
        };
        let end = bytes.end.min(size_bytes);
        let wanted = end.saturating_sub(bytes.start);
        if wanted == 0 {
            // S3 answers such a range with 416.
            return Ok(Some((size_bytes, Box::pin(stream::empty()))));
        }
        let what = format!("get {key}");
        let is_part = wanted < size_bytes;
        let range = is_part.then(|| format!("bytes={}-{}", bytes.start, end - 1));
        let answer = self
            .repeat(&what, || {
                let request = self.client().get_object().bucket(&self.bucket).key(key);
                self.send(0, request.set_range(range.clone()).send())
            })
            .await?;
        if answer.content_length().and_then(|n| u64::try_from(n).ok()) != Some(wanted) {
            let detail = format!("{what}: the object changed or the store ignores ranges");
            return Err(Error::unavailable(detail));
        }
        let pieces = stream::try_unfold((answer.body, what), |(mut body, what)| async move {
            match next_piece(&mut body).await {
                Ok(Some(piece)) => Ok(Some((piece, (body, what)))),
                Ok(None) => Ok(None),
                Err(reason) => Err(Error::unavailable(format!("{what}: {reason}"))),
            }
        });
        Ok(Some((size_bytes, Box::pin(pieces))))
    }

    async fn head(&self, key: &str) -> Result<Option<u64>> {
        check_key(key)?;
        let found = self
            .repeat(&format!("head {key}"), || async {
                let request = self
                    .client()
                    .head_object()
                    .bucket(&self.bucket)
                    .key(key)
                    .send();
                match self.send(0, request).await {
                    Ok(answer) => Ok(Some(answer)),
                    Err(Failure::Absent) => Ok(None),
                    Err(failure) => Err(failure),
                }
            })
            .await?;
        Ok(found.map(|a| {
            a.content_length()
                .and_then(|n| u64::try_from(n).ok())
                .unwrap_or(0)
        }))
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: u16) -> Result<Vec<Listed>> {
        self.list_keys(prefix, after, limit).await
    }

    async fn remove(&self, key: &str) -> Result<()> {
        check_key(key)?;
        let what = format!("remove {key}");
        let removed = self.repeat(&what, || async {
            let request = self
                .client()
                .delete_object()
                .bucket(&self.bucket)
                .key(key)
                .send();
            match self.send(0, request).await {
                Ok(_) | Err(Failure::Absent) => Ok(()),
                Err(failure) => Err(failure),
            }
        });
        removed.await
    }

    async fn keeping(&self) -> Result<Keeping> {
        self.ask_keeping().await
    }

    async fn list_versions(
        &self,
        prefix: &str,
        from: Option<&VersionMark>,
        limit: u16,
    ) -> Result<Option<VersionPage>> {
        self.version_page(prefix, from, limit).await
    }

    async fn protection(&self, key: &str) -> Result<Protection> {
        check_key(key)?;
        self.protection_of(key).await
    }

    async fn set_hold(&self, key: &str, on: bool) -> Result<()> {
        check_key(key)?;
        self.hold(key, on).await
    }

    async fn remove_for_good(&self, key: &str) -> Result<()> {
        check_key(key)?;
        self.remove_versions(key).await
    }
}
