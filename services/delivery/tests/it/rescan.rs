//! Looking through the orders: what a process finds that remembers nothing, or not all.

use bytes::Bytes;
use probity_delivery::answer::Answer;
use probity_delivery::orders::OrderDocument;
use probity_delivery::rescan::Quiet;
use probity_domain::{CaseId, DeliveryId};
use probity_platform::ErrorKind;
use probity_platform::startup::Shutdown;
use probity_proto::ledger::DeliveryEvent;

use crate::schedule::until;
use crate::world::{ENDPOINT, Platform, court, tenant};

const DAY_MS: i64 = 86_400_000;

/// What a process finds that remembers nothing.
async fn found(platform: &Platform) -> usize {
    let restarted = platform.restarted();
    restarted.rescan_once(&mut Quiet::default()).await.unwrap()
}

#[tokio::test]
async fn after_a_restart_open_deliveries_are_found_in_the_orders() {
    let platform = Platform::new().await;
    platform.court_answers(|_, _| Answer::Response {
        status: 503,
        retry_after_ms: None,
        body: Bytes::new(),
    });
    let pushed = platform.request(&platform.beijing).await.id;
    platform.courier.deliver(pushed).await.unwrap();
    platform.prepared().await;
    let restarted = platform.restarted();
    let mut quiet = Quiet::default();
    assert_eq!(
        restarted.rescan_once(&mut quiet).await.unwrap(),
        1,
        "the failed push is planned again"
    );
    assert_eq!(
        quiet.len(),
        1,
        "what waits for its court to fetch needs nothing"
    );
    assert_eq!(
        restarted.rescan_once(&mut quiet).await.unwrap(),
        0,
        "and is planned once"
    );
    platform.clock.advance_ms(15 * 86_400_000);
    assert_eq!(
        platform
            .restarted()
            .rescan_once(&mut Quiet::default())
            .await
            .unwrap(),
        0,
        "old orders are left alone"
    );
}

/// A bus drops a hint that it was told before, and the process that took it is gone.
#[tokio::test]
async fn what_was_taken_by_a_process_that_is_gone_is_told_as_another_hint() {
    let platform = Platform::new().await;
    let id = platform.request(&platform.beijing).await.id;
    assert_eq!(*platform.outside.hints.lock().unwrap(), [id]);
    let restarted = platform.restarted();
    let found = restarted.rescan_once(&mut Quiet::default()).await.unwrap();
    assert_eq!(found, 1);
    let shutdown = Shutdown::new();
    let (courier, stop) = (restarted.clone(), shutdown.clone());
    let ticking = tokio::spawn(async move { courier.tick(&stop).await });
    let push_ms = i64::try_from(restarted.push.time_max(0).as_millis()).unwrap();
    platform.clock.advance_ms(push_ms + 5_000);
    until("it is told again", async || {
        *platform.outside.told_again.lock().unwrap() == [id]
    })
    .await;
    shutdown.request();
    ticking.await.unwrap();
}

/// A profile, an order and a delivery that do not read stand before what does.
#[tokio::test]
async fn what_does_not_read_keeps_nothing_else_from_being_found() {
    let platform = Platform::new().await;
    let junk = Bytes::from_static(b"junk");
    let put = async |key: String| platform.truth.put(&key, junk.clone()).await.unwrap();
    put("ledger/recipient/aaa/00000000".to_owned()).await;
    let unread = platform.request(&platform.beijing).await.id;
    put(format!("ledger/delivery/{unread}/00000000")).await;
    let chengdu = court("chengdu");
    let document = chengdu.document(Some(ENDPOINT));
    platform.profile(&chengdu, &document).await.unwrap();
    let order = DeliveryId::new(platform.now(), [0; 10]);
    put(format!("deliveries/by-recipient/chengdu/{order}")).await;
    platform.clock.advance_ms(1);
    let behind = platform.request(&chengdu).await.id;
    let last = platform.request(&platform.hangzhou).await.id;

    let restarted = platform.restarted();
    let mut quiet = Quiet::default();
    for _ in 0..2 {
        let told = restarted.rescan_once(&mut quiet).await.unwrap_err();
        assert_eq!(told.kind, ErrorKind::Internal, "{told}");
        assert!(told.detail.contains("ledger/recipient/aaa"), "{told}");
    }
    assert!(quiet.is_empty(), "what does not read may read later");
    let shutdown = Shutdown::new();
    let stop = shutdown.clone();
    let ticking = tokio::spawn(async move { restarted.tick(&stop).await });
    platform.clock.advance_ms(3_600_000);
    until("both are told", async || {
        let told = platform.outside.told_again.lock().unwrap();
        told.contains(&behind) && told.contains(&last) && !told.contains(&unread)
    })
    .await;
    shutdown.request();
    ticking.await.unwrap();
}

#[tokio::test]
async fn what_waits_to_be_fetched_is_found_when_its_court_is_pushed_to() {
    let platform = Platform::new().await;
    let id = platform.prepared().await.id;
    let restarted = platform.restarted();
    let mut quiet = Quiet::default();
    assert_eq!(restarted.rescan_once(&mut quiet).await.unwrap(), 0);
    assert_eq!(quiet.len(), 1);
    let pushed = platform.hangzhou.document(Some(ENDPOINT));
    platform.profile(&platform.hangzhou, &pushed).await.unwrap();
    assert_eq!(restarted.rescan_once(&mut quiet).await.unwrap(), 1);
    platform.court_answers(|_, _| Answer::Response {
        status: 202,
        retry_after_ms: None,
        body: Bytes::new(),
    });
    restarted.deliver(id).await.unwrap();
    assert_eq!(platform.pushes(), 1);
}

#[tokio::test]
async fn a_request_that_is_not_finished_is_found_when_it_is() {
    let platform = Platform::new().await;
    let (recipient, vendor) = (&platform.beijing.id, tenant("acme"));
    let case = CaseId::parse("case 1").unwrap();
    let id = probity_delivery::delivery::delivery_id(&platform.evidence, recipient);
    let order = DeliveryId::new(platform.now(), [3; 10]);
    let lines = [(id, platform.evidence)];
    let document = OrderDocument::new(order, recipient, &vendor, &case, &lines);
    document.write(&*platform.truth).await.unwrap();
    let restarted = platform.restarted();
    let mut quiet = Quiet::default();
    assert_eq!(restarted.rescan_once(&mut quiet).await.unwrap(), 0);
    let mut history = platform.ledger.read(&id.to_string()).await.unwrap();
    let requested = DeliveryEvent::Requested {
        evidence: platform.evidence.to_string(),
        recipient: recipient.to_string(),
        tenant: vendor.to_string(),
        case: case.to_string(),
    };
    let cause = order.to_string();
    let appended = platform
        .ledger
        .append(&mut history, "credential:v", &cause, requested);
    appended.await.unwrap();
    assert_eq!(restarted.rescan_once(&mut quiet).await.unwrap(), 1);
}

/// Its evidence is not deposited for weeks, and its process has it planned all the while.
#[tokio::test]
async fn what_is_still_due_after_days_is_found_however_old_it_is() {
    let platform = Platform::new().await;
    platform.outside.proof.lock().unwrap().take();
    let id = platform.request(&platform.beijing).await.id;
    let mut quiet = Quiet::default();
    for found_new in [0, 0, 0] {
        let found = platform.courier.rescan_once(&mut quiet).await.unwrap();
        assert_eq!(found, found_new, "it is planned");
        platform.clock.advance_ms(5 * DAY_MS);
    }
    platform.clock.advance_ms(365 * DAY_MS);
    assert_eq!(found(&platform).await, 1);
    let late = platform.truth.list("deliveries/late/", None, 10);
    let keys: Vec<_> = late.await.unwrap().into_iter().map(|l| l.key).collect();
    assert_eq!(keys, [format!("deliveries/late/beijing/{id}")]);
}

#[tokio::test]
async fn what_is_taken_up_again_after_weeks_is_found() {
    let platform = Platform::new().await;
    platform.court_answers(|_, _| Answer::Response {
        status: 410,
        retry_after_ms: None,
        body: Bytes::new(),
    });
    let id = platform.request(&platform.beijing).await.id;
    platform.courier.deliver(id).await.unwrap();
    platform.clock.advance_ms(20 * DAY_MS);
    assert_eq!(found(&platform).await, 0, "it is suspended");
    let resumed = platform.request(&platform.beijing).await;
    assert_eq!((resumed.id, resumed.state.as_str()), (id, "prepared"));
    assert_eq!(found(&platform).await, 1);
}

/// By another process, which is gone before it told anybody.
#[tokio::test]
async fn a_suspended_one_that_is_taken_up_again_is_found() {
    let platform = Platform::new().await;
    platform.court_answers(|_, _| Answer::Response {
        status: 410,
        retry_after_ms: None,
        body: Bytes::new(),
    });
    let id = platform.request(&platform.beijing).await.id;
    platform.courier.deliver(id).await.unwrap();
    let other = platform.restarted();
    let mut quiet = Quiet::default();
    assert_eq!(other.rescan_once(&mut quiet).await.unwrap(), 0);
    assert_eq!(quiet.len(), 1);
    platform.request(&platform.beijing).await;
    platform.clock.advance_ms(3_600_000);
    assert_eq!(other.rescan_once(&mut quiet).await.unwrap(), 1);
}
