//! The scrubber where something is away: a replica with the right bytes or others, objects that the store does not give.

use std::sync::Arc;

use bytes::Bytes;
use probity_platform::objects::{Buckets, Fault, MemoryObjects, Objects as _, Verb};
use probity_platform::{ErrorKind, SystemClock, SystemRandom};
use probity_proto::ledger::FindingEvent;
use probity_storage::{Authority, Custody, Order, Scrubber, What};

use crate::scrub::{Scrubbed, governed, on_minio, seen};

/// A replica gives back what is missing, if and only if its bytes are the right ones.
#[tokio::test]
async fn a_replica_repairs_with_the_right_bytes_alone() {
    let mut store = Scrubbed::in_memory().await;
    store.lap().await;
    let replica = Arc::new(MemoryObjects::new());
    store.copy_to(&*replica).await;
    store.replica = Some(replica.clone());
    for key in [store.blob.clone(), store.submission.clone()] {
        let right = store.bytes(&key).await;
        store.buckets.truth.remove(&key).await.unwrap();
        let others = Bytes::from_static(b"others");
        replica.put(&key, others).await.unwrap();
        let found = store.lap().await;
        let missing = (key.as_str(), What::Missing, false);
        assert!(seen(&found).contains(&missing), "{found}");
        assert!(store.buckets.truth.head(&key).await.unwrap().is_none());

        replica.put(&key, right.clone().into()).await.unwrap();
        let found = store.lap().await;
        let repaired = (key.as_str(), What::Missing, true);
        assert!(seen(&found).contains(&repaired), "{found}");
        assert_eq!(store.bytes(&key).await, right);
        let after = store.lap().await;
        assert!(!seen(&after).iter().any(|(found, ..)| *found == key));
    }
}

/// A replica that rots is found out before it is needed, and `truth` is left as it is.
#[tokio::test]
async fn copies_are_compared_as_well() {
    let mut store = Scrubbed::in_memory().await;
    let replica = Arc::new(MemoryObjects::new());
    store.copy_to(&*replica).await;
    store.replica = Some(replica.clone());
    let sound = store.lap().await;
    assert_eq!(seen(&sound), []);
    let compared = ["blobs", "kept"].map(|area| sound.areas[area].objects);
    assert!(
        sound.areas["copies"].objects >= compared.iter().sum(),
        "{sound}"
    );

    let tile = "log/tile/0/000".to_owned();
    let other = Bytes::from_static(b"other bytes");
    replica.put(&store.blob, other.clone()).await.unwrap();
    replica.put(&tile, other).await.unwrap();
    let found = store.lap().await;
    let keys = [&store.blob, &tile].map(|key| format!("replica:{key}"));
    let [blob, tile] = keys.each_ref().map(String::as_str);
    let wrong = [(blob, What::Wrong, false), (tile, What::Wrong, false)];
    assert_eq!(seen(&found), wrong);
    let [FindingEvent::Found { detail, .. }] = &store.recorded(blob).await[..] else {
        panic!("the ledger has it once")
    };
    assert!(detail.contains("other bytes"), "{detail}");
    assert!(store.recorded(&store.blob).await.is_empty());
}

/// A rotten object that the store answers with an error keeps nothing else from being read.
#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_found_and_so_is_the_rest() {
    let truth = Arc::new(MemoryObjects::new());
    let work = Arc::new(MemoryObjects::new());
    let store = Scrubbed::fill(Buckets {
        truth: truth.clone(),
        work,
    })
    .await;
    assert_eq!(seen(&store.lap().await), []);
    let event = "ledger/agreement/terms.1/00000001".to_owned();
    let checkpoint = "log/checkpoints/000000000250";
    store.put(checkpoint, b"another".to_vec()).await;
    let rotten = [store.blob.clone(), event.clone(), "log/tile/0/001".into()];
    truth.set_faults(move |verb, key| {
        let is_read = verb != Verb::List && rotten.iter().any(|rotten| rotten == key);
        is_read.then_some(Fault::Refuse)
    });
    let found = store.lap().await;
    for (key, what) in [
        (store.blob.as_str(), What::Wrong),
        ("log/tile/0/001", What::Wrong),
        (event.as_str(), What::Wrong),
        (checkpoint, What::Truncated),
    ] {
        assert!(seen(&found).contains(&(key, what, false)), "{key}: {found}");
    }
    // All is read to its end, and the baseline still knows what it could not compare.
    truth.clear_faults();
    store.put(&event, b"forged meanwhile".to_vec()).await;
    let found = store.lap().await;
    let event_and_checkpoint = [event.as_str(), checkpoint];
    let keys: Vec<_> = found.findings.iter().map(|f| f.key.as_str()).collect();
    assert_eq!(keys, event_and_checkpoint, "{found}");
    let recorded = store.recorded(&store.blob).await;
    let [
        FindingEvent::Found { what, .. },
        FindingEvent::Repaired { from, .. },
    ] = &recorded[..]
    else {
        panic!("{recorded:?}")
    };
    assert_eq!((what.as_str(), from.as_str()), ("wrong", "elsewhere"));
    // A store that is away is no finding.
    truth.set_faults(|_, _| Some(Fault::Refuse));
    let clock = Arc::new(SystemClock);
    let random = Arc::new(SystemRandom);
    let scrubber = Scrubber::new(&store.buckets, None, &store.log(), clock, random);
    let away = scrubber.lap().await.unwrap_err();
    assert_eq!(away.kind, ErrorKind::Unavailable);
}

/// What is written again under a legal hold is held again: the store's flag was on the version before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repair_is_held_as_the_orders_say() {
    let minio = on_minio(governed()).await;
    let store = &minio.store;
    store.lap().await;
    let replica = minio.keeper.open(Arc::new(SystemRandom)).unwrap().truth;
    let right = store.bytes(&store.blob).await;
    replica
        .put(&store.blob, right.clone().into())
        .await
        .unwrap();
    let clock = Arc::new(SystemClock);
    let custody = Custody::new(&store.buckets, clock, Arc::new(SystemRandom));
    let by = Authority {
        actor: "officer-7".into(),
        order: "H-1".into(),
        cause: "order of the court".into(),
    };
    let held = custody.carry_out(store.first, Order::Hold, &by, &|_| ());
    held.await.unwrap();
    store.put(&store.blob, b"impostor".to_vec()).await;
    let truth = &store.buckets.truth;
    assert!(!truth.protection(&store.blob).await.unwrap().hold);
    let found = store.lap().await;
    assert!(
        seen(&found).contains(&(&store.blob, What::Wrong, true)),
        "{found}"
    );
    assert_eq!(store.bytes(&store.blob).await, right);
    assert!(truth.protection(&store.blob).await.unwrap().hold);
}
