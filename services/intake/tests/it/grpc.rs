//! The same verbs over gRPC, on a loopback port.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use probity_domain::TenantId;
use probity_intake::VendorEdge;
use probity_intake::instruction::INSTRUCTION_BYTES_MAX;
use probity_platform::access::CallerRole;
use probity_proto::v1::vendor_client::VendorClient;
use probity_proto::v1::{
    BlobHeader, BlobPart, FetchArtifactRequest, ListEvidenceRequest, StatusRequest, SubmitRequest,
    blob_part::Part,
};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Channel, Server};
use tonic::{Code, Request};

use crate::world::{World, artifact, digest, instruction, item};

async fn serve(world: &World) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let routes = VendorEdge::new(world.intake.clone()).into_routes();
    let server = Server::builder().add_routes(routes);
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    address
}

async fn client(world: &World) -> VendorClient<Channel> {
    VendorClient::connect(serve(world).await).await.unwrap()
}

/// What is answered, within a minute, to a `Submit` whose message is announced and never comes: code and sentence.
async fn announce(address: &str, secret: Option<&str>, message_bytes: usize) -> (Code, String) {
    let length = u32::try_from(message_bytes).unwrap().to_be_bytes();
    let prefix = Bytes::from([&[0], &length[..]].concat());
    let body = stream::iter([Ok::<_, std::io::Error>(prefix)]).chain(stream::pending());
    let http = reqwest::Client::builder().http2_prior_knowledge();
    let http = http.build().unwrap();
    let mut request = http
        .post(format!("{address}/probity.v1.Vendor/Submit"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(reqwest::Body::wrap_stream(body));
    if let Some(secret) = secret {
        request = request.header("authorization", format!("Bearer {secret}"));
    }
    let answered = tokio::time::timeout(Duration::from_secs(60), request.send()).await;
    let headers = answered.unwrap().unwrap().headers().clone();
    let text = |name: &str| headers[name].to_str().unwrap().to_owned();
    let code: i32 = text("grpc-status").parse().unwrap();
    (Code::from(code), text("grpc-message").replace("%20", " "))
}

#[tokio::test]
async fn who_is_not_let_in_is_told_before_a_message_is_taken() {
    let world = World::start().await;
    let address = serve(&world).await;
    let announce = async |secret: Option<&str>, bytes| announce(&address, secret, bytes).await;
    let vendor = Some(world.vendor.as_str());
    let bytes = INSTRUCTION_BYTES_MAX;

    assert_eq!(announce(None, bytes).await.0, Code::Unauthenticated);
    assert_eq!(announce(Some("pk_x"), bytes).await.0, Code::Unauthenticated);
    let officer = world
        .access
        .issue(CallerRole::Officer, "test", "test")
        .await;
    let (_, officer) = officer.unwrap();
    let (code, _) = announce(Some(officer.expose()), bytes).await;
    assert_eq!(code, Code::PermissionDenied);

    let (code, why) = announce(vendor, 2 * bytes).await;
    assert_eq!(code, Code::InvalidArgument, "{why}");
    world.neighbours.behind.store(true, Ordering::SeqCst);
    let (code, why) = announce(vendor, bytes).await;
    assert_eq!(
        (code, why.as_str()),
        (Code::Unavailable, "signing is behind")
    );
    world.neighbours.behind.store(false, Ordering::SeqCst);
    let acme = TenantId::parse("acme").unwrap();
    let held = world.intake.admit(&acme, 3 * bytes as u64).await.unwrap();
    let (code, why) = announce(vendor, bytes).await;
    assert_eq!(code, Code::ResourceExhausted, "{why}");
    drop(held);
}

#[tokio::test]
async fn messages_are_no_longer_than_what_they_say() {
    let world = World::start().await;
    let mut client = client(&world).await;
    let long = vec![0; 1024 * 1024 + 2048];
    let mut upload = parts(b"abc", vec![]);
    upload.push(BlobPart {
        part: Some(Part::Chunk(long.into())),
    });
    let upload = signed(&world, tokio_stream::iter(upload));
    let refused = client.put_blob(upload).await.unwrap_err();
    assert!(refused.message().contains("too large"), "{refused}");
    let request = StatusRequest {
        evidence_numbers: vec!["PB1-".repeat(20_000)],
        submission_id: String::new(),
    };
    let refused = client.status(signed(&world, request)).await.unwrap_err();
    assert_eq!(refused.code(), Code::OutOfRange, "{refused}");
}

fn signed<T>(world: &World, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let value = format!("Bearer {}", world.vendor).parse().unwrap();
    request.metadata_mut().insert("authorization", value);
    request
}

fn parts(announced: &'static [u8], chunks: Vec<&'static [u8]>) -> Vec<BlobPart> {
    let of = digest(announced);
    let header = BlobHeader {
        sha3_256: of.digests.sha3_256.to_hex(),
        sha256: of.digests.sha256.to_hex(),
        size_bytes: of.size_bytes,
    };
    let chunks = chunks.into_iter().map(|c| Part::Chunk(c.into()));
    std::iter::once(Part::Header(header))
        .chain(chunks)
        .map(|p| BlobPart { part: Some(p) })
        .collect()
}

#[tokio::test]
async fn the_whole_way() {
    let world = World::start().await;
    let mut client = client(&world).await;
    let upload = tokio_stream::iter(parts(b"abc", vec![b"a", b"bc"]));
    let stored = client
        .put_blob(signed(&world, upload))
        .await
        .unwrap()
        .into_inner();
    assert!(!stored.existed && stored.size_bytes == 3);
    let upload = tokio_stream::iter(parts(b"abc", vec![]));
    assert!(
        client
            .put_blob(signed(&world, upload))
            .await
            .unwrap()
            .into_inner()
            .existed
    );

    let instruction = instruction("c", vec![item(vec![artifact("page.html", digest(b"abc"))])]);
    let intent_id = world.intent(&instruction).await;
    let request = SubmitRequest {
        instruction: instruction.into(),
        idempotency_key: "k".into(),
        intent_id,
        submitter_signature_sha3_256: String::new(),
    };
    let submitted = client
        .submit(signed(&world, request.clone()))
        .await
        .unwrap()
        .into_inner();
    let again = client
        .submit(signed(&world, request))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(submitted, again);
    let number = submitted.items[0].evidence_number.clone();

    let by_number = StatusRequest {
        evidence_numbers: vec![number.clone()],
        submission_id: String::new(),
    };
    let by_submission = StatusRequest {
        evidence_numbers: vec![],
        submission_id: submitted.submission_id,
    };
    for request in [by_number, by_submission] {
        let reply = client
            .status(signed(&world, request))
            .await
            .unwrap()
            .into_inner();
        assert_eq!(
            (
                reply.evidence[0].evidence_number.as_str(),
                reply.evidence[0].state.as_str()
            ),
            (number.as_str(), "accepted")
        );
    }
    let reply = client
        .list(signed(&world, ListEvidenceRequest::default()))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(reply.evidence.len(), 1);
    let request = FetchArtifactRequest {
        evidence_number: number,
        artifact_name: "page.html".into(),
    };
    let mut chunks = client
        .fetch(signed(&world, request))
        .await
        .unwrap()
        .into_inner();
    let mut bytes = Vec::new();
    while let Some(chunk) = chunks.message().await.unwrap() {
        bytes.extend_from_slice(&chunk.data);
    }
    assert_eq!(bytes, b"abc");
}

#[tokio::test]
async fn refusals_keep_their_kind() {
    let world = World::start().await;
    let mut client = client(&world).await;
    let code = |result: Result<_, tonic::Status>| {
        result.map(|_: tonic::Response<_>| ()).unwrap_err().code()
    };
    let wrong = tokio_stream::iter(parts(b"abc", vec![b"abd"]));
    assert_eq!(
        code(client.put_blob(signed(&world, wrong)).await),
        Code::InvalidArgument
    );
    let headless = tokio_stream::iter(vec![BlobPart {
        part: Some(Part::Chunk("abc".into())),
    }]);
    assert_eq!(
        code(client.put_blob(signed(&world, headless)).await),
        Code::InvalidArgument
    );
    let empty = tokio_stream::iter(parts(b"", vec![]));
    assert_eq!(
        code(client.put_blob(signed(&world, empty)).await),
        Code::InvalidArgument
    );
    let anonymous = client
        .list(Request::new(ListEvidenceRequest::default()))
        .await;
    assert_eq!(anonymous.unwrap_err().code(), Code::Unauthenticated);
    let request = StatusRequest {
        evidence_numbers: vec!["nonsense".into()],
        submission_id: String::new(),
    };
    assert_eq!(
        client
            .status(signed(&world, request))
            .await
            .unwrap_err()
            .code(),
        Code::InvalidArgument
    );
    let request = SubmitRequest {
        instruction: "{".into(),
        idempotency_key: "k".into(),
        intent_id: String::new(),
        submitter_signature_sha3_256: String::new(),
    };
    assert_eq!(
        client
            .submit(signed(&world, request))
            .await
            .unwrap_err()
            .code(),
        Code::InvalidArgument
    );
}
