//! Over a real socket: answers that come before the body is sent, and bytes that rot on the way out.

use std::sync::Arc;

use probity_intake::router;
use probity_platform::bus::{Bus, BusConfig};
use probity_platform::cache::Cache;
use probity_platform::edge::{self, Limits};
use probity_platform::objects::{Buckets, MemoryObjects, Objects as _};
use probity_platform::startup::Context;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::world::{World, digest};

async fn serve(world: &World) -> TcpStream {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let buckets = Buckets {
        truth: world.truth.clone(),
        work: Arc::new(MemoryObjects::new()),
    };
    // Nobody listens there: intake works without the bus.
    let bus = Bus::connect(&BusConfig::plain("nats://127.0.0.1:1"), "intake")
        .await
        .unwrap();
    let ctx = Context::for_tests(buckets, bus, Cache::disabled(), world.clock.clone());
    let router = router(world.intake.clone());
    tokio::spawn(async move {
        edge::serve_http_on(listener, router, &ctx, "intake", Limits::default()).await
    });
    TcpStream::connect(address).await.unwrap()
}

fn put_head(world: &World, bytes: &[u8], length: u64) -> String {
    let digests = digest(bytes).digests;
    format!(
        "PUT /v1/blobs/{} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\nprobity-sha256: {}\r\n\
         content-length: {length}\r\n\r\n",
        digests.sha3_256, world.vendor, digests.sha256
    )
}

/// Head of one answer; its body, if short, is read along.
async fn answer(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let mut piece = [0; 4096];
    while !text.windows(4).any(|w| w == b"\r\n\r\n") {
        let n = stream.read(&mut piece).await.unwrap();
        assert!(n > 0, "closed without an answer");
        text.extend_from_slice(&piece[..n]);
    }
    String::from_utf8_lossy(&text).into_owned()
}

#[tokio::test]
async fn bytes_that_are_there_are_taken_politely() {
    let world = World::start().await;
    let bytes = vec![7; 9 * 1024 * 1024];
    assert_eq!(world.put(digest(&bytes), &bytes).await.0, 201);
    let mut stream = serve(&world).await;
    // Twice over one connection, each time with the whole body.
    for _ in 0..2 {
        let head = put_head(&world, &bytes, bytes.len() as u64);
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        assert!(answer(&mut stream).await.starts_with("HTTP/1.1 200"));
    }
}

#[tokio::test]
async fn oversized_is_refused_before_it_is_sent() {
    let world = World::start().await;
    let mut stream = serve(&world).await;
    stream
        .write_all(put_head(&world, b"abc", 1 << 40).as_bytes())
        .await
        .unwrap();
    let answer = answer(&mut stream).await;
    assert!(
        answer.starts_with("HTTP/1.1 413") && answer.contains("application/problem+json"),
        "{answer}"
    );
}

#[tokio::test]
async fn an_upload_that_breaks_off_leaves_nothing() {
    let world = World::start().await;
    let bytes = vec![7; 9 * 1024 * 1024];
    let mut stream = serve(&world).await;
    stream
        .write_all(put_head(&world, &bytes, bytes.len() as u64).as_bytes())
        .await
        .unwrap();
    stream.write_all(&bytes[..1024 * 1024]).await.unwrap();
    drop(stream);
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    assert!(
        world
            .truth
            .list("blobs/", None, 10)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn rotten_bytes_never_arrive_whole() {
    let world = World::start().await;
    let text = "x".repeat(300_000);
    let numbers = world.deposit("c", "key-1", &[&text]).await;
    let key = format!("blobs/acme/{}", digest(text.as_bytes()).digests.sha3_256);
    world
        .truth
        .put(&key, text.replacen('x', "y", 1).into())
        .await
        .unwrap();
    let mut stream = serve(&world).await;
    let head = format!(
        "GET /v1/evidence/{}/artifacts/page.html HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\r\n",
        numbers[0], world.vendor
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut all = Vec::new();
    // The connection ends, in an error or not; what counts is what came before.
    stream.read_to_end(&mut all).await.ok();
    let text = String::from_utf8_lossy(&all);
    let body_bytes = text
        .split_once("\r\n\r\n")
        .map_or(0, |(_, body)| body.len());
    assert!(body_bytes < 300_000);
}
