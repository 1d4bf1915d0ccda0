//! The courts' edge over gRPC: a real socket, a real store, health and reflection beside it.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use probity_delivery::delivery::Delivery;
use probity_delivery::http::Edge;
use probity_domain::DeliveryId;
use probity_platform::SystemRandom;
use probity_platform::access::CallerRole;
use probity_platform::bus::{Bus, BusConfig};
use probity_platform::cache::Cache;
use probity_platform::edge::{self, Limits};
use probity_platform::objects::{Buckets, S3Config};
use probity_platform::startup::Context;
use probity_proto::http::SignedReceiptDocument;
use probity_proto::ledger::ReadEvent;
use probity_proto::v1::court_client::CourtClient;
use probity_proto::v1::{AcknowledgeRequest, FetchDeliveryRequest, ListDeliveriesRequest};
use probity_testkit::World;
use sha3::Digest as _;
use tokio::net::TcpListener;
use tokio_stream::StreamExt as _;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};

use crate::fixture::{self, NOW};
use crate::world::{Court, Platform, court};

/// Buckets of this test's own in the real store.
pub async fn buckets() -> Buckets {
    let access = World::shared().await.s3();
    let keys = tempfile::tempdir().unwrap();
    let config: S3Config = toml::from_str(&access.settings(keys.path())).unwrap();
    config.ensure_buckets(Arc::new(SystemRandom)).await.unwrap();
    config.open(Arc::new(SystemRandom)).unwrap()
}

/// The edge with one prepared delivery to a court that pulls.
pub struct Served {
    pub platform: Platform,
    pub delivery: Delivery,
    pub url: String,
    channel: Channel,
    ctx: Context,
}

impl Served {
    async fn start() -> Self {
        // More than one piece of a stream.
        let long = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
        let artifacts = vec![
            ("page.html".to_owned(), long),
            ("log.jsonl".to_owned(), b"{}".to_vec()),
        ];
        Self::with_artifacts(artifacts).await
    }

    pub async fn with_artifacts(artifacts: fixture::Members) -> Self {
        let buckets = buckets().await;
        let platform = Platform::on(buckets.clone(), artifacts).await;
        let delivery = platform.prepared().await;
        // Nobody listens there: courts are served without the bus.
        let bus = Bus::connect(&BusConfig::plain("nats://127.0.0.1:1"), "delivery")
            .await
            .unwrap();
        let ctx = Context::for_tests(buckets, bus, Cache::disabled(), platform.clock.clone());
        let at_edge = Edge {
            courier: platform.courier.clone(),
            access: platform.access(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let routes = at_edge.into_grpc_routes();
        let serving = ctx.clone();
        tokio::spawn(async move {
            let limits = Limits::default();
            edge::serve_grpc_on(listener, routes, &serving, "delivery-grpc", limits).await
        });
        let channel = Endpoint::new(url.clone()).unwrap().connect().await.unwrap();
        Self {
            platform,
            delivery,
            url,
            channel,
            ctx,
        }
    }

    fn client(&self) -> CourtClient<Channel> {
        CourtClient::new(self.channel.clone())
    }

    async fn credential(&self, role: CallerRole) -> String {
        let access = self.platform.access();
        let (_, secret) = access.issue(role, "officer", "test").await.unwrap();
        secret.expose().to_owned()
    }

    pub async fn credential_of(&self, court: &Court) -> String {
        let recipient = court.id.clone();
        self.credential(CallerRole::Court { recipient }).await
    }

    fn fetch_request(&self) -> FetchDeliveryRequest {
        FetchDeliveryRequest {
            delivery_id: self.delivery.id.to_string(),
            ..FetchDeliveryRequest::default()
        }
    }

    fn acknowledge_request(&self, signed: &SignedReceiptDocument) -> AcknowledgeRequest {
        AcknowledgeRequest {
            delivery_id: self.delivery.id.to_string(),
            receipt: STANDARD.decode(&signed.receipt).unwrap().into(),
            signature: STANDARD.decode(&signed.signature).unwrap().into(),
        }
    }

    async fn state(&self) -> String {
        let delivery = self.platform.courier.delivery(self.delivery.id).await;
        delivery.unwrap().state.as_str().to_owned()
    }
}

pub fn with<T>(secret: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let metadata = request.metadata_mut();
    metadata.insert("authorization", format!("Bearer {secret}").parse().unwrap());
    metadata.insert("probity-legal-basis", "%E6%B3%95 1".parse().unwrap());
    request
}

fn code<T>(answer: Result<T, Status>) -> Code {
    answer.map(drop).unwrap_err().code()
}

#[tokio::test]
async fn a_court_lists_fetches_and_acknowledges() {
    let served = Served::start().await;
    let hangzhou = &served.platform.hangzhou;
    let secret = served.credential_of(hangzhou).await;
    let mut client = served.client();
    let open = ListDeliveriesRequest {
        state: "open".into(),
        ..ListDeliveriesRequest::default()
    };
    let listed = client.list(with(&secret, open.clone())).await.unwrap();
    let [summary] = &listed.into_inner().deliveries[..] else {
        panic!("one delivery");
    };
    let package = served.delivery.package().unwrap().clone();
    assert_eq!(summary.delivery_id, served.delivery.id.to_string());
    assert_eq!(
        summary.evidence_number,
        served.platform.evidence.to_string()
    );
    assert_eq!(
        (summary.state.as_str(), summary.size_bytes, &summary.sha256),
        ("prepared", package.size_bytes, &package.sha256.to_hex())
    );
    assert_eq!(summary.part_bytes, [package.size_bytes]);

    let fetch = with(&secret, served.fetch_request());
    let mut chunks = client.fetch(fetch).await.unwrap().into_inner();
    let (mut bytes, mut pieces) = (Vec::new(), 0);
    while let Some(chunk) = chunks.next().await {
        bytes.extend_from_slice(&chunk.unwrap().data);
        pieces += 1;
    }
    assert!(pieces > 1, "streamed, not sent in one message");
    assert_eq!(bytes, served.platform.package_bytes(&served.delivery).await);
    let opened = hangzhou.open(&bytes);
    let content: [u8; 32] = sha3::Sha3_256::digest(&opened).into();
    assert_eq!(content, package.content_sha3_256.0);
    assert_eq!(served.state().await, "entered", "fetched is received");
    let reads = served
        .platform
        .courier
        .reads(served.delivery.id, None, 9)
        .await
        .unwrap();
    let [read] = reads.try_into().unwrap();
    let ReadEvent::Fetched { legal_basis, .. } = read.event;
    assert_eq!(legal_basis, "法 1");

    let receipt = hangzhou.receipt(&served.delivery, "content_digest_confirmed");
    let request = served.acknowledge_request(&hangzhou.sign(&receipt));
    for _ in 0..2 {
        let done = client.acknowledge(with(&secret, request.clone())).await;
        let done = done.unwrap().into_inner();
        assert_eq!(
            (done.state.as_str(), done.scope.as_str()),
            ("acknowledged", "content_digest_confirmed")
        );
    }
    let left = client.list(with(&secret, open)).await.unwrap();
    assert!(left.into_inner().deliveries.is_empty());
}

/// What a fetch brought before it broke off, and the rest of the same package.
#[tokio::test]
async fn a_fetch_goes_on_where_it_broke_off() {
    let served = Served::start().await;
    let secret = served.credential_of(&served.platform.hangzhou).await;
    let mut client = served.client();
    let whole = served.platform.package_bytes(&served.delivery).await;
    let size_bytes = whole.len() as u64;
    let mut some = async |offset: u64, length: u64, sha256: &str| {
        let request = FetchDeliveryRequest {
            offset,
            length,
            sha256: sha256.to_owned(),
            ..served.fetch_request()
        };
        let mut chunks = client.fetch(with(&secret, request)).await?.into_inner();
        let mut bytes = Vec::new();
        while let Some(chunk) = chunks.next().await {
            bytes.extend_from_slice(&chunk?.data);
        }
        Ok::<_, Status>(bytes)
    };
    let sha256 = served.delivery.package().unwrap().sha256.to_hex();
    assert_eq!(some(0, 1_000, "").await.unwrap(), whole[..1_000]);
    assert_eq!(some(1_000, 1, &sha256).await.unwrap(), whole[1_000..1_001]);
    assert_eq!(served.state().await, "prepared", "the last byte is missing");
    assert_eq!(some(1_001, 0, &sha256).await.unwrap(), whole[1_001..]);
    assert_eq!(served.state().await, "entered");
    let last = some(size_bytes - 1, u64::MAX, "").await.unwrap();
    assert_eq!(last, whole[whole.len() - 1..]);
    assert_eq!(code(some(size_bytes, 0, "").await), Code::OutOfRange);
    let other = some(0, 0, &"ab".repeat(32)).await;
    assert_eq!(code(other), Code::FailedPrecondition);
}

#[tokio::test]
async fn whoever_is_not_this_court_is_refused() {
    let served = Served::start().await;
    let mut client = served.client();
    let list = ListDeliveriesRequest::default;
    let hangzhou = &served.platform.hangzhou;
    let own = served.credential_of(hangzhou).await;
    let signed = hangzhou.sign(&hangzhou.receipt(&served.delivery, "receipt_only"));
    let acknowledge = served.acknowledge_request(&signed);

    // No credential, one nobody issued, one with a character changed.
    let anonymous = client.list(Request::new(list())).await;
    assert_eq!(code(anonymous), Code::Unauthenticated);
    let last = if own.ends_with('0') { "1" } else { "0" };
    let changed = format!("{}{last}", &own[..own.len() - 1]);
    for wrong in ["pk_nobody", &changed] {
        assert_eq!(
            code(client.list(with(wrong, list())).await),
            Code::Unauthenticated,
            "{wrong}"
        );
        assert_eq!(
            code(client.fetch(with(wrong, served.fetch_request())).await),
            Code::Unauthenticated
        );
        assert_eq!(
            code(client.acknowledge(with(wrong, acknowledge.clone())).await),
            Code::Unauthenticated
        );
    }
    // A credential of another role is none of a court's.
    let officer = served.credential(CallerRole::Officer).await;
    assert_eq!(
        code(client.list(with(&officer, list())).await),
        Code::PermissionDenied
    );
    assert_eq!(
        code(client.fetch(with(&officer, served.fetch_request())).await),
        Code::PermissionDenied
    );
    // One that was withdrawn is none any more.
    let recipient = hangzhou.id.clone();
    let access = served.platform.access();
    let role = CallerRole::Court { recipient };
    let (id, withdrawn) = access.issue(role, "officer", "test").await.unwrap();
    access.revoke(id, "officer", "test", "lost").await.unwrap();
    assert_eq!(
        code(client.list(with(withdrawn.expose(), list())).await),
        Code::Unauthenticated
    );
    // To another court the delivery does not exist.
    let other = served.credential_of(&served.platform.beijing).await;
    let listed = client.list(with(&other, list())).await.unwrap();
    assert!(listed.into_inner().deliveries.is_empty());
    assert_eq!(
        code(client.fetch(with(&other, served.fetch_request())).await),
        Code::NotFound
    );
    assert_eq!(
        code(client.acknowledge(with(&other, acknowledge)).await),
        Code::NotFound
    );
    assert_eq!(served.state().await, "prepared");
}

/// By an answer, within a minute, to a receipt that is announced and never comes.
#[tokio::test]
async fn strangers_are_refused_before_a_message_is_taken() {
    let served = Served::start().await;
    let prefix = vec![0, 0, 16, 0, 0];
    let body = tokio_stream::once(Ok::<_, std::io::Error>(prefix));
    let body = body.chain(tokio_stream::pending());
    let http = reqwest::Client::builder().http2_prior_knowledge();
    let asked = http
        .build()
        .unwrap()
        .post(format!("{}/probity.v1.Court/Acknowledge", served.url))
        .header("content-type", "application/grpc")
        .body(reqwest::Body::wrap_stream(body));
    let answered = tokio::time::timeout(Duration::from_secs(60), asked.send()).await;
    assert_eq!(answered.unwrap().unwrap().headers()["grpc-status"], "16");
}

#[tokio::test]
async fn what_does_not_hold_is_refused_by_name() {
    let served = Served::start().await;
    let hangzhou = &served.platform.hangzhou;
    let secret = served.credential_of(hangzhou).await;
    let mut client = served.client();
    let good = hangzhou.receipt(&served.delivery, "content_digest_confirmed");
    let mut other_package = good.clone();
    other_package.package_sha256 = "ab".repeat(32);
    let mut other_content = good.clone();
    other_content.content_sha3_256 = Some("ab".repeat(32));
    let forged = [
        (hangzhou.sign(&other_package), "package digest"),
        (hangzhou.sign(&other_content), "content digest"),
        (court("hangzhou").sign(&good), ""),
    ];
    for (signed, named) in forged {
        let request = served.acknowledge_request(&signed);
        let refused = client.acknowledge(with(&secret, request)).await;
        let refused = refused.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().contains(named), "{refused}");
    }
    let mut silent = Request::new(served.fetch_request());
    let value = format!("Bearer {secret}").parse().unwrap();
    silent.metadata_mut().insert("authorization", value);
    let refused = client.fetch(silent).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("legal-basis"), "{refused}");
    for (delivery_id, expected) in [
        ("nonsense".to_owned(), Code::InvalidArgument),
        (DeliveryId::new(NOW, [9; 10]).to_string(), Code::NotFound),
    ] {
        let request = FetchDeliveryRequest {
            delivery_id,
            ..FetchDeliveryRequest::default()
        };
        let request = with(&secret, request);
        assert_eq!(code(client.fetch(request).await), expected);
    }
    let unknown_state = ListDeliveriesRequest {
        state: "everything".into(),
        ..ListDeliveriesRequest::default()
    };
    assert_eq!(
        code(client.list(with(&secret, unknown_state)).await),
        Code::InvalidArgument
    );
    assert_eq!(served.state().await, "prepared");
}

#[tokio::test]
async fn health_and_reflection_stand_beside_it() {
    let served = Served::start().await;
    let mut health = HealthClient::new(served.channel.clone());
    let status = health.check(HealthCheckRequest::default()).await.unwrap();
    assert_eq!(status.into_inner().status(), ServingStatus::Serving);

    let mut reflection = ServerReflectionClient::new(served.channel.clone());
    let ask = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let answers = reflection
        .server_reflection_info(tokio_stream::once(ask))
        .await
        .unwrap();
    let answer: ServerReflectionResponse = answers.into_inner().message().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(services)) = answer.message_response else {
        panic!("{answer:?}");
    };
    let names: Vec<_> = services.service.iter().map(|s| s.name.as_str()).collect();
    assert!(names.contains(&"probity.v1.Court"), "{names:?}");
    served.ctx.shutdown.request();
}
