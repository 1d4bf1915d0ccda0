//! Bytes that are removed from the store, by a recorded order or otherwise: what is remembered of them must not be believed
//! for ever.

use std::time::Duration;

use axum::body::Body;
use futures::FutureExt as _;
use http::Method;
use probity_domain::TenantId;
use probity_platform::Clock as _;
use probity_platform::objects::{Fault, Objects as _, Verb};
use probity_proto::ledger::RemovalEvent;
use probity_proto::removal::{BELIEVED_MS, NOTICED_WITHIN_MS, stream_id};
use probity_proto::stored::WRITE_WITHIN_MS;
use serde_json::Value;
use tokio::time::advance;

use crate::world::{World, digest, instruction, item, request};

fn key(bytes: &[u8]) -> String {
    format!("blobs/acme/{}", digest(bytes).digests.sha3_256)
}

const fn ms(ms: i64) -> Duration {
    Duration::from_millis(ms.unsigned_abs())
}

/// An instruction of one capture of these bytes, which are uploaded.
async fn prepared(world: &World, bytes: &[u8]) -> (Vec<u8>, String) {
    let instruction = instruction("c", vec![item(vec![world.upload(bytes).await])]);
    let intent = world.intent(&instruction).await;
    (instruction, intent)
}

async fn submit(world: &World, (instruction, intent): &(Vec<u8>, String)) -> (u16, Value) {
    let (status, answer) = world.submit(instruction, "k", Some(intent)).await;
    (status.as_u16(), answer)
}

async fn tell(world: &World, event: RemovalEvent) {
    let acme = TenantId::parse("acme").unwrap();
    let id = stream_id(&acme, world.clock.now());
    world.append(&id, vec![event]).await;
}

fn begun(bytes: &[u8]) -> RemovalEvent {
    RemovalEvent::Begun {
        removal: "1".into(),
        order: "D-1".into(),
        keys: vec![key(bytes)],
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_that_are_gone_are_missed_after_a_while() {
    let world = World::start().await;
    let prepared = prepared(&world, b"one").await;
    world.truth.forget(&key(b"one"));
    advance(ms(BELIEVED_MS) - Duration::from_millis(1)).await;
    let (status, stored) = world.put(digest(b"one"), b"one").await;
    assert_eq!((status.as_u16(), &stored["existed"]), (200, &true.into()));
    advance(Duration::from_millis(1)).await;
    let (status, problem) = submit(&world, &prepared).await;
    assert_eq!(status, 400, "{problem}");
    assert!(problem.to_string().contains("not uploaded"), "{problem}");
    let (status, stored) = world.put(digest(b"one"), b"one").await;
    assert_eq!((status.as_u16(), &stored["existed"]), (201, &false.into()));
    assert_eq!(submit(&world, &prepared).await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn bytes_that_stay_are_not_read_again_for_it() {
    let world = World::start().await;
    let prepared = prepared(&world, b"one").await;
    world.truth.set_faults(|verb, key| {
        (verb == Verb::Get && key.starts_with("blobs/")).then_some(Fault::Refuse)
    });
    advance(ms(BELIEVED_MS)).await;
    assert_eq!(submit(&world, &prepared).await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn nothing_new_relies_on_what_an_order_removes() {
    let world = World::start().await;
    let prepared = prepared(&world, b"one").await;
    tell(&world, begun(b"one")).await;
    advance(ms(NOTICED_WITHIN_MS)).await;
    let (status, problem) = submit(&world, &prepared).await;
    assert_eq!(status, 503, "{problem}");
    assert!(problem.to_string().contains("order D-1"), "{problem}");
    let written = async |prefix| world.truth.list(prefix, None, 9).await.unwrap().len();
    assert_eq!(written("submissions/").await, 0);
    assert_eq!(written("ledger/instruction/").await, 0);
    let (status, problem) = world.put(digest(b"one"), b"one").await;
    assert_eq!(status, 503, "{problem}");
    // Other bytes have nothing to do with it.
    world.upload(b"two").await;

    // A day later somebody may still be at it.
    world.clock.advance_ms(24 * 3_600_000);
    advance(ms(NOTICED_WITHIN_MS)).await;
    assert_eq!(world.put(digest(b"one"), b"one").await.0, 503);
    world.clock.advance_ms(-24 * 3_600_000);

    let ended = RemovalEvent::Ended {
        removal: "1".into(),
        removed: true,
    };
    tell(&world, ended).await;
    world.truth.forget(&key(b"one"));
    advance(ms(BELIEVED_MS)).await;
    let (status, problem) = submit(&world, &prepared).await;
    assert_eq!(status, 400, "{problem}");
    world.upload(b"one").await;
    assert_eq!(submit(&world, &prepared).await.0, 200);
}

/// As an upload ends, its bytes may just have been removed: what counts is when intake knew of no order.
#[tokio::test(start_paused = true)]
async fn an_upload_is_believed_from_its_beginning() {
    let world = World::start().await;
    let announced = digest(b"one");
    let (send, body) = tokio::sync::mpsc::channel::<Result<&'static str, std::io::Error>>(1);
    let body = Body::from_stream(tokio_stream::wrappers::ReceiverStream::new(body));
    let path = format!("/v1/blobs/{}", announced.digests.sha3_256);
    let put = request(Method::PUT, &path, &world.vendor)
        .header("probity-sha256", announced.digests.sha256.to_hex())
        .header("content-length", 3);
    let slowly = async {
        send.send(Ok("one")).await.unwrap();
        advance(ms(BELIEVED_MS)).await;
        drop(send);
    };
    let ((status, ..), ()) = tokio::join!(world.send(put.body(body).unwrap()), slowly);
    assert_eq!(status, 201);
    world.truth.forget(&key(b"one"));
    world.upload(b"one").await;
}

/// Whoever removes bytes has looked for this submission by then.
#[tokio::test(start_paused = true)]
async fn what_was_seen_long_before_is_not_written() {
    let world = World::start().await;
    let prepared = prepared(&world, b"one").await;
    // The clock on the wall stands still: only the other one tells.
    world.truth.set_faults(|verb, key| {
        if verb == Verb::Create && key.starts_with("ledger/instruction/") {
            advance(ms(WRITE_WITHIN_MS)).now_or_never();
        }
        None
    });
    let (status, problem) = submit(&world, &prepared).await;
    assert_eq!(status, 503, "{problem}");
    world.truth.clear_faults();
    assert_eq!(submit(&world, &prepared).await.0, 200);
}
