//! How full a stream is, on a real nats-server that is filled, emptied and stopped.

use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy};
use probity_platform::ErrorKind;
use probity_platform::bus::Queue;
use probity_proto::subjects::SUBMITTED;
use probity_proto::v1::Submitted;
use probity_testkit::{eventually, wait_until};

use crate::fixture::{PATIENCE, bus, jetstream, nats};

fn hint(n: u32) -> Submitted {
    Submitted {
        submission_id: "x".repeat(256),
        first_item: n,
        ..Default::default()
    }
}

/// Told, however long it takes; answers the sequence.
async fn tell(queue: &Queue, n: u32) -> u64 {
    eventually("NATS to take a hint", PATIENCE, async || {
        queue.tell(&n.to_string(), &hint(n)).await.ok()
    })
    .await
}

/// Looks until the stream was seen, anew.
async fn look(queue: &Queue) {
    let known = queue.measured();
    wait_until("a look at the stream", PATIENCE, async || {
        queue.measure().await;
        queue.measured().is_some_and(|seen| Some(seen) != known)
    })
    .await;
}

#[tokio::test]
async fn is_full_by_messages_and_has_room_again() {
    let world = nats().await;
    let queue = Queue::new(bus(&world, "intake").await, SUBMITTED, 3);
    queue.measure().await;
    assert!(queue.measured().is_none(), "there is no stream yet");
    queue.check().unwrap();
    for n in 1..=3 {
        assert_eq!(tell(&queue, n).await, u64::from(n));
    }
    look(&queue).await;
    let full = queue.check().unwrap_err();
    assert_eq!(full.kind, ErrorKind::TooMany);
    assert!(full.detail.contains("3 hints wait"), "{full}");

    let stream = jetstream(&world).await.get_stream(SUBMITTED.stream).await;
    stream.unwrap().delete_message(1).await.unwrap();
    look(&queue).await;
    queue.check().unwrap();
    assert_eq!(queue.measured().unwrap().first_sequence, 2);

    // Nothing is known of a bus that is away, and nothing refused for it.
    tell(&queue, 4).await;
    look(&queue).await;
    assert!(queue.check().is_err());
    world.kill_nats().await;
    wait_until("it to be forgotten", PATIENCE, async || {
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
        tell(&queue, n).await;
        look(&queue).await;
    }
    let full = queue.check().unwrap_err();
    assert!(full.detail.contains("bytes wait"), "{full}");
    // Whoever goes on all the same is refused by the stream, and that counts at once.
    let other = Queue::new(bus(&world, "intake").await, SUBMITTED, 1_000_000);
    let refused = loop {
        n += 1;
        other.check().unwrap();
        match other.tell(&n.to_string(), &hint(n)).await {
            Err(e) if e.kind != ErrorKind::Unavailable => break e,
            _ => {}
        }
    };
    assert_eq!(refused.kind, ErrorKind::TooMany, "{refused}");
    assert_eq!(other.check().unwrap_err().kind, ErrorKind::TooMany);
}
