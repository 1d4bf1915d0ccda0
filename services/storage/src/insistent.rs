//! An object that cannot be read, told from a store that cannot be reached.
//!
//! Stores that keep checksums answer a rotten object with an error of theirs, or break the answer off. Whoever walks the
//! whole store would take that for an outage, try again for ever, and never get to what lies behind it.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use probity_platform::objects::{
    ByteStream, Created, Keeping, Listed, Object, Objects, Protection, Swapped, Version,
    VersionMark, VersionPage,
};
use probity_platform::{Error, Result};
use tokio::time::Instant;

/// After these an object was tried often enough, each time by all the tries of the adapter.
const AGAIN_AFTER: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(5)];

/// How long what could not be read is not tried again: many may ask for the same object.
const REMEMBERED: Duration = Duration::from_secs(600);
const REMEMBERED_MAX: usize = 10_000;

/// A bucket of which reads fail with `Internal` when the store lists objects meanwhile and does not give this one.
pub(crate) struct Insistent {
    objects: Arc<dyn Objects>,
    unread: Mutex<HashMap<String, (Instant, Error)>>,
}

impl Insistent {
    pub(crate) fn around(objects: Arc<dyn Objects>) -> Arc<dyn Objects> {
        Arc::new(Self {
            objects,
            unread: Mutex::default(),
        })
    }

    fn remembered(&self, key: &str) -> Option<Error> {
        let unread = self.unread.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, e) = unread.get(key)?;
        (at.elapsed() < REMEMBERED).then(|| e.clone())
    }

    fn remember(&self, key: &str, e: &Error) {
        let mut unread = self.unread.lock().unwrap_or_else(PoisonError::into_inner);
        unread.retain(|_, (at, _)| at.elapsed() < REMEMBERED);
        if unread.len() < REMEMBERED_MAX {
            unread.insert(key.to_owned(), (Instant::now(), e.clone()));
        }
    }

    async fn read<T, F>(&self, key: &str, get: impl Fn() -> F + Send + Sync) -> Result<T>
    where
        F: Future<Output = Result<T>> + Send,
    {
        if let Some(e) = self.remembered(key) {
            return Err(e);
        }
        for pause in AGAIN_AFTER {
            match get().await {
                Err(e) if e.kind.is_transient() => tokio::time::sleep(pause).await,
                settled => return settled,
            }
        }
        match get().await {
            Err(e) if e.kind.is_transient() => {
                let e = told(&*self.objects, key, e).await;
                if !e.kind.is_transient() {
                    self.remember(key, &e);
                }
                Err(e)
            }
            settled => settled,
        }
    }
}

/// What a read of one object came to, or what is wrong with that object: for whoever goes on with the others.
///
/// # Errors
/// Those of a store that does not answer.
pub(crate) fn of_object<T>(read: Result<T>) -> Result<core::result::Result<T, Error>> {
    match read {
        Err(e) if e.kind.is_transient() => Err(e),
        settled => Ok(settled),
    }
}

/// `Internal` for an error that is the object's; as it was for one that is the store's.
async fn told(objects: &dyn Objects, key: &str, e: Error) -> Error {
    let folder = key.split_inclusive('/').next().unwrap_or_default();
    if e.kind.is_transient() && objects.list(folder, None, 1).await.is_ok() {
        return Error::internal(format!("cannot be read, while others can: {e}"));
    }
    e
}

#[async_trait]
impl Objects for Insistent {
    async fn get(&self, key: &str, bytes_max: u64) -> Result<Option<Object>> {
        self.read(key, || self.objects.get(key, bytes_max)).await
    }

    /// What breaks off later is for the caller to begin again.
    async fn get_range(&self, key: &str, bytes: Range<u64>) -> Result<Option<(u64, ByteStream)>> {
        let get = || self.objects.get_range(key, bytes.clone());
        let Some((size_bytes, body)) = self.read(key, get).await? else {
            return Ok(None);
        };
        let (objects, key) = (self.objects.clone(), key.to_owned());
        let body = stream::unfold(Some(body), move |body| {
            let (objects, key) = (objects.clone(), key.clone());
            async move {
                let mut body = body?;
                match body.next().await? {
                    Ok(piece) => Some((Ok(piece), Some(body))),
                    Err(e) => Some((Err(told(&*objects, &key, e).await), None)),
                }
            }
        });
        Ok(Some((size_bytes, body.boxed())))
    }

    async fn head(&self, key: &str) -> Result<Option<u64>> {
        self.read(key, || self.objects.head(key)).await
    }

    async fn create(&self, key: &str, bytes: Bytes) -> Result<Created> {
        self.objects.create(key, bytes).await
    }

    async fn create_streamed(&self, key: &str, size_bytes: u64, body: ByteStream) -> Result<bool> {
        self.objects.create_streamed(key, size_bytes, body).await
    }

    async fn swap(&self, key: &str, expected: Option<&Version>, bytes: Bytes) -> Result<Swapped> {
        self.objects.swap(key, expected, bytes).await
    }

    async fn put(&self, key: &str, bytes: Bytes) -> Result<()> {
        self.objects.put(key, bytes).await
    }

    async fn put_streamed(&self, key: &str, size_bytes: u64, body: ByteStream) -> Result<()> {
        self.objects.put_streamed(key, size_bytes, body).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: u16) -> Result<Vec<Listed>> {
        self.objects.list(prefix, after, limit).await
    }

    async fn remove(&self, key: &str) -> Result<()> {
        self.objects.remove(key).await
    }

    async fn keeping(&self) -> Result<Keeping> {
        self.objects.keeping().await
    }

    async fn list_versions(
        &self,
        prefix: &str,
        from: Option<&VersionMark>,
        limit: u16,
    ) -> Result<Option<VersionPage>> {
        self.objects.list_versions(prefix, from, limit).await
    }

    async fn protection(&self, key: &str) -> Result<Protection> {
        self.objects.protection(key).await
    }

    async fn set_hold(&self, key: &str, on: bool) -> Result<()> {
        self.objects.set_hold(key, on).await
    }

    async fn remove_for_good(&self, key: &str) -> Result<()> {
        self.objects.remove_for_good(key).await
    }
}

#[cfg(test)]
mod tests {
    use probity_platform::ErrorKind;
    use probity_platform::objects::{Fault, MemoryObjects, Verb};

    use super::*;

    async fn kinds(objects: &dyn Objects) -> [Option<ErrorKind>; 3] {
        let kind = |e: Error| e.kind;
        [
            objects.get("a/1", 9).await.err().map(kind),
            objects.head("a/1").await.err().map(kind),
            objects.get_streamed("a/1").await.err().map(kind),
        ]
    }

    #[tokio::test(start_paused = true)]
    async fn an_object_that_cannot_be_read_is_told_from_a_store_that_is_away() {
        let memory = Arc::new(MemoryObjects::new());
        for key in ["a/1", "a/2"] {
            memory.create(key, Bytes::from_static(b"x")).await.unwrap();
        }
        let store = Insistent::around(memory.clone());
        memory.set_faults(|_, _| Some(Fault::Refuse));
        assert_eq!(kinds(&*store).await, [Some(ErrorKind::Unavailable); 3]);
        memory
            .set_faults(|verb, key| (verb != Verb::List && key == "a/1").then_some(Fault::Refuse));
        assert_eq!(kinds(&*store).await, [Some(ErrorKind::Internal); 3]);
        assert!(store.get("a/2", 9).await.unwrap().is_some());
        assert!(store.get("a/3", 9).await.unwrap().is_none());
        // What the store gives again is read again, some time.
        memory.clear_faults();
        assert_eq!(
            store.head("a/1").await.unwrap_err().kind,
            ErrorKind::Internal
        );
        tokio::time::advance(REMEMBERED).await;
        assert_eq!(kinds(&*store).await, [None; 3]);
    }

    /// As long as it comes back in time nobody hears of it.
    #[tokio::test(start_paused = true)]
    async fn what_fails_once_is_read_again() {
        let memory = Arc::new(MemoryObjects::new());
        memory
            .create("a/1", Bytes::from_static(b"x"))
            .await
            .unwrap();
        let store = Insistent::around(memory.clone());
        let left = std::sync::atomic::AtomicU32::new(2);
        memory.set_faults(move |_, _| {
            let less = |n: u32| n.checked_sub(1);
            let order = std::sync::atomic::Ordering::SeqCst;
            left.fetch_update(order, order, less)
                .is_ok()
                .then_some(Fault::Refuse)
        });
        assert!(store.get("a/1", 9).await.unwrap().is_some());
    }
}
