//! HTTP/JSON for vendors, officers and operators; courts' part is in [`crate::court`].

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{FromRef, Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use probity_domain::{CaseId, DeliveryId, EvidenceId, RecipientId};
use probity_platform::Error;
use probity_platform::access::{Access, Authenticated, CallerRole};
use probity_platform::edge::{Json, Problem};
use probity_platform::objects::ByteStream;
use probity_proto::http::{
    DeliveriesDocument, DeliveryDocument, DeliveryRequestDocument, RecipientDocument,
};
use serde::Deserialize;

use crate::courier::{Courier, unknown};
use crate::orders::{Page, Shelf};
use crate::package::container;
use crate::{court, openapi, recipient};

/// Deliveries on one page.
pub(crate) const PAGE: usize = 100;

/// State of the handlers.
#[derive(Clone)]
pub struct Edge {
    pub courier: Arc<Courier>,
    pub access: Access,
}

impl FromRef<Edge> for Access {
    fn from_ref(edge: &Edge) -> Self {
        edge.access.clone()
    }
}

/// The routes.
pub fn router(edge: Edge) -> Router {
    Router::new()
        .route(
            "/v1/recipients/{recipient}",
            put(put_recipient).get(get_recipient),
        )
        .route("/v1/deliveries", post(request).get(list))
        .route("/v1/deliveries/{delivery}", get(status))
        .route("/v1/evidence/{number}/package", get(package))
        .merge(court::routes())
        .route("/openapi.json", get(openapi::document))
        .with_state(edge)
}

/// `?case=&state=&page=`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    pub case: Option<String>,
    pub state: Option<String>,
    pub page: Option<String>,
}

#[utoipa::path(
    put, path = "/v1/recipients/{recipient}", request_body = RecipientDocument, tag = "operators",
    params(("recipient" = String, Path, description = "the recipient's id")),
    responses((status = 204, description = "stored"), (status = 400, description = "a certificate or address is refused")),
)]
pub(crate) async fn put_recipient(
    State(edge): State<Edge>,
    Authenticated(caller): Authenticated,
    Path(id): Path<String>,
    Json(document): Json<RecipientDocument>,
) -> Result<axum::http::StatusCode, Problem> {
    let id = RecipientId::parse(&id)?;
    let courier = &edge.courier;
    recipient::put(&courier.ledger, &*courier.clock, &caller, &id, &document).await?;
    Ok(axum::http::StatusCode::NO_CONTENT)
}

#[utoipa::path(
    get, path = "/v1/recipients/{recipient}", tag = "operators",
    params(("recipient" = String, Path, description = "the recipient's id")),
    responses((status = 200, body = RecipientDocument), (status = 404, description = "no profile")),
)]
pub(crate) async fn get_recipient(
    State(edge): State<Edge>,
    Authenticated(caller): Authenticated,
    Path(id): Path<String>,
) -> Result<Json<RecipientDocument>, Problem> {
    let id = RecipientId::parse(&id)?;
    match &caller.role {
        CallerRole::Officer | CallerRole::Operator | CallerRole::Auditor => {}
        CallerRole::Court { recipient } if *recipient == id => {}
        _ => return Err(Error::not_found(format!("recipient {id} has no profile")).into()),
    }
    Ok(Json(
        recipient::read_document(&edge.courier.ledger, &id).await?,
    ))
}

#[utoipa::path(
    post, path = "/v1/deliveries", request_body = DeliveryRequestDocument, tag = "vendors",
    responses(
        (status = 200, body = DeliveriesDocument, description = "durable; asking again answers the same deliveries"),
        (status = 404, description = "evidence of others, or a recipient without a profile"),
    ),
)]
pub(crate) async fn request(
    State(edge): State<Edge>,
    Authenticated(caller): Authenticated,
    Json(document): Json<DeliveryRequestDocument>,
) -> Result<Json<DeliveriesDocument>, Problem> {
    let (tenant, _) = caller.require_vendor()?;
    let deliveries = edge
        .courier
        .request(tenant, &caller.actor(), &document)
        .await?;
    Ok(Json(DeliveriesDocument {
        deliveries: deliveries.iter().map(|d| d.document()).collect(),
        next_page: None,
    }))
}

#[utoipa::path(
    get, path = "/v1/deliveries", tag = "vendors",
    params(
        ("case" = String, Query, description = "the case"),
        ("state" = Option<String>, Query, description = "only those in this state"),
        ("page" = Option<String>, Query, description = "`next_page` of the page before"),
    ),
    responses((status = 200, body = DeliveriesDocument)),
)]
pub(crate) async fn list(
    State(edge): State<Edge>,
    Authenticated(caller): Authenticated,
    Query(query): Query<ListQuery>,
) -> Result<Json<DeliveriesDocument>, Problem> {
    let (tenant, _) = caller.require_vendor()?;
    let case = query
        .case
        .as_deref()
        .ok_or_else(|| Error::malformed("case: needed"))?;
    let shelf = Shelf::Case(tenant.clone(), CaseId::parse(case)?);
    let wanted = |d: &crate::delivery::Delivery| {
        query.state.as_deref().is_none_or(|s| s == d.state.as_str())
    };
    let page = edge
        .courier
        .list(&shelf, query.page.as_deref(), PAGE, wanted)
        .await?;
    Ok(Json(page_document(&page)))
}

#[utoipa::path(
    get, path = "/v1/deliveries/{delivery}", tag = "vendors",
    params(("delivery" = String, Path, description = "the delivery's id")),
    responses((status = 200, body = DeliveryDocument), (status = 404, description = "not this tenant's")),
)]
pub(crate) async fn status(
    State(edge): State<Edge>,
    Authenticated(caller): Authenticated,
    Path(id): Path<String>,
) -> Result<Json<DeliveryDocument>, Problem> {
    let (tenant, _) = caller.require_vendor()?;
    let id = DeliveryId::parse(&id)?;
    let delivery = edge.courier.delivery(id).await?;
    if delivery.tenant != *tenant {
        return Err(unknown(id).into());
    }
    Ok(Json(delivery.document()))
}

#[utoipa::path(
    get, path = "/v1/evidence/{number}/package", tag = "vendors",
    params(("number" = String, Path, description = "the evidence number")),
    responses(
        (status = 200, description = "the package, ASiC-E", content_type = "application/vnd.etsi.asic-e+zip"),
        (status = 404, description = "not this tenant's, or not deposited yet"),
    ),
)]
pub(crate) async fn package(
    State(edge): State<Edge>,
    Authenticated(caller): Authenticated,
    Path(number): Path<String>,
) -> Result<Response, Problem> {
    let (tenant, _) = caller.require_vendor()?;
    let evidence = EvidenceId::parse(&number)?;
    let courier = &edge.courier;
    let submission = courier.submission(evidence.submission).await?;
    let owned = submission
        .filter(|s| s.tenant == *tenant)
        .is_some_and(|s| s.item(evidence.item).is_some());
    if !owned {
        return Err(Error::not_found(format!("evidence {evidence} is not known")).into());
    }
    let sealed = courier.sealed(&evidence, courier.clock.now()).await?;
    tracing::info!(%evidence, actor = caller.actor(), "package read by its tenant");
    let body = container(Arc::new(sealed), courier.buckets.truth.clone());
    let mut headers = HeaderMap::new();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(probity_pki::asic::MIMETYPE),
    );
    attach(&mut headers, &format!("{evidence}.asice"));
    Ok((headers, stream_body(body)).into_response())
}

/// Names the file a browser saves.
pub(crate) fn attach(headers: &mut HeaderMap, name: &str) {
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
}

pub(crate) fn stream_body(body: ByteStream) -> Body {
    Body::from_stream(body)
}

pub(crate) fn page_document(page: &Page) -> DeliveriesDocument {
    DeliveriesDocument {
        deliveries: page.deliveries.iter().map(|d| d.document()).collect(),
        next_page: page.next_page.clone(),
    }
}
