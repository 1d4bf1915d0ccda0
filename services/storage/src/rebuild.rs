//! The index in Redis: written along with every commit, rebuilt from the log when it is empty or behind.

use probity_platform::Result;
use probity_platform::cache::Cache;
use probity_platform::startup::Context;

use crate::log::Log;

/// How many entries of the log the index in Redis covers, in eight big-endian bytes.
const MARKER: &str = "log:indexed";

/// Rebuilds the Redis index from the log alone; answers how many entries it has.
///
/// # Errors
/// `Unavailable` without Redis or the store.
pub async fn rebuild_index(ctx: &Context, log: &Log) -> Result<u64> {
    log.refresh().await?;
    fill(&ctx.cache, log).await
}

/// Whether the index in Redis covers less than the log.
///
/// # Errors
/// `Unavailable` without Redis.
pub async fn index_behind(cache: &Cache, log: &Log) -> Result<bool> {
    Ok(covered(cache).await? < log.indexed())
}

/// Entries the index in Redis covers, from the first on without a gap.
pub(crate) async fn covered(cache: &Cache) -> Result<u64> {
    let marker = cache.get(MARKER).await?;
    Ok(marker
        .and_then(|m| m.try_into().ok())
        .map_or(0, u64::from_be_bytes))
}

/// Writes every number, then the marker.
pub(crate) async fn fill(cache: &Cache, log: &Log) -> Result<u64> {
    // Read before the numbers are: the index may grow in between.
    let covered = log.indexed();
    cache.index_put(&log.everything()).await?;
    mark(cache, covered).await?;
    tracing::info!(covered, "rebuilt the index in Redis");
    Ok(covered)
}

/// States that the index covers the first `size` entries.
pub(crate) async fn mark(cache: &Cache, size: u64) -> Result<()> {
    cache.set(MARKER, &size.to_be_bytes(), None).await
}
