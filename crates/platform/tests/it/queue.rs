//! How full a stream is, on a real nats-server that is filled, emptied and stopped.

use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy};
use probity_platform::ErrorKind;
use probity_platform::bus::Queue;
use probity_proto::subjects::SUBMITTED;
use probity_proto::v1::Submitted;
use probity_testkit::{World, wait_until};

use crate::fixture::{bus, nats};

async fn jetstream(world: &World) -> jetstream::Context {
    jetstream::new(async_nats::connect(world.nats_url()).await.unwrap())
}

fn hint(n: u32) -> Submitted {
    Submitted {
        submission_id: "x".repeat(256),
        first_item: n,
        ..Default::default()
    }
}

#[tokio::test]
async fn is_full_by_messages_and_has_room_again() {
    let world = nats().await;
    let queue = Queue::new(bus(&world, "intake").await, SUBMITTED, 3);
    queue.measure().await;
    assert!(queue.measured().is_none(), "there is no stream yet");
    queue.check().unwrap();
    for n in 1..=3 {
        let sequence = queue.tell(&n.to_string(), &hint(n)).await.unwrap();
        assert_eq!(sequence, u64::from(n));
    }
    queue.measure().await;
    let full = queue.check().unwrap_err();
    assert_eq!(full.kind, ErrorKind::TooMany);
    assert!(full.detail.contains("3 hints wait"), "{full}");

    let stream = jetstream(&world).await.get_stream(SUBMITTED.stream).await;
    stream.unwrap().delete_message(1).await.unwrap();
    queue.measure().await;
    queue.check().unwrap();
    assert_eq!(queue.measured().unwrap().first_sequence, 2);

    // Nothing is known of a bus that is away, and nothing refused for it.
    queue.tell("4", &hint(4)).await.unwrap();
    queue.measure().await;
    assert!(queue.check().is_err());
    world.kill_nats().await;
    wait_until("it to be forgotten", Duration::from_secs(30), async || {
        queue.measure().await;
        queue.check().is_ok()
    })
    .await;
}

#[tokio::test]
async fn is_full_before_the_stream_refuses_and_when_it_does() {
    let world = nats().await;
    let jetstream = jetstream(&world).await;
    let made = jetstream.create_stream(Config {
        name: SUBMITTED.stream.to_owned(),
        subjects: vec![SUBMITTED.subject.to_owned()],
        retention: RetentionPolicy::WorkQueue,
        discard: DiscardPolicy::New,
        max_bytes: 8 * 1024,
        ..Default::default()
    });
    made.await.unwrap();
    let queue = Queue::new(bus(&world, "intake").await, SUBMITTED, 1_000_000);
    let mut n = 0;
    while queue.check().is_ok() {
        n += 1;
        queue.tell(&n.to_string(), &hint(n)).await.unwrap();
        queue.measure().await;
    }
    let full = queue.check().unwrap_err();
    assert!(full.detail.contains("bytes wait"), "{full}");
    // Whoever goes on all the same is refused by the stream, and that counts at once.
    let other = Queue::new(bus(&world, "intake").await, SUBMITTED, 1_000_000);
    let refused = loop {
        n += 1;
        other.check().unwrap();
        if let Err(e) = other.tell(&n.to_string(), &hint(n)).await {
            break e;
        }
    };
    assert_eq!(refused.kind, ErrorKind::TooMany, "{refused}");
    assert_eq!(other.check().unwrap_err().kind, ErrorKind::TooMany);
}
