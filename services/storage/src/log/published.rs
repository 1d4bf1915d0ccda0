//! The log as everybody may see it: the newest published checkpoint and the numbers in it.

use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use probity_domain::EvidenceId;
use probity_pki::tlog::{Checkpoint, Hash, LogVerifier};
use probity_platform::objects::{Buckets, Objects};
use probity_platform::{Error, Result};

use super::head::read_head;
use super::index::{Index, numbers};
use super::layout::{CHECKPOINTS, WIDTH, checkpoint_key, number};

const CHECKPOINT_BYTES_MAX: u64 = 16 * 1024;
/// Sizes are searched below this: twelve digits.
const SIZE_MAX: u64 = 999_999_999_999;

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
        }
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
        self.index
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .leaf(evidence)
    }

    /// Entries the index covers.
    #[must_use]
    pub fn indexed(&self) -> u64 {
        self.index
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .size()
    }

    /// Looks for a newer checkpoint and takes it up.
    ///
    /// # Errors
    /// `Internal` when what is published does not hold together; those of the store.
    pub async fn refresh(&self) -> Result<()> {
        let known = self.latest().map_or(0, |published| published.size);
        let newest = match read_head(&*self.work).await? {
            // The size before was published before this head was written.
            Some((head, _)) => {
                let there = self.truth.head(&checkpoint_key(head.size)).await?.is_some();
                let size = if there { head.size } else { head.previous_size };
                self.not_behind(size).await?
            }
            None => self.newest_size().await?,
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
        if self.latest().is_ok() || self.checkpoint_after(Some(size)).await?.is_none() {
            return Ok(Some(size));
        }
        tracing::warn!(size, "the log's head is behind its checkpoints");
        self.newest_size().await
    }

    /// The published checkpoint of a size, its signature verified.
    pub(crate) async fn checkpoint(&self, size: u64) -> Result<Option<Published>> {
        let key = checkpoint_key(size);
        let Some(object) = self.truth.get(&key, CHECKPOINT_BYTES_MAX).await? else {
            return Ok(None);
        };
        let published = self.read_note(object.bytes)?;
        if published.size != size {
            return Err(Error::internal(format!("{key} is of another size")));
        }
        Ok(Some(published))
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

    /// The largest published size, by bisection: some eighty listings of one key, whatever the size.
    pub(crate) async fn newest_size(&self) -> Result<Option<u64>> {
        let Some(mut known) = self.checkpoint_after(None).await? else {
            return Ok(None);
        };
        let mut bound = SIZE_MAX;
        while known < bound {
            let middle = known + (bound - known) / 2;
            match self.checkpoint_after(Some(middle)).await? {
                Some(found) => known = found,
                None => {
                    bound = middle;
                    // Between `known` and `middle` there may be one still, unless they are neighbours.
                    match self.checkpoint_after(Some(known)).await? {
                        Some(found) => known = found,
                        None => break,
                    }
                }
            }
        }
        Ok(Some(known))
    }

    /// The smallest published size above `size`.
    pub(crate) async fn checkpoint_after(&self, size: Option<u64>) -> Result<Option<u64>> {
        let after = size.map(checkpoint_key);
        let found = self.truth.list(CHECKPOINTS, after.as_deref(), 1).await?;
        let Some(first) = found.first() else {
            return Ok(None);
        };
        let size = number(&first.key, CHECKPOINTS);
        size.map(Some)
            .ok_or_else(|| Error::internal(format!("{} is no checkpoint", first.key)))
    }

    /// Takes up a published checkpoint: first its numbers, then the checkpoint itself.
    pub(crate) async fn show(&self, published: Published) -> Result<()> {
        loop {
            let bundle = match self.indexed() {
                size if size < published.size => size / WIDTH,
                _ => break,
            };
            let numbers = numbers(&*self.truth, bundle, published.size).await?;
            let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
            // Somebody else may have gone further meanwhile.
            if index.size() / WIDTH == bundle {
                let known = usize::try_from(index.size() % WIDTH).unwrap_or(usize::MAX);
                for evidence in numbers.into_iter().skip(known) {
                    index.push(evidence);
                }
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
