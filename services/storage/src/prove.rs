//! Answering where evidence stands in the log, and proving it.

use std::time::Duration;

use bytes::Bytes;
use futures::future::try_join_all;
use probity_domain::EvidenceId;
use probity_pki::tlog::{TILE_WIDTH, TileId, Tiles, inclusion_tiles, prove_inclusion};
use probity_platform::objects::Objects;
use probity_platform::{Error, Result};
use probity_proto::v1::{DepositedAt, LocateRequest, Located, Proof, ProveRequest};

use crate::log::{Log, Published, read_entry};

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
    let record = read_entry(&*log.truth, leaf, published.size).await?;
    let hashes = audit_path(&*log.truth, leaf, &published).await?;
    Ok(Proof {
        record,
        leaf_index: leaf,
        tree_size: published.size,
        hashes,
        checkpoint: published.note,
    })
}

async fn audit_path(truth: &dyn Objects, leaf: u64, published: &Published) -> Result<Vec<Bytes>> {
    let wanted = inclusion_tiles(leaf, published.size).map_err(Error::not_found)?;
    let fetched = try_join_all(wanted.iter().map(|id| fetch(truth, *id))).await?;
    let mut tiles = Tiles::default();
    for (id, bytes) in fetched {
        tiles.insert(id, bytes.to_vec()).map_err(Error::internal)?;
    }
    let path = prove_inclusion(leaf, published.size, published.root, &tiles);
    let path = path.map_err(Error::internal)?;
    Ok(path
        .into_iter()
        .map(|hash| Bytes::copy_from_slice(&hash.0))
        .collect())
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
async fn refresh(log: &Log) {
    match tokio::time::timeout(REFRESH_TIME_MAX, log.refresh()).await {
        Ok(Err(e)) => tracing::warn!(error = %e, "the log could not be looked at"),
        Ok(Ok(())) => {}
        Err(_) => tracing::warn!("the log could not be looked at in time"),
    }
}
