//! Callers that send or read too slowly to be served, over real sockets: what they hold is free again.

use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::{get, post};
use futures::{StreamExt as _, stream};
use probity_platform::edge::{self, Limits};
use probity_platform::startup::Context;
use probity_testkit::{World, wait_until};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::fixture::context;

/// One place, and little patience with those who hold it.
const LIMITS: Limits = Limits {
    body_bytes_max: 1024 * 1024,
    answer_time_max: Duration::from_secs(2),
    body_bytes_per_second_min: 1_000,
    stall_max: Duration::from_secs(2),
    requests_at_once_max: 1,
};

async fn serve() -> (String, Context) {
    let ctx = context(World::shared().await, "edge").await;
    let endless = async || {
        let piece = Bytes::from_static(&[b'x'; 64 * 1024]);
        Body::from_stream(stream::repeat(piece).map(Ok::<_, std::io::Error>))
    };
    let router = Router::new()
        .route("/endless", get(endless))
        .route("/counts", post(async |body: Bytes| body.len().to_string()))
        .route("/free", get(async || "free"));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let serving = ctx.clone();
    tokio::spawn(async move {
        edge::serve_http_on(listener, router, &serving, "standstill", LIMITS)
            .await
            .unwrap();
    });
    (address, ctx)
}

async fn is_free(address: &str) -> bool {
    // Of its own: an idle connection ends as one that stands still does.
    let http = reqwest::Client::builder().pool_max_idle_per_host(0);
    let asked = http.build().unwrap().get(format!("http://{address}/free"));
    asked
        .send()
        .await
        .is_ok_and(|answer| answer.status() == 200)
}

async fn wait_until_free(address: &str) {
    let patience = Duration::from_secs(60);
    wait_until("the place to be free", patience, async || {
        is_free(address).await
    })
    .await;
}

#[tokio::test]
async fn a_connection_whose_reader_stops_is_closed() {
    let (address, ctx) = serve().await;
    let mut stream = TcpStream::connect(&address).await.unwrap();
    let request = b"GET /endless HTTP/1.1\r\nhost: x\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut head = [0; 15];
    stream.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200 OK");
    wait_until_free(&address).await;
    // What was on its way comes, and then the end instead of more.
    tokio::io::copy(&mut stream, &mut tokio::io::sink())
        .await
        .ok();
    ctx.shutdown.request();
}

/// Neither silence nor half of what HTTP/2 begins with keeps a connection.
#[tokio::test]
async fn a_connection_without_a_request_is_closed() {
    let (address, ctx) = serve().await;
    for begun in ["", "PRI * HT", "GET /free HT"] {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        stream.write_all(begun.as_bytes()).await.unwrap();
        let mut nothing = [0];
        let end = tokio::time::timeout(Duration::from_secs(60), stream.read(&mut nothing));
        assert_eq!(end.await.unwrap().unwrap(), 0, "{begun}");
    }
    ctx.shutdown.request();
}

/// A window of nothing, and one that takes a piece and then no more.
#[tokio::test]
async fn a_stream_whose_reader_stops_is_reset() {
    for window_bytes in [0, 1] {
        let (address, ctx) = serve().await;
        let stream = TcpStream::connect(&address).await.unwrap();
        let mut client = h2::client::Builder::new();
        let client = client.initial_window_size(window_bytes);
        let (client, connection) = client.handshake::<_, Bytes>(stream).await.unwrap();
        let connection = tokio::spawn(connection);
        let uri = format!("http://{address}/endless");
        let request = http::Request::get(&uri).body(()).unwrap();
        let mut client = client.ready().await.unwrap();
        let (answer, _) = client.send_request(request, true).unwrap();
        let mut body = answer.await.unwrap().into_body();
        wait_until_free(&address).await;
        let end = loop {
            match body.data().await {
                Some(Ok(_)) => {}
                end => break end,
            }
        };
        assert_eq!(end.unwrap().unwrap_err().reason(), Some(h2::Reason::CANCEL));
        // The connection goes on.
        let uri = format!("http://{address}/nothing");
        let request = http::Request::get(&uri).body(()).unwrap();
        let mut client = client.ready().await.unwrap();
        let (answer, _) = client.send_request(request, true).unwrap();
        answer.await.unwrap();
        connection.abort();
        ctx.shutdown.request();
    }
}

#[tokio::test]
async fn a_body_that_drips_is_no_body() {
    let (address, ctx) = serve().await;
    let drips = stream::repeat(Bytes::from_static(b"x")).take(1_000);
    let drips = drips.then(async |drop| {
        tokio::time::sleep(Duration::from_millis(20)).await;
        Ok::<_, std::io::Error>(drop)
    });
    let http = reqwest::Client::new();
    let sent = http
        .post(format!("http://{address}/counts"))
        .body(reqwest::Body::wrap_stream(drips));
    let dripped = sent.send().await.unwrap();
    assert_eq!(dripped.status(), 504);
    drop(dripped);
    wait_until_free(&address).await;
    ctx.shutdown.request();
}
