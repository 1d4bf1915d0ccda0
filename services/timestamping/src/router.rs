//! RFC 3161 3.4 over HTTP, for anybody.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use probity_platform::Error;
use probity_platform::edge::Problem;

use crate::TimeStamper;

const BODY_BYTES_MAX: usize = 64 * 1024;
const QUERY: &str = "application/timestamp-query";
const REPLY: &str = "application/timestamp-reply";

/// The route.
pub fn router(stamper: Arc<TimeStamper>) -> Router {
    Router::new()
        .route("/tsa", post(tsa))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(stamper)
}

async fn tsa(
    State(stamper): State<Arc<TimeStamper>>,
    headers: HeaderMap,
    query: Bytes,
) -> Result<Response, Problem> {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default();
    if !kind
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .eq_ignore_ascii_case(QUERY)
    {
        return Ok((
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!("send {QUERY}\n"),
        )
            .into_response());
    }
    let reply = tokio::task::spawn_blocking(move || stamper.respond(&query)).await;
    let reply = reply
        .map_err(|e| Problem(Error::internal(e)))?
        .map_err(Problem)?;
    Ok(([(CONTENT_TYPE, REPLY)], reply).into_response())
}
