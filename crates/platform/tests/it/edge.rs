//! The edges over real sockets: problems, bounds, health, the way down.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::Request;
use axum::routing::{get, post};
use probity_platform::Error;
use probity_platform::edge::{self, Json, Limits, Problem};
use probity_platform::startup::Context;
use probity_testkit::{World, wait_until};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};

use crate::fixture::{PATIENCE, context};

async fn world() -> &'static World {
    World::shared().await
}

fn router() -> Router {
    async fn wanted() -> Result<&'static str, Problem> {
        Err(Error::unavailable("the store is away").into())
    }
    async fn panics() -> &'static str {
        panic!("as asked")
    }
    async fn counts(request: Request) -> Result<String, Problem> {
        let mut body = request.into_body().into_data_stream();
        let mut bytes = 0;
        while let Some(piece) = futures::StreamExt::next(&mut body).await {
            bytes += piece.map_err(Error::malformed)?.len();
        }
        Ok(bytes.to_string())
    }
    async fn json(Json(value): Json<Value>) -> Json<Value> {
        Json(value)
    }
    Router::new()
        .route("/unavailable", get(wanted))
        .route("/panics", get(panics))
        .route("/hold", get(async || std::future::pending::<&str>().await))
        .route("/counts", post(counts))
        .route("/json", post(json))
        .route("/bytes", post(async |body: Bytes| body.len().to_string()))
}

async fn serve(ctx: &Context, limits: Limits) -> (String, JoinHandle<()>) {
    serve_router(ctx, router(), limits).await
}

async fn serve_router(ctx: &Context, router: Router, limits: Limits) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let ctx = ctx.clone();
    let served = tokio::spawn(async move {
        edge::serve_http_on(listener, router, &ctx, "test", limits)
            .await
            .unwrap();
    });
    (base, served)
}

async fn in_flight(ctx: &Context, requests: usize) {
    let line = format!("probity_http_in_flight {requests}\n");
    wait_until("the requests are let in", PATIENCE, async || {
        ctx.metrics.encode().unwrap().contains(&line)
    })
    .await;
}

async fn problem(response: reqwest::Response) -> (u16, String) {
    assert_eq!(
        response.headers()["content-type"],
        "application/problem+json"
    );
    let status = response.status().as_u16();
    let document: Value = response.json().await.unwrap();
    assert_eq!(document["status"], status);
    (status, document["type"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn failures_are_problem_documents() {
    let ctx = context(world().await, "edge").await;
    let limits = Limits {
        answer_time_max: Duration::from_secs(2),
        ..Default::default()
    };
    let (base, served) = serve(&ctx, limits).await;
    let http = reqwest::Client::new();
    let get = |path: &str| http.get(format!("{base}{path}")).send();

    let response = get("/unavailable").await.unwrap();
    assert_eq!(response.headers()["retry-after"], "10");
    assert_eq!(
        problem(response).await,
        (503, "urn:probity:problem:unavailable".to_owned())
    );
    assert_eq!(problem(get("/nothing").await.unwrap()).await.0, 404);
    assert_eq!(problem(get("/panics").await.unwrap()).await.0, 500);
    assert_eq!(problem(get("/hold").await.unwrap()).await.0, 504);
    let broken = http
        .post(format!("{base}/json"))
        .header("content-type", "application/json");
    assert_eq!(problem(broken.body("{").send().await.unwrap()).await.0, 400);
    let long = http
        .post(format!("{base}/bytes"))
        .body(vec![0; 1024 * 1024 + 1])
        .send();
    assert_eq!(long.await.unwrap().status(), 413);

    let text = ctx.metrics.encode().unwrap();
    assert!(
        text.contains("route=\"unmatched\"") && !text.contains("/nothing"),
        "{text}"
    );
    ctx.shutdown.request();
    served.await.unwrap();
}

#[tokio::test]
async fn uploads_may_take_longer_than_an_answer_while_they_flow() {
    let ctx = context(world().await, "edge").await;
    let limits = Limits {
        answer_time_max: Duration::from_secs(3),
        body_bytes_per_second_min: 100,
        ..Default::default()
    };
    let (base, _served) = serve(&ctx, limits).await;
    let pieces = |pause_ms: u64| {
        reqwest::Body::wrap_stream(futures::stream::unfold(0_u32, move |n| async move {
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
            (n < 10).then(|| {
                (
                    Ok::<_, std::io::Error>(Bytes::from_static(&[0; 100])),
                    n + 1,
                )
            })
        }))
    };
    let http = reqwest::Client::new();
    let flowing = http
        .post(format!("{base}/counts"))
        .body(pieces(500))
        .send()
        .await
        .unwrap();
    assert_eq!(flowing.text().await.unwrap(), "1000");
    let halting = http
        .post(format!("{base}/counts"))
        .body(pieces(60_000))
        .send()
        .await
        .unwrap();
    assert_eq!(problem(halting).await.0, 504);
    ctx.shutdown.request();
}

#[tokio::test]
async fn beyond_the_bound_requests_are_refused_at_once() {
    let ctx = context(world().await, "edge").await;
    let limits = Limits {
        requests_at_once_max: 2,
        ..Default::default()
    };
    let (base, _served) = serve(&ctx, limits).await;
    let http = reqwest::Client::new();
    let holding: Vec<_> = (0..2)
        .map(|_| tokio::spawn(http.get(format!("{base}/hold")).send()))
        .collect();
    in_flight(&ctx, 2).await;
    let detail = async || {
        let response = http.get(format!("{base}/unavailable")).send().await;
        let document: Value = response.unwrap().json().await.unwrap();
        document["detail"].clone()
    };
    assert_eq!(detail().await, "too many requests are being answered");
    for held in holding {
        held.abort();
    }
    wait_until("room again", PATIENCE, async || {
        detail().await == "the store is away"
    })
    .await;
    ctx.shutdown.request();
}

#[tokio::test]
async fn shutdown_lets_open_requests_end() {
    let ctx = context(world().await, "edge").await;
    let held = Arc::new(Semaphore::new(0));
    let until_then = held.clone();
    let opens = async move || {
        until_then.acquire().await.unwrap().forget();
        "to its end"
    };
    let router = Router::new().route("/held", get(opens));
    let (base, served) = serve_router(&ctx, router, Limits::default()).await;
    let open = tokio::spawn(reqwest::get(format!("{base}/held")));
    in_flight(&ctx, 1).await;
    ctx.shutdown.request();
    // Nobody new is let in, though somebody still is.
    wait_until("the listener to close", PATIENCE, async || {
        reqwest::get(format!("{base}/nothing")).await.is_err()
    })
    .await;
    assert!(!served.is_finished());
    held.add_permits(1);
    let answer = open.await.unwrap().unwrap();
    assert_eq!(answer.text().await.unwrap(), "to its end");
    served.await.unwrap();
    assert!(!ctx.readiness.is_ready());
}

/// Watching lasts, and needs no credential.
async fn watchers_leave_room(mut health: HealthClient<tonic::transport::Channel>) {
    let mut watching = Vec::new();
    let refused = loop {
        match health.watch(HealthCheckRequest::default()).await {
            Ok(answers) => watching.push(answers),
            Err(refused) => break refused,
        }
    };
    assert_eq!(
        (refused.code(), watching.len()),
        (tonic::Code::Unavailable, 64)
    );
    drop(watching);
    wait_until("room again", PATIENCE, async || {
        let asked = health.clone().check(HealthCheckRequest::default()).await;
        asked.is_ok()
    })
    .await;
}

#[tokio::test]
async fn grpc_has_health_and_bounds() {
    let ctx = context(world().await, "edge").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let served = tokio::spawn({
        let ctx = ctx.clone();
        let routes = tonic::service::Routes::default();
        async move { edge::serve_grpc_on(listener, routes, &ctx, "grpc", Limits::default()).await }
    });
    let channel = tonic::transport::Endpoint::new(url)
        .unwrap()
        .connect()
        .await
        .unwrap();
    let mut health = HealthClient::new(channel.clone());
    let status = health
        .check(HealthCheckRequest::default())
        .await
        .unwrap()
        .into_inner()
        .status();
    assert_eq!(status, ServingStatus::Serving);
    let unknown = HealthCheckRequest {
        service: "nothing".to_owned(),
    };
    assert_eq!(
        health.check(unknown).await.unwrap_err().code(),
        tonic::Code::NotFound
    );
    let long = HealthCheckRequest {
        service: "x".repeat(5_000),
    };
    assert_eq!(
        health.check(long).await.unwrap_err().code(),
        tonic::Code::OutOfRange
    );
    watchers_leave_room(health.clone()).await;
    let text = ctx.metrics.encode().unwrap();
    assert!(
        text.contains("route=\"/grpc.health.v1.Health/Check\""),
        "{text}"
    );
    ctx.shutdown.request();
    drop((health, channel));
    served.await.unwrap().unwrap();
}
