//! RFC 3161 3.4 over HTTP, and what the clock log says, for anybody.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::header::{CONTENT_TYPE, LINK};
use http::{HeaderMap, HeaderValue, StatusCode};
use probity_pki::tsp::{TimeStampResp, TimeStampToken};
use probity_platform::edge::Problem;
use probity_platform::objects::Objects;
use probity_platform::{Error, Result};
use serde::Deserialize;
use tokio::sync::Semaphore;

use crate::TimeStamper;
use crate::clock::audit::{TokenAudit, audit_hour, audit_token};

/// A request has 4 KiB at most (RFC 3161 knows no larger ones), a token brought for audit its certificates as well.
const QUERY_BYTES_MAX: usize = 4 * 1024;
const TOKEN_BYTES_MAX: usize = 64 * 1024;
const QUERY: &str = "application/timestamp-query";
const REPLY: &str = "application/timestamp-reply";
/// Requests of anybody that are worked on at a time, for each core: the pipeline's own must find room beside them.
const STAMPS_PER_CORE: usize = 4;
/// Audits read the store and are for anybody: this many at a time.
const AUDITS_MAX: usize = 2;

#[derive(Clone)]
struct Edge {
    stamper: Arc<TimeStamper>,
    truth: Arc<dyn Objects>,
    stamps: Arc<Semaphore>,
    audits: Arc<Semaphore>,
}

/// The routes; `truth` is where the clock log is.
pub fn router(stamper: Arc<TimeStamper>, truth: Arc<dyn Objects>) -> Router {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let edge = Edge {
        stamper,
        truth,
        stamps: Arc::new(Semaphore::new(STAMPS_PER_CORE * cores)),
        audits: Arc::new(Semaphore::new(AUDITS_MAX)),
    };
    let limit = DefaultBodyLimit::max;
    Router::new()
        .route("/tsa", post(tsa).layer(limit(QUERY_BYTES_MAX)))
        .route("/tsa/clock", post(clock_of).layer(limit(TOKEN_BYTES_MAX)))
        .route("/tsa/clock/{unit}/{hour}", get(clock_hour))
        .with_state(edge)
}

async fn tsa(
    State(edge): State<Edge>,
    headers: HeaderMap,
    query: Bytes,
) -> core::result::Result<Response, Problem> {
    if media_type(&headers) != QUERY {
        let said = format!("send {QUERY}\n");
        return Ok((StatusCode::UNSUPPORTED_MEDIA_TYPE, said).into_response());
    }
    let permit = edge.stamps.clone().acquire_owned().await;
    let permit = permit.map_err(Error::internal)?;
    let work = tokio::task::spawn_blocking(move || {
        // Held until the work ends, whether or not anybody still waits for it.
        let _permit = permit;
        edge.stamper.respond(&query)
    });
    let reply = work.await;
    let reply = reply.map_err(Error::internal)??;
    Ok(([(CONTENT_TYPE, REPLY)], reply).into_response())
}

/// Takes a TimeStampResp, or the token alone.
async fn clock_of(
    State(edge): State<Edge>,
    token: Bytes,
) -> core::result::Result<Json<TokenAudit>, Problem> {
    let _permit = edge.permit()?;
    let certificate = edge.stamper.certificate().clone();
    let read = tokio::task::spawn_blocking(move || {
        let token = match TimeStampResp::from_der(&token) {
            Ok(TimeStampResp::Granted(token)) => *token,
            Ok(TimeStampResp::Refused { .. }) => {
                return Err(Error::malformed("this response holds no token"));
            }
            Err(_) => TimeStampToken::from_der(&token).map_err(Error::malformed)?,
        };
        // What an altered token says about its record is nobody's word.
        let imprint = token.tst_info().imprint.clone();
        let unit = token
            .verify_with(imprint.algorithm, &imprint.digest, &[certificate])
            .map_err(Error::malformed)?;
        Ok((token, unit))
    });
    let (token, unit) = read.await.map_err(Error::internal)??;
    Ok(Json(audit_token(&*edge.truth, &token, &unit).await?))
}

/// Where a page begins.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct After {
    after: Option<String>,
}

/// Long hours come in pages; `Link: …; rel="next"` leads to the next one (RFC 8288).
async fn clock_hour(
    State(edge): State<Edge>,
    Path((unit, hour)): Path<(String, String)>,
    Query(After { after }): Query<After>,
) -> core::result::Result<Response, Problem> {
    let _permit = edge.permit()?;
    let page = audit_hour(&*edge.truth, &unit, &hour, after.as_deref()).await?;
    let mut response = Json(page.records).into_response();
    if let Some(next) = page.next {
        let link = format!("</tsa/clock/{unit}/{hour}?after={next}>; rel=\"next\"");
        let link = HeaderValue::from_str(&link).map_err(Error::internal)?;
        response.headers_mut().insert(LINK, link);
    }
    Ok(response)
}

impl Edge {
    fn permit(&self) -> Result<tokio::sync::SemaphorePermit<'_>> {
        let busy = |_| Error::too_many("other audits are under way");
        self.audits.try_acquire().map_err(busy)
    }
}

/// In lower case, without parameters.
fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok());
    let essence = value.unwrap_or_default().split(';').next();
    essence.unwrap_or_default().trim().to_ascii_lowercase()
}
