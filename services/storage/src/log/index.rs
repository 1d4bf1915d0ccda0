//! Which evidence numbers the log holds, and where: in memory, from index tiles.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use probity_domain::{EvidenceId, SubmissionId, Timestamp};
use probity_pki::tlog::{TILE_WIDTH, decode_index, encode_index, index_path};
use probity_platform::objects::Objects;
use probity_platform::{ErrorKind, Result};

use super::entries::read_bundle;
use super::layout::{WIDTH, key};
use super::published::Published;
use super::tree::Entry;
use crate::prove::read_proved;

pub(crate) const INDEX_BYTES_MAX: u64 = 256 * 20;

/// Every number in the first `size` entries. Sixteen bytes an entry and some for each submission.
#[derive(Debug, Clone, Default)]
pub struct Index {
    size: u64,
    /// Places and leaf indexes, in the order of places.
    by_submission: HashMap<SubmissionId, Vec<(u32, u64)>>,
    /// When the newest submission so far was made.
    newest: Option<Timestamp>,
    /// Bundles whose numbers were read from the store.
    loaded: BTreeMap<u64, Loaded>,
}

/// A bundle whose numbers are as a tile had them.
#[derive(Debug, Clone, Copy)]
struct Loaded {
    /// When the newest submission up to this bundle was made.
    newest: Option<Timestamp>,
    /// They were compared with the entries.
    is_proved: bool,
}

impl Index {
    /// Entries covered.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Where a number stands.
    #[must_use]
    pub fn leaf(&self, evidence: EvidenceId) -> Option<u64> {
        let places = self.by_submission.get(&evidence.submission)?;
        let at = places
            .binary_search_by_key(&evidence.item, |(item, _)| *item)
            .ok()?;
        places.get(at).map(|(_, leaf)| *leaf)
    }

    /// Takes up the number of the next entry.
    pub(crate) fn push(&mut self, evidence: EvidenceId) {
        self.place(evidence, self.size);
        self.newest = self.newest.max(Some(evidence.submission.at()));
        self.size += 1;
    }

    fn place(&mut self, evidence: EvidenceId, leaf: u64) {
        let places = self.by_submission.entry(evidence.submission).or_default();
        match places.binary_search_by_key(&evidence.item, |(item, _)| *item) {
            Ok(_) => tracing::error!(%evidence, leaf, "a number stands twice in the log"),
            Err(at) => places.insert(at, (evidence.item, leaf)),
        }
    }

    /// Notes that the numbers of a bundle were read from the store.
    pub(crate) fn loaded(&mut self, bundle: u64) {
        let (newest, is_proved) = (self.newest, false);
        self.loaded.insert(bundle, Loaded { newest, is_proved });
    }

    /// Bundles not compared with their entries yet in which a submission of this time can stand: an entry comes after the
    /// submission it is of, so none of the bundles that were full by then. One more, because the number that says so may
    /// be the one that is wrong.
    pub(crate) fn unproved_since(&self, at: Timestamp) -> Vec<u64> {
        let before = self
            .loaded
            .iter()
            .rfind(|(_, loaded)| loaded.newest < Some(at));
        let first = before.map_or(0, |(bundle, _)| *bundle);
        let unproved = self.loaded.range(first..).rev();
        let unproved = unproved.filter(|(_, loaded)| !loaded.is_proved);
        unproved.map(|(bundle, _)| *bundle).collect()
    }

    pub(crate) fn is_proved(&self, bundle: u64) -> bool {
        self.loaded.get(&bundle).is_none_or(|l| l.is_proved)
    }

    /// Takes the numbers of a bundle from its entries, whatever its tile had said.
    pub(crate) fn prove(&mut self, bundle: u64, numbers: &[EvidenceId]) {
        let first = bundle * WIDTH;
        let leaves = first..self.size.min(first + numbers.len() as u64);
        let right = numbers.iter().copied().zip(leaves.clone());
        if right
            .clone()
            .any(|(number, leaf)| self.leaf(number) != Some(leaf))
        {
            tracing::error!(
                bundle,
                "an index tile has other numbers than the entries: theirs are taken"
            );
            for places in self.by_submission.values_mut() {
                places.retain(|(_, leaf)| !leaves.contains(leaf));
            }
            right.for_each(|(number, leaf)| self.place(number, leaf));
        }
        self.believe(bundle);
    }

    /// Leaves the numbers of a bundle as they are.
    pub(crate) fn believe(&mut self, bundle: u64) {
        if let Some(loaded) = self.loaded.get_mut(&bundle) {
            loaded.is_proved = true;
        }
    }

    /// Leaves out the next entry.
    pub(crate) const fn skip(&mut self) {
        self.size += 1;
    }
}

/// The numbers in a bundle of a published log: from its index tile, or from the entries of the last one.
///
/// A tile that is missing is made again and written: it follows from the entries, which the signed root proves. One
/// that does not read is left to the scrubber, which writes over nothing that would be lost by it.
pub(crate) async fn numbers(
    truth: &dyn Objects,
    bundle: u64,
    published: &Published,
) -> Result<Vec<EvidenceId>> {
    if (bundle + 1) * WIDTH > published.size {
        return numbers_of(&read_bundle(truth, bundle, published.size).await?);
    }
    let key = key(&index_path(bundle, TILE_WIDTH));
    let stored = match truth.get(&key, INDEX_BYTES_MAX).await {
        // Larger than any.
        Err(e) if e.kind == ErrorKind::Malformed => Some(Bytes::new()),
        read => read?.map(|tile| tile.bytes),
    };
    let read = stored.as_deref().and_then(|tile| decode_index(tile).ok());
    if let Some(numbers) = read.filter(|numbers| numbers.len() as u64 == WIDTH) {
        return Ok(numbers);
    }
    let numbers = numbers_of(&read_proved(truth, bundle, published).await?)?;
    if stored.is_some() {
        tracing::error!(
            key,
            "an index tile does not read: its entries are read instead"
        );
    } else {
        tracing::error!(
            key,
            "an index tile was missing: written again from its entries"
        );
        truth.create(&key, encode_index(&numbers).into()).await?;
    }
    Ok(numbers)
}

/// The numbers in entries.
pub(crate) fn numbers_of(entries: &[Bytes]) -> Result<Vec<EvidenceId>> {
    let entries = entries.iter().map(|bytes| Entry::read(bytes));
    entries.map(|entry| Ok(entry?.evidence)).collect()
}
