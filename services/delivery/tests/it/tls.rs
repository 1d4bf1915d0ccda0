//! Pushing over real TLS: what is trusted, where it goes, how long it may take (fault F14).

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse as _;
use axum::routing::post;
use axum_server::tls_rustls::RustlsConfig;
use bytes::Bytes;
use probity_delivery::HttpsPush;
use probity_delivery::answer::Answer;
use probity_delivery::endpoint::Endpoint;
use probity_delivery::ports::{Parcel, Push as _};
use probity_domain::DeliveryState;
use probity_platform::startup::Shutdown;
use probity_proto::http::RecipientDocument;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::schedule::until;
use crate::world::{Platform, collect, court};

/// A court's server; answers its address and the certificate to trust.
async fn serve(router: Router) -> (SocketAddr, String) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let certificate = CertificateDer::from_pem_slice(made.cert.pem().as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(made.signing_key.serialize_pem().as_bytes()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(
        rustls::crypto::aws_lc_rs::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_no_client_auth()
    .with_single_cert(vec![certificate], key)
    .unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let server =
        axum_server::from_tcp_rustls(listener, RustlsConfig::from_config(Arc::new(config)))
            .unwrap();
    tokio::spawn(server.serve(router.into_make_service()));
    (address, made.cert.pem())
}

async fn push(address: SocketAddr, tls_ca: Option<&str>, host: &str, allow: bool) -> Answer {
    // What is not about time has as much as it wants.
    push_within(Duration::from_secs(60), address, tls_ca, host, allow).await
}

async fn push_within(
    time_max: Duration,
    address: SocketAddr,
    tls_ca: Option<&str>,
    host: &str,
    allow: bool,
) -> Answer {
    let platform = Platform::new().await;
    let delivery = platform.prepared().await;
    let endpoint = Endpoint::parse(&format!("https://{host}:{}", address.port()), allow).unwrap();
    let bytes = platform.package_bytes(&delivery).await;
    let parcel = Parcel {
        delivery: delivery.id,
        evidence: delivery.evidence,
        recipient: "beijing".to_owned(),
        size_bytes: bytes.len() as u64,
        sha256: delivery.package().unwrap().sha256.0,
        part_bytes: vec![7, bytes.len() as u64 - 7],
        body: Box::pin(futures::stream::once(async move { Ok(Bytes::from(bytes)) })),
    };
    HttpsPush::new(time_max, None)
        .unwrap()
        .push(&endpoint, tls_ca, parcel)
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bytes_arrive_with_their_digest() {
    let router = Router::new().route(
        "/deliveries/{id}",
        post(async |headers: HeaderMap, body: Body| {
            let body = body.into_data_stream();
            let body = futures::TryStreamExt::map_err(body, probity_platform::Error::internal);
            let bytes = collect(Box::pin(body)).await.unwrap();
            let announced = headers["content-digest"].to_str().unwrap().to_owned();
            assert!(headers.contains_key("probity-delivery-id"));
            let parts = format!("7,{}", bytes.len() - 7);
            assert_eq!(headers["probity-parts"], parts);
            assert_eq!(headers[header::CONTENT_LENGTH], bytes.len().to_string());
            (StatusCode::OK, announced)
        }),
    );
    let (address, ca) = serve(router).await;
    let Answer::Response {
        status: 200, body, ..
    } = push(address, Some(&ca), "localhost", true).await
    else {
        panic!("not answered")
    };
    assert!(body.starts_with(b"sha-256=:"));
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_are_not_the_courts_get_nothing() {
    let reached = Router::new().fallback(async || StatusCode::OK);
    let (address, ca) = serve(reached).await;
    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])
        .unwrap()
        .cert
        .pem();
    for (why, answer) in [
        (
            "another authority",
            push(address, Some(&other), "localhost", true).await,
        ),
        (
            "the system's authorities",
            push(address, None, "localhost", true).await,
        ),
        (
            "another name",
            push(address, Some(&ca), "127.0.0.1", true).await,
        ),
        (
            "a name that resolves inside",
            push(address, Some(&ca), "localhost", false).await,
        ),
    ] {
        assert!(matches!(answer, Answer::Failed(_)), "{why}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_end_here_and_silence_ends_in_time() {
    let router = Router::new().fallback(async |_whole: Bytes| {
        (
            StatusCode::TEMPORARY_REDIRECT,
            [(header::LOCATION, "https://169.254.169.254/")],
        )
            .into_response()
    });
    let (address, ca) = serve(router).await;
    let answer = push(address, Some(&ca), "localhost", true).await;
    assert!(
        matches!(answer, Answer::Response { status: 307, .. }),
        "{answer:?}"
    );

    let silent = Router::new().fallback(async || std::future::pending::<StatusCode>().await);
    let (address, ca) = serve(silent).await;
    let soon = Duration::from_secs(2);
    let answer = push_within(soon, address, Some(&ca), "localhost", true).await;
    assert_eq!(answer, Answer::TimedOut);
}

/// Answers 200 at once and then a byte now and then, for ever; counts the bytes.
async fn serve_drip() -> (SocketAddr, String, Arc<AtomicUsize>) {
    let dripped = Arc::new(AtomicUsize::new(0));
    let count = dripped.clone();
    let drip = move |_whole: Bytes| {
        let drops = futures::stream::unfold(count.clone(), async |count| {
            tokio::time::sleep(Duration::from_millis(20)).await;
            count.fetch_add(1, Ordering::SeqCst);
            Some((Ok::<_, Infallible>(Bytes::from_static(b" ")), count))
        });
        async { Body::from_stream(drops) }
    };
    let (address, ca) = serve(Router::new().fallback(drip)).await;
    (address, ca, dripped)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_court_that_drips_its_answer_is_given_up_in_time() {
    let (address, ca, dripped) = serve_drip().await;
    let answer = push(address, Some(&ca), "localhost", true).await;
    assert_eq!(answer, Answer::TimedOut);
    assert!(dripped.load(Ordering::SeqCst) > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_court_drips_the_deliveries_of_others_go_on() {
    let platform = Platform::new().await;
    let https = HttpsPush::new(Duration::from_secs(600), None).unwrap();
    *platform.outside.https.lock().unwrap() = Some(Arc::new(https));
    let (slow, slow_ca, dripped) = serve_drip().await;
    let takes = Router::new().fallback(async |_whole: Bytes| StatusCode::ACCEPTED);
    let (good, good_ca) = serve(takes).await;
    let shutdown = Shutdown::new();
    let (courier, stop) = (platform.courier.clone(), shutdown.clone());
    let working = tokio::spawn(async move {
        tokio::join!(courier.work(&stop), courier.tick(&stop));
    });
    let requested = async |name: &str, address: SocketAddr, ca: String| {
        let court = court(name);
        let endpoint = format!("https://localhost:{}", address.port());
        let document = RecipientDocument {
            tls_ca: Some(ca),
            allow_private_address: true,
            ..court.document(Some(&endpoint))
        };
        platform.profile(&court, &document).await.unwrap();
        let id = platform.request(&court).await.id;
        platform.courier.take(id).await.unwrap();
        id
    };
    let state = async |id| platform.courier.delivery(id).await.unwrap().state;
    let held = requested("drips", slow, slow_ca).await;
    until("it drips", async || dripped.load(Ordering::SeqCst) > 0).await;
    let other = requested("takes", good, good_ca).await;
    until("the other court's arrives", async || {
        state(other).await == DeliveryState::Entered
    })
    .await;
    assert_eq!(state(held).await, DeliveryState::Prepared, "still dripping");
    shutdown.request();
    working.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_carry_when_to_come_back() {
    let router = Router::new().fallback(async |_whole: Bytes| {
        (
            StatusCode::TOO_MANY_REQUESTS,
            [(header::RETRY_AFTER, "120")],
            "busy",
        )
            .into_response()
    });
    let (address, ca) = serve(router).await;
    let answer = push(address, Some(&ca), "localhost", true).await;
    let Answer::Response {
        status: 429,
        retry_after_ms,
        ..
    } = answer
    else {
        panic!("{answer:?}")
    };
    assert_eq!(retry_after_ms, Some(120_000));
}
