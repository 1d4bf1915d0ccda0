//! The log over HTTP, read-only (C2SP tlog-tiles): checkpoint and hash tiles for anybody, entries with authority.

use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRef, Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use probity_pki::tlog::{TILE_WIDTH, TileId, encode_bundle};
use probity_platform::access::{Access, Authenticated, CallerRole};
use probity_platform::edge::Problem;
use probity_platform::{Error, ErrorKind, Result};

use crate::log::{Log, key};
use crate::prove::{read_proved, refresh};

const HASH_BYTES: usize = 32;
const FOREVER: &str = "public, max-age=31536000, immutable";

#[derive(Clone)]
struct Edge {
    log: Arc<Log>,
    access: Access,
}

impl FromRef<Edge> for Access {
    fn from_ref(edge: &Edge) -> Self {
        edge.access.clone()
    }
}

/// The routes.
pub fn router(log: Arc<Log>, access: Access) -> Router {
    Router::new()
        .route("/checkpoint", get(checkpoint))
        .route("/tile/entries/{*number}", get(entries))
        .route("/tile/{level}/{*number}", get(tile))
        .with_state(Edge { log, access })
}

async fn checkpoint(State(edge): State<Edge>) -> core::result::Result<Response, Problem> {
    let published = edge.log.latest().map_err(Problem)?;
    let head = [
        (CONTENT_TYPE, "text/plain; charset=utf-8"),
        (CACHE_CONTROL, "no-cache"),
    ];
    Ok((head, published.note).into_response())
}

async fn tile(State(edge): State<Edge>, Path((level, number)): Path<(String, String)>) -> Response {
    match read_tile(&edge.log, &level, &number).await {
        Ok(hashes) => {
            let head = [
                (CONTENT_TYPE, "application/octet-stream"),
                (CACHE_CONTROL, FOREVER),
            ];
            (head, hashes).into_response()
        }
        // It may be there a second later.
        Err(e) => ([(CACHE_CONTROL, "no-store")], Problem(e)).into_response(),
    }
}

/// A tile that the published tree has, or had when it was smaller. What else lies under such a key the log did not put
/// there, or has not published: whoever may write into `truth` can make one, and it would be kept for ours by every cache.
///
/// A partial tile of an earlier size holds the first hashes of what stands in its place now (tlog-tiles, "Partial Tiles"),
/// so it is cut from that, which the newest checkpoint accounts for.
async fn read_tile(log: &Log, level: &str, number: &str) -> Result<Bytes> {
    let parsed = level.parse::<u8>().ok();
    let written = parsed.filter(|l| *l < 64 && l.to_string() == level);
    let (level, (index, width)) = written.zip(tile_number(number)).ok_or_else(nothing)?;
    let of_size = |size| tile_at(level, index, size).filter(|tile| width <= tile.width);
    let mut tile = of_size(log.latest()?.size);
    if tile.is_none() {
        // Another process may have published it and named it to whoever asks.
        refresh(log).await;
        tile = of_size(log.latest()?.size);
    }
    let tile = tile.ok_or_else(nothing)?;
    let (key, length) = (key(&tile.path()), usize::from(tile.width) * HASH_BYTES);
    let wrong = || Error::internal(format!("{key} is not {} hashes", tile.width));
    let read = log.truth.get(&key, length as u64).await;
    let object = read.map_err(|e| match e.kind {
        // Larger than what it must be.
        ErrorKind::Malformed => wrong(),
        _ => e,
    })?;
    let mut hashes = object
        .ok_or_else(|| Error::internal(format!("{key} is missing")))?
        .bytes;
    if hashes.len() != length {
        return Err(wrong());
    }
    hashes.truncate(usize::from(width) * HASH_BYTES);
    Ok(hashes)
}

/// The tile in this place of a tree of `size` entries, as wide as it is there: full, or partial with
/// `floor(size / 256^level) mod 256` hashes (tlog-tiles, "Merkle Tree"); none of no hashes.
fn tile_at(level: u8, index: u64, size: u64) -> Option<TileId> {
    let hashes = size.checked_shr(8 * u32::from(level)).unwrap_or(0);
    let before = index.checked_mul(TILE_WIDTH.into())?;
    let width = hashes.saturating_sub(before).min(TILE_WIDTH.into());
    let width = u16::try_from(width).ok().filter(|width| *width > 0)?;
    Some(TileId {
        level,
        index,
        width,
    })
}

/// Entries carry certificates and so identities: read with authority, and every read is logged (R7).
async fn entries(
    State(edge): State<Edge>,
    Authenticated(caller): Authenticated,
    Path(number): Path<String>,
) -> core::result::Result<Response, Problem> {
    if !matches!(caller.role, CallerRole::Auditor | CallerRole::Operator) {
        let detail = "entries are read with the credential of an auditor or operator";
        return Err(Problem(Error::forbidden(detail)));
    }
    let (bundle, width) = tile_number(&number).ok_or_else(nothing)?;
    let size = bundle
        .saturating_mul(u64::from(TILE_WIDTH))
        .saturating_add(width.into());
    let published = edge.log.latest().map_err(Problem)?;
    if size > published.size {
        return Err(Problem(nothing()));
    }
    tracing::info!(
        actor = caller.actor(),
        bundle,
        width,
        "log entries were read"
    );
    let mut entries = read_proved(&*edge.log.truth, bundle, &published)
        .await
        .map_err(Problem)?;
    entries.truncate(width.into());
    let bytes = encode_bundle(&entries).map_err(|e| Problem(Error::internal(e)))?;
    Ok(([(CONTENT_TYPE, "application/octet-stream")], bytes).into_response())
}

fn nothing() -> Error {
    Error::not_found("the log has no such tile")
}

/// `N` in groups of three digits, all but the last marked `x`, and `.p/W` when partial; in no other spelling.
pub(crate) fn tile_number(text: &str) -> Option<(u64, u16)> {
    let (number, width) = match text.split_once(".p/") {
        Some((number, width)) => {
            let parsed: u16 = width.parse().ok()?;
            if parsed == 0 || parsed >= TILE_WIDTH || parsed.to_string() != width {
                return None;
            }
            (number, parsed)
        }
        None => (text, TILE_WIDTH),
    };
    let groups: Vec<&str> = number.split('/').collect();
    let (last, leading) = groups.split_last()?;
    let digits = |group: &str| -> Option<u64> {
        (group.len() == 3 && group.bytes().all(|b| b.is_ascii_digit()))
            .then(|| group.parse().ok())?
    };
    // Twelve digits and more never stand in the store.
    if leading.len() > 4 {
        return None;
    }
    let mut index = 0u64;
    for (at, group) in leading.iter().enumerate() {
        let value = digits(group.strip_prefix('x')?)?;
        if at == 0 && value == 0 {
            return None;
        }
        index = index * 1_000 + value;
    }
    Some((index * 1_000 + digits(last)?, width))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tree of 70,000 entries that tlog-tiles gives as its example, and its neighbours.
    #[test]
    fn each_size_has_its_tiles() {
        let width = |level, index, size| tile_at(level, index, size).map(|tile| tile.width);
        for (level, index, expected) in [
            (0, 0, Some(256)),
            (0, 272, Some(256)),
            (0, 273, Some(112)),
            (0, 274, None),
            (1, 0, Some(256)),
            (1, 1, Some(17)),
            (1, 2, None),
            (2, 0, Some(1)),
            (2, 1, None),
            (3, 0, None),
            (63, 0, None),
            (0, u64::MAX, None),
        ] {
            assert_eq!(width(level, index, 70_000), expected, "{level}/{index}");
        }
        assert_eq!([width(0, 0, 256), width(1, 0, 256)], [Some(256), Some(1)]);
        assert_eq!([width(0, 0, 255), width(1, 0, 255)], [Some(255), None]);
        assert_eq!(width(0, 0, 0), None);
    }

    #[test]
    fn one_spelling_for_each_tile() {
        for (text, tile) in [
            ("000", (0, 256)),
            ("999.p/255", (999, 255)),
            ("x001/000", (1_000, 256)),
            ("x001/x234/067.p/1", (1_234_067, 1)),
        ] {
            assert_eq!(tile_number(text), Some(tile), "{text}");
        }
        for bad in [
            "",
            "0",
            "0000",
            "x000/000",
            "x001",
            "001/000",
            "000.p/0",
            "000.p/256",
            "000.p/01",
            "000.p/",
            "../000",
            "x001/../000",
            "x1/000",
            "+01",
            "000.p/1.p/1",
            "x001/x001/x001/x001/x001/001",
        ] {
            assert_eq!(tile_number(bad), None, "{bad}");
        }
    }
}
