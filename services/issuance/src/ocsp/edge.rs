//! OCSP over HTTP: GET and POST (RFC 6960 appendix A.1, RFC 5019 5, 6.2).

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, EXPIRES, LAST_MODIFIED};
use http::{HeaderMap, StatusCode};
use probity_domain::Timestamp;
use probity_pki::digest::HashAlgorithm;
use probity_platform::edge::Problem;

use super::{Answer, Cacheable, OcspResponder};

/// As long as a request may be that is read at all.
const BODY_BYTES_MAX: usize = 16 * 1024;
const REQUEST: &str = "application/ocsp-request";
const RESPONSE: &str = "application/ocsp-response";

pub(crate) fn routes(responder: Arc<OcspResponder>) -> Router {
    Router::new()
        .route("/ocsp", post(by_post))
        .route("/ocsp/{*request}", get(by_get))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(responder)
}

async fn by_post(
    State(responder): State<Arc<OcspResponder>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case(REQUEST) {
        let text = format!("send {REQUEST}\n");
        return Ok((StatusCode::UNSUPPORTED_MEDIA_TYPE, text).into_response());
    }
    // No bytes are no request: what is too long is answered as malformed.
    let answer = responder
        .answer(&body.unwrap_or_default())
        .await
        .map_err(Problem)?;
    Ok(([(CONTENT_TYPE, RESPONSE)], answer.der).into_response())
}

/// The request in base64, percent-encoded; many clients leave the slashes as they are.
async fn by_get(
    State(responder): State<Arc<OcspResponder>>,
    Path(request): Path<String>,
) -> Result<Response, Problem> {
    let request = STANDARD.decode(request).unwrap_or_default();
    let Answer { der, cacheable } = responder.answer(&request).await.map_err(Problem)?;
    let Some(Cacheable {
        produced_at,
        next_update,
        max_age_ms,
    }) = cacheable
    else {
        let headers = [(CONTENT_TYPE, RESPONSE), (CACHE_CONTROL, "no-store")];
        return Ok((headers, der).into_response());
    };
    let max_age_s = max_age_ms / 1_000;
    let control = format!("max-age={max_age_s},public,no-transform,must-revalidate");
    let tag = hex::encode(HashAlgorithm::Sha256.digest(&der));
    let headers = [
        (CONTENT_TYPE, RESPONSE.to_owned()),
        (CACHE_CONTROL, control),
        (LAST_MODIFIED, http_date(produced_at)),
        (EXPIRES, http_date(next_update)),
        (ETAG, format!("\"{tag}\"")),
    ];
    Ok((headers, der).into_response())
}

fn http_date(at: Timestamp) -> String {
    let since = Duration::from_millis(at.unix_ms().try_into().unwrap_or_default());
    httpdate::fmt_http_date(UNIX_EPOCH + since)
}
