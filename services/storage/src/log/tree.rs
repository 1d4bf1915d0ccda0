//! The tree as the writer holds it, and what an append makes of it. Pure.

use std::collections::BTreeMap;

use bytes::Bytes;
use probity_domain::{EvidenceId, Record};
use probity_pki::tlog::{
    EMPTY_ROOT, Hash, TILE_WIDTH, TileId, Tiles, append, bundle_path, edge_tiles, encode_bundle,
    encode_index, index_path, leaf_hash,
};
use probity_platform::{Error, Result};

use super::layout::{WIDTH, key, segment_key};

/// One record on its way into the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub evidence: EvidenceId,
    pub bytes: Bytes,
}

impl Entry {
    /// Of a record.
    ///
    /// # Errors
    /// `Malformed` when it is too long for the log.
    pub fn of(record: &Record) -> Result<Self> {
        Ok(Self {
            evidence: record.evidence,
            bytes: record.encode()?.into(),
        })
    }

    /// Of an entry's bytes.
    ///
    /// # Errors
    /// `Malformed` when they are no record.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        let record = Record::decode(bytes)?;
        Ok(Self {
            evidence: record.evidence,
            bytes: Bytes::copy_from_slice(bytes),
        })
    }
}

/// A tree with its right edge: all that appending needs.
#[derive(Debug, Clone)]
pub struct Tree {
    pub size: u64,
    pub root: Hash,
    /// Incomplete tiles, one a level at most.
    edge: BTreeMap<TileId, Vec<u8>>,
    /// Entries of the incomplete bundle.
    tail: Vec<Entry>,
}

/// A grown tree and the objects that bring the store up to it.
#[derive(Debug, Clone)]
pub struct Grown {
    pub tree: Tree,
    /// To be written in this order, one after the other.
    pub entries: Vec<(String, Bytes)>,
    /// To be written after all of `entries`, in any order.
    pub tiles: Vec<(String, Bytes)>,
}

impl Tree {
    /// The tree without entries.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            size: 0,
            root: EMPTY_ROOT,
            edge: BTreeMap::new(),
            tail: Vec::new(),
        }
    }

    /// From what was read back. That `edge` hashes to `root` is checked by the next append.
    ///
    /// # Errors
    /// `Internal` when the tail is not the entries of the incomplete bundle.
    pub fn from_parts(
        size: u64,
        root: Hash,
        edge: BTreeMap<TileId, Vec<u8>>,
        tail: Vec<Entry>,
    ) -> Result<Self> {
        let leaves: Vec<u8> = tail.iter().flat_map(|e| leaf_hash(&e.bytes).0).collect();
        let known = edge
            .iter()
            .find(|(id, _)| id.level == 0)
            .map_or(&[][..], |(_, bytes)| bytes);
        if tail.len() as u64 != size % WIDTH || leaves != known {
            return Err(Error::internal(
                "the log's last entries are not those of its last tile",
            ));
        }
        Ok(Self {
            size,
            root,
            edge,
            tail,
        })
    }

    /// The entries of the incomplete bundle.
    pub(crate) fn tail(&self) -> &[Entry] {
        &self.tail
    }

    /// Appends. The same tree and entries give the same bytes.
    ///
    /// # Errors
    /// `Internal` when the edge does not hash to the root.
    pub fn grow(&self, new: &[Entry]) -> Result<Grown> {
        let leaves: Vec<Hash> = new.iter().map(|entry| leaf_hash(&entry.bytes)).collect();
        let mut edge = Tiles::default();
        for (id, bytes) in &self.edge {
            edge.insert(*id, bytes.clone()).map_err(Error::internal)?;
        }
        let growth = append(self.size, self.root, &edge, &leaves).map_err(Error::internal)?;
        let mut grown = self.grow_entries(new)?;
        for (id, bytes) in &growth.tiles {
            grown
                .tiles
                .push((key(&id.path()), Bytes::copy_from_slice(bytes)));
        }
        let made: BTreeMap<TileId, Vec<u8>> = growth.tiles.into_iter().collect();
        for id in edge_tiles(growth.size).map_err(Error::internal)? {
            let bytes = made.get(&id).or_else(|| self.edge.get(&id));
            let bytes = bytes.ok_or_else(|| Error::internal("an edge tile is missing"))?;
            grown.tree.edge.insert(id, bytes.clone());
        }
        grown.tree.root = growth.root;
        Ok(grown)
    }

    /// Bundles that became full, each with its index tile, then a segment of what came after them.
    fn grow_entries(&self, new: &[Entry]) -> Result<Grown> {
        let width = usize::from(TILE_WIDTH);
        let mut tail = self.tail.clone();
        tail.extend_from_slice(new);
        let first_bundle = self.size / WIDTH;
        let (mut entries, mut tiles) = (Vec::new(), Vec::new());
        let full = tail.len() / width;
        for (bundle, number) in tail.chunks_exact(width).zip(first_bundle..) {
            entries.push((key(&bundle_path(number, TILE_WIDTH)), encode(bundle)?));
            let numbers: Vec<EvidenceId> = bundle.iter().map(|entry| entry.evidence).collect();
            tiles.push((
                key(&index_path(number, TILE_WIDTH)),
                encode_index(&numbers).into(),
            ));
        }
        let size = self.size + new.len() as u64;
        let tail = tail.split_off(full * width);
        // Within one bundle only what is new; after a full one all of the tail is new.
        let fresh = if full == 0 { new } else { tail.as_slice() };
        if !fresh.is_empty() {
            entries.push((segment_key(size - fresh.len() as u64), encode(fresh)?));
        }
        let tree = Self {
            size,
            root: self.root,
            edge: BTreeMap::new(),
            tail,
        };
        Ok(Grown {
            tree,
            entries,
            tiles,
        })
    }
}

fn encode(entries: &[Entry]) -> Result<Bytes> {
    let bytes: Vec<&[u8]> = entries.iter().map(|entry| entry.bytes.as_ref()).collect();
    encode_bundle(&bytes)
        .map(Bytes::from)
        .map_err(Error::malformed)
}

#[cfg(test)]
pub(crate) mod tests {
    use probity_domain::{SubmissionId, Timestamp};

    use super::*;

    pub(crate) fn entry(submission: u8, item: u32) -> Entry {
        let submission =
            SubmissionId::new(Timestamp::from_unix_ms(1_795_000_000_000), [submission; 10]);
        let evidence = EvidenceId { submission, item };
        Entry::of(&Record {
            evidence,
            statement: vec![7; 40],
            manifest: vec![],
            signature: vec![],
        })
        .unwrap()
    }

    #[test]
    fn one_append_or_many_give_one_tree() {
        let entries: Vec<Entry> = (0..1_100).map(|item| entry(1, item)).collect();
        let whole = Tree::empty().grow(&entries).unwrap().tree;
        let mut tree = Tree::empty();
        let mut rest = entries.as_slice();
        for step in (1..).map(|n: usize| n * 7) {
            let (batch, after) = rest.split_at(step.min(rest.len()));
            tree = tree.grow(batch).unwrap().tree;
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        assert_eq!((tree.size, tree.root), (whole.size, whole.root));
        assert_eq!(tree.edge, whole.edge);
        assert_eq!(tree.tail, whole.tail);
    }

    #[test]
    fn entries_are_written_once_but_for_the_bundle_they_complete() {
        let first: Vec<Entry> = (0..10).map(|item| entry(1, item)).collect();
        let grown = Tree::empty().grow(&first).unwrap();
        let keys: Vec<_> = grown.entries.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["log/segments/000000000000"]);
        let next: Vec<Entry> = (10..300).map(|item| entry(1, item)).collect();
        let grown = grown.tree.grow(&next).unwrap();
        let keys: Vec<_> = grown.entries.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["log/tile/entries/000", "log/segments/000000000256"]);
        let last: Vec<Entry> = (300..512).map(|item| entry(1, item)).collect();
        let grown = grown.tree.grow(&last).unwrap();
        let keys: Vec<_> = grown.entries.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["log/tile/entries/001"]);
    }

    #[test]
    fn a_foreign_tail_is_refused() {
        let grown = Tree::empty().grow(&[entry(1, 0)]).unwrap().tree;
        let parts = |tail| Tree::from_parts(1, grown.root, grown.edge.clone(), tail);
        assert!(parts(vec![entry(1, 0)]).is_ok());
        assert!(parts(vec![entry(1, 1)]).is_err());
        assert!(parts(vec![]).is_err());
    }
}
