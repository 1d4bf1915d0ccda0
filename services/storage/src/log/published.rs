//! The log as everybody may see it: the newest published checkpoint and the numbers in it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use bytes::Bytes;
use probity_domain::{EvidenceId, Timestamp};
use probity_pki::tlog::{Checkpoint, Hash, LogVerifier};
use probity_platform::objects::{Buckets, Objects};
use probity_platform::{Error, ErrorKind, Result};

use super::entries::load_tree;
use super::head::find_head;
use super::index::{Index, numbers, numbers_of};
use super::layout::{CHECKPOINTS, WIDTH, checkpoint_key, number};
use super::tree::Entry;
use crate::prove::read_proved;

const CHECKPOINT_BYTES_MAX: u64 = 16 * 1024;
/// Sizes are searched below this: twelve digits.
pub(crate) const SIZES_END: u64 = 1_000_000_000_000;
/// Keys that are no checkpoints, remembered so that each is said once.
const PASSED_OVER_MAX: usize = 1_000;
/// So much later than others of its bundle a submission may have been made that stands there: it covers the order in which
/// entries arrive, and what a clock is behind another.
const ORDER_MS: i64 = 60_000;

/// A published checkpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct Published {
    pub size: u64,
    pub root: Hash,
    /// The signed note.
    pub note: Bytes,
}

/// What is published, kept up to date by the writer or by looking.
pub struct Log {
    pub(crate) truth: Arc<dyn Objects>,
    pub(crate) work: Arc<dyn Objects>,
    verifier: LogVerifier,
    latest: RwLock<Option<Published>>,
    index: RwLock<Index>,
    passed_over: Mutex<BTreeSet<String>>,
    /// Bundles are compared with their index tiles one after the other.
    proving: tokio::sync::Mutex<()>,
}

impl Log {
    #[must_use]
    pub fn new(buckets: &Buckets, verifier: LogVerifier) -> Self {
        let (truth, work) = (buckets.truth.clone(), buckets.work.clone());
        Self {
            truth,
            work,
            verifier,
            latest: RwLock::default(),
            index: RwLock::default(),
            passed_over: Mutex::default(),
            proving: tokio::sync::Mutex::default(),
        }
    }

    /// The same log, read through others' hands.
    pub(crate) fn through(&self, buckets: &Buckets) -> Self {
        Self::new(buckets, self.verifier.clone())
    }

    /// The newest checkpoint this process knows.
    ///
    /// # Errors
    /// `Unavailable` before the first was read.
    pub fn latest(&self) -> Result<Published> {
        let latest = self
            .latest
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        latest.ok_or_else(|| Error::unavailable("no checkpoint of the log was read yet"))
    }

    /// Where a number stands, as far as this process knows.
    #[must_use]
    pub fn leaf(&self, evidence: EvidenceId) -> Option<u64> {
        self.index().leaf(evidence)
    }

    /// Entries the index covers.
    #[must_use]
    pub fn indexed(&self) -> u64 {
        self.index().size()
    }

    /// Looks for a newer checkpoint and takes it up.
    ///
    /// # Errors
    /// `Internal` when what is published does not hold together; those of the store.
    pub async fn refresh(&self) -> Result<()> {
        let known = self.latest().map_or(0, |published| published.size);
        let head = find_head(&*self.work).await?.map(|(head, _)| head);
        let newest = match head {
            // The size before was published before this head was written.
            Some(Ok(head)) => {
                let there = self.truth.head(&checkpoint_key(head.size)).await?.is_some();
                let size = if there { head.size } else { head.previous_size };
                self.not_behind(size).await?
            }
            // One that does not read is the writer's to say and to replace.
            Some(Err(_)) | None => self.newest().await?.map(|newest| newest.size),
        };
        match newest {
            Some(size) if size > known || self.latest().is_err() => {
                let published = self.checkpoint(size).await?;
                let published = published.ok_or_else(|| Error::unavailable("no checkpoint yet"))?;
                self.show(published).await
            }
            _ => Ok(()),
        }
    }

    /// The size that a head names, unless it is an old copy of the head. Who has seen a newer checkpoint before does
    /// not go back; who has not looks whether there is one.
    async fn not_behind(&self, size: u64) -> Result<Option<u64>> {
        if self.latest().is_ok() || self.published_after(size).await?.is_none() {
            return Ok(Some(size));
        }
        tracing::warn!(size, "the log's head is behind its checkpoints");
        Ok(self.newest().await?.map(|newest| newest.size))
    }

    /// The published checkpoint of a size, its signature verified.
    pub(crate) async fn checkpoint(&self, size: u64) -> Result<Option<Published>> {
        let stored = self.stored_checkpoint(size).await?;
        stored.transpose().map_err(Error::internal)
    }

    /// What stands under the key of a size: a checkpoint of that size which the log signed, or why it is none. That
    /// the store cannot be read is neither.
    pub(crate) async fn stored_checkpoint(
        &self,
        size: u64,
    ) -> Result<Option<core::result::Result<Published, String>>> {
        let key = checkpoint_key(size);
        let object = match self.truth.get(&key, CHECKPOINT_BYTES_MAX).await {
            // Larger than any.
            Err(e) if e.kind == ErrorKind::Malformed => return Ok(Some(Err(e.detail))),
            read => read?,
        };
        let Some(object) = object else {
            return Ok(None);
        };
        Ok(Some(match self.read_note(object.bytes) {
            Ok(published) if published.size == size => Ok(published),
            Ok(_) => Err(format!("{key} is of another size")),
            Err(e) => Err(format!("{key}: {}", e.detail)),
        }))
    }

    pub(crate) fn read_note(&self, note: Bytes) -> Result<Published> {
        let pinned = std::slice::from_ref(&self.verifier);
        let checkpoint = Checkpoint::verify(&note, pinned).map_err(Error::internal)?;
        Ok(Published {
            size: checkpoint.size,
            root: checkpoint.root,
            note,
        })
    }

    /// The newest checkpoint, for whoever has no head to go by.
    ///
    /// # Errors
    /// As [`Self::published_after`].
    pub(crate) async fn newest(&self) -> Result<Option<Published>> {
        let mut below = SIZES_END;
        while let Some(size) = self.newest_below(below).await? {
            if let Some(published) = self.believed(size).await? {
                return Ok(Some(published));
            }
            below = size;
        }
        Ok(None)
    }

    /// The smallest size above `size` that is published. A key alone is no proof of that: whoever may write into
    /// `truth` can make one, and it must neither stop the log nor be built upon.
    ///
    /// # Errors
    /// `Internal` when the log signed a checkpoint that the stored tree does not bear out: to go on beside it would be
    /// to fork. Those of the store.
    pub(crate) async fn published_after(&self, size: u64) -> Result<Option<u64>> {
        let mut size = size;
        while let Some(found) = self.listed_after(Some(size)).await? {
            if self.believed(found).await?.is_some() {
                return Ok(Some(found));
            }
            size = found;
        }
        Ok(None)
    }

    /// A listed checkpoint that the log signed, with the tree there to bear it out; `None`, and said, for anything else.
    async fn believed(&self, size: u64) -> Result<Option<Published>> {
        let key = checkpoint_key(size);
        match self.stored_checkpoint(size).await? {
            Some(Ok(published)) => {
                load_tree(&*self.truth, published.size, published.root).await?;
                Ok(Some(published))
            }
            Some(Err(reason)) => {
                self.pass_over(&key, &reason);
                Ok(None)
            }
            None => Err(Error::unavailable(format!("{key} is listed and not there"))),
        }
    }

    /// Says it once: the key may be under a lock, and stand there for years.
    fn pass_over(&self, key: &str, reason: &str) {
        let mut said = self
            .passed_over
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if said.len() < PASSED_OVER_MAX && said.insert(key.to_owned()) {
            tracing::error!(key, reason, "no checkpoint of the log: passed over");
        }
    }

    /// The largest size below `below` that has a key, by bisection: some eighty listings of one key, whatever the size.
    pub(crate) async fn newest_below(&self, below: u64) -> Result<Option<u64>> {
        let within = async |after: Option<u64>| {
            let found = self.listed_after(after).await?;
            Ok::<_, Error>(found.filter(|size| *size < below))
        };
        let Some(mut known) = within(None).await? else {
            return Ok(None);
        };
        let mut bound = below.saturating_sub(1);
        while known < bound {
            let middle = known + (bound - known) / 2;
            match within(Some(middle)).await? {
                Some(found) => known = found,
                None => {
                    bound = middle;
                    // Between `known` and `middle` there may be one still, unless they are neighbours.
                    match within(Some(known)).await? {
                        Some(found) => known = found,
                        None => break,
                    }
                }
            }
        }
        Ok(Some(known))
    }

    /// The smallest size above `size` that has a key.
    async fn listed_after(&self, size: Option<u64>) -> Result<Option<u64>> {
        let mut after = size.map(checkpoint_key);
        loop {
            let found = self.truth.list(CHECKPOINTS, after.as_deref(), 1).await?;
            let Some(first) = found.into_iter().next() else {
                return Ok(None);
            };
            if let Some(size) = number(&first.key, CHECKPOINTS) {
                return Ok(Some(size));
            }
            self.pass_over(&first.key, "its name is no size");
            after = Some(first.key);
        }
    }

    /// Takes up a published checkpoint: first its numbers, then the checkpoint itself.
    pub(crate) async fn show(&self, published: Published) -> Result<()> {
        loop {
            let bundle = match self.indexed() {
                size if size < published.size => size / WIDTH,
                _ => break,
            };
            let numbers = numbers(&*self.truth, bundle, &published).await?;
            let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
            // Somebody else may have gone further meanwhile.
            if index.size() / WIDTH == bundle {
                let known = usize::try_from(index.size() % WIDTH).unwrap_or(usize::MAX);
                for evidence in numbers.into_iter().skip(known) {
                    index.push(evidence);
                }
                index.loaded(bundle);
            }
        }
        let mut latest = self.latest.write().unwrap_or_else(PoisonError::into_inner);
        if latest
            .as_ref()
            .is_none_or(|known| known.size < published.size)
        {
            *latest = Some(published);
        }
        Ok(())
    }

    /// Makes sure that a number of a submission made at this time, or later, which is not in the index is not in the log
    /// either, before it is appended. An index tile is believed for what it says is there; with a flipped bit it lacks a
    /// number that is. So the bundles that may hold it are read, each once in a process's life: after a start a few of the
    /// newest, and more only for what was submitted long ago. Of a bundle that is no longer the signed tree's the tile is all
    /// there is, and stays believed.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn prove_since(&self, at: Timestamp) -> Result<()> {
        let bundles = self.index().unproved_since(at.plus_ms(-ORDER_MS));
        for bundle in bundles {
            let _turn = self.proving.lock().await;
            if self.index().is_proved(bundle) {
                continue;
            }
            let read = read_proved(&*self.truth, bundle, &self.latest()?).await;
            let numbers = read.and_then(|entries| numbers_of(&entries));
            let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
            match numbers {
                Ok(numbers) => index.prove(bundle, &numbers),
                Err(e) if e.kind.is_transient() => return Err(e),
                Err(e) => {
                    tracing::error!(bundle, error = %e, "an index tile is all that is known of a bundle");
                    index.believe(bundle);
                }
            }
        }
        Ok(())
    }

    /// [`Self::prove_since`] for entries that are not in the index.
    pub(crate) async fn prove_new(&self, entries: &[Entry]) -> Result<()> {
        let new = entries.iter().map(|entry| entry.evidence);
        let new = new.filter(|evidence| self.leaf(*evidence).is_none());
        match new.map(|evidence| evidence.submission.at()).min() {
            Some(oldest) => self.prove_since(oldest).await,
            None => Ok(()),
        }
    }

    fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes up the numbers of entries `first ..` that the writer has just published.
    pub(crate) fn take_up(&self, first: u64, numbers: &[EvidenceId]) {
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        for (evidence, leaf) in numbers.iter().zip(first..) {
            if leaf == index.size() {
                index.push(*evidence);
            }
        }
    }
}
