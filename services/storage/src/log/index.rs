//! Which evidence numbers the log holds, and where: in memory, from index tiles.

use std::collections::HashMap;

use bytes::Bytes;
use probity_domain::{EvidenceId, SubmissionId};
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
        let places = self.by_submission.entry(evidence.submission).or_default();
        match places.binary_search_by_key(&evidence.item, |(item, _)| *item) {
            Ok(_) => {
                tracing::error!(%evidence, leaf = self.size, "a number stands twice in the log")
            }
            Err(at) => places.insert(at, (evidence.item, self.size)),
        }
        self.size += 1;
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

fn numbers_of(entries: &[Bytes]) -> Result<Vec<EvidenceId>> {
    let entries = entries.iter().map(|bytes| Entry::read(bytes));
    entries.map(|entry| Ok(entry?.evidence)).collect()
}
