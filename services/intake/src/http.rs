//! HTTP: what vendors see. Every call needs a vendor's credential and sees that tenant alone.

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use futures::TryStreamExt as _;
use http::header::{CONNECTION, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use probity_domain::{
    Digests, EvidenceId, IdempotencyKey, IntentId, Sha3_256, Sha256, SubmissionId,
};
use probity_platform::access::Authenticated;
use probity_platform::edge::{Json, Problem};
use probity_platform::{Error, Result};
use probity_proto::http::{
    BlobStoredDocument, EvidencePageDocument, EvidenceStatusDocument, InstructionDocument,
    ProblemDocument, SubmittedDocument,
};
use serde::Deserialize;

use crate::instruction::INSTRUCTION_BYTES_MAX;
use crate::lent::lend;
use crate::serve::Shared;
use crate::status::Whereabouts;
use crate::submit::{Request, submit};
use crate::verified::Expected;
use crate::{Intake, fetch, openapi, search, status, upload};

type Answer<T> = core::result::Result<T, Problem>;

/// An instruction takes about this many times its length in memory: as it came, as it is read, and as its submission is
/// written. What its refusals take beyond that is admitted when it is known.
pub(crate) const INSTRUCTION_MEMORY: u64 = 3;

/// The role's routes.
pub fn router(intake: Intake) -> Router {
    Router::new()
        .route("/v1/blobs/{sha3_256}", put(put_blob).head(head_blob))
        .route("/v1/submissions", post(post_submission))
        .route("/v1/submissions/{submission}", get(get_submission))
        .route("/v1/evidence", get(list_evidence))
        .route("/v1/evidence/{evidence}", get(get_evidence))
        .route(
            "/v1/evidence/{evidence}/artifacts/{*name}",
            get(get_artifact),
        )
        .route("/openapi.json", get(openapi_document))
        .with_state(Shared(intake))
}

/// Uploads one artifact's bytes under their SHA3-256. The same bytes again are free.
#[utoipa::path(put, path = "/v1/blobs/{sha3_256}",
    params(("sha3_256" = String, Path), ("Probity-SHA256" = String, Header),
        ("Content-Length" = u64, Header)),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    security(("credential" = [])), responses(
    (status = 200, body = BlobStoredDocument, description = "stored before"),
    (status = 201, body = BlobStoredDocument),
    (status = 400, body = ProblemDocument, description = "empty, or the bytes are not what was announced"),
    (status = 413, body = ProblemDocument),
    (status = 429, body = ProblemDocument, description = "too much of this tenant's is under way; see Retry-After"),
    (status = 503, body = ProblemDocument, description = "too much is under way, or the store is away; see Retry-After")))]
pub(crate) async fn put_blob(
    State(Shared(intake)): State<Shared>,
    Authenticated(caller): Authenticated,
    Path(sha3_256): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Answer<Response> {
    let (tenant, _) = caller.require_vendor()?;
    let announced = announced(&sha3_256, &headers)?;
    if announced.size_bytes > intake.blob_bytes_max {
        return Ok(too_large(format!(
            "an artifact has at most {} bytes",
            intake.blob_bytes_max
        )));
    }
    let _call = intake.enter(tenant).await?;
    // Shared, so that what upload leaves unread can be read to its end.
    let (bytes, rest) = lend(body);
    let stored = upload::upload(&intake, tenant, announced, bytes).await?;
    let existed = stored.existed;
    let status = if existed {
        StatusCode::OK
    } else {
        StatusCode::CREATED
    };
    let mut response = (status, Json(stored)).into_response();
    if existed && !rest.drain(announced.size_bytes).await {
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

fn announced(sha3_256: &str, headers: &HeaderMap) -> Result<Expected> {
    let size = text(headers, &CONTENT_LENGTH)?;
    let sha256 = text(headers, &HeaderName::from_static("probity-sha256"))?;
    Ok(Expected {
        size_bytes: size
            .parse()
            .map_err(|_| Error::malformed("content-length: not a number"))?,
        digests: Digests {
            sha3_256: Sha3_256::parse_hex(sha3_256)?,
            sha256: Sha256::parse_hex(sha256)?,
        },
    })
}

fn optional<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<Option<&'a str>> {
    let name = HeaderName::from_static(name);
    headers
        .contains_key(&name)
        .then(|| text(headers, &name))
        .transpose()
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<&'a str> {
    let value = headers
        .get(name)
        .ok_or_else(|| Error::malformed(format!("header {name} is missing")))?;
    value
        .to_str()
        .map_err(|_| Error::malformed(format!("header {name}: visible ASCII alone")))
}

/// Whether these bytes are stored, and how long they are: for clients that resume.
#[utoipa::path(head, path = "/v1/blobs/{sha3_256}", params(("sha3_256" = String, Path)),
    security(("credential" = [])), responses((status = 200), (status = 404)))]
pub(crate) async fn head_blob(
    State(Shared(intake)): State<Shared>,
    Authenticated(caller): Authenticated,
    Path(sha3_256): Path<String>,
) -> Answer<Response> {
    let (tenant, _) = caller.require_vendor()?;
    let digest = Sha3_256::parse_hex(&sha3_256)?;
    let size = intake.blobs.size(tenant, digest).await?;
    let size = size.ok_or_else(|| Error::not_found(format!("no bytes {digest}")))?;
    Ok((StatusCode::OK, [(CONTENT_LENGTH, HeaderValue::from(size))]).into_response())
}

/// Accepts an instruction of one to ten thousand captures whose artifacts are uploaded. Durable before the answer.
#[utoipa::path(post, path = "/v1/submissions", request_body = InstructionDocument,
    params(("Idempotency-Key" = String, Header), ("Probity-Intent" = Option<String>, Header),
        ("Probity-Submitter-Signature" = Option<String>, Header, description = "SHA3-256 of it, uploaded: CAdES over ASiCManifest003.xml")),
    security(("credential" = [])), responses(
    (status = 200, body = SubmittedDocument, description = "line by line: accepted with its number, or refused"),
    (status = 400, body = ProblemDocument, description = "not an instruction, or every line was refused"),
    (status = 403, body = ProblemDocument, description = "no standing, or no confirmed intent for these bytes"),
    (status = 409, body = ProblemDocument, description = "key or intent was used for another instruction"),
    (status = 413, body = ProblemDocument),
    (status = 429, body = ProblemDocument, description = "too much of this tenant's is under way; nothing was done, see Retry-After"),
    (status = 503, body = ProblemDocument, description = "too much is under way, stored bytes are being read again, or the store is away; see Retry-After")))]
pub(crate) async fn post_submission(
    State(Shared(intake)): State<Shared>,
    Authenticated(caller): Authenticated,
    headers: HeaderMap,
    body: Body,
) -> Answer<Response> {
    let (tenant, _) = caller.require_vendor()?;
    // Before anything of it is read: who is sent away is so at once, and nothing is half done.
    let _call = intake.enter_with_instruction(tenant).await?;
    let key = IdempotencyKey::parse(text(&headers, &HeaderName::from_static("idempotency-key"))?)?;
    let intent = optional(&headers, "probity-intent")?
        .map(IntentId::parse)
        .transpose()?;
    let signature = optional(&headers, "probity-submitter-signature")?
        .map(Sha3_256::parse_hex)
        .transpose()?;
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    let size_bytes = announced.unwrap_or(INSTRUCTION_BYTES_MAX as u64);
    if size_bytes > INSTRUCTION_BYTES_MAX as u64 {
        return Ok(too_large(format!(
            "an instruction has at most {INSTRUCTION_BYTES_MAX} bytes"
        )));
    }
    let mut held = intake
        .admit(tenant, INSTRUCTION_MEMORY * size_bytes)
        .await?;
    let instruction = axum::body::to_bytes(body, INSTRUCTION_BYTES_MAX)
        .await
        .map_err(|e| Error::malformed(format!("the body broke off or is too long: {e}")))?;
    if announced.is_none() {
        // Most is let go before the rest is asked for: a tenant that has so much gets nothing beside it.
        drop(held);
        let size_bytes = instruction.len() as u64;
        held = intake
            .admit(tenant, INSTRUCTION_MEMORY * size_bytes)
            .await?;
    }
    let submission = submit(
        &intake,
        Request {
            caller: &caller,
            instruction,
            key,
            intent,
            signature,
        },
    )
    .await?;
    drop(held);
    Ok(Json(status::submitted_document(
        &submission,
        &Whereabouts::default(),
    ))
    .into_response())
}

/// Where each line of a submission stands.
#[utoipa::path(get, path = "/v1/submissions/{submission}", params(("submission" = String, Path)),
    security(("credential" = [])), responses(
    (status = 200, body = SubmittedDocument), (status = 404, body = ProblemDocument)))]
pub(crate) async fn get_submission(
    State(Shared(intake)): State<Shared>,
    Authenticated(caller): Authenticated,
    Path(submission): Path<String>,
) -> Answer<Response> {
    let (tenant, _) = caller.require_vendor()?;
    let id = SubmissionId::parse(&submission)?;
    let (document, degraded) = status::submission_status(&intake, tenant, id).await?;
    Ok(perhaps_degraded(Json(document).into_response(), degraded))
}

/// Where one piece of evidence stands. `Probity-Degraded: index` says that `accepted` may be old.
#[utoipa::path(get, path = "/v1/evidence/{evidence}", params(("evidence" = String, Path)),
    security(("credential" = [])), responses(
    (status = 200, body = EvidenceStatusDocument), (status = 404, body = ProblemDocument)))]
pub(crate) async fn get_evidence(
    State(Shared(intake)): State<Shared>,
    Authenticated(caller): Authenticated,
    Path(evidence): Path<String>,
) -> Answer<Response> {
    let (tenant, _) = caller.require_vendor()?;
    let id = EvidenceId::parse(&evidence)?;
    let (document, degraded) = status::evidence_status(&intake, tenant, id).await?;
    Ok(perhaps_degraded(Json(document).into_response(), degraded))
}

/// What may stand in a query. Strict: a misspelt filter must not answer everything.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    case: Option<String>,
    /// RFC 3339; a day ago when absent, at most 31 days before `until`.
    from: Option<String>,
    /// RFC 3339; now when absent.
    until: Option<String>,
    /// `accepted`, `deposited` or `quarantined`.
    state: Option<String>,
    submission: Option<String>,
    page: Option<String>,
    /// At most 1,000.
    page_size: Option<usize>,
}

/// Pages through the tenant's evidence, oldest first. A short page may still have a next one.
#[utoipa::path(get, path = "/v1/evidence", params(ListQuery), security(("credential" = [])),
    responses((status = 200, body = EvidencePageDocument), (status = 400, body = ProblemDocument)))]
pub(crate) async fn list_evidence(
    State(Shared(intake)): State<Shared>,
    Authenticated(caller): Authenticated,
    query: core::result::Result<Query<ListQuery>, axum::extract::rejection::QueryRejection>,
) -> Answer<Response> {
    let (tenant, _) = caller.require_vendor()?;
    let Query(query) = query.map_err(|e| Error::malformed(e.body_text()))?;
    let query = search::Query {
        case: query.case,
        from: query.from,
        until: query.until,
        state: query.state,
        submission: query.submission,
        page: query.page,
        page_size: query.page_size,
    };
    let (page, degraded) = search::search(&intake, tenant, &query).await?;
    Ok(perhaps_degraded(Json(page).into_response(), degraded))
}

/// One artifact's bytes, checked against their digests on the way: wrong ones never arrive whole.
#[utoipa::path(get, path = "/v1/evidence/{evidence}/artifacts/{name}",
    params(("evidence" = String, Path), ("name" = String, Path)), security(("credential" = [])),
    responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream"),
    (status = 404, body = ProblemDocument)))]
pub(crate) async fn get_artifact(
    State(Shared(intake)): State<Shared>,
    Authenticated(caller): Authenticated,
    Path((evidence, name)): Path<(String, String)>,
) -> Answer<Response> {
    let (tenant, _) = caller.require_vendor()?;
    let id = EvidenceId::parse(&evidence)?;
    let (artifact, bytes) = fetch::fetch(&intake, tenant, id, &name).await?;
    tracing::info!(evidence = %id, artifact = %artifact.name, reader = %caller.actor(), "artifact read");
    let body =
        Body::from_stream(bytes.inspect_err(|error| tracing::error!(%error, "artifact not sent")));
    let digest = |text: String| HeaderValue::from_str(&text).map_err(Error::internal);
    let headers = [
        (CONTENT_LENGTH, HeaderValue::from(artifact.size_bytes)),
        (
            CONTENT_TYPE,
            digest(artifact.media_type.as_str().to_owned())?,
        ),
        // Captured pages must never run as pages of this service.
        (CONTENT_DISPOSITION, HeaderValue::from_static("attachment")),
        (
            HeaderName::from_static("content-security-policy"),
            HeaderValue::from_static("sandbox"),
        ),
        (
            HeaderName::from_static("x-content-type-options"),
            HeaderValue::from_static("nosniff"),
        ),
        (
            HeaderName::from_static("probity-sha3-256"),
            digest(artifact.digests.sha3_256.to_hex())?,
        ),
        (
            HeaderName::from_static("probity-sha256"),
            digest(artifact.digests.sha256.to_hex())?,
        ),
    ];
    Ok((headers, body).into_response())
}

async fn openapi_document() -> Response {
    (
        [(CONTENT_TYPE, "application/json")],
        openapi::openapi_json(),
    )
        .into_response()
}

fn perhaps_degraded(mut response: Response, degraded: bool) -> Response {
    if degraded {
        let name = HeaderName::from_static("probity-degraded");
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static("index"));
    }
    response
}

/// `malformed`, with the status that says which rule: known before the body is read.
fn too_large(detail: String) -> Response {
    let problem = Problem(Error::malformed(detail));
    let mut response = problem.with_status(StatusCode::PAYLOAD_TOO_LARGE);
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    response
}
