//! The SDK against edges that misbehave.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod resume;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use probity_client::{
    Court, Endpoints, Error, Officer, Problem, ProblemKind, Secret, Vendor, digest_file,
};
use probity_domain::{DeliveryId, Timestamp};
use probity_proto::http::{IntentConfirmDocument, ProblemDocument};
use sha2::Digest as _;

#[derive(Default)]
struct Edge {
    /// Refusals left before it works.
    refusals: AtomicUsize,
    calls: Mutex<Vec<String>>,
    blobs: Mutex<Vec<String>>,
}

type Shared = State<Arc<Edge>>;

fn problem(status: StatusCode, kind: &str) -> Response {
    let document = ProblemDocument {
        kind: format!("urn:probity:problem:{kind}"),
        title: kind.to_owned(),
        status: status.as_u16(),
        detail: "because".to_owned(),
    };
    (status, [(header::RETRY_AFTER, "0")], axum::Json(document)).into_response()
}

impl Edge {
    /// Notes the call; a refusal if some are left.
    fn called(&self, call: &str) -> Option<Response> {
        self.calls.lock().unwrap().push(call.to_owned());
        let left = self
            .refusals
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        left.is_ok()
            .then(|| problem(StatusCode::SERVICE_UNAVAILABLE, "unavailable"))
    }
}

async fn put_blob(
    State(edge): Shared,
    Path(digest): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Some(refusal) = edge.called("put") {
        return refusal;
    }
    assert_eq!(
        headers["probity-sha256"].to_str().unwrap(),
        hex::encode(sha2::Sha256::digest(&body))
    );
    assert_eq!(headers[header::CONTENT_LENGTH], body.len().to_string());
    edge.blobs.lock().unwrap().push(digest.clone());
    axum::Json(
        serde_json::json!({ "sha3_256": digest, "size_bytes": body.len(), "existed": false }),
    )
    .into_response()
}

async fn head_blob(State(edge): Shared, Path(digest): Path<String>) -> StatusCode {
    edge.calls.lock().unwrap().push("head".to_owned());
    if edge.blobs.lock().unwrap().contains(&digest) {
        StatusCode::OK
    } else {
        StatusCode::NOT_FOUND
    }
}

async fn submit(State(edge): Shared, headers: HeaderMap, body: Bytes) -> Response {
    let key = headers["idempotency-key"].to_str().unwrap();
    let call = format!("submit {key} {}", hex::encode(sha2::Sha256::digest(&body)));
    if let Some(refusal) = edge.called(&call) {
        return refusal;
    }
    axum::Json(serde_json::json!({ "submission": "s", "received_at": "t", "items": [] }))
        .into_response()
}

async fn confirm(State(edge): Shared) -> Response {
    edge.calls.lock().unwrap().push("confirm".to_owned());
    problem(StatusCode::GATEWAY_TIMEOUT, "timeout")
}

const PACKAGE: &[u8] = b"the package";

async fn revoke(
    State(edge): Shared,
    Path(credential): Path<String>,
    headers: HeaderMap,
) -> Response {
    assert_eq!(headers["authorization"], "Bearer pk_x");
    edge.called(&format!("revoke {credential}"))
        .unwrap_or_else(|| StatusCode::NO_CONTENT.into_response())
}

async fn package(headers: HeaderMap) -> Response {
    assert_eq!(headers["probity-legal-basis"], "%E6%B3%95");
    assert!(
        headers[header::AUTHORIZATION]
            .to_str()
            .unwrap()
            .starts_with("Bearer pk_")
    );
    let announced = hex::encode(sha2::Sha256::digest(PACKAGE));
    ([("probity-package-sha256", announced)], PACKAGE).into_response()
}

/// Bytes that are not the announced ones.
async fn wrong_package() -> Response {
    ([("probity-package-sha256", "00".repeat(32))], PACKAGE).into_response()
}

async fn serve(edge: Arc<Edge>) -> String {
    let router = Router::new()
        .route("/v1/blobs/{digest}", put(put_blob).head(head_blob))
        .route("/v1/submissions", post(submit))
        .route("/v1/intents/{intent}/confirm", post(confirm))
        .route("/v1/credentials/{credential}", delete(revoke))
        .route("/v1/court/deliveries/{delivery}/package", get(package))
        .route(
            "/wrong/v1/court/deliveries/{delivery}/package",
            get(wrong_package),
        )
        .with_state(edge);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async { axum::serve(listener, router).await });
    url
}

async fn endpoints(edge: &Arc<Edge>) -> Endpoints {
    let url = serve(edge.clone()).await;
    Endpoints {
        intake: url.clone(),
        identity: url.clone(),
        delivery: url,
    }
}

async fn vendor(edge: &Arc<Edge>) -> Vendor {
    let endpoints = endpoints(edge).await;
    Vendor::new(&endpoints, &Secret::new("pk_x\n"), None).unwrap()
}

#[tokio::test]
async fn an_interrupted_upload_goes_on_and_sends_nothing_twice() {
    let edge = Arc::new(Edge::default());
    edge.refusals.store(2, Ordering::SeqCst);
    let vendor = vendor(&edge).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("截图.png");
    std::fs::write(&path, vec![7; 700_000]).unwrap();
    let file = digest_file(&path).await.unwrap();
    let stored = vendor.put_blob(&file, |_| {}).await.unwrap();
    assert!(!stored.existed);
    assert_eq!(
        *edge.calls.lock().unwrap(),
        ["head", "put", "put", "put"],
        "refused twice, then taken"
    );
    // The same run again: what is there is not sent.
    assert!(vendor.put_blob(&file, |_| {}).await.unwrap().existed);
    assert_eq!(edge.calls.lock().unwrap().last().unwrap(), "head");
}

#[tokio::test]
async fn a_repeated_submit_is_the_same_bytes_under_the_same_key() {
    let edge = Arc::new(Edge::default());
    edge.refusals.store(1, Ordering::SeqCst);
    let vendor = vendor(&edge).await;
    vendor
        .submit(b"{ \"spaced\":  1 }", "key-1", Some("intent"))
        .await
        .unwrap();
    let calls = edge.calls.lock().unwrap();
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[0], calls[1]);
}

#[tokio::test]
async fn attempts_that_count_are_not_repeated_on_doubt() {
    let edge = Arc::new(Edge::default());
    let vendor = vendor(&edge).await;
    let confirmation = IntentConfirmDocument {
        code: "1".into(),
        instruction_sha256: String::new(),
    };
    let refused = vendor.confirm_intent("i", &confirmation).await.unwrap_err();
    assert_eq!(refused.kind(), Some(ProblemKind::Timeout));
    assert_eq!(edge.calls.lock().unwrap().len(), 1);
    let Error::Refused(Problem {
        status: 504,
        detail,
        ..
    }) = refused
    else {
        panic!("{refused}")
    };
    assert_eq!(detail, "because");
}

#[tokio::test]
async fn a_revocation_is_repeated_until_it_is_done() {
    let edge = Arc::new(Edge {
        refusals: AtomicUsize::new(1),
        ..Edge::default()
    });
    let officer = Officer::new(&endpoints(&edge).await, &Secret::new("pk_x"), None).unwrap();
    officer.revoke_credential("some-id").await.unwrap();
    let calls = edge.calls.lock().unwrap();
    assert_eq!(*calls, ["revoke some-id", "revoke some-id"]);
}

#[tokio::test]
async fn packages_are_saved_whole_and_right_or_not_at_all() {
    let url = serve(Arc::default()).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.p7m");
    let id = DeliveryId::new(Timestamp::from_unix_ms(1), [1; 10]);
    let court = Court::new(&url, &Secret::new("pk_x"), None).unwrap();
    let (size_bytes, sha256) = court.fetch(&id, "法", &path).await.unwrap();
    let announced: [u8; 32] = sha2::Sha256::digest(PACKAGE).into();
    assert_eq!((size_bytes, sha256.0), (PACKAGE.len() as u64, announced));
    assert_eq!(std::fs::read(&path).unwrap(), PACKAGE);

    let other = folder.path().join("other.p7m");
    let court = Court::new(&format!("{url}/wrong"), &Secret::new("pk_x"), None).unwrap();
    assert!(matches!(
        court.fetch(&id, "法", &other).await,
        Err(Error::Digest { .. })
    ));
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        1,
        "nothing is left over"
    );
}

#[tokio::test]
async fn nobody_there_is_said_after_bounded_attempts() {
    let court = Court::new("http://127.0.0.1:1", &Secret::new("pk_x"), None).unwrap();
    let listed = court.list(&probity_client::DeliveryQuery::default()).await;
    assert!(matches!(listed, Err(Error::Transport(_))));
}
