//! Packages that are gone from the store, or are not what was made.

use std::sync::Arc;

use bytes::Bytes;
use probity_delivery::answer::Answer;
use probity_delivery::deliver::Next;
use probity_delivery::delivery::Delivery;
use probity_delivery::receipt::SignedReceipt;
use probity_domain::{DeliveryId, DeliveryState};
use probity_platform::ErrorKind;
use probity_platform::objects::{Buckets, MemoryObjects};
use probity_proto::ledger::CustodyEvent;

use crate::fixture::HOUR_MS;
use crate::push::receives;
use crate::world::{Platform, collect};

async fn read(platform: &Platform, id: DeliveryId) -> Delivery {
    platform.courier.delivery(id).await.unwrap()
}

async fn remove(platform: &Platform, delivery: &Delivery) {
    let object = &delivery.package().unwrap().object;
    platform.work.remove(object).await.unwrap();
}

/// As many bytes, one of them another.
async fn spoil(platform: &Platform, delivery: &Delivery) {
    let mut bytes = platform.package_bytes(delivery).await;
    bytes[100] ^= 1;
    let object = &delivery.package().unwrap().object;
    platform.work.put(object, bytes.into()).await.unwrap();
}

fn answers(platform: &Platform, status: u16) {
    platform.court_answers(move |_, _| Answer::Response {
        status,
        retry_after_ms: None,
        body: Bytes::new(),
    });
}

#[tokio::test]
async fn a_package_that_is_gone_is_made_again_for_an_acknowledged_delivery() {
    let platform = Platform::new().await;
    let first = platform.prepared().await;
    let court = &platform.hangzhou;
    let signed = court.sign(&court.receipt(&first, "content_digest_confirmed"));
    let signed = SignedReceipt::decode(&signed).unwrap();
    let caller = court.caller();
    let hand_in = platform.courier.hand_in(&caller, first.id, &signed).await;
    let acknowledged = hand_in.unwrap().state;
    assert!(acknowledged.is_terminal());
    // While it is there, nothing is made.
    platform.courier.deliver(first.id).await.unwrap();
    assert_eq!(read(&platform, first.id).await.packages.len(), 1);

    remove(&platform, &first).await;
    let told = platform.outside.hints.lock().unwrap().len();
    let refused = platform.fetch_fails(court, first.id).await;
    assert_eq!(refused.kind, ErrorKind::Unavailable);
    assert_eq!(platform.outside.hints.lock().unwrap().len(), told + 1);
    assert_eq!(
        platform.courier.deliver(first.id).await.unwrap(),
        Next::Quiet
    );
    let second = read(&platform, first.id).await;
    assert_eq!((second.packages.len(), &second.state), (2, &acknowledged));
    let given = collect(platform.fetch(first.id, "case 1").await)
        .await
        .unwrap();
    assert_eq!(given, platform.package_bytes(&second).await);
    assert!(!court.open(&given).is_empty());
}

/// The court that wanted no more of it is not pushed to because it fetches.
#[tokio::test]
async fn a_package_that_is_gone_is_made_again_for_a_suspended_delivery_and_it_stays_so() {
    let platform = Platform::new().await;
    answers(&platform, 410);
    let id = platform.request(&platform.beijing).await.id;
    platform.courier.deliver(id).await.unwrap();
    let first = read(&platform, id).await;
    let suspended = first.state.clone();
    assert_eq!(suspended.as_str(), "suspended");
    remove(&platform, &first).await;
    let refused = platform.fetch_fails(&platform.beijing, id).await;
    assert_eq!(refused.kind, ErrorKind::Unavailable);
    assert_eq!(platform.courier.deliver(id).await.unwrap(), Next::Quiet);
    let second = read(&platform, id).await;
    assert_eq!((second.packages.len(), &second.state), (2, &suspended));
    assert_eq!(platform.pushes(), 1);
    let bytes = platform.package_bytes(&second).await;
    assert!(!platform.beijing.open(&bytes).is_empty());
    // Asked for by its vendor, it starts over with the package that is there.
    answers(&platform, 202);
    platform.request(&platform.beijing).await;
    platform.courier.deliver(id).await.unwrap();
    assert_eq!(read(&platform, id).await.state, DeliveryState::Entered);
    assert_eq!(platform.pushes(), 2);
    let resumed = read(&platform, id).await;
    assert_eq!(resumed.package(), second.package());
}

#[tokio::test]
async fn where_none_may_be_made_the_court_is_told_why() {
    let refused = async |platform: &Platform, id, why: &str| {
        let told = platform.outside.hints.lock().unwrap().len();
        let refused = platform.fetch_fails(&platform.hangzhou, id).await;
        assert_eq!(refused.kind, ErrorKind::NotFound, "{refused}");
        assert!(refused.detail.contains(why), "{refused}");
        assert_eq!(platform.outside.hints.lock().unwrap().len(), told);
    };
    let platform = Platform::new().await;
    let delivery = platform.prepared().await;
    remove(&platform, &delivery).await;
    let mut custody = platform
        .ledger
        .read(&platform.evidence.to_string())
        .await
        .unwrap();
    let deleted = CustodyEvent::Deleted {
        order: "order 7".into(),
        keys: Vec::new(),
    };
    let appended = platform
        .ledger
        .append(&mut custody, "operator", "order 7", deleted);
    appended.await.unwrap();
    refused(&platform, delivery.id, "deleted by order").await;

    let platform = Platform::new().await;
    let delivery = platform.prepared().await;
    remove(&platform, &delivery).await;
    platform.clock.advance_ms(25 * HOUR_MS);
    refused(&platform, delivery.id, "it expired").await;

    // Suspended before there was a package.
    let platform = Platform::new().await;
    let id = platform.request(&platform.hangzhou).await.id;
    platform.clock.advance_ms(25 * HOUR_MS);
    platform.courier.deliver(id).await.unwrap();
    assert_eq!(read(&platform, id).await.state.as_str(), "suspended");
    refused(&platform, id, "it expired").await;
}

#[tokio::test]
async fn a_wrong_package_is_never_pushed_whole_and_another_is_made() {
    let platform = Platform::new().await;
    answers(&platform, 503);
    let id = platform.request(&platform.beijing).await.id;
    let Next::At(at) = platform.courier.deliver(id).await.unwrap() else {
        panic!("not tried again")
    };
    platform.clock.advance_ms(at.ms_since(platform.now()));
    let first = read(&platform, id).await;
    spoil(&platform, &first).await;
    platform.court_answers(receives(&platform.beijing));
    let wrong = platform.courier.deliver(id).await.unwrap_err();
    assert_eq!(wrong.kind, ErrorKind::Unavailable);
    assert_eq!(platform.pushes(), 1, "the second never came to its end");
    let object = &first.package().unwrap().object;
    assert_eq!(platform.work.head(object).await.unwrap(), None);
    let still = read(&platform, id).await;
    assert_eq!(still.state, first.state, "the court did not fail");

    assert_eq!(platform.courier.deliver(id).await.unwrap(), Next::Quiet);
    let done = read(&platform, id).await;
    assert_eq!(
        (done.packages.len(), done.state.as_str()),
        (2, "acknowledged")
    );
}

#[tokio::test]
async fn a_wrong_package_is_never_fetched_whole_and_another_is_made() {
    let platform = Platform::new().await;
    let first = platform.prepared().await;
    let bytes = platform.package_bytes(&first).await;
    spoil(&platform, &first).await;
    let told = platform.outside.hints.lock().unwrap().len();
    let mut got = 0;
    let mut body = platform.fetch(first.id, "case 1").await;
    let failed = loop {
        match futures::StreamExt::next(&mut body).await.unwrap() {
            Ok(piece) => got += piece.len(),
            Err(e) => break e,
        }
    };
    assert_eq!(failed.kind, ErrorKind::Internal);
    assert!(got < bytes.len());
    let object = &first.package().unwrap().object;
    assert_eq!(platform.work.head(object).await.unwrap(), None);
    assert_eq!(platform.outside.hints.lock().unwrap().len(), told + 1);
    assert_eq!(
        read(&platform, first.id).await.state,
        DeliveryState::Prepared
    );
    platform.courier.deliver(first.id).await.unwrap();
    let second = read(&platform, first.id).await;
    let given = collect(platform.fetch(first.id, "case 1").await).await;
    assert_eq!(given.unwrap(), platform.package_bytes(&second).await);
    assert_eq!(
        read(&platform, first.id).await.state,
        DeliveryState::Entered
    );
}

#[tokio::test]
async fn a_package_of_another_length_is_made_again() {
    let platform = Platform::new().await;
    let first = platform.prepared().await;
    let object = &first.package().unwrap().object;
    let short = Bytes::from_static(b"short");
    platform.work.put(object, short).await.unwrap();
    let refused = platform.fetch_fails(&platform.hangzhou, first.id).await;
    assert_eq!(refused.kind, ErrorKind::Unavailable);
    platform.courier.deliver(first.id).await.unwrap();
    assert_eq!(read(&platform, first.id).await.packages.len(), 2);
}

/// Three hundred parts, the last but one before all others and again with each of them.
#[tokio::test]
async fn a_package_fetched_in_small_pieces_has_arrived_with_the_last_of_them() {
    let artifacts = vec![("a.txt".to_owned(), b"bytes".to_vec())];
    let buckets = Buckets {
        truth: Arc::new(MemoryObjects::new()),
        work: Arc::new(MemoryObjects::new()),
    };
    let platform = Platform::on(buckets, artifacts).await;
    let delivery = platform.prepared().await;
    let size_bytes = delivery.package().unwrap().size_bytes;
    let state = async || read(&platform, delivery.id).await.state;
    let pieces = 300;
    let bounds = |n: u64| (size_bytes * n / pieces, size_bytes * (n + 1) / pieces - 1);
    let rest: Vec<_> = (0..pieces - 1).rev().collect();
    for n in rest {
        for (first, last) in [bounds(n), bounds(pieces - 2)] {
            let body = platform.fetch_range(delivery.id, first, last).await;
            collect(body).await.unwrap();
            platform.clock.advance_ms(1);
        }
    }
    assert_eq!(state().await, DeliveryState::Prepared);
    let (first, last) = bounds(pieces - 1);
    let body = platform.fetch_range(delivery.id, first, last).await;
    collect(body).await.unwrap();
    assert_eq!(state().await, DeliveryState::Entered);
}

#[tokio::test]
async fn what_was_read_of_a_package_before_is_not_read_of_this_one() {
    let platform = Platform::new().await;
    let first = platform.prepared().await;
    let (id, half) = (first.id, first.package().unwrap().size_bytes / 2);
    let fetched = async |first, last| {
        let body = platform.fetch_range(id, first, last).await;
        collect(body).await.unwrap();
    };
    fetched(0, half - 1).await;
    remove(&platform, &first).await;
    platform.courier.deliver(first.id).await.unwrap();
    let second = read(&platform, first.id).await;
    assert_ne!(
        second.package().unwrap().sha256,
        first.package().unwrap().sha256
    );
    let end = second.package().unwrap().size_bytes - 1;
    fetched(half, end).await;
    assert_eq!(
        read(&platform, first.id).await.state,
        DeliveryState::Prepared
    );
    fetched(0, half - 1).await;
    fetched(half, end).await;
    assert_eq!(
        read(&platform, first.id).await.state,
        DeliveryState::Entered
    );
}
