//! The index in Redis: written along with every commit, rebuilt from the log's index tiles when it is empty or behind.

use probity_domain::EvidenceId;
use probity_platform::Result;
use probity_platform::cache::Cache;
use probity_platform::startup::Context;

use crate::log::{BUNDLE_ENTRIES, Log, numbers};

/// How many entries of the log the index in Redis covers, from the first on without a gap; eight big-endian bytes.
const MARKER: &str = "log:indexed";
/// Bundles between two moves of the marker: a rebuild that is cut short goes on from there.
const BUNDLES_PER_MARK: u64 = 16;

/// Rebuilds the Redis index from the log alone; answers how many entries it has.
///
/// # Errors
/// `Unavailable` without Redis or the store.
pub async fn rebuild_index(ctx: &Context, log: &Log) -> Result<u64> {
    log.refresh().await?;
    mark(&ctx.cache, 0).await?;
    catch_up(&ctx.cache, log).await
}

/// Brings the index up to the newest checkpoint, if it is empty or behind; answers how many entries it covers.
///
/// # Errors
/// `Unavailable` without Redis; those of the store.
pub async fn catch_up(cache: &Cache, log: &Log) -> Result<u64> {
    let (covered, size) = (covered(cache).await?, log.latest()?.size);
    if covered >= size {
        return Ok(covered);
    }
    for bundle in covered / BUNDLE_ENTRIES..size.div_ceil(BUNDLE_ENTRIES) {
        let first = bundle * BUNDLE_ENTRIES;
        let numbers = numbers(&*log.truth, bundle, size).await?;
        let entries: Vec<_> = numbers.into_iter().zip(first..).collect();
        cache.index_put(&entries).await?;
        if (bundle + 1) % BUNDLES_PER_MARK == 0 {
            mark(cache, first + entries.len() as u64).await?;
        }
    }
    mark(cache, size).await?;
    tracing::info!(
        from = covered,
        to = size,
        "brought the index in Redis up to the log"
    );
    Ok(size)
}

/// Writes what was just put into the log, or found there. The marker moves over what follows on it without a gap.
pub(crate) async fn put(cache: &Cache, news: &[(EvidenceId, u64)]) -> Result<()> {
    cache.index_put(news).await?;
    let covered = covered(cache).await?;
    let mut leaves: Vec<u64> = news.iter().map(|(_, leaf)| *leaf).collect();
    leaves.sort_unstable();
    let next = leaves.into_iter().fold(
        covered,
        |next, leaf| if leaf == next { next + 1 } else { next },
    );
    if next > covered {
        mark(cache, next).await
    } else {
        Ok(())
    }
}

async fn covered(cache: &Cache) -> Result<u64> {
    let marker = cache.get(MARKER).await?;
    Ok(marker
        .and_then(|m| m.try_into().ok())
        .map_or(0, u64::from_be_bytes))
}

async fn mark(cache: &Cache, size: u64) -> Result<()> {
    cache.set(MARKER, &size.to_be_bytes(), None).await
}
