//! Entries as they lie in the store: in full bundles, and in the segments that went before them.

use std::sync::Arc;

use bytes::Bytes;
use probity_domain::EvidenceId;
use probity_pki::tlog::{Hash, TILE_WIDTH, bundle_path, encode_index, index_path, leaf_hash};
use probity_platform::Result;

use super::{Audit, FindingKind};
use crate::log::{
    BUNDLE_ENTRIES, INDEX_BYTES_MAX, SEGMENTS, full_bundle, key, number, segment, segment_key,
};

/// An entry and the object it was read from.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub key: Arc<str>,
    pub bytes: Bytes,
}

impl Audit {
    /// Reads and checks entries `256 * bundle ..` of a log of `size`, with everything that follows from them. Answers
    /// their leaf hashes; `None` for entries that the store does not give back.
    pub(super) async fn bundle(&mut self, bundle: u64, size: u64) -> Result<Vec<Option<Hash>>> {
        let entries = self.entries(bundle, size).await?;
        let numbers = self.records(bundle * BUNDLE_ENTRIES, &entries).await?;
        if entries.len() as u64 == BUNDLE_ENTRIES
            && let Some(numbers) = numbers.into_iter().collect::<Option<Vec<_>>>()
        {
            self.index_tile(bundle, &numbers).await?;
        }
        let leaf = |entry: &Option<Stored>| entry.as_ref().map(|e| leaf_hash(&e.bytes));
        Ok(entries.iter().map(leaf).collect())
    }

    async fn entries(&mut self, bundle: u64, size: u64) -> Result<Vec<Option<Stored>>> {
        let first = bundle * BUNDLE_ENTRIES;
        let width = size.saturating_sub(first).min(BUNDLE_ENTRIES);
        let mut entries = vec![None; usize::try_from(width).unwrap_or_default()];
        let bundle_key = key(&bundle_path(bundle, TILE_WIDTH));
        if width == BUNDLE_ENTRIES {
            self.report.checked.bundles += 1;
            let read = full_bundle(&*self.log.truth, bundle).await;
            match self.report.read(FindingKind::Bundle, &bundle_key, read)? {
                Some(Some(full)) => _ = place(&mut entries, 0, &bundle_key, full),
                Some(None) => self
                    .report
                    .find(FindingKind::Bundle, &bundle_key, "missing"),
                None => {}
            }
        }
        self.segments(first, &mut entries).await?;
        let lacking = entries.iter().filter(|entry| entry.is_none()).count();
        if lacking > 0 && width < BUNDLE_ENTRIES {
            let reason = format!("{lacking} of the {width} entries from {first} on cannot be read");
            self.report.find(FindingKind::Bundle, SEGMENTS, reason);
        }
        Ok(entries)
    }

    /// Segments hold what the bundle holds, and the entries of the last bundle alone.
    async fn segments(&mut self, first: u64, entries: &mut [Option<Stored>]) -> Result<()> {
        let truth = self.log.truth.clone();
        let after = first.checked_sub(1).map(segment_key);
        let width = u16::try_from(BUNDLE_ENTRIES).unwrap_or(u16::MAX);
        for listed in truth.list(SEGMENTS, after.as_deref(), width).await? {
            let Some(start) = number(&listed.key, SEGMENTS) else {
                continue;
            };
            let Ok(at) = usize::try_from(start - first) else {
                break;
            };
            if at >= entries.len() {
                break;
            }
            self.report.checked.segments += 1;
            let read = segment(&*truth, start).await;
            let read = self.report.read(FindingKind::Segment, &listed.key, read)?;
            if let Some(held) = read.flatten()
                && !place(entries, at, &listed.key, held)
            {
                let reason = "other entries than the log's";
                self.report.find(FindingKind::Segment, &listed.key, reason);
            }
        }
        Ok(())
    }

    async fn index_tile(&mut self, bundle: u64, numbers: &[EvidenceId]) -> Result<()> {
        self.report.checked.index_tiles += 1;
        let key = key(&index_path(bundle, TILE_WIDTH));
        let tile = self.log.truth.get(&key, INDEX_BYTES_MAX).await;
        let reason = match self.report.read(FindingKind::IndexTile, &key, tile)? {
            Some(Some(tile)) if *tile.bytes == *encode_index(numbers) => return Ok(()),
            Some(Some(_)) => "other numbers than the entries'",
            Some(None) => "missing",
            None => return Ok(()),
        };
        self.report.find(FindingKind::IndexTile, &key, reason);
        Ok(())
    }
}

/// Puts what was read where nothing was known; answers whether it is the same as what was known.
fn place(entries: &mut [Option<Stored>], at: usize, key: &str, read: Vec<Bytes>) -> bool {
    let key: Arc<str> = key.into();
    let mut same = true;
    for (slot, bytes) in entries.iter_mut().skip(at).zip(read) {
        match slot {
            Some(known) => same &= known.bytes == bytes,
            None => {
                let key = key.clone();
                *slot = Some(Stored { key, bytes });
            }
        }
    }
    same
}
