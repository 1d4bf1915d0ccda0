//! Which evidence numbers the log holds, and where: in memory, from index tiles.

use std::collections::HashMap;

use probity_domain::{EvidenceId, SubmissionId};
use probity_pki::tlog::{TILE_WIDTH, decode_index, index_path};
use probity_platform::objects::Objects;
use probity_platform::{Error, Result};

use super::entries::read_bundle;
use super::layout::{WIDTH, key};
use super::tree::Entry;

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

/// The numbers in a bundle of the log of `size`: from its index tile, or from the entries of the last one.
pub(crate) async fn numbers(
    truth: &dyn Objects,
    bundle: u64,
    size: u64,
) -> Result<Vec<EvidenceId>> {
    if (bundle + 1) * WIDTH <= size {
        let path = key(&index_path(bundle, TILE_WIDTH));
        let tile = truth.get(&path, INDEX_BYTES_MAX).await?;
        let tile = tile.ok_or_else(|| Error::internal(format!("{path} is missing")))?;
        let numbers = decode_index(&tile.bytes).map_err(Error::internal)?;
        if numbers.len() as u64 != WIDTH {
            return Err(Error::internal(format!("{path} is not full")));
        }
        return Ok(numbers);
    }
    let entries = read_bundle(truth, bundle, size).await?;
    entries
        .iter()
        .map(|bytes| Entry::read(bytes).map(|entry| entry.evidence))
        .collect()
}
