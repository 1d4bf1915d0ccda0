//! The log over HTTP, read-only (C2SP tlog-tiles): checkpoint and hash tiles for anybody, entries with authority.

use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRef, Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use probity_pki::tlog::{TILE_WIDTH, encode_bundle};
use probity_platform::Error;
use probity_platform::access::{Access, Authenticated, CallerRole};
use probity_platform::edge::Problem;

use crate::log::Log;
use crate::prove::read_proved;

const TILE_BYTES_MAX: u64 = 256 * 32;
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

async fn checkpoint(State(edge): State<Edge>) -> Result<Response, Problem> {
    let published = edge.log.latest().map_err(Problem)?;
    let head = [
        (CONTENT_TYPE, "text/plain; charset=utf-8"),
        (CACHE_CONTROL, "no-cache"),
    ];
    Ok((head, published.note).into_response())
}

async fn tile(
    State(edge): State<Edge>,
    Path((level, number)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let level = level
        .parse::<u8>()
        .ok()
        .filter(|l| *l < 64 && l.to_string() == level);
    let (Some(level), Some(_)) = (level, tile_number(&number)) else {
        return Err(nothing());
    };
    let key = format!("log/tile/{level}/{number}");
    let object = edge
        .log
        .truth
        .get(&key, TILE_BYTES_MAX)
        .await
        .map_err(Problem)?;
    let object = object.ok_or_else(nothing)?;
    let head = [
        (CONTENT_TYPE, "application/octet-stream"),
        (CACHE_CONTROL, FOREVER),
    ];
    Ok((head, object.bytes).into_response())
}

/// Entries carry certificates and so identities: read with authority, and every read is logged (R7).
async fn entries(
    State(edge): State<Edge>,
    Authenticated(caller): Authenticated,
    Path(number): Path<String>,
) -> Result<Response, Problem> {
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
        return Err(nothing());
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

fn nothing() -> Problem {
    Problem(Error::not_found("the log has no such tile"))
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
