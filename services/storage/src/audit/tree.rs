//! The tree, grown again from checkpoint to checkpoint.

use std::collections::{BTreeMap, HashSet};

use futures::{StreamExt as _, stream};
use probity_pki::tlog::{
    EMPTY_ROOT, Growth, Hash, TILE_WIDTH, TileId, Tiles, append, bundle_path, edge_tiles,
};
use probity_platform::{Error, Result};

use super::{Audit, FindingKind, PAGE, Point, READS_AT_ONCE};
use crate::log::{
    BUNDLE_ENTRIES, CHECKPOINTS, SEGMENTS, TILE_BYTES_MAX, checkpoint_key, key, number,
};
use crate::router::tile_number;

/// After so many bundles of which nothing is there, the log is taken to end.
const MISSING_MAX: usize = 256;
const HASH_BYTES: usize = 32;

/// A checkpoint that the entries lead to, with all that growing on needs.
struct Waypoint {
    size: u64,
    root: Hash,
    edge: BTreeMap<TileId, Vec<u8>>,
}

impl Waypoint {
    fn grow(&self, leaves: &[Hash]) -> Result<Growth> {
        let mut edge = Tiles::default();
        for (id, bytes) in &self.edge {
            edge.insert(*id, bytes.clone()).map_err(Error::internal)?;
        }
        append(self.size, self.root, &edge, leaves).map_err(Error::internal)
    }

    fn next(&self, growth: Growth) -> Result<Self> {
        let (size, root) = (growth.size, growth.root);
        let mut made: BTreeMap<TileId, Vec<u8>> = growth.tiles.into_iter().collect();
        let mut edge = BTreeMap::new();
        for id in edge_tiles(size).map_err(Error::internal)? {
            let bytes = made.remove(&id).or_else(|| self.edge.get(&id).cloned());
            let bytes = bytes.ok_or_else(|| Error::internal("an edge tile was not made"))?;
            edge.insert(id, bytes);
        }
        Ok(Self { size, root, edge })
    }
}

impl Audit {
    /// Walks every entry, and grows the tree to each checkpoint.
    pub(super) async fn tree(&mut self, points: &[Point]) -> Result<()> {
        let size = points.last().map_or(0, |point| point.size);
        let (mut pending, mut missing) = (Vec::new(), 0);
        let mut bundles = 0..size.div_ceil(BUNDLE_ENTRIES);
        let edge = BTreeMap::new();
        let mut at = Waypoint {
            size: 0,
            root: EMPTY_ROOT,
            edge,
        };
        for point in points {
            let length = usize::try_from(point.size - at.size).unwrap_or(usize::MAX);
            while pending.len() < length && missing < MISSING_MAX {
                let Some(bundle) = bundles.next() else { break };
                let leaves = self.bundle(bundle, size).await?;
                let nothing = leaves.iter().all(Option::is_none);
                missing = if nothing { missing + 1 } else { 0 };
                pending.extend(leaves);
            }
            let reached = match pending.get(..length) {
                Some(leaves) => self.reach(&at, leaves, point).await?,
                None => self.resume(point).await?,
            };
            match reached {
                Some(next) => {
                    pending.drain(..length.min(pending.len()));
                    at = next;
                }
                None => {
                    let reason = "it is not the tree of the entries before it";
                    let key = checkpoint_key(point.size);
                    self.report.find(FindingKind::Checkpoint, &key, reason);
                }
            }
        }
        Ok(())
    }

    /// From one checkpoint to the next by the entries between them. When those do not lead there, the hashes in the
    /// stored tiles may: then it is the entries that were changed.
    async fn reach(
        &mut self,
        from: &Waypoint,
        entries: &[Option<Hash>],
        point: &Point,
    ) -> Result<Option<Waypoint>> {
        let mut grown = None;
        if let Some(leaves) = entries.iter().copied().collect::<Option<Vec<_>>>() {
            grown = Some(from.grow(&leaves)?).filter(|growth| growth.root == point.root);
        }
        if grown.is_none() {
            let stored = self.stored_leaves(from.size, point.size).await?;
            let filled = entries.iter().zip(&stored).map(|(e, s)| e.or(*s));
            for candidate in [filled.collect::<Vec<_>>(), stored] {
                let leaves: Option<Vec<_>> = candidate.iter().copied().collect();
                let Some(leaves) = leaves else { continue };
                let growth = from.grow(&leaves)?;
                if growth.root == point.root {
                    self.blame_entries(from.size, entries, &leaves);
                    grown = Some(growth);
                    break;
                }
            }
        }
        let Some(growth) = grown else {
            let resumed = self.resume(point).await?;
            if resumed.is_some() && entries.iter().all(Option::is_some) {
                let reason = format!("the entries from {} on do not lead to it", from.size);
                let key = checkpoint_key(point.size);
                self.report.find(FindingKind::Checkpoint, &key, reason);
            }
            return Ok(resumed);
        };
        self.compare(&growth).await?;
        from.next(growth).map(Some)
    }

    /// A checkpoint by its own tiles alone: from there the walk can go on.
    async fn resume(&mut self, point: &Point) -> Result<Option<Waypoint>> {
        let (size, root) = (point.size, point.root);
        let mut edge = BTreeMap::new();
        for id in edge_tiles(size).map_err(Error::internal)? {
            match self.tile(id).await? {
                Some(bytes) => edge.insert(id, bytes),
                None => return Ok(None),
            };
        }
        let waypoint = Waypoint { size, root, edge };
        Ok(waypoint.grow(&[]).is_ok().then_some(waypoint))
    }

    /// The stored hashes of leaves `from .. to`, as far as they are there.
    async fn stored_leaves(&self, from: u64, to: u64) -> Result<Vec<Option<Hash>>> {
        let mut leaves = Vec::new();
        let mut at = from;
        while at < to {
            let (index, place) = (at / BUNDLE_ENTRIES, at % BUNDLE_ENTRIES);
            let width = (to - index * BUNDLE_ENTRIES).min(BUNDLE_ENTRIES);
            let width = u16::try_from(width).unwrap_or(TILE_WIDTH);
            let tile = TileId {
                level: 0,
                index,
                width,
            };
            let bytes = self.tile(tile).await?;
            let (hashes, _) = bytes.as_deref().unwrap_or_default().as_chunks();
            for n in place..width.into() {
                let hash = usize::try_from(n).ok().and_then(|n| hashes.get(n));
                leaves.push(hash.copied().map(Hash));
            }
            at = index * BUNDLE_ENTRIES + u64::from(width);
        }
        Ok(leaves)
    }

    /// A stored tile, from the full one where the incomplete one was pruned (tlog-tiles). `None` when it is not whole.
    async fn tile(&self, id: TileId) -> Result<Option<Vec<u8>>> {
        let bytes = usize::from(id.width) * HASH_BYTES;
        for id in [id, id.full()] {
            match self.log.truth.get(&key(&id.path()), TILE_BYTES_MAX).await {
                Ok(Some(tile)) => return Ok(tile.bytes.get(..bytes).map(<[u8]>::to_vec)),
                Ok(None) => {}
                Err(e) if e.kind.is_transient() => return Err(e),
                Err(_) => return Ok(None),
            }
        }
        Ok(None)
    }

    /// Names entries that are not those whose hashes were signed. What is missing was named when it was read.
    fn blame_entries(&mut self, first: u64, entries: &[Option<Hash>], signed: &[Hash]) {
        for ((entry, signed), leaf) in entries.iter().zip(signed).zip(first..) {
            if entry.is_some_and(|entry| entry != *signed) {
                let path = bundle_path(leaf / BUNDLE_ENTRIES, TILE_WIDTH);
                let reason = format!("leaf {leaf} is another entry than was signed into the log");
                self.report.find(FindingKind::Bundle, &key(&path), reason);
            }
        }
    }

    /// Compares the tiles of one commit with the stored ones.
    async fn compare(&mut self, growth: &Growth) -> Result<()> {
        let log = &self.log;
        let stored: Vec<_> = stream::iter(&growth.tiles)
            .map(|(id, made)| async move {
                let key = key(&id.path());
                let stored = log.truth.get(&key, TILE_BYTES_MAX).await;
                (id, made, key, stored)
            })
            .buffered(READS_AT_ONCE)
            .collect()
            .await;
        for (id, made, key, stored) in stored {
            self.report.checked.tiles += 1;
            let reason = match self.report.read(FindingKind::Tile, &key, stored)? {
                Some(Some(tile)) if tile.bytes == *made => continue,
                Some(Some(_)) => "other hashes than those of the entries",
                Some(None)
                    if self
                        .tile(id.full())
                        .await?
                        .is_some_and(|full| full.starts_with(made)) =>
                {
                    continue;
                }
                Some(None) => "missing",
                None => continue,
            };
            self.report.find(FindingKind::Tile, &key, reason);
        }
        Ok(())
    }

    /// Looks for objects that no checkpoint accounts for. What lies behind the newest checkpoint may be a commit that
    /// is under way.
    pub(super) async fn strays(&mut self, newest: Option<&Point>) -> Result<()> {
        let size = newest.map_or(0, |point| point.size);
        let mut after: Option<String> = None;
        loop {
            let page = self.log.truth.list("log/", after.as_deref(), PAGE).await?;
            for listed in &page {
                if !accounted(&listed.key, size, &self.partial) {
                    let reason = "no checkpoint accounts for it";
                    self.report.find(FindingKind::Stray, &listed.key, reason);
                }
            }
            match page.last() {
                Some(last) if page.len() == usize::from(PAGE) => after = Some(last.key.clone()),
                _ => return Ok(()),
            }
        }
    }
}

fn accounted(key: &str, size: u64, partial: &HashSet<TileId>) -> bool {
    if number(key, CHECKPOINTS)
        .or_else(|| number(key, SEGMENTS))
        .is_some()
    {
        return true;
    }
    let full = |text: &str| tile_number(text).is_some_and(|(_, width)| width == TILE_WIDTH);
    if let Some(text) = key
        .strip_prefix("log/index/")
        .or_else(|| key.strip_prefix("log/tile/entries/"))
    {
        return full(text);
    }
    let tile = key.strip_prefix("log/tile/").and_then(|rest| {
        let (level, text) = rest.split_once('/')?;
        let level: u8 = level.parse().ok().filter(|l| *l < 7)?;
        let (index, width) = tile_number(text)?;
        Some(TileId {
            level,
            index,
            width,
        })
    });
    tile.is_some_and(|id| {
        let hashes = id
            .index
            .saturating_mul(BUNDLE_ENTRIES)
            .saturating_add(id.width.into());
        let beyond = hashes > size >> (8 * u32::from(id.level));
        id.width == TILE_WIDTH || beyond || partial.contains(&id)
    })
}
