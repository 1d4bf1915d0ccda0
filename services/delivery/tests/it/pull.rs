//! Pulling: with the store alone, every read on record.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use probity_delivery::delivery::Delivery;
use probity_delivery::read::Read;
use probity_domain::DeliveryState;
use probity_platform::ErrorKind;
use probity_platform::access::CallerRole;
use probity_platform::ledger::Appended;
use probity_platform::objects::{Buckets, MemoryObjects, Verb};
use probity_proto::ledger::{DeliveryEvent, ReadEvent};

use crate::fixture;
use crate::world::{Platform, caller, collect, first_piece};

#[tokio::test]
async fn a_complete_fetch_is_receipt_by_retrieval() {
    let platform = Platform::new().await;
    let delivery = platform.prepared().await;
    let court = platform.hangzhou.caller();
    let package = delivery.package().unwrap();
    let bytes = collect(platform.fetch(delivery.id, "case 1").await)
        .await
        .unwrap();
    assert_eq!(bytes, platform.package_bytes(&delivery).await);
    assert_eq!(package.size_bytes, bytes.len() as u64);
    let events = platform.events(delivery.id).await;
    let entered = |events: &[DeliveryEvent]| {
        events
            .iter()
            .filter(
                |e| matches!(e, DeliveryEvent::Entered { rule, .. } if rule.contains("retrieved")),
            )
            .count()
    };
    assert_eq!(
        (reads(&platform, &delivery).await.len(), entered(&events)),
        (1, 1)
    );
    // Read again: on record again, received once.
    collect(platform.fetch(delivery.id, "case 1").await)
        .await
        .unwrap();
    let events = platform.events(delivery.id).await;
    let reads = reads(&platform, &delivery).await;
    assert_eq!((reads.len(), entered(&events)), (2, 1));
    for read in reads {
        let fetched = ReadEvent::Fetched {
            credential: court.credential.to_string(),
            legal_basis: "case 1".into(),
            package_sha256: package.sha256.to_hex(),
            range: None,
        };
        assert_eq!((read.event, read.actor), (fetched, court.actor()));
    }
}

async fn reads(platform: &Platform, delivery: &Delivery) -> Vec<Read> {
    let reads = platform.courier.reads(delivery.id, None, 100);
    reads.await.unwrap()
}

/// A court's program that asks again and again: every read is on record, and the delivery does not grow by them.
#[tokio::test]
async fn reads_without_end_are_recorded_and_stop_nothing() {
    let platform = Platform::new().await;
    let delivery = platform.prepared().await;
    let fetch = async |basis: &str| {
        let fetched = platform.fetch(delivery.id, basis).await;
        collect(fetched).await.unwrap();
    };
    fetch("0").await;
    let length = platform.events(delivery.id).await.len();
    for n in 1..50 {
        platform.clock.advance_ms(1);
        fetch(&n.to_string()).await;
    }
    assert_eq!(platform.events(delivery.id).await.len(), length);
    let (mut on_record, mut after) = (Vec::new(), None);
    loop {
        let page = platform.courier.reads(delivery.id, after, 7).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        on_record.extend(page.into_iter().map(|read| match read.event {
            ReadEvent::Fetched { legal_basis, .. } => legal_basis,
        }));
    }
    let asked: Vec<_> = (0..50).map(|n| n.to_string()).collect();
    assert_eq!(on_record, asked);
}

/// Reads that an earlier version wrote into the delivery itself stay where they are, and are folded over.
#[tokio::test]
async fn a_delivery_with_reads_of_an_earlier_version_goes_on() {
    let platform = Platform::new().await;
    let delivery = platform.prepared().await;
    let earlier = DeliveryEvent::Fetched {
        credential: "c".into(),
        legal_basis: "earlier".into(),
    };
    let id = delivery.id.to_string();
    let court = platform.hangzhou.caller();
    let actor = court.actor();
    for _ in 0..3 {
        let mut history = platform.ledger.read(&id).await.unwrap();
        let appended = platform
            .ledger
            .append(&mut history, &actor, "fetch", earlier.clone());
        assert_eq!(appended.await.unwrap(), Appended::Appended);
    }
    let fetched = platform.fetch(delivery.id, "now").await;
    collect(fetched).await.unwrap();
    let state = platform.courier.delivery(delivery.id).await.unwrap().state;
    assert!(matches!(state, DeliveryState::Entered), "{state:?}");
    assert_eq!(reads(&platform, &delivery).await.len(), 1);
}

#[tokio::test]
async fn a_fetch_that_breaks_off_is_a_read_but_no_receipt() {
    let platform = Platform::new().await;
    let delivery = platform.prepared().await;
    let key = delivery.package().unwrap().object.clone();
    // In two pieces, of which one is taken.
    let bytes = platform.package_bytes(&delivery).await;
    assert!(bytes.len() > 64 * 1024);
    let first = first_piece(platform.fetch(delivery.id, "x").await).await;
    if first.len() < bytes.len() {
        let state = platform.courier.delivery(delivery.id).await.unwrap().state;
        assert_eq!(state, DeliveryState::Prepared, "{key}");
    }
}

#[tokio::test]
async fn only_the_recipient_and_only_with_a_reason() {
    let platform = Platform::new().await;
    let delivery = platform.prepared().await;
    let own = platform.hangzhou.caller();
    let kind = async |caller: &probity_platform::access::Caller, basis: Option<&str>| {
        platform
            .courier
            .fetch(caller, delivery.id, basis)
            .await
            .err()
            .map(|e| e.kind)
    };
    assert_eq!(
        kind(&platform.beijing.caller(), Some("x")).await,
        Some(ErrorKind::NotFound)
    );
    assert_eq!(
        kind(&caller(CallerRole::Operator), Some("x")).await,
        Some(ErrorKind::Forbidden)
    );
    assert_eq!(kind(&own, None).await, Some(ErrorKind::Malformed));
    assert_eq!(kind(&own, Some(" ")).await, Some(ErrorKind::Malformed));
    assert_eq!(
        platform.events(delivery.id).await.len(),
        2,
        "refused reads leave nothing"
    );
    assert!(reads(&platform, &delivery).await.is_empty());
}

#[tokio::test]
async fn listings_by_state_and_case() {
    let platform = Platform::new().await;
    let delivery = platform.prepared().await;
    let own = &platform.hangzhou.id;
    let count = async |recipient, state, case| {
        platform
            .courier
            .list_for(recipient, state, case, None, 100)
            .await
            .unwrap()
            .deliveries
            .len()
    };
    assert_eq!(count(own, None, None).await, 1);
    assert_eq!(
        count(own, Some("open"), Some("(2026)京0491民初12345号")).await,
        1
    );
    assert_eq!(count(own, Some("acknowledged"), None).await, 0);
    assert_eq!(count(own, None, Some("another")).await, 0);
    assert_eq!(
        count(&platform.beijing.id, None, None).await,
        0,
        "others see nothing"
    );
    assert!(
        platform
            .courier
            .list_for(own, Some("nonsense"), None, None, 100)
            .await
            .is_err()
    );
    assert!(
        platform
            .courier
            .list_for(own, None, None, Some("nonsense"), 100)
            .await
            .is_err()
    );

    let court = &platform.hangzhou;
    let signed = court.sign(&court.receipt(&delivery, "receipt_only"));
    let signed = probity_delivery::receipt::SignedReceipt::decode(&signed).unwrap();
    platform
        .courier
        .hand_in(&court.caller(), delivery.id, &signed)
        .await
        .unwrap();
    assert_eq!(count(own, Some("open"), None).await, 0);
}

/// Thousands are pulled one after the other, so what each costs the store is what a pull takes.
#[tokio::test]
async fn a_pull_reads_its_delivery_once_for_each_call() {
    let truth = Arc::new(MemoryObjects::new());
    let buckets = Buckets {
        truth: truth.clone(),
        work: Arc::new(MemoryObjects::new()),
    };
    let scenario = fixture::World::new().scenario();
    let platform = Platform::on(buckets, scenario.artifacts).await;
    let delivery = platform.prepared().await;
    let reads = Arc::new(Mutex::new(BTreeMap::<String, usize>::new()));
    let counted = reads.clone();
    truth.set_faults(move |verb, key| {
        if verb == Verb::Get && key.starts_with("ledger/delivery/") && key.ends_with("/00000000") {
            *counted.lock().unwrap().entry(key.to_owned()).or_default() += 1;
        }
        None
    });
    let court = &platform.hangzhou;
    collect(platform.fetch(delivery.id, "case 1").await)
        .await
        .unwrap();
    let signed = court.sign(&court.receipt(&delivery, "content_digest_confirmed"));
    let signed = probity_delivery::receipt::SignedReceipt::decode(&signed).unwrap();
    let done = platform
        .courier
        .hand_in(&court.caller(), delivery.id, &signed)
        .await
        .unwrap();
    assert!(done.state.is_terminal());
    let reads = reads.lock().unwrap();
    assert_eq!(
        reads.values().copied().collect::<Vec<_>>(),
        [2],
        "{reads:?}"
    );
}
