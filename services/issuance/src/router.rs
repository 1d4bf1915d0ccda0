//! The repository over HTTP: public to read, revocation for officers.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRef, Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::header::CONTENT_TYPE;
use probity_platform::Error;
use probity_platform::access::{Access, Authenticated};
use probity_platform::edge::{Json, Problem};
use probity_proto::ledger::CertificateEvent;
use serde::Deserialize;

use crate::revoke::{is_serial, parse_reason, reason_word, revoke};
use crate::status::CertificateStatusDocument;
use crate::{CertificateState, Issuer, OcspResponder};

/// No request body here is longer.
const BODY_BYTES_MAX: usize = 4 * 1024;
/// Media types of RFC 5280 4.2.1.13 and RFC 2585 4.
const CRL_TYPE: &str = "application/pkix-crl";
const CERTIFICATE_TYPE: &str = "application/pkix-cert";

#[derive(Clone)]
struct Edge {
    issuer: Arc<Issuer>,
    access: Access,
}

impl FromRef<Edge> for Access {
    fn from_ref(edge: &Edge) -> Self {
        edge.access.clone()
    }
}

/// The routes.
pub fn router(issuer: Arc<Issuer>, access: Access, ocsp: Option<Arc<OcspResponder>>) -> Router {
    let ocsp = ocsp.map_or_else(Router::new, crate::ocsp::routes);
    Router::new()
        .route("/crl/issuing.crl", get(issuing_crl))
        .route("/crl/root.crl", get(root_crl))
        .route("/certificates/ca/issuing.cer", get(issuing_certificate))
        .route("/certificates/ca/root.cer", get(root_certificate))
        .route("/certificates/{serial}", get(status))
        .route("/v1/certificates/{serial}/revocation", post(revocation))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(Edge { issuer, access })
        .merge(ocsp)
}

async fn issuing_crl(State(edge): State<Edge>) -> Result<Response, Problem> {
    let crl = edge
        .issuer
        .crls
        .current(edge.issuer.clock.now())
        .map_err(Problem)?;
    Ok(([(CONTENT_TYPE, CRL_TYPE)], crl.der().to_vec()).into_response())
}

async fn root_crl(State(edge): State<Edge>) -> Response {
    (
        [(CONTENT_TYPE, CRL_TYPE)],
        edge.issuer.authority.root_crl.der().to_vec(),
    )
        .into_response()
}

async fn issuing_certificate(State(edge): State<Edge>) -> Response {
    let der = edge.issuer.authority.certificate.der().to_vec();
    ([(CONTENT_TYPE, CERTIFICATE_TYPE)], der).into_response()
}

async fn root_certificate(State(edge): State<Edge>) -> Response {
    (
        [(CONTENT_TYPE, CERTIFICATE_TYPE)],
        edge.issuer.authority.root.der().to_vec(),
    )
        .into_response()
}

async fn status(
    State(edge): State<Edge>,
    Path(serial): Path<String>,
) -> Result<Json<CertificateStatusDocument>, Problem> {
    if !is_serial(&serial) {
        return Err(Problem(Error::not_found(
            "no certificate has this serial number",
        )));
    }
    let history = edge
        .issuer
        .ledger
        .read::<CertificateEvent>(&serial)
        .await
        .map_err(Problem)?;
    let state = CertificateState::of(&history.events);
    let document = CertificateStatusDocument::of(&serial, &state, edge.issuer.clock.now());
    document.map(Json).map_err(Problem)
}

/// Body of `POST /v1/certificates/{serial}/revocation`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RevocationRequest {
    reason: String,
}

async fn revocation(
    State(edge): State<Edge>,
    Authenticated(caller): Authenticated,
    Path(serial): Path<String>,
    Json(request): Json<RevocationRequest>,
) -> Result<Json<serde_json::Value>, Problem> {
    caller.require_officer().map_err(Problem)?;
    let reason = parse_reason(&request.reason).map_err(Problem)?;
    let decided = revoke(&edge.issuer, &serial, reason, &caller.actor())
        .await
        .map_err(Problem)?;
    Ok(Json(serde_json::json!({
        "serial": decided.serial,
        "reason": reason_word(decided.reason),
        "revoked_at": decided.revoked_at.to_rfc3339(),
    })))
}
