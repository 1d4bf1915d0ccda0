//! The index in Redis: written along with every commit, rebuilt from the log's index tiles when it is empty or behind.

use probity_domain::EvidenceId;
use probity_platform::cache::Cache;
use probity_platform::{Error, Result};

use crate::log::{BUNDLE_ENTRIES, Log, Published, numbers};

/// How many entries of the log the index in Redis covers, from the first on without a gap; eight big-endian bytes.
const MARKER: &str = "log:indexed";
/// The same of a rebuild that was asked for and has not come to its end.
const REBUILDING: &str = "log:rebuilding";
/// Bundles between two moves of a marker: a rebuild that is cut short goes on from there.
const BUNDLES_PER_MARK: u64 = 16;

/// What a rebuild wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rebuilt {
    /// Entries of the log, all of which the index now has.
    pub entries: u64,
    /// Those that a rebuild cut short before had written already.
    pub resumed_at: u64,
}

/// Writes the whole index anew from the log, whatever Redis holds; goes on where the same, cut short, left off.
///
/// # Errors
/// `Unavailable` without Redis or the store, and when Redis was emptied meanwhile.
pub async fn rebuild_index(cache: &Cache, log: &Log) -> Result<Rebuilt> {
    log.refresh().await?;
    let published = log.latest()?;
    let size = published.size;
    let resumed_at = marked(cache, REBUILDING).await?.min(size);
    write(cache, log, resumed_at, &published, REBUILDING).await?;
    mark(cache, MARKER, size).await?;
    cache.del(REBUILDING).await?;
    Ok(Rebuilt {
        entries: size,
        resumed_at,
    })
}

/// Brings the index up to the newest checkpoint, if it is empty or behind; answers how many entries it covers.
///
/// # Errors
/// `Unavailable` without Redis; those of the store.
pub async fn catch_up(cache: &Cache, log: &Log) -> Result<u64> {
    let (covered, published) = (marked(cache, MARKER).await?, log.latest()?);
    let size = published.size;
    if covered >= size {
        return Ok(covered);
    }
    write(cache, log, covered, &published, MARKER).await?;
    tracing::info!(
        from = covered,
        to = size,
        "brought the index in Redis up to the log"
    );
    Ok(size)
}

/// Writes the entries from `first` on and lets the marker follow.
async fn write(
    cache: &Cache,
    log: &Log,
    first: u64,
    published: &Published,
    marker: &str,
) -> Result<()> {
    mark(cache, marker, first).await?;
    let size = published.size;
    for bundle in first / BUNDLE_ENTRIES..size.div_ceil(BUNDLE_ENTRIES) {
        let first = bundle * BUNDLE_ENTRIES;
        let numbers = numbers(&*log.truth, bundle, published).await?;
        let entries: Vec<_> = numbers.into_iter().zip(first..).collect();
        cache.index_put(&entries).await?;
        if (bundle + 1) % BUNDLES_PER_MARK == 0 {
            move_on(cache, marker, first + entries.len() as u64).await?;
        }
    }
    move_on(cache, marker, size).await
}

/// Moves a marker that is there. One that is gone went with entries written before it.
async fn move_on(cache: &Cache, marker: &str, covered: u64) -> Result<()> {
    match cache.replace(marker, &covered.to_be_bytes()).await? {
        true => Ok(()),
        false => Err(Error::unavailable(
            "Redis was emptied while its index was written; begin again",
        )),
    }
}

/// Writes what was just put into the log, or found there. The marker moves over what follows on it without a gap.
pub(crate) async fn put(cache: &Cache, news: &[(EvidenceId, u64)]) -> Result<()> {
    cache.index_put(news).await?;
    let covered = marked(cache, MARKER).await?;
    let mut leaves: Vec<u64> = news.iter().map(|(_, leaf)| *leaf).collect();
    leaves.sort_unstable();
    let next = leaves.into_iter().fold(
        covered,
        |next, leaf| if leaf == next { next + 1 } else { next },
    );
    if next > covered {
        mark(cache, MARKER, next).await
    } else {
        Ok(())
    }
}

async fn marked(cache: &Cache, marker: &str) -> Result<u64> {
    let marker = cache.get(marker).await?;
    Ok(marker
        .and_then(|m| m.try_into().ok())
        .map_or(0, u64::from_be_bytes))
}

async fn mark(cache: &Cache, marker: &str, covered: u64) -> Result<()> {
    cache.set(marker, &covered.to_be_bytes(), None).await
}
