//! The store port in memory: the same semantics as S3 behind its adapter, and faults on demand.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream};
use sha2::{Digest, Sha256};

use super::{
    ByteStream, Created, Listed, Object, Objects, PART_BYTES, Swapped, Version, check_key, collect,
};
use crate::{Error, Result};

/// What is about to be done to the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Create,
    Swap,
    Put,
    Get,
    Head,
    List,
    Remove,
}

/// What goes wrong with it, as seen from this side of the adapter: after its retries and its reading back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// 503, or 409 for ever: nothing was done, `Unavailable`.
    Refuse,
    /// No answer in time and nothing done: `Timeout`.
    Stall,
    /// A write is done but its answer lost and unreadable: `UnknownOutcome`. A read is `Timeout`.
    DropResponse,
}

type FaultHook = Arc<dyn Fn(Verb, &str) -> Option<Fault> + Send + Sync>;

/// One bucket in memory.
#[derive(Default)]
pub struct MemoryObjects {
    objects: Mutex<BTreeMap<String, Bytes>>,
    faults: Mutex<Option<FaultHook>>,
}

impl MemoryObjects {
    /// An empty bucket.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on asks `hook` before every operation what goes wrong with it.
    pub fn set_faults(&self, hook: impl Fn(Verb, &str) -> Option<Fault> + Send + Sync + 'static) {
        *self.faults.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(hook));
    }

    /// From now on nothing goes wrong.
    pub fn clear_faults(&self) {
        *self.faults.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Loses an object, as no store should. For tests of what notices.
    pub fn forget(&self, key: &str) {
        self.objects().remove(key);
    }

    fn objects(&self) -> MutexGuard<'_, BTreeMap<String, Bytes>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `apply` with what the hook says about it.
    fn run<T>(
        &self,
        verb: Verb,
        key: &str,
        apply: impl FnOnce(&mut BTreeMap<String, Bytes>) -> T,
    ) -> Result<T> {
        if verb != Verb::List {
            check_key(key)?;
        }
        let hook = self
            .faults
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let fault = hook.and_then(|hook| hook(verb, key));
        match fault {
            Some(Fault::Refuse) => return Err(Error::unavailable("memory store: refused")),
            Some(Fault::Stall) => return Err(Error::timeout("memory store: stalled")),
            Some(Fault::DropResponse) | None => {}
        }
        let mut objects = self.objects();
        if matches!(verb, Verb::Create | Verb::Swap | Verb::Put) {
            check_folders(&objects, key)?;
        }
        let done = apply(&mut objects);
        match fault {
            Some(_) if matches!(verb, Verb::Get | Verb::Head | Verb::List) => {
                Err(Error::timeout("memory store: answer lost"))
            }
            Some(_) => Err(Error::unknown_outcome(format!(
                "memory store: answer for {key} lost"
            ))),
            None => Ok(done),
        }
    }
}

/// No object may stand where another's folder is.
fn check_folders(objects: &BTreeMap<String, Bytes>, key: &str) -> Result<()> {
    let above = key.match_indices('/').filter_map(|(at, _)| key.get(..at));
    let inside = format!("{key}/");
    let below = objects
        .range(inside.clone()..)
        .next()
        .is_some_and(|(k, _)| k.starts_with(&inside));
    if below || above.into_iter().any(|folder| objects.contains_key(folder)) {
        return Err(Error::malformed(format!(
            "object key {key} is or is in another's folder"
        )));
    }
    Ok(())
}

/// The version names the content, as an ETag does.
fn version_of(bytes: &[u8]) -> Version {
    Version(hex::encode(Sha256::digest(bytes)))
}

#[async_trait]
impl Objects for MemoryObjects {
    async fn create(&self, key: &str, bytes: Bytes) -> Result<Created> {
        self.run(Verb::Create, key, |objects| match objects.get(key) {
            Some(there) if *there != bytes => Created::Exists(there.clone()),
            _ => {
                objects.insert(key.to_owned(), bytes);
                Created::Created
            }
        })
    }

    async fn create_streamed(&self, key: &str, size_bytes: u64, body: ByteStream) -> Result<bool> {
        let bytes = collect(body, size_bytes).await?;
        self.run(Verb::Create, key, |objects| {
            let there = objects.get(key);
            let same = bytes.len() <= PART_BYTES && there == Some(&bytes);
            let free = there.is_none();
            if free {
                objects.insert(key.to_owned(), bytes);
            }
            free || same
        })
    }

    async fn swap(&self, key: &str, expected: Option<&Version>, bytes: Bytes) -> Result<Swapped> {
        self.run(Verb::Swap, key, |objects| {
            let there = objects.get(key);
            if there.map(|b| version_of(b)).as_ref() != expected && there != Some(&bytes) {
                return Swapped::Lost;
            }
            let version = version_of(&bytes);
            objects.insert(key.to_owned(), bytes);
            Swapped::Swapped(version)
        })
    }

    async fn put(&self, key: &str, bytes: Bytes) -> Result<()> {
        self.run(Verb::Put, key, |objects| {
            objects.insert(key.to_owned(), bytes);
        })
    }

    async fn put_streamed(&self, key: &str, size_bytes: u64, body: ByteStream) -> Result<()> {
        let bytes = collect(body, size_bytes).await?;
        self.put(key, bytes).await
    }

    async fn get(&self, key: &str, bytes_max: u64) -> Result<Option<Object>> {
        let found = self.run(Verb::Get, key, |objects| objects.get(key).cloned())?;
        let Some(bytes) = found else { return Ok(None) };
        if bytes.len() as u64 > bytes_max {
            return Err(Error::malformed(format!(
                "{key} is larger than {bytes_max} bytes"
            )));
        }
        let version = version_of(&bytes);
        Ok(Some(Object { bytes, version }))
    }

    async fn get_range(&self, key: &str, wanted: Range<u64>) -> Result<Option<(u64, ByteStream)>> {
        const PIECE_BYTES: usize = 64 * 1024;
        let found = self.run(Verb::Get, key, |objects| objects.get(key).cloned())?;
        let Some(mut bytes) = found else {
            return Ok(None);
        };
        let size_bytes = bytes.len() as u64;
        let within = |at: u64| usize::try_from(at.min(size_bytes)).unwrap_or(usize::MAX);
        bytes.truncate(within(wanted.end));
        drop(bytes.split_to(within(wanted.start).min(bytes.len())));
        let mut pieces = Vec::new();
        while !bytes.is_empty() {
            pieces.push(Ok(bytes.split_to(bytes.len().min(PIECE_BYTES))));
        }
        Ok(Some((size_bytes, stream::iter(pieces).boxed())))
    }

    async fn head(&self, key: &str) -> Result<Option<u64>> {
        self.run(Verb::Head, key, |objects| {
            objects.get(key).map(|b| b.len() as u64)
        })
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: u16) -> Result<Vec<Listed>> {
        self.run(Verb::List, prefix, |objects| {
            objects
                .range(prefix.to_owned()..)
                .take_while(|(key, _)| key.starts_with(prefix))
                .filter(|(key, _)| after.is_none_or(|after| key.as_str() > after))
                .take(usize::from(limit.min(1000)))
                .map(|(key, bytes)| Listed {
                    key: key.clone(),
                    size_bytes: bytes.len() as u64,
                })
                .collect()
        })
    }

    async fn remove(&self, key: &str) -> Result<()> {
        self.run(Verb::Remove, key, |objects| {
            objects.remove(key);
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[tokio::test]
    async fn no_object_is_a_folder() {
        let store = MemoryObjects::new();
        store.put("a/b", Bytes::new()).await.unwrap();
        store.put("a/bc/d", Bytes::new()).await.unwrap();
        for key in ["a", "a/b/c", "a/bc"] {
            let error = store.put(key, Bytes::new()).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::Malformed, "{key}");
        }
    }

    #[tokio::test]
    async fn faults_do_what_they_say() {
        let store = MemoryObjects::new();
        for (fault, kind, done) in [
            (Fault::Refuse, ErrorKind::Unavailable, false),
            (Fault::Stall, ErrorKind::Timeout, false),
            (Fault::DropResponse, ErrorKind::UnknownOutcome, true),
        ] {
            store.set_faults(move |_, _| Some(fault));
            let error = store.create("a", Bytes::new()).await.unwrap_err();
            store.clear_faults();
            assert_eq!(error.kind, kind);
            assert_eq!(store.head("a").await.unwrap().is_some(), done);
        }
    }
}
