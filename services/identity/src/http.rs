//! HTTP: who may call which verb.
//!
//! | verb | caller |
//! |---|---|
//! | apply; read an agreement | anybody |
//! | decide; publish or withdraw an agreement; issue a credential | officer, operator (decide: officer alone) |
//! | revoke a credential | its holder, officer, operator |
//! | read a party | its own tenant's vendors, officers, auditors |
//! | accept; request, read and confirm an intent | the vendor credential of the party |

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, StatusCode};
use probity_platform::access::{Authenticated, Caller, CallerRole};
use probity_platform::edge::{Json, Problem};
use probity_platform::{Error, Result};
use probity_proto::http::{
    AcceptanceDocument, AgreementDocument, AgreementPublishedDocument, CredentialIssuedDocument,
    CredentialRequestDocument, DecisionDocument, IntentConfirmDocument, IntentRequestDocument,
    IntentRequestedDocument, IntentStatusDocument, PartyApplicationDocument, PartyStatusDocument,
    ProblemDocument,
};
use probity_proto::ledger::PartyEvent;
use probity_proto::registry::PartyState;

use crate::status::{View, party_status};
use crate::{Identity, Origin, openapi};
use crate::{accept, apply, confirm_intent, credential, decide, publish, request_intent};

type Answer<T> = core::result::Result<T, Problem>;

/// Longest body but for agreements.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// Longest agreement as JSON: every byte of its text may be escaped.
const AGREEMENT_BODY_BYTES_MAX: usize = 2 * 1024 * 1024;

/// The role's routes.
pub fn router(identity: Identity) -> Router {
    let agreements = post(publish_agreement).layer(DefaultBodyLimit::max(AGREEMENT_BODY_BYTES_MAX));
    Router::new()
        .route("/v1/parties", post(apply_party))
        .route("/v1/parties/{party}", get(read_party))
        .route("/v1/parties/{party}/decision", post(decide_party))
        .route("/v1/parties/{party}/acceptances", post(accept_agreement))
        .route("/v1/credentials", post(issue_credential))
        .route("/v1/credentials/{credential}", delete(revoke_credential))
        .route("/v1/intents", post(ask_intent))
        .route("/v1/intents/{intent}", get(read_intent))
        .route("/v1/intents/{intent}/confirm", post(confirm))
        .route("/openapi.json", get(openapi_document))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .route("/v1/agreements", agreements)
        .route(
            "/v1/agreements/{agreement}/{version}",
            get(read_agreement).delete(withdraw_agreement),
        )
        .with_state(identity)
}

fn require_staff(caller: &Caller) -> Result<()> {
    match caller.role {
        CallerRole::Officer | CallerRole::Operator => Ok(()),
        _ => Err(Error::forbidden(
            "needs the credential of an officer or operator",
        )),
    }
}

/// Applies to become a party. Open to everybody; decides nothing.
#[utoipa::path(post, path = "/v1/parties", request_body = PartyApplicationDocument, responses(
    (status = 200, body = PartyStatusDocument),
    (status = 409, body = ProblemDocument, description = "the party exists with other values"),
    (status = 429, body = ProblemDocument)))]
pub(crate) async fn apply_party(
    State(identity): State<Identity>,
    origin: Origin,
    Json(application): Json<PartyApplicationDocument>,
) -> Answer<Json<PartyStatusDocument>> {
    let history = apply::apply(&identity, &origin, application).await?;
    Ok(Json(party_status(&history, View::Standing)))
}

/// Where a party stands.
#[utoipa::path(get, path = "/v1/parties/{party}", params(("party" = String, Path)),
    security(("credential" = [])), responses(
    (status = 200, body = PartyStatusDocument), (status = 404, body = ProblemDocument)))]
pub(crate) async fn read_party(
    State(identity): State<Identity>,
    Authenticated(caller): Authenticated,
    Path(party): Path<String>,
) -> Answer<Json<PartyStatusDocument>> {
    let history = identity.ledger.read::<PartyEvent>(&party).await?;
    let state = PartyState::of(&history.events);
    let view = match &caller.role {
        CallerRole::Officer | CallerRole::Auditor => View::Everything,
        CallerRole::Vendor { tenant, .. } if state.tenant() == Some(tenant.as_str()) => {
            View::Standing
        }
        _ => return Err(Error::not_found(format!("no party {party}")).into()),
    };
    if state.application.is_none() {
        return Err(Error::not_found(format!("no party {party}")).into());
    }
    tracing::info!(party, reader = %caller.actor(), everything = view == View::Everything, "party read");
    Ok(Json(party_status(&history, view)))
}

/// Verifies or refuses an applicant.
#[utoipa::path(post, path = "/v1/parties/{party}/decision", params(("party" = String, Path)),
    request_body = DecisionDocument, security(("credential" = [])), responses(
    (status = 200, body = PartyStatusDocument), (status = 403, body = ProblemDocument),
    (status = 404, body = ProblemDocument)))]
pub(crate) async fn decide_party(
    State(identity): State<Identity>,
    Authenticated(caller): Authenticated,
    Path(party): Path<String>,
    Json(decision): Json<DecisionDocument>,
) -> Answer<Json<PartyStatusDocument>> {
    caller.require_officer()?;
    let history = decide::decide(&identity, &caller, &party, &decision).await?;
    Ok(Json(party_status(&history, View::Everything)))
}

/// Accepts a version of an agreement by the digest of its text.
#[utoipa::path(post, path = "/v1/parties/{party}/acceptances", params(("party" = String, Path)),
    request_body = AcceptanceDocument, security(("credential" = [])), responses(
    (status = 200, body = PartyStatusDocument),
    (status = 400, body = ProblemDocument, description = "the digest is not that of the published text"),
    (status = 404, body = ProblemDocument)))]
pub(crate) async fn accept_agreement(
    State(identity): State<Identity>,
    Authenticated(caller): Authenticated,
    origin: Origin,
    Path(party): Path<String>,
    Json(acceptance): Json<AcceptanceDocument>,
) -> Answer<Json<PartyStatusDocument>> {
    let history = accept::accept(&identity, &caller, &origin, &party, &acceptance).await?;
    Ok(Json(party_status(&history, View::Standing)))
}

/// Publishes a version of the agreement on electronic form.
#[utoipa::path(post, path = "/v1/agreements", request_body = AgreementDocument,
    security(("credential" = [])), responses(
    (status = 200, body = AgreementPublishedDocument),
    (status = 409, body = ProblemDocument, description = "the version stands with another text")))]
pub(crate) async fn publish_agreement(
    State(identity): State<Identity>,
    Authenticated(caller): Authenticated,
    Json(agreement): Json<AgreementDocument>,
) -> Answer<Json<AgreementPublishedDocument>> {
    require_staff(&caller)?;
    let published = publish::publish(&identity, &caller.actor(), &agreement).await?;
    Ok(Json(AgreementPublishedDocument {
        agreement: agreement.agreement,
        version: agreement.version,
        sha3_256: published.sha3_256,
        published_at: published.at,
    }))
}

/// The text of a version, for everybody. Headers `Probity-SHA3-256`, `Probity-Published-At` and, when it may not be
/// accepted any more, `Probity-Withdrawn`.
#[utoipa::path(get, path = "/v1/agreements/{agreement}/{version}",
    params(("agreement" = String, Path), ("version" = String, Path)), responses(
    (status = 200, body = AgreementDocument), (status = 404, body = ProblemDocument)))]
pub(crate) async fn read_agreement(
    State(identity): State<Identity>,
    Path((agreement, version)): Path<(String, String)>,
) -> Answer<Response> {
    let state = publish::published(&identity, &agreement, &version).await?;
    let published = state
        .published
        .ok_or_else(|| Error::not_found("no such agreement"))?;
    let mut response = Json(AgreementDocument {
        agreement,
        version,
        text: published.text,
    })
    .into_response();
    let mut set = |name: &'static str, text: &str| {
        if let Ok(value) = HeaderValue::from_str(text) {
            response
                .headers_mut()
                .insert(HeaderName::from_static(name), value);
        }
    };
    set("probity-sha3-256", &published.sha3_256);
    set("probity-published-at", &published.at);
    if state.withdrawn.is_some() {
        set("probity-withdrawn", "true");
    }
    Ok(response)
}

/// Ends acceptances of a version.
#[utoipa::path(delete, path = "/v1/agreements/{agreement}/{version}",
    params(("agreement" = String, Path), ("version" = String, Path)),
    security(("credential" = [])), responses(
    (status = 204), (status = 404, body = ProblemDocument)))]
pub(crate) async fn withdraw_agreement(
    State(identity): State<Identity>,
    Authenticated(caller): Authenticated,
    Path((agreement, version)): Path<(String, String)>,
) -> Answer<StatusCode> {
    require_staff(&caller)?;
    publish::withdraw(&identity, &caller.actor(), &agreement, &version).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Issues a credential. Vendors get one only when their party is verified (W1).
#[utoipa::path(post, path = "/v1/credentials", request_body = CredentialRequestDocument,
    security(("credential" = [])), responses(
    (status = 200, body = CredentialIssuedDocument), (status = 403, body = ProblemDocument)))]
pub(crate) async fn issue_credential(
    State(identity): State<Identity>,
    Authenticated(caller): Authenticated,
    Json(request): Json<CredentialRequestDocument>,
) -> Answer<Json<CredentialIssuedDocument>> {
    require_staff(&caller)?;
    Ok(Json(credential::issue(&identity, &caller, &request).await?))
}

/// Revokes a credential: one's own, or as an officer or operator any.
#[utoipa::path(delete, path = "/v1/credentials/{credential}", params(("credential" = String, Path)),
    security(("credential" = [])), responses(
    (status = 204), (status = 403, body = ProblemDocument), (status = 404, body = ProblemDocument)))]
pub(crate) async fn revoke_credential(
    State(identity): State<Identity>,
    Authenticated(caller): Authenticated,
    Path(credential): Path<String>,
) -> Answer<StatusCode> {
    credential::revoke(&identity, &caller, &credential).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Asks for a one-time code bound to one instruction.
#[utoipa::path(post, path = "/v1/intents", request_body = IntentRequestDocument,
    security(("credential" = [])), responses(
    (status = 200, body = IntentRequestedDocument),
    (status = 403, body = ProblemDocument, description = "not verified, or no agreement accepted (I4)")))]
pub(crate) async fn ask_intent(
    State(identity): State<Identity>,
    Authenticated(caller): Authenticated,
    Json(request): Json<IntentRequestDocument>,
) -> Answer<Json<IntentRequestedDocument>> {
    let _entered = identity.enter(&caller).await?;
    Ok(Json(
        request_intent::request_intent(&identity, &caller, &request).await?,
    ))
}

/// Where an intent stands.
#[utoipa::path(get, path = "/v1/intents/{intent}", params(("intent" = String, Path)),
    security(("credential" = [])), responses(
    (status = 200, body = IntentStatusDocument), (status = 404, body = ProblemDocument)))]
pub(crate) async fn read_intent(
    State(identity): State<Identity>,
    Authenticated(caller): Authenticated,
    Path(intent): Path<String>,
) -> Answer<Json<IntentStatusDocument>> {
    let _entered = identity.enter(&caller).await?;
    Ok(Json(
        confirm_intent::intent_status(&identity, &caller, &intent).await?,
    ))
}

/// Confirms an instruction with its code.
#[utoipa::path(post, path = "/v1/intents/{intent}/confirm", params(("intent" = String, Path)),
    request_body = IntentConfirmDocument, security(("credential" = [])), responses(
    (status = 200, body = IntentStatusDocument),
    (status = 403, body = ProblemDocument, description = "wrong code, expired, or too many attempts"),
    (status = 409, body = ProblemDocument, description = "used before, or made for another instruction")))]
pub(crate) async fn confirm(
    State(identity): State<Identity>,
    Authenticated(caller): Authenticated,
    origin: Origin,
    Path(intent): Path<String>,
    Json(confirmation): Json<IntentConfirmDocument>,
) -> Answer<Json<IntentStatusDocument>> {
    let _entered = identity.enter(&caller).await?;
    let confirmed =
        confirm_intent::confirm_intent(&identity, &caller, &origin, &intent, &confirmation).await?;
    Ok(Json(confirmed))
}

async fn openapi_document() -> Response {
    (
        [(CONTENT_TYPE, "application/json")],
        openapi::openapi_json(),
    )
        .into_response()
}
