//! What a court asks for, whichever transport it came by, and its HTTP routes.

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::routing::{get, post};
use probity_domain::{DeliveryId, RecipientId};
use probity_platform::Error;
use probity_platform::access::{Authenticated, Caller};
use probity_platform::edge::{Json, Problem};
use probity_proto::http::{DeliveriesDocument, DeliveryDocument, SignedReceiptDocument};

use crate::acknowledge::Way;
use crate::courier::Courier;
use crate::delivery::Delivery;
use crate::download;
use crate::http::{Edge, ListQuery, PAGE, page_document};
use crate::orders::{Page, Shelf};
use crate::receipt::SignedReceipt;
use crate::recipient;

/// The word for everything that can be fetched and is not acknowledged.
const OPEN: &str = "open";
const STATES: [&str; 7] = [
    OPEN,
    "requested",
    "prepared",
    "retrying",
    "entered",
    "acknowledged",
    "suspended",
];

impl Courier {
    /// One page of a recipient's deliveries, in a state and a case or in all.
    ///
    /// # Errors
    /// `Malformed` for an unknown state or page; those of the store.
    pub async fn list_for(
        &self,
        recipient: &RecipientId,
        state: Option<&str>,
        case: Option<&str>,
        page: Option<&str>,
        limit: usize,
    ) -> probity_platform::Result<Page> {
        if let Some(state) = state.filter(|s| !STATES.contains(s)) {
            return Err(Error::malformed(format!(
                "state: {state:?} is none of {}",
                STATES.join(", ")
            )));
        }
        let wanted = |delivery: &Delivery| {
            let in_state = match state {
                None => true,
                Some(OPEN) => delivery.is_open(),
                Some(state) => delivery.state.as_str() == state,
            };
            in_state && case.is_none_or(|case| delivery.case.as_str() == case)
        };
        self.list(&Shelf::Recipient(recipient.clone()), page, limit, wanted)
            .await
    }

    /// A court hands in its receipt.
    ///
    /// # Errors
    /// `NotFound` for deliveries of others; `Malformed`, saying why, for what is not a receipt of it.
    pub async fn hand_in(
        &self,
        caller: &Caller,
        id: DeliveryId,
        signed: &SignedReceipt,
    ) -> probity_platform::Result<Delivery> {
        let delivery = self.delivery_to(caller.require_court()?, id).await?;
        let recipient = recipient::read(&self.ledger, &delivery.recipient).await?;
        self.acknowledge(&delivery, &recipient, signed, Way::Fetched, &caller.actor())
            .await
    }
}

pub(crate) fn routes() -> Router<Edge> {
    Router::new()
        .route("/v1/court/deliveries", get(list))
        .route(
            "/v1/court/deliveries/{delivery}/package",
            get(download::package),
        )
        .route("/v1/court/deliveries/{delivery}/receipt", post(receipt))
}

#[utoipa::path(
    get, path = "/v1/court/deliveries", tag = "courts",
    params(
        ("state" = Option<String>, Query, description = "a state, or `open`: fetchable and not acknowledged"),
        ("case" = Option<String>, Query, description = "only of this case"),
        ("page" = Option<String>, Query, description = "`next_page` of the page before; a page may be empty and have a next one"),
    ),
    responses((status = 200, body = DeliveriesDocument)),
)]
pub(crate) async fn list(
    State(edge): State<Edge>,
    Authenticated(caller): Authenticated,
    Query(query): Query<ListQuery>,
) -> Result<Json<DeliveriesDocument>, Problem> {
    let recipient = caller.require_court()?;
    let ListQuery { state, case, page } = &query;
    let page = edge
        .courier
        .list_for(
            recipient,
            state.as_deref(),
            case.as_deref(),
            page.as_deref(),
            PAGE,
        )
        .await?;
    Ok(Json(page_document(&page)))
}

#[utoipa::path(
    post, path = "/v1/court/deliveries/{delivery}/receipt", request_body = SignedReceiptDocument, tag = "courts",
    params(("delivery" = String, Path, description = "the delivery's id")),
    responses(
        (status = 200, body = DeliveryDocument, description = "acknowledged; the same again changes nothing"),
        (status = 400, description = "not a receipt for this delivery; says why"),
    ),
)]
pub(crate) async fn receipt(
    State(edge): State<Edge>,
    Authenticated(caller): Authenticated,
    Path(id): Path<String>,
    Json(document): Json<SignedReceiptDocument>,
) -> Result<Json<DeliveryDocument>, Problem> {
    let id = DeliveryId::parse(&id)?;
    let signed = SignedReceipt::decode(&document)?;
    Ok(Json(
        edge.courier.hand_in(&caller, id, &signed).await?.document(),
    ))
}
