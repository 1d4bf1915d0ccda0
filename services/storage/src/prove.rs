//! Answering where evidence stands in the log, and proving it.

use std::time::Duration;

use bytes::Bytes;
use futures::future::try_join_all;
use probity_domain::EvidenceId;
use probity_pki::tlog::{
    Hash, TILE_WIDTH, TileId, Tiles, check_inclusion, inclusion_tiles, leaf_hash, prove_inclusion,
};
use probity_platform::objects::Objects;
use probity_platform::{Error, Result};
use probity_proto::v1::{DepositedAt, LocateRequest, Located, Proof, ProveRequest};

use crate::log::{Log, Published, read_bundle, read_entry};

/// One question names at most a whole submission.
const NUMBERS_MAX: usize = 10_000;
const TILE_BYTES_MAX: u64 = 256 * 32;
/// Looking for what was deposited just now is worth this much.
const REFRESH_TIME_MAX: Duration = Duration::from_secs(2);

/// The record and its proof against the newest checkpoint.
///
/// # Errors
/// `NotFound` when the number is not in the log; those of the store.
pub async fn prove(log: &Log, request: &ProveRequest) -> Result<Proof> {
    let evidence = EvidenceId::parse(&request.evidence_number)?;
    let (leaf, published) = published_at(log, evidence).await?;
    let record = read_entry(&*log.truth, leaf, published.size).await?;
    let (path, _) = audit_path(&*log.truth, leaf, &published).await?;
    // What the store gives back is believed no more here than by whoever checks the proof.
    let (size, root, hash) = (published.size, published.root, leaf_hash(&record));
    check_inclusion(&path, size, root, leaf, hash)
        .map_err(|_| Error::internal(format!("entry {leaf} is not the log's any more")))?;
    let hashes = path
        .into_iter()
        .map(|hash| Bytes::copy_from_slice(&hash.0))
        .collect();
    Ok(Proof {
        record,
        leaf_index: leaf,
        tree_size: published.size,
        hashes,
        checkpoint: published.note,
    })
}

/// Where a number stands in the log, and a checkpoint that covers it.
///
/// # Errors
/// `NotFound` when it is not in the log.
pub(crate) async fn published_at(log: &Log, evidence: EvidenceId) -> Result<(u64, Published)> {
    if log.leaf(evidence).is_none() {
        refresh(log).await;
    }
    let leaf = log.leaf(evidence);
    let leaf = leaf.ok_or_else(|| Error::not_found(format!("{evidence} is not in the log")))?;
    let mut published = log.latest()?;
    if leaf >= published.size {
        refresh(log).await;
        published = log.latest()?;
    }
    Ok((leaf, published))
}

/// Entries `256 * bundle ..` of a published log, each of them proved to be in it.
///
/// # Errors
/// `NotFound` past its size; `Internal` when the store holds others; those of the store.
pub(crate) async fn read_proved(
    truth: &dyn Objects,
    bundle: u64,
    published: &Published,
) -> Result<Vec<Bytes>> {
    let entries = read_bundle(truth, bundle, published.size).await?;
    let first = bundle.saturating_mul(TILE_WIDTH.into());
    let (_, tile) = audit_path(truth, first, published).await?;
    let leaves: Vec<u8> = entries.iter().flat_map(|e| leaf_hash(e).0).collect();
    // Where the partial tile was pruned this is the full one, which goes on.
    if tile.get(..leaves.len()) != Some(leaves.as_slice()) {
        let detail = format!("bundle {bundle} holds entries that are not the log's");
        return Err(Error::internal(detail));
    }
    Ok(entries)
}

/// The path of a leaf to the signed root, and the hash tile it begins in, which the path covers.
async fn audit_path(
    truth: &dyn Objects,
    leaf: u64,
    published: &Published,
) -> Result<(Vec<Hash>, Bytes)> {
    let wanted = inclusion_tiles(leaf, published.size).map_err(Error::not_found)?;
    let fetched = try_join_all(wanted.iter().map(|id| fetch(truth, *id))).await?;
    let mut tiles = Tiles::default();
    let mut own = Bytes::new();
    for (id, bytes) in fetched {
        tiles.insert(id, bytes.to_vec()).map_err(Error::internal)?;
        if id.level == 0 && id.index == leaf / u64::from(TILE_WIDTH) {
            own = bytes;
        }
    }
    let path = prove_inclusion(leaf, published.size, published.root, &tiles);
    Ok((path.map_err(Error::internal)?, own))
}

async fn fetch(truth: &dyn Objects, id: TileId) -> Result<(TileId, Bytes)> {
    // Partial tiles stay where they are, but a store may be pruned of them once the full one is there (tlog-tiles).
    let tried = if id.width == TILE_WIDTH {
        vec![id]
    } else {
        vec![id, id.full()]
    };
    for id in tried {
        let key = format!("log/{}", id.path());
        if let Some(object) = truth.get(&key, TILE_BYTES_MAX).await? {
            return Ok((id, object.bytes));
        }
    }
    Err(Error::internal(format!("log/{} is missing", id.path())))
}

/// Which of these numbers are deposited, and where.
///
/// # Errors
/// `Malformed` for numbers that are none, `TooMany` of them.
pub async fn locate(log: &Log, request: &LocateRequest) -> Result<Located> {
    if request.evidence_numbers.len() > NUMBERS_MAX {
        return Err(Error::too_many(format!(
            "at most {NUMBERS_MAX} numbers at once"
        )));
    }
    let numbers = request
        .evidence_numbers
        .iter()
        .map(|text| EvidenceId::parse(text));
    let numbers = numbers.collect::<core::result::Result<Vec<_>, _>>()?;
    if numbers.iter().any(|evidence| log.leaf(*evidence).is_none()) {
        refresh(log).await;
    }
    let at = |evidence: EvidenceId| {
        let evidence_number = evidence.to_string();
        log.leaf(evidence).map(|leaf_index| DepositedAt {
            evidence_number,
            leaf_index,
        })
    };
    Ok(Located {
        deposited: numbers.into_iter().filter_map(at).collect(),
    })
}

/// What is known stays true when the store cannot be asked for more.
pub(crate) async fn refresh(log: &Log) {
    match tokio::time::timeout(REFRESH_TIME_MAX, log.refresh()).await {
        Ok(Err(e)) => tracing::warn!(error = %e, "the log could not be looked at"),
        Ok(Ok(())) => {}
        Err(_) => tracing::warn!("the log could not be looked at in time"),
    }
}
