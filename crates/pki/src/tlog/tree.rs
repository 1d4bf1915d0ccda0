//! Growing the tree and proving things about it, from tiles that were handed in.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use tlog_tiles::{Error as TlogError, HASH_SIZE, HashReader, Tile};

use super::{EMPTY_ROOT, Hash, TILE_WIDTH, TREE_SIZE_MAX, tile_number};
use crate::{Error, Result};

const HEIGHT: u8 = 8;
const PROOF_HASHES_MAX: usize = 64;

/// One tile of the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TileId {
    pub level: u8,
    pub index: u64,
    /// Hashes present: 256 in a full tile.
    pub width: u16,
}

impl TileId {
    /// Path below the log's prefix (tlog-tiles, "Merkle tree").
    #[must_use]
    pub fn path(&self) -> String {
        format!(
            "tile/{}/{}",
            self.level,
            tile_number(self.index, self.width)
        )
    }

    /// The full tile at the same place, which may have replaced a partial one.
    #[must_use]
    pub const fn full(self) -> Self {
        Self {
            width: TILE_WIDTH,
            ..self
        }
    }

    fn of(tile: &Tile) -> Self {
        // A width is at most 2^8.
        Self {
            level: tile.level(),
            index: tile.level_index(),
            width: tile.width() as u16,
        }
    }
}

/// Tiles that were fetched, by place; the widest seen of each. They are believed only as far as what
/// is made of them hashes to a root. (`tlog_tiles::TileHashReader` is no help there: it leaves full
/// tiles unchecked when several hashes of the right edge share a tile.)
#[derive(Clone, Debug, Default)]
pub struct Tiles {
    by_place: BTreeMap<(u8, u64), Vec<u8>>,
}

impl Tiles {
    /// Adds a fetched tile.
    ///
    /// # Errors
    /// [`Error::Malformed`] when the bytes are not `width` hashes.
    pub fn insert(&mut self, tile: TileId, bytes: Vec<u8>) -> Result<()> {
        if tile.width == 0
            || tile.width > TILE_WIDTH
            || tile.level > 6
            || bytes.len() != usize::from(tile.width) * HASH_SIZE
        {
            return Err(Error::malformed(
                "tile",
                format!("{} has a wrong length", tile.path()),
            ));
        }
        let held = self.by_place.entry((tile.level, tile.index)).or_default();
        if bytes.len() > held.len() {
            *held = bytes;
        }
        Ok(())
    }

    fn bytes(&self, tile: &Tile) -> core::result::Result<&[u8], TlogError> {
        self.by_place
            .get(&(tile.level(), tile.level_index()))
            .and_then(|bytes| bytes.get(..tile.width() as usize * HASH_SIZE))
            .ok_or_else(|| {
                TlogError::InvalidInput(format!("{} was not handed in", TileId::of(tile).path()))
            })
    }
}

impl HashReader for Tiles {
    fn read_hashes(&self, indexes: &[u64]) -> core::result::Result<Vec<Hash>, TlogError> {
        let read = |index: &u64| {
            let tile = Tile::from_index(HEIGHT, *index);
            tile.hash_at_index(self.bytes(&tile)?, *index)
        };
        indexes.iter().map(read).collect()
    }
}

/// Notes which hashes of a tree of `size` are asked for, and gives none.
struct Wanted {
    size: u64,
    tiles: RefCell<BTreeSet<TileId>>,
}

impl Wanted {
    fn new(size: u64) -> Self {
        Self {
            size,
            tiles: RefCell::default(),
        }
    }

    fn into_tiles(self) -> Vec<TileId> {
        self.tiles.into_inner().into_iter().collect()
    }
}

impl HashReader for Wanted {
    fn read_hashes(&self, indexes: &[u64]) -> core::result::Result<Vec<Hash>, TlogError> {
        let whole = |index: &u64| Tile::from_index(HEIGHT, *index).parent(0, self.size);
        let tiles = indexes
            .iter()
            .filter_map(whole)
            .map(|tile| TileId::of(&tile));
        self.tiles.borrow_mut().extend(tiles);
        Err(TlogError::InvalidInput("only asking".to_owned()))
    }
}

/// What an append changes: the new size and root, and the tiles to write, widths as at the new size.
#[derive(Clone, Debug)]
pub struct Growth {
    pub size: u64,
    pub root: Hash,
    pub tiles: Vec<(TileId, Vec<u8>)>,
}

/// The partial tiles at the right edge of a tree: all that appending to it needs.
///
/// # Errors
/// [`Error::TooLarge`] past [`TREE_SIZE_MAX`].
pub fn edge_tiles(size: u64) -> Result<Vec<TileId>> {
    check_size(size)?;
    let levels = (0..7u8).map(|level| (level, size >> (u32::from(level) * 8)));
    Ok(levels
        .filter(|(_, hashes)| hashes % 256 != 0)
        .map(|(level, hashes)| TileId {
            level,
            index: hashes / 256,
            width: (hashes % 256) as u16,
        })
        .collect())
}

/// Appends leaves to a tree of `size` entries, given its root and its [`edge_tiles`].
///
/// # Errors
/// [`Error::NotVerified`] when the tiles do not hash to `root`; [`Error::TooLarge`].
pub fn append(size: u64, root: Hash, edge: &Tiles, leaves: &[Hash]) -> Result<Growth> {
    let new_size = size.saturating_add(leaves.len() as u64);
    check_size(new_size)?;
    let first = tlog_tiles::stored_hash_count(size);
    let mut grown = Grown {
        edge,
        first,
        new: Vec::with_capacity(2 * leaves.len() + 1),
    };
    let old_root = if size == 0 {
        EMPTY_ROOT
    } else {
        tree_hash(size, &grown)?
    };
    if old_root != root {
        return Err(Error::not_verified(
            "log tiles",
            "they do not hash to the given root",
        ));
    }
    for (leaf, n) in leaves.iter().zip(size..) {
        let hashes = tlog_tiles::stored_hashes_for_record_hash(n, *leaf, &grown).map_err(wrong)?;
        grown.new.extend(hashes);
    }
    let tiles = Tile::new_tiles(HEIGHT, size, new_size)
        .into_iter()
        .map(|tile| Ok((TileId::of(&tile), tile.read_data(&grown).map_err(wrong)?)))
        .collect::<Result<_>>()?;
    let root = if new_size == 0 {
        EMPTY_ROOT
    } else {
        tree_hash(new_size, &grown)?
    };
    Ok(Growth {
        size: new_size,
        root,
        tiles,
    })
}

/// The old tree's edge with the hashes that were appended since.
struct Grown<'e> {
    edge: &'e Tiles,
    /// Storage index of the first new hash.
    first: u64,
    new: Vec<Hash>,
}

impl HashReader for Grown<'_> {
    fn read_hashes(&self, indexes: &[u64]) -> core::result::Result<Vec<Hash>, TlogError> {
        let read = |index: &u64| match index.checked_sub(self.first) {
            Some(at) => usize::try_from(at)
                .ok()
                .and_then(|at| self.new.get(at).copied())
                .ok_or(TlogError::IndexesNotInTree),
            None => self
                .edge
                .read_hashes(&[*index])?
                .first()
                .copied()
                .ok_or(TlogError::IndexesNotInTree),
        };
        indexes.iter().map(read).collect()
    }
}

/// Which tiles [`prove_inclusion`] will need.
///
/// # Errors
/// [`Error::Malformed`] when the entry is not in the tree.
pub fn inclusion_tiles(index: u64, size: u64) -> Result<Vec<TileId>> {
    check_entry(index, size)?;
    let wanted = Wanted::new(size);
    // Both fail on purpose once they have asked.
    let _ = wanted.read_hashes(&[tlog_tiles::stored_hash_index(0, index)]);
    let _ = tlog_tiles::prove_record(size, index, &wanted);
    Ok(wanted.into_tiles())
}

/// The audit path of an entry (RFC 6962 section 2.1.1), checked against the root before it is
/// given out, so wrong tiles are noticed here.
///
/// # Errors
/// [`Error::NotVerified`] for missing or wrong tiles.
pub fn prove_inclusion(index: u64, size: u64, root: Hash, tiles: &Tiles) -> Result<Vec<Hash>> {
    check_entry(index, size)?;
    let leaf = tiles
        .read_hashes(&[tlog_tiles::stored_hash_index(0, index)])
        .map_err(wrong)?;
    let proof = tlog_tiles::prove_record(size, index, tiles).map_err(wrong)?;
    for leaf in leaf {
        check_inclusion(&proof, size, root, index, leaf)?;
    }
    Ok(proof)
}

/// Checks an audit path.
///
/// # Errors
/// [`Error::Malformed`] or [`Error::NotVerified`].
pub fn check_inclusion(
    proof: &[Hash],
    size: u64,
    root: Hash,
    index: u64,
    leaf: Hash,
) -> Result<()> {
    check_entry(index, size)?;
    check_proof(proof)?;
    tlog_tiles::check_record(&proof.to_vec(), size, root, index, leaf)
        .map_err(|e| Error::not_verified("inclusion proof", e))
}

/// Which tiles [`prove_consistency`] will need.
///
/// # Errors
/// [`Error::Malformed`] when the old tree is empty or larger than the new one.
pub fn consistency_tiles(old_size: u64, size: u64) -> Result<Vec<TileId>> {
    check_growth(old_size, size)?;
    let wanted = Wanted::new(size);
    // Fails on purpose once it has asked.
    let _ = tlog_tiles::prove_tree(size, old_size, &wanted);
    Ok(wanted.into_tiles())
}

/// The consistency proof between two trees (RFC 6962 section 2.1.2), checked before it is given
/// out, so wrong tiles are noticed here.
///
/// # Errors
/// [`Error::NotVerified`] for missing or wrong tiles.
pub fn prove_consistency(
    old_size: u64,
    old_root: Hash,
    size: u64,
    root: Hash,
    tiles: &Tiles,
) -> Result<Vec<Hash>> {
    check_growth(old_size, size)?;
    let proof = tlog_tiles::prove_tree(size, old_size, tiles).map_err(wrong)?;
    check_consistency(&proof, old_size, old_root, size, root)?;
    Ok(proof)
}

/// Checks that the tree of `size` begins with the tree of `old_size`.
///
/// # Errors
/// [`Error::Malformed`] or [`Error::NotVerified`].
pub fn check_consistency(
    proof: &[Hash],
    old_size: u64,
    old_root: Hash,
    size: u64,
    root: Hash,
) -> Result<()> {
    check_growth(old_size, size)?;
    if old_size == size {
        // Nothing to prove, so nothing may be claimed.
        return if proof.is_empty() && old_root == root {
            Ok(())
        } else {
            Err(Error::not_verified(
                "consistency proof",
                "two roots or a proof for one size",
            ))
        };
    }
    check_proof(proof)?;
    tlog_tiles::check_tree(&proof.to_vec(), size, root, old_size, old_root)
        .map_err(|e| Error::not_verified("consistency proof", e))
}

fn tree_hash<R: HashReader>(size: u64, reader: &R) -> Result<Hash> {
    tlog_tiles::tree_hash(size, reader).map_err(wrong)
}

fn wrong(error: TlogError) -> Error {
    Error::not_verified("log tiles", error)
}

fn check_size(size: u64) -> Result<()> {
    if size <= TREE_SIZE_MAX {
        return Ok(());
    }
    Err(Error::TooLarge {
        what: "log",
        limit: TREE_SIZE_MAX,
    })
}

fn check_entry(index: u64, size: u64) -> Result<()> {
    check_size(size)?;
    if index < size {
        return Ok(());
    }
    Err(Error::malformed(
        "inclusion proof",
        format!("entry {index} of a log of {size}"),
    ))
}

fn check_growth(old_size: u64, size: u64) -> Result<()> {
    check_size(size)?;
    if old_size > 0 && old_size <= size {
        return Ok(());
    }
    Err(Error::malformed(
        "consistency proof",
        format!("from size {old_size} to {size}"),
    ))
}

fn check_proof(proof: &[Hash]) -> Result<()> {
    if proof.len() <= PROOF_HASHES_MAX {
        return Ok(());
    }
    Err(Error::TooLarge {
        what: "proof",
        limit: PROOF_HASHES_MAX as u64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tlog::leaf_hash;

    fn leaves(range: std::ops::Range<u64>) -> Vec<Hash> {
        range.map(|n| leaf_hash(&n.to_be_bytes())).collect()
    }

    /// RFC 6962 section 2.1, written the slow way.
    fn slow_root(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => EMPTY_ROOT,
            [one] => *one,
            _ => {
                let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
                tlog_tiles::node_hash(slow_root(left), slow_root(right))
            }
        }
    }

    /// Grows a log in uneven steps, handing in the edge tiles alone; keeps every tile written.
    fn grown(to: u64, step: u64) -> (Tiles, Hash) {
        let (mut all, mut root, mut size) = (Tiles::default(), EMPTY_ROOT, 0);
        while size < to {
            let mut edge = Tiles::default();
            for tile in edge_tiles(size).unwrap() {
                let bytes = all.by_place[&(tile.level, tile.index)].clone();
                edge.insert(tile, bytes[..usize::from(tile.width) * 32].to_vec())
                    .unwrap();
            }
            let next = (size + step).min(to);
            let growth = append(size, root, &edge, &leaves(size..next)).unwrap();
            assert_eq!(growth.size, next);
            for (tile, bytes) in growth.tiles {
                all.insert(tile, bytes).unwrap();
            }
            (root, size) = (growth.root, next);
        }
        (all, root)
    }

    fn only(all: &Tiles, wanted: &[TileId]) -> Tiles {
        let mut some = Tiles::default();
        for tile in wanted {
            let bytes = &all.by_place[&(tile.level, tile.index)];
            some.insert(*tile, bytes[..usize::from(tile.width) * 32].to_vec())
                .unwrap();
        }
        some
    }

    #[test]
    fn growing_in_any_steps_gives_the_rfc_6962_root() {
        for (to, step) in [
            (1, 1),
            (2, 1),
            (255, 7),
            (256, 256),
            (257, 100),
            (1000, 333),
        ] {
            assert_eq!(
                grown(to, step).1,
                slow_root(&leaves(0..to)),
                "{to} by {step}"
            );
        }
        assert_eq!(grown(66_000, 511).1, slow_root(&leaves(0..66_000)));
    }

    #[test]
    fn proofs_from_the_wanted_tiles_alone() {
        let (all, root) = grown(1000, 37);
        for index in [0, 1, 255, 256, 511, 767, 768, 998, 999] {
            let tiles = only(&all, &inclusion_tiles(index, 1000).unwrap());
            let proof = prove_inclusion(index, 1000, root, &tiles).unwrap();
            let leaf = leaf_hash(&index.to_be_bytes());
            check_inclusion(&proof, 1000, root, index, leaf).unwrap();
            assert!(check_inclusion(&proof, 1000, root, index ^ 1, leaf).is_err());
            assert!(check_inclusion(&proof, 1000, root, index, leaf_hash(b"other")).is_err());
            assert!(check_inclusion(&proof[1..], 1000, root, index, leaf).is_err());
        }
        for old in [1, 255, 256, 700, 1000] {
            let old_root = slow_root(&leaves(0..old));
            let tiles = only(&all, &consistency_tiles(old, 1000).unwrap());
            let proof = prove_consistency(old, old_root, 1000, root, &tiles).unwrap();
            check_consistency(&proof, old, old_root, 1000, root).unwrap();
            assert!(check_consistency(&proof, old, EMPTY_ROOT, 1000, root).is_err());
        }
    }

    #[test]
    fn wrong_tiles_are_noticed() {
        let (mut all, root) = grown(300, 300);
        all.by_place.get_mut(&(0, 0)).unwrap()[5] ^= 1;
        assert!(
            prove_inclusion(299, 300, root, &all).is_ok(),
            "not on this path"
        );
        assert!(prove_inclusion(3, 300, root, &all).is_err());
        assert!(append(300, EMPTY_ROOT, &all, &leaves(0..1)).is_err());
        assert!(append(300, root, &Tiles::default(), &leaves(0..1)).is_err());
        let tile = TileId {
            level: 0,
            index: 0,
            width: 2,
        };
        assert!(Tiles::default().insert(tile, vec![0; 63]).is_err());
    }

    #[test]
    fn hostile_numbers() {
        for (index, size) in [(0, 0), (5, 5), (0, u64::MAX), (u64::MAX, u64::MAX)] {
            assert!(check_inclusion(&[], size, EMPTY_ROOT, index, EMPTY_ROOT).is_err());
            assert!(inclusion_tiles(index, size).is_err());
        }
        let long = vec![EMPTY_ROOT; 65];
        assert!(check_inclusion(&long, TREE_SIZE_MAX, EMPTY_ROOT, 0, EMPTY_ROOT).is_err());
        assert!(check_consistency(&long, 3, EMPTY_ROOT, TREE_SIZE_MAX, EMPTY_ROOT).is_err());
        assert!(consistency_tiles(0, 5).is_err() && consistency_tiles(6, 5).is_err());
        assert_eq!(edge_tiles(0).unwrap(), []);
    }

    #[test]
    fn paths() {
        let tile = TileId {
            level: 1,
            index: 1_067,
            width: 9,
        };
        assert_eq!(tile.path(), "tile/1/x001/067.p/9");
        assert_eq!(tile.full().path(), "tile/1/x001/067");
    }
}
