//! Reading entries back: from full bundles, or from the segments of the last one.

use std::collections::BTreeMap;

use bytes::Bytes;
use probity_pki::tlog::{Hash, TILE_WIDTH, bundle_path, decode_bundle, edge_tiles};
use probity_platform::objects::Objects;
use probity_platform::{Error, Result};

use super::layout::{WIDTH, key, segment_key};
use super::tree::{Entry, Tree};

/// 256 entries of 65,535 bytes and their lengths.
pub(crate) const BUNDLE_BYTES_MAX: u64 = 256 * (65_535 + 2);
pub(crate) const TILE_BYTES_MAX: u64 = 256 * 32;

/// Entries `256 * bundle ..` of the log, up to `size`; fewer than 256 in the last bundle.
///
/// # Errors
/// `NotFound` past `size`; `Internal` when published entries are not there; those of the store.
pub async fn read_bundle(truth: &dyn Objects, bundle: u64, size: u64) -> Result<Vec<Bytes>> {
    let first = bundle.saturating_mul(WIDTH);
    if first >= size {
        return Err(Error::not_found("the log is not that long"));
    }
    let width = (size - first).min(WIDTH);
    let tail = match width < WIDTH {
        true => segments(truth, first, width).await,
        false => Ok(Vec::new()),
    };
    let mut entries = match tail {
        // A full bundle is not asked for: the log has none there yet, and whoever may write into the bucket may have put one.
        Ok(entries) if entries.len() as u64 >= width => entries,
        tail => match full_bundle(truth, bundle).await? {
            Some(entries) => entries,
            None if width < WIDTH => tail?,
            None => {
                return Err(Error::internal(format!(
                    "bundle {bundle} of the log is missing"
                )));
            }
        },
    };
    entries.truncate(usize::try_from(width).unwrap_or(usize::MAX));
    if entries.len() as u64 != width {
        return Err(Error::internal(format!(
            "bundle {bundle} of the log is incomplete"
        )));
    }
    Ok(entries)
}

/// One entry of a log of `size`.
///
/// # Errors
/// As [`read_bundle`].
pub async fn read_entry(truth: &dyn Objects, leaf_index: u64, size: u64) -> Result<Bytes> {
    let bundle = read_bundle(truth, leaf_index / WIDTH, size).await?;
    let place = usize::try_from(leaf_index % WIDTH).unwrap_or(usize::MAX);
    bundle
        .into_iter()
        .nth(place)
        .ok_or_else(|| Error::not_found("the log is not that long"))
}

/// A full bundle, when there is one.
pub(crate) async fn full_bundle(truth: &dyn Objects, bundle: u64) -> Result<Option<Vec<Bytes>>> {
    let path = key(&bundle_path(bundle, TILE_WIDTH));
    let Some(object) = truth.get(&path, BUNDLE_BYTES_MAX).await? else {
        return Ok(None);
    };
    split(&object.bytes, Some(TILE_WIDTH)).map(Some)
}

/// A segment, when there is one.
pub(crate) async fn segment(truth: &dyn Objects, first: u64) -> Result<Option<Vec<Bytes>>> {
    let Some(object) = truth.get(&segment_key(first), BUNDLE_BYTES_MAX).await? else {
        return Ok(None);
    };
    split(&object.bytes, None).map(Some)
}

/// At most `width` entries from `first` on, the beginning of a bundle, and those after them in the last segment. Each segment
/// begins where the one before it ends, so none has to be looked for: what a commit left that was lost with its head is
/// passed over, and a list that is not up to date hides nothing.
async fn segments(truth: &dyn Objects, first: u64, width: u64) -> Result<Vec<Bytes>> {
    let mut entries = Vec::new();
    while (entries.len() as u64) < width {
        match segment(truth, first + entries.len() as u64).await? {
            Some(more) if !more.is_empty() => entries.extend(more),
            _ => break,
        }
    }
    Ok(entries)
}

fn split(bytes: &Bytes, width: Option<u16>) -> Result<Vec<Bytes>> {
    let width = match width {
        Some(width) => width,
        None => count(bytes),
    };
    let entries = decode_bundle(bytes, width).map_err(Error::internal)?;
    Ok(entries
        .into_iter()
        .map(|entry| bytes.slice_ref(entry))
        .collect())
}

/// How many entries a segment holds: lengths are followed, contents are the decoder's to check.
fn count(mut bytes: &[u8]) -> u16 {
    let mut entries = 0u16;
    while let Some((length, rest)) = bytes.split_first_chunk() {
        entries = entries.saturating_add(1);
        bytes = rest
            .get(usize::from(u16::from_be_bytes(*length))..)
            .unwrap_or_default();
    }
    entries
}

/// The tree of a published size.
pub(crate) async fn load_tree(truth: &dyn Objects, size: u64, root: Hash) -> Result<Tree> {
    if size == 0 {
        return Ok(Tree::empty());
    }
    let mut edge = BTreeMap::new();
    for id in edge_tiles(size).map_err(Error::internal)? {
        let path = key(&id.path());
        let tile = truth.get(&path, TILE_BYTES_MAX).await?;
        let tile = tile.ok_or_else(|| Error::internal(format!("{path} is missing")))?;
        edge.insert(id, tile.bytes.to_vec());
    }
    let tail = match size % WIDTH {
        0 => Vec::new(),
        _ => read_bundle(truth, size / WIDTH, size).await?,
    };
    let tail = tail
        .iter()
        .map(|bytes| Entry::read(bytes))
        .collect::<Result<_>>()?;
    Tree::from_parts(size, root, edge, tail)
}
