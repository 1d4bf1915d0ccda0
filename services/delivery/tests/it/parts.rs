//! Packages of several envelopes, over a real store: pushed, pulled by ranges, opened with OpenSSL, receipted.

use std::io::Cursor;
use std::process::Command;
use std::sync::{Arc, Mutex};

use probity_delivery::delivery::{Delivery, listed};
use probity_delivery::http::{Edge, router};
use probity_domain::DeliveryState;
use probity_platform::access::CallerRole;
use probity_platform::objects::{Buckets, MemoryObjects};
use probity_proto::http::{DeliveriesDocument, ProblemDocument};
use probity_proto::ledger::{ByteRange, ReadEvent};
use probity_verify::{Overall, Policy, verify_package};
use reqwest::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderMap};
use reqwest::{RequestBuilder, Response, StatusCode};

use crate::fixture;
use crate::grpc::buckets;
use crate::push::receives;
use crate::world::{Court, Platform};

const PIECE_BYTES: u64 = 64 * 1024;

fn artifacts() -> fixture::Members {
    let scattered = |i: u32| (i.wrapping_mul(2_654_435_761) >> 13) as u8;
    vec![
        (
            "video.mp4".to_owned(),
            (0..300_000).map(scattered).collect(),
        ),
        ("log.jsonl".to_owned(), b"{}".to_vec()),
    ]
}

async fn platform() -> Platform {
    Platform::in_pieces(PIECE_BYTES, buckets().await, artifacts()).await
}

/// Each part for itself by OpenSSL, as a court would that has nothing else, and what came out joined.
fn opened_by_openssl(court: &Court, package: &[u8], part_bytes: &[u64]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("cert.pem"), court.encryption.1.to_pem().unwrap()).unwrap();
    let key = court.encryption.0.to_pkcs8_der().unwrap();
    std::fs::write(path("key.der"), &*key).unwrap();
    let (mut opened, mut rest) = (Vec::new(), package);
    for length in part_bytes {
        let (part, later) = rest.split_at(usize::try_from(*length).unwrap());
        std::fs::write(path("part.p7m"), part).unwrap();
        let command = "openssl cms -decrypt -binary -inform DER -in part.p7m -recip cert.pem -inkey key.der -keyform DER -out opened";
        let words: Vec<_> = command.split(' ').collect();
        let done = Command::new(words[0])
            .args(&words[1..])
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(done.status.success(), "{done:?}");
        opened.extend(std::fs::read(path("opened")).unwrap());
        rest = later;
    }
    assert!(rest.is_empty());
    opened
}

fn judged(platform: &Platform, court: &Court, delivery: &Delivery, package: &[u8]) {
    let made = delivery.package().unwrap();
    let by_openssl = opened_by_openssl(court, package, &made.part_bytes);
    let digest = fixture::stated("x", &by_openssl).sha3_256;
    assert_eq!(digest, made.content_sha3_256);
    assert!(
        by_openssl == court.open(package),
        "OpenSSL and we open the same"
    );
    let world = &platform.evidence_world;
    let keys = vec![world.log.verifier_key().to_owned()];
    let policy = Policy::new(vec![world.root.certificate.clone()], keys, platform.now());
    let verdict = verify_package(Cursor::new(&by_openssl), &policy);
    let said = probity_verify::render(&verdict);
    assert_eq!(verdict.overall, Overall::Valid, "{said}");
}

#[tokio::test]
async fn a_package_of_several_parts_is_pushed() {
    let platform = platform().await;
    let told = Arc::new(Mutex::new(Vec::new()));
    let (tell, answers) = (told.clone(), receives(&platform.beijing));
    platform.court_answers(move |parcel, bytes| {
        *tell.lock().unwrap() = parcel.part_bytes.clone();
        answers(parcel, bytes)
    });
    let id = platform.request(&platform.beijing).await.id;
    platform.courier.deliver(id).await.unwrap();
    let delivery = platform.courier.delivery(id).await.unwrap();
    assert_eq!(delivery.state.as_str(), "acknowledged");
    let part_bytes = delivery.package().unwrap().part_bytes.clone();
    assert!(part_bytes.len() > 3, "{part_bytes:?}");
    assert_eq!(*told.lock().unwrap(), part_bytes);
    let pushed = platform.outside.pushed.lock().unwrap().remove(0);
    judged(&platform, &platform.beijing, &delivery, &pushed);
}

/// The courts' edge over HTTP.
struct Served {
    platform: Platform,
    delivery: Delivery,
    url: String,
    secret: String,
    http: reqwest::Client,
}

impl Served {
    async fn start() -> Self {
        let platform = platform().await;
        let delivery = platform.prepared().await;
        let recipient = platform.hangzhou.id.clone();
        let role = CallerRole::Court { recipient };
        let (_, secret) = platform.access().issue(role, "officer", "t").await.unwrap();
        let edge = Edge {
            courier: platform.courier.clone(),
            access: platform.access(),
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router(edge)).await });
        Self {
            platform,
            delivery,
            url,
            secret: secret.expose().to_owned(),
            http: reqwest::Client::new(),
        }
    }

    fn path(&self, what: &str) -> String {
        format!(
            "{}/v1/court/deliveries/{}/{what}",
            self.url, self.delivery.id
        )
    }

    fn package(&self) -> RequestBuilder {
        let get = self.http.get(self.path("package"));
        get.bearer_auth(&self.secret)
            .header("probity-legal-basis", "case 1")
    }

    async fn with(&self, headers: &[(&str, &str)]) -> Response {
        let request = headers
            .iter()
            .fold(self.package(), |request, (name, value)| {
                request.header(*name, *value)
            });
        request.send().await.unwrap()
    }

    async fn state(&self) -> DeliveryState {
        let delivery = self.platform.courier.delivery(self.delivery.id).await;
        delivery.unwrap().state
    }

    async fn reads(&self) -> Vec<Option<ByteRange>> {
        let reads = self.platform.courier.reads(self.delivery.id, None, 100);
        let reads = reads.await.unwrap().into_iter();
        reads
            .map(|read| match read.event {
                ReadEvent::Fetched { range, .. } => range,
            })
            .collect()
    }
}

fn text(headers: &HeaderMap, name: impl reqwest::header::AsHeaderName) -> &str {
    headers.get(name).unwrap().to_str().unwrap()
}

#[tokio::test]
async fn a_package_of_several_parts_is_pulled_part_by_part() {
    let served = Served::start().await;
    let list = served
        .http
        .get(format!("{}/v1/court/deliveries", served.url));
    let listed_page = list.bearer_auth(&served.secret).send().await.unwrap();
    let page: DeliveriesDocument =
        serde_json::from_slice(&listed_page.bytes().await.unwrap()).unwrap();
    let part_bytes = page.deliveries[0].part_bytes.clone();
    assert!(part_bytes.len() > 3, "{part_bytes:?}");
    let (mut package, mut noted) = (Vec::new(), Vec::new());
    for length in &part_bytes {
        assert_eq!(served.state().await, DeliveryState::Prepared);
        let first = package.len() as u64;
        let last = first + length - 1;
        noted.push(Some(ByteRange { first, last }));
        let part = served
            .with(&[("range", &format!("bytes={first}-{last}"))])
            .await;
        assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
        let headers = part.headers();
        let whole: u64 = part_bytes.iter().sum();
        assert_eq!(
            text(headers, CONTENT_RANGE),
            format!("bytes {first}-{last}/{whole}")
        );
        assert_eq!(text(headers, CONTENT_LENGTH), length.to_string());
        assert_eq!(text(headers, "probity-parts"), listed(&part_bytes));
        package.extend_from_slice(&part.bytes().await.unwrap());
        // Reads are in the order of their time.
        served.platform.clock.advance_ms(1);
    }
    assert_eq!(
        served.state().await,
        DeliveryState::Entered,
        "the last byte was taken"
    );
    assert_eq!(served.reads().await, noted);
    let court = &served.platform.hangzhou;
    assert!(package == served.platform.package_bytes(&served.delivery).await);
    judged(&served.platform, court, &served.delivery, &package);
    let signed = court.sign(&court.receipt(&served.delivery, "content_digest_confirmed"));
    let receipt = served
        .http
        .post(served.path("receipt"))
        .bearer_auth(&served.secret);
    let receipt = receipt
        .header("content-type", "application/json")
        .body(serde_json::to_vec(&signed).unwrap());
    assert_eq!(receipt.send().await.unwrap().status(), StatusCode::OK);
    assert!(served.state().await.is_terminal());
}

#[tokio::test]
async fn ranges_and_preconditions_as_rfc_9110_has_them() {
    let served = Served::start().await;
    let package = served.delivery.package().unwrap();
    let (size, etag) = (
        package.size_bytes,
        format!("\"{}\"", package.sha256.to_hex()),
    );
    let head = served
        .http
        .head(served.path("package"))
        .bearer_auth(&served.secret);
    let head = head
        .header("probity-legal-basis", "case 1")
        .header("range", "bytes=0-1");
    let head = head.send().await.unwrap();
    assert_eq!(head.status(), StatusCode::OK);
    assert_eq!(text(head.headers(), ETAG), etag);
    assert_eq!(text(head.headers(), ACCEPT_RANGES), "bytes");
    assert_eq!(text(head.headers(), CONTENT_LENGTH), size.to_string());

    let beyond = served.with(&[("range", &format!("bytes={size}-"))]).await;
    assert_eq!(beyond.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(
        text(beyond.headers(), CONTENT_RANGE),
        format!("bytes */{size}")
    );
    let problem: ProblemDocument = serde_json::from_slice(&beyond.bytes().await.unwrap()).unwrap();
    assert_eq!(
        (problem.status, problem.kind.as_str()),
        (416, "urn:probity:problem:malformed")
    );
    let had = served.with(&[("if-none-match", &etag)]).await;
    assert_eq!(had.status(), StatusCode::NOT_MODIFIED);
    let another = served.with(&[("if-match", "\"another\"")]).await;
    assert_eq!(another.status(), StatusCode::PRECONDITION_FAILED);
    let silent = served
        .http
        .get(served.path("package"))
        .bearer_auth(&served.secret);
    let silent = silent.header("range", "bytes=0-1").send().await.unwrap();
    assert_eq!(silent.status(), StatusCode::BAD_REQUEST, "no legal basis");
    assert!(
        served.reads().await.is_empty(),
        "nothing was given, nothing is noted"
    );

    let same = served
        .with(&[("range", "bytes=2-4"), ("if-range", &etag)])
        .await;
    assert_eq!(same.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(same.bytes().await.unwrap().len(), 3);
    assert_eq!(served.state().await, DeliveryState::Prepared);
    let end = served.with(&[("range", "bytes=-1")]).await;
    assert_eq!(end.bytes().await.unwrap().len(), 1);
    assert_eq!(
        served.state().await,
        DeliveryState::Prepared,
        "of what is before the last byte three were taken"
    );
    served.platform.clock.advance_ms(1);
    let other = served
        .with(&[("range", "bytes=2-4"), ("if-range", "\"another\"")])
        .await;
    assert_eq!(other.status(), StatusCode::OK);
    assert_eq!(other.bytes().await.unwrap().len() as u64, size);
    let reads = served.reads().await;
    let (first, last) = (size - 1, size - 1);
    for range in [ByteRange { first: 2, last: 4 }, ByteRange { first, last }] {
        assert!(reads.contains(&Some(range)), "{reads:?}");
    }
    assert_eq!((reads.len(), reads.last()), (3, Some(&None)));
    assert_eq!(served.state().await, DeliveryState::Entered);
}

#[tokio::test]
async fn a_package_of_too_many_parts_is_suspended_with_that_reason() {
    let buckets = Buckets {
        truth: Arc::new(MemoryObjects::new()),
        work: Arc::new(MemoryObjects::new()),
    };
    let platform = Platform::in_pieces(1_000, buckets, artifacts()).await;
    let delivery = platform.prepared().await;
    let DeliveryState::Suspended { reason } = delivery.state else {
        panic!("{:?}", delivery.state)
    };
    assert_eq!(
        reason,
        "the package is larger than 64000 bytes, which 64 envelopes may carry"
    );
}
