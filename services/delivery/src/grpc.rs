//! The court's edge over gRPC: the same functions as over HTTP.

use std::pin::Pin;

use futures::{Stream, StreamExt as _};
use probity_domain::{DeliveryId, DeliveryState};
use probity_platform::Error;
use probity_platform::access::Caller;
use probity_platform::edge;
use probity_proto::ledger::ByteRange;
use probity_proto::v1::court_server::{Court, CourtServer};
use probity_proto::v1::{
    AcknowledgeReply, AcknowledgeRequest, Chunk, DeliverySummary, FetchDeliveryRequest,
    ListDeliveriesReply, ListDeliveriesRequest,
};
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use crate::delivery::{Delivery, Package};
use crate::http::{Edge, PAGE};
use crate::receipt::SignedReceipt;

/// One message: a receipt and its signature, as much as over HTTP.
const MESSAGE_BYTES_MAX: usize = 1024 * 1024;

impl Edge {
    /// The service `probity.v1.Court`, for [`edge::serve_grpc_on`].
    #[must_use]
    pub fn into_grpc_routes(self) -> Routes {
        let access = self.access.clone();
        let court = CourtServer::new(self).max_decoding_message_size(MESSAGE_BYTES_MAX);
        edge::for_known_callers(Routes::new(court), access)
    }
}

#[tonic::async_trait]
impl Court for Edge {
    type FetchStream = Pin<Box<dyn Stream<Item = Result<Chunk, Status>> + Send>>;

    async fn list(
        &self,
        request: Request<ListDeliveriesRequest>,
    ) -> Result<Response<ListDeliveriesReply>, Status> {
        let caller = Caller::of(request.extensions())?.clone();
        let recipient = caller.require_court()?;
        let query = request.into_inner();
        let limit = match usize::try_from(query.page_size).unwrap_or(PAGE) {
            0 => PAGE,
            asked => asked.min(PAGE),
        };
        let page = self
            .courier
            .list_for(
                recipient,
                given(&query.state),
                given(&query.case),
                given(&query.page),
                limit,
            )
            .await?;
        Ok(Response::new(ListDeliveriesReply {
            deliveries: page.deliveries.iter().map(summary).collect(),
            next_page: page.next_page.unwrap_or_default(),
        }))
    }

    async fn fetch(
        &self,
        request: Request<FetchDeliveryRequest>,
    ) -> Result<Response<Self::FetchStream>, Status> {
        let caller = Caller::of(request.extensions())?.clone();
        let basis = request
            .metadata()
            .get("probity-legal-basis")
            .and_then(|value| value.to_str().ok());
        let basis = basis.map(str::to_owned);
        let asked = request.into_inner();
        let id = DeliveryId::parse(&asked.delivery_id).map_err(Error::from)?;
        let fetch = self.courier.fetch(&caller, id, basis.as_deref()).await?;
        let range = range(&asked, fetch.package())?;
        let body = self.courier.give(fetch, Some(range)).await?;
        let chunks = body.map(|piece| piece.map(|data| Chunk { data }).map_err(Status::from));
        Ok(Response::new(Box::pin(chunks)))
    }

    async fn acknowledge(
        &self,
        request: Request<AcknowledgeRequest>,
    ) -> Result<Response<AcknowledgeReply>, Status> {
        let caller = Caller::of(request.extensions())?.clone();
        let request = request.into_inner();
        let id = DeliveryId::parse(&request.delivery_id).map_err(Error::from)?;
        let signed = SignedReceipt {
            receipt: request.receipt.to_vec(),
            signature: request.signature.to_vec(),
        };
        let delivery = self.courier.hand_in(&caller, id, &signed).await?;
        let scope = match &delivery.state {
            DeliveryState::Acknowledged { scope } => scope.as_str(),
            _ => "",
        };
        let state = delivery.state.as_str().to_owned();
        Ok(Response::new(AcknowledgeReply {
            state,
            scope: scope.to_owned(),
        }))
    }
}

/// Which bytes are asked for.
fn range(asked: &FetchDeliveryRequest, package: &Package) -> Result<ByteRange, Status> {
    let sha256 = package.sha256.to_hex();
    if given(&asked.sha256).is_some_and(|other| other != sha256) {
        return Err(Status::failed_precondition(format!(
            "the package is {sha256}"
        )));
    }
    let end = package.size_bytes.saturating_sub(1);
    let first = asked.offset;
    if first > end {
        let had = package.size_bytes;
        return Err(Status::out_of_range(format!("the package has {had} bytes")));
    }
    let last = match asked.length {
        0 => end,
        length => first.saturating_add(length - 1).min(end),
    };
    Ok(ByteRange { first, last })
}

/// Protobuf's empty string is "not given".
fn given(text: &str) -> Option<&str> {
    Some(text).filter(|t| !t.is_empty())
}

fn summary(delivery: &Delivery) -> DeliverySummary {
    let package = delivery.package();
    DeliverySummary {
        delivery_id: delivery.id.to_string(),
        evidence_number: delivery.evidence.to_string(),
        case: delivery.case.to_string(),
        state: delivery.state.as_str().to_owned(),
        size_bytes: package.map_or(0, |p| p.size_bytes),
        sha256: package.map(|p| p.sha256.to_hex()).unwrap_or_default(),
        part_bytes: package.map(|p| p.part_bytes.clone()).unwrap_or_default(),
    }
}
