//! The log: each bundle with its hash tile, each tile with the signed root, each index tile with its bundle.

use std::collections::BTreeMap;

use bytes::Bytes;
use probity_domain::Record;
use probity_pki::tlog::{
    EMPTY_ROOT, Hash, TILE_WIDTH, TileId, Tiles, append, bundle_path, decode_bundle, encode_index,
    inclusion_tiles, index_path, leaf_hash, prove_inclusion,
};

use super::check::{Expect, leaves_of};
use super::finding::What;
use super::position::Position;
use super::{Error, Result, Scrubber};
use crate::insistent::of_object;
use crate::log::{BUNDLE_ENTRIES, Published, SIZES_END, checkpoint_key, read_bundle};

/// Bundles of one step: some megabytes.
const BUNDLES: u64 = 4;
const BUNDLE_BYTES_MAX: u64 = 256 * (65_535 + 2);
const TILE_BYTES_MAX: u64 = 256 * 32;

impl Scrubber {
    pub(super) async fn step_log(&self, position: &mut Position) -> Result<()> {
        // Not through the index of the log, which does not open when a tile of it is gone.
        let Some(published) = self.log.checkpoint(position.log_size).await? else {
            position.next_area();
            return Ok(());
        };
        let bundles = published.size.div_ceil(BUNDLE_ENTRIES);
        let until = bundles.min(position.bundle + BUNDLES);
        for bundle in position.bundle..until {
            if (bundle + 1) * BUNDLE_ENTRIES <= published.size {
                self.check_full(position, bundle, &published).await?;
            } else {
                self.check_tail(position, bundle, &published).await?;
            }
        }
        position.bundle = until;
        if until >= bundles {
            position.next_area();
        }
        Ok(())
    }

    /// The largest size whose checkpoint the log signed; 0 when there is none.
    pub(super) async fn newest_believable(&self, position: &mut Position) -> Result<u64> {
        let mut below = SIZES_END;
        while let Some(size) = self.log.newest_below(below).await? {
            match self.log.stored_checkpoint(size).await? {
                Some(Ok(_)) => return Ok(size),
                Some(Err(reason)) => {
                    let key = checkpoint_key(size);
                    self.found(position, &key, (What::Wrong, reason), None)
                        .await?;
                }
                // Removed since it was listed; the baseline knows of it.
                None => {}
            }
            below = size;
        }
        Ok(0)
    }

    async fn check_full(
        &self,
        position: &mut Position,
        bundle: u64,
        published: &Published,
    ) -> Result<()> {
        let bundle_key = log_key(&bundle_path(bundle, TILE_WIDTH));
        let index_key = log_key(&index_path(bundle, TILE_WIDTH));
        let entries = self.read(position, &bundle_key, BUNDLE_BYTES_MAX).await?;
        let leaves = entries.as_deref().and_then(leaves_of);
        let tile = self
            .check_tiles(position, bundle, published, leaves.as_deref())
            .await?;
        let right = match (&entries, &leaves, &tile) {
            (None, _, _) => Some((What::Missing, "a full bundle".to_owned())),
            (Some(_), None, _) => Some((What::Wrong, "not 256 entries".to_owned())),
            (_, Some(leaves), Some(tile)) if leaves != tile => {
                let detail = "entries that the log's hash tile does not have".to_owned();
                Some((What::Wrong, detail))
            }
            _ => None,
        };
        if let Some(found) = right {
            let expect = tile.map(Expect::Leaves);
            return self
                .found(position, &bundle_key, found, expect.as_ref())
                .await;
        }
        let Some(numbers) = entries.as_deref().and_then(numbers_of) else {
            let found = (What::Wrong, "entries that are no records".to_owned());
            return self.found(position, &bundle_key, found, None).await;
        };
        let index = self.read(position, &index_key, TILE_BYTES_MAX).await?;
        if index.as_ref() == Some(&numbers) {
            return Ok(());
        }
        let found = match index {
            None => (What::Missing, "an index tile".to_owned()),
            Some(_) => (
                What::Wrong,
                "numbers that are not those of the bundle".to_owned(),
            ),
        };
        let expect = Expect::Bytes(numbers);
        self.found(position, &index_key, found, Some(&expect)).await
    }

    /// The hashes of a full bundle's leaves, when they hang from the signed root; what hangs wrongly is found.
    async fn check_tiles(
        &self,
        position: &mut Position,
        bundle: u64,
        published: &Published,
        leaves: Option<&[Hash]>,
    ) -> Result<Option<Vec<Hash>>> {
        let first = bundle * BUNDLE_ENTRIES;
        let mut tiles = BTreeMap::new();
        for id in inclusion_tiles(first, published.size).map_err(Error::internal)? {
            let id = self.read_tile(position, id).await?;
            tiles.insert(id.0, id.1);
        }
        let own = TileId {
            level: 0,
            index: bundle,
            width: TILE_WIDTH,
        };
        let holds = |own_bytes: Option<&[u8]>| {
            let mut set = Tiles::default();
            for (id, bytes) in &tiles {
                let bytes = if *id == own {
                    own_bytes
                } else {
                    bytes.as_deref()
                };
                set.insert(*id, bytes?.to_vec()).ok()?;
            }
            prove_inclusion(first, published.size, published.root, &set).ok()
        };
        let stored = tiles.get(&own).and_then(|bytes| bytes.as_deref());
        if holds(stored).is_some() {
            return Ok(stored.map(hashes_of));
        }
        // The bundle's own leaves in the tile's place tell which of the two is wrong.
        let made: Option<Vec<u8>> =
            leaves.map(|leaves| leaves.iter().flat_map(|leaf| leaf.0).collect());
        if let (Some(made), true) = (&made, made.as_deref() != stored)
            && holds(Some(made.as_slice())).is_some()
        {
            let found = match stored {
                None => (What::Missing, "a hash tile".to_owned()),
                Some(_) => (
                    What::Wrong,
                    "hashes that do not lead to the signed root".to_owned(),
                ),
            };
            let expect = Expect::Bytes(Bytes::from(made.clone()));
            let key = log_key(&own.path());
            self.found(position, &key, found, Some(&expect)).await?;
            return Ok(leaves.map(<[Hash]>::to_vec));
        }
        for (id, bytes) in tiles {
            self.check_parent(position, id, bytes.as_deref()).await?;
        }
        Ok(None)
    }

    /// A tile of a higher level is the roots of those below it.
    async fn check_parent(
        &self,
        position: &mut Position,
        id: TileId,
        bytes: Option<&[u8]>,
    ) -> Result<()> {
        let key = log_key(&id.path());
        if id.level == 0 {
            if bytes.is_none() {
                let found = (What::Missing, "a hash tile".to_owned());
                self.found(position, &key, found, None).await?;
            }
            return Ok(());
        }
        let mut made = Vec::new();
        for place in 0..u64::from(id.width) {
            let below = TileId {
                level: id.level - 1,
                index: id.index * BUNDLE_ENTRIES + place,
                width: TILE_WIDTH,
            };
            let (_, bytes) = self.read_tile(position, below).await?;
            let Some(root) = bytes.as_deref().and_then(|b| root_of(&hashes_of(b))) else {
                // That one is found by its own bundle; this one cannot be judged.
                return Ok(());
            };
            made.extend(root.0);
        }
        if bytes == Some(made.as_slice()) {
            return Ok(());
        }
        let found = match bytes {
            None => (What::Missing, "a hash tile".to_owned()),
            Some(_) => (
                What::Wrong,
                "hashes that are not those of the tiles below".to_owned(),
            ),
        };
        // Made of tiles that nothing vouches for now: said, not written.
        self.found(position, &key, found, None).await
    }

    /// The entries after the last full bundle, which lie in segments.
    async fn check_tail(
        &self,
        position: &mut Position,
        bundle: u64,
        published: &Published,
    ) -> Result<()> {
        let segments = format!("log/segments/{:012}", bundle * BUNDLE_ENTRIES);
        let read = read_bundle(&*self.truth, bundle, published.size).await;
        let entries = match of_object(read)? {
            Ok(entries) => entries,
            Err(e) => {
                let found = (What::Wrong, e.detail);
                return self.found(position, &segments, found, None).await;
            }
        };
        position.count(1, entries.iter().map(|e| e.len() as u64).sum());
        let last = published.size - 1;
        let mut tiles = Tiles::default();
        let mut own = None;
        for id in inclusion_tiles(last, published.size).map_err(Error::internal)? {
            let (id, bytes) = self.read_tile(position, id).await?;
            let Some(bytes) = bytes else {
                let found = (What::Missing, "a hash tile at the log's edge".to_owned());
                return self
                    .found(position, &log_key(&id.path()), found, None)
                    .await;
            };
            if id.level == 0 {
                own = Some(hashes_of(&bytes));
            }
            tiles.insert(id, bytes.to_vec()).map_err(Error::internal)?;
        }
        let leaves: Vec<_> = entries.iter().map(|entry| leaf_hash(entry)).collect();
        let proved = prove_inclusion(last, published.size, published.root, &tiles).is_ok();
        let same = own.is_some_and(|own| own.starts_with(&leaves));
        if proved && same {
            return Ok(());
        }
        let detail = "the log's last entries do not lead to the signed root".to_owned();
        self.found(position, &segments, (What::Wrong, detail), None)
            .await
    }

    async fn read(&self, position: &mut Position, key: &str, max: u64) -> Result<Option<Bytes>> {
        match of_object(self.truth.get(key, max).await)? {
            Ok(object) => {
                let bytes = object.map(|object| object.bytes);
                position.count(1, bytes.as_ref().map_or(0, |b| b.len() as u64));
                Ok(bytes)
            }
            // Longer than any can be, or none that reads: wrong, as an empty one is.
            Err(_) => Ok(Some(Bytes::new())),
        }
    }

    /// A tile, or the full one that took the place of a partial one.
    async fn read_tile(
        &self,
        position: &mut Position,
        id: TileId,
    ) -> Result<(TileId, Option<Bytes>)> {
        let key = log_key(&id.path());
        let mut bytes = self.read(position, &key, TILE_BYTES_MAX).await?;
        if bytes.is_none() && id.width < TILE_WIDTH {
            let full = log_key(&id.full().path());
            let width = usize::from(id.width) * 32;
            bytes = self.read(position, &full, TILE_BYTES_MAX).await?;
            bytes = bytes.and_then(|b| (b.len() >= width).then(|| b.slice(..width)));
        }
        Ok((id, bytes))
    }
}

fn log_key(path: &str) -> String {
    format!("log/{path}")
}

fn hashes_of(tile: &[u8]) -> Vec<Hash> {
    let (hashes, _) = tile.as_chunks::<32>();
    hashes.iter().map(|hash| Hash(*hash)).collect()
}

/// The hash that stands for a full tile one level up.
fn root_of(hashes: &[Hash]) -> Option<Hash> {
    let grown = append(0, EMPTY_ROOT, &Tiles::default(), hashes).ok()?;
    (hashes.len() == usize::from(TILE_WIDTH)).then_some(grown.root)
}

/// The index tile that goes with a bundle.
fn numbers_of(bundle: &[u8]) -> Option<Bytes> {
    let entries = decode_bundle(bundle, TILE_WIDTH).ok()?;
    let numbers = entries
        .into_iter()
        .map(|entry| Record::decode(entry).ok().map(|record| record.evidence));
    Some(encode_index(&numbers.collect::<Option<Vec<_>>>()?).into())
}
