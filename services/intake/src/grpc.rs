//! gRPC: the same verbs as over HTTP (proto/probity/v1/vendor.proto).

use std::pin::Pin;
use std::sync::Arc;

use axum::extract::{Request as HttpRequest, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response as HttpResponse;
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use probity_domain::{
    Digests, EvidenceId, IdempotencyKey, IntentId, Sha3_256, Sha256, SubmissionId,
};
use probity_platform::access::Caller;
use probity_platform::edge::{self, Held};
use probity_platform::objects::ByteStream;
use probity_platform::{Error, Result};
use probity_proto::http::{EvidenceStatusDocument, SubmittedItemDocument};
use probity_proto::v1::vendor_server::{Vendor, VendorServer};
use probity_proto::v1::{
    BlobHeader, BlobPart, BlobStored, Chunk, EvidenceStatus, FetchArtifactRequest,
    ListEvidenceRequest, StatusReply, StatusRequest, SubmitReply, SubmitRequest, SubmittedItem,
    blob_part,
};
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic::{Request, Response, Status, Streaming};

use crate::http::INSTRUCTION_MEMORY;
use crate::instruction::INSTRUCTION_BYTES_MAX;
use crate::status::Whereabouts;
use crate::verified::Expected;
use crate::{Intake, fetch, search, status, submit, upload};

type Answer<T> = core::result::Result<Response<T>, Status>;

/// Evidence numbers in one status call.
const NUMBERS_MAX: usize = 100;

/// One message of `Submit`: room for the other fields beside the instruction.
const SUBMIT_BYTES_MAX: usize = INSTRUCTION_BYTES_MAX + 64 * 1024;
/// One message of `PutBlob`: a chunk of 1 MiB and what frames it.
const PART_BYTES_MAX: usize = 1024 * 1024 + 1024;
/// One message of the calls that ask.
const QUESTION_BYTES_MAX: usize = 64 * 1024;

/// The service `probity.v1.Vendor`.
pub struct VendorEdge {
    intake: Intake,
}

impl VendorEdge {
    /// Over the role's verbs.
    #[must_use]
    pub const fn new(intake: Intake) -> Self {
        Self { intake }
    }

    /// For [`probity_platform::edge::serve_grpc_on`].
    #[must_use]
    pub fn into_routes(self) -> Routes {
        let intake = self.intake.clone();
        let vendor = Arc::new(self);
        let taking =
            |bytes_max| VendorServer::from_arc(vendor.clone()).max_decoding_message_size(bytes_max);
        let path = |method: &str| format!("/{}/{method}", VendorServer::<Self>::NAME);
        let services = axum::Router::new()
            .route_service(&path("Submit"), taking(SUBMIT_BYTES_MAX))
            .route_layer(from_fn_with_state(intake.clone(), admitted))
            .route_service(&path("PutBlob"), taking(PART_BYTES_MAX))
            .route_service(&path("{*rest}"), taking(QUESTION_BYTES_MAX));
        let services = Routes::default().into_axum_router().merge(services);
        edge::for_known_callers(services.into(), intake.access.clone())
    }
}

/// Around `Submit`, whose message is in memory before its handler runs: as over HTTP, room is found before any of it is read.
async fn admitted(State(intake): State<Intake>, request: HttpRequest, next: Next) -> HttpResponse {
    match admit(&intake, request).await {
        Ok((_held, request)) => next.run(request).await,
        Err(e) => Status::from(e).into_http(),
    }
}

async fn admit(intake: &Intake, request: HttpRequest) -> Result<([Held; 2], HttpRequest)> {
    let (head, body) = request.into_parts();
    let (tenant, _) = Caller::of(&head.extensions)?.require_vendor()?;
    let call = intake.enter_with_instruction(tenant).await?;
    let (size_bytes, body) = edge::announced(body).await?;
    if u64::from(size_bytes) > SUBMIT_BYTES_MAX as u64 {
        return Err(too_long());
    }
    let memory = INSTRUCTION_MEMORY * u64::from(size_bytes);
    let memory = intake.admit(tenant, memory).await?;
    Ok(([call, memory], HttpRequest::from_parts(head, body)))
}

fn too_long() -> Error {
    Error::malformed(format!(
        "an instruction has at most {INSTRUCTION_BYTES_MAX} bytes"
    ))
}

#[tonic::async_trait]
impl Vendor for VendorEdge {
    async fn put_blob(&self, request: Request<Streaming<BlobPart>>) -> Answer<BlobStored> {
        let caller = Caller::of(request.extensions())?.clone();
        let (tenant, _) = caller.require_vendor()?;
        let _call = self.intake.enter(tenant).await?;
        let mut parts = request.into_inner();
        let first = parts.message().await?.and_then(|p| p.part);
        let Some(blob_part::Part::Header(header)) = first else {
            return Err(Error::malformed("the first part is the header").into());
        };
        let stored =
            upload::upload(&self.intake, tenant, announced(&header)?, chunks(parts)).await?;
        Ok(Response::new(BlobStored {
            sha3_256: stored.sha3_256,
            size_bytes: stored.size_bytes,
            existed: stored.existed,
        }))
    }

    async fn submit(&self, request: Request<SubmitRequest>) -> Answer<SubmitReply> {
        let caller = Caller::of(request.extensions())?.clone();
        let SubmitRequest {
            instruction,
            idempotency_key,
            intent_id,
            submitter_signature_sha3_256,
        } = request.into_inner();
        if instruction.len() > INSTRUCTION_BYTES_MAX {
            return Err(too_long().into());
        }
        let intent = Some(intent_id.as_str())
            .filter(|id| !id.is_empty())
            .map(IntentId::parse);
        let signature = Some(submitter_signature_sha3_256.as_str())
            .filter(|digest| !digest.is_empty())
            .map(Sha3_256::parse_hex);
        let request = submit::Request {
            caller: &caller,
            instruction,
            key: IdempotencyKey::parse(&idempotency_key).map_err(Error::from)?,
            intent: intent.transpose().map_err(Error::from)?,
            signature: signature.transpose().map_err(Error::from)?,
        };
        let submission = submit::submit(&self.intake, request).await?;
        let document = status::submitted_document(&submission, &Whereabouts::default());
        Ok(Response::new(SubmitReply {
            submission_id: document.submission,
            received_at: document.received_at,
            items: document.items.into_iter().map(submitted_item).collect(),
        }))
    }

    async fn status(&self, request: Request<StatusRequest>) -> Answer<StatusReply> {
        let caller = Caller::of(request.extensions())?.clone();
        let (tenant, _) = caller.require_vendor()?;
        let StatusRequest {
            evidence_numbers,
            submission_id,
        } = request.into_inner();
        if evidence_numbers.len() > NUMBERS_MAX {
            return Err(Error::malformed(format!(
                "at most {NUMBERS_MAX} numbers; ask by submission"
            ))
            .into());
        }
        let mut evidence = Vec::new();
        for number in evidence_numbers {
            let id = EvidenceId::parse(&number).map_err(Error::from)?;
            let (document, _) = status::evidence_status(&self.intake, tenant, id).await?;
            evidence.push(evidence_status(document));
        }
        if !submission_id.is_empty() {
            let id = SubmissionId::parse(&submission_id).map_err(Error::from)?;
            let submission = status::own_submission(&self.intake, tenant, id).await?;
            let ids: Vec<_> = submission.accepted().map(|(id, _)| id).collect();
            let whereabouts = status::whereabouts(&self.intake, &ids).await;
            let documents = submission
                .accepted()
                .map(|(id, item)| status::evidence_document(&submission, id, item, &whereabouts));
            evidence.extend(documents.map(evidence_status));
        }
        Ok(Response::new(StatusReply {
            evidence,
            next_page: String::new(),
        }))
    }

    async fn list(&self, request: Request<ListEvidenceRequest>) -> Answer<StatusReply> {
        let caller = Caller::of(request.extensions())?.clone();
        let (tenant, _) = caller.require_vendor()?;
        let asked = request.into_inner();
        let given = |text: String| Some(text).filter(|t| !t.is_empty());
        let query = search::Query {
            case: given(asked.case),
            from: given(asked.received_from),
            until: given(asked.received_until),
            state: given(asked.state),
            submission: None,
            page: given(asked.page),
            page_size: usize::try_from(asked.page_size).ok(),
        };
        let (page, degraded) = search::search(&self.intake, tenant, &query).await?;
        let evidence = page.evidence.into_iter().map(evidence_status).collect();
        let reply = StatusReply {
            evidence,
            next_page: page.next_page.unwrap_or_default(),
        };
        let mut response = Response::new(reply);
        if degraded {
            let value = tonic::metadata::MetadataValue::from_static("index");
            response.metadata_mut().insert("probity-degraded", value);
        }
        Ok(response)
    }

    type FetchStream = Pin<Box<dyn Stream<Item = core::result::Result<Chunk, Status>> + Send>>;

    async fn fetch(&self, request: Request<FetchArtifactRequest>) -> Answer<Self::FetchStream> {
        let caller = Caller::of(request.extensions())?.clone();
        let (tenant, _) = caller.require_vendor()?;
        let FetchArtifactRequest {
            evidence_number,
            artifact_name,
        } = request.into_inner();
        let id = EvidenceId::parse(&evidence_number).map_err(Error::from)?;
        let (artifact, bytes) = fetch::fetch(&self.intake, tenant, id, &artifact_name).await?;
        tracing::info!(evidence = %id, artifact = %artifact.name, reader = %caller.actor(), "artifact read");
        Ok(Response::new(Box::pin(
            bytes.map_ok(|data| Chunk { data }).map_err(Status::from),
        )))
    }
}

fn announced(header: &BlobHeader) -> Result<Expected> {
    Ok(Expected {
        size_bytes: header.size_bytes,
        digests: Digests {
            sha3_256: Sha3_256::parse_hex(&header.sha3_256)?,
            sha256: Sha256::parse_hex(&header.sha256)?,
        },
    })
}

fn chunks(parts: Streaming<BlobPart>) -> ByteStream {
    Box::pin(parts.then(|part| async move {
        match part
            .map_err(|e| Error::malformed(format!("the upload broke off: {}", e.message())))?
            .part
        {
            Some(blob_part::Part::Chunk(bytes)) => Ok(bytes),
            Some(blob_part::Part::Header(_)) => Err(Error::malformed("a second header")),
            None => Ok(bytes::Bytes::new()),
        }
    }))
}

fn submitted_item(item: SubmittedItemDocument) -> SubmittedItem {
    SubmittedItem {
        place: item.place,
        evidence_number: item.evidence.unwrap_or_default(),
        state: item.state,
        reason: item.reason.unwrap_or_default(),
    }
}

fn evidence_status(document: EvidenceStatusDocument) -> EvidenceStatus {
    EvidenceStatus {
        evidence_number: document.evidence,
        state: document.state,
        case: document.case,
        title: document.title,
        received_at: document.received_at,
        leaf_index: document.leaf_index,
    }
}
