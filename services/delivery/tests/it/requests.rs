//! Asking for deliveries.

use std::sync::Arc;

use probity_delivery::orders::Shelf;
use probity_domain::{CaseId, DeliveryId, Timestamp};
use probity_platform::clock::ManualClock;
use probity_platform::objects::{Fault, MemoryObjects, Objects as _, Verb};
use probity_platform::{Clock, ErrorKind};

use crate::world::{Platform, court, tenant};

/// Each look at it takes longer than a page may.
struct Hurried(ManualClock);

impl Clock for Hurried {
    fn now(&self) -> Timestamp {
        self.0.advance_ms(11_000);
        self.0.now()
    }
}

#[tokio::test]
async fn a_listing_that_takes_long_goes_on_with_the_next_page() {
    let platform = Platform::new().await;
    let first = platform.request(&platform.beijing).await.id;
    // Orders of one millisecond are in no order.
    platform.clock.advance_ms(1);
    let second = platform.request(&platform.hangzhou).await.id;
    let mut courier = platform.restarted();
    let clock = ManualClock::at(platform.clock.now());
    Arc::get_mut(&mut courier).unwrap().clock = Arc::new(Hurried(clock));
    let case = CaseId::parse("(2026)京0491民初12345号").unwrap();
    let shelf = Shelf::Case(tenant("acme"), case);
    let (mut listed, mut page) = (Vec::new(), None);
    for has_next in [true, false] {
        let list = courier.list(&shelf, page.as_deref(), 100, |_| true);
        let found = list.await.unwrap();
        listed.extend(found.deliveries.iter().map(|delivery| delivery.id));
        page = found.next_page;
        assert_eq!((found.deliveries.len(), page.is_some()), (1, has_next));
    }
    assert_eq!(listed, [first, second]);
}

#[tokio::test]
async fn asking_twice_names_the_same_delivery_and_lists_it_once() {
    let platform = Platform::new().await;
    let first = platform.request(&platform.beijing).await;
    let second = platform.request(&platform.beijing).await;
    assert_eq!(first.id, second.id);
    assert_eq!(platform.events(first.id).await.len(), 1);
    let shelf = Shelf::Case(
        tenant("acme"),
        CaseId::parse("(2026)京0491民初12345号").unwrap(),
    );
    let page = platform
        .courier
        .list(&shelf, None, 100, |_| true)
        .await
        .unwrap();
    assert_eq!(
        page.deliveries.iter().map(|d| d.id).collect::<Vec<_>>(),
        [first.id]
    );
    let of_court = Shelf::Recipient(platform.beijing.id.clone());
    assert_eq!(
        platform
            .courier
            .list(&of_court, None, 100, |_| true)
            .await
            .unwrap()
            .deliveries
            .len(),
        1
    );
}

#[tokio::test]
async fn asked_for_at_once_by_two_it_is_one_delivery() {
    let platform = Platform::new().await;
    let other = platform.restarted();
    let document = platform.asked(&platform.beijing);
    let vendor = tenant("acme");
    let (one, two) = tokio::join!(
        platform.courier.request(&vendor, "credential:a", &document),
        other.request(&vendor, "credential:b", &document)
    );
    let (one, two) = (one.unwrap().remove(0), two.unwrap().remove(0));
    assert_eq!(one.id, two.id);
    let of_court = Shelf::Recipient(platform.beijing.id.clone());
    let listed = platform
        .courier
        .list(&of_court, None, 100, |_| true)
        .await
        .unwrap();
    assert_eq!(
        listed.deliveries.len(),
        1,
        "in two orders perhaps, listed once"
    );
}

#[tokio::test]
async fn evidence_of_others_and_what_never_was_do_not_exist() {
    let platform = Platform::new().await;
    let kind =
        async |owner: &str, change: &dyn Fn(&mut probity_proto::http::DeliveryRequestDocument)| {
            let mut document = platform.asked(&platform.beijing);
            change(&mut document);
            let asked = platform
                .courier
                .request(&tenant(owner), "credential:v", &document)
                .await;
            asked.err().map(|e| e.kind)
        };
    assert_eq!(kind("other", &|_| {}).await, Some(ErrorKind::NotFound));
    let place = |to: &'static str| {
        move |d: &mut probity_proto::http::DeliveryRequestDocument| {
            d.evidence[0] = d.evidence[0].replace("-00003", to)
        }
    };
    assert_eq!(
        kind("acme", &place("-00002")).await,
        Some(ErrorKind::NotFound),
        "a refused line"
    );
    assert_eq!(
        kind("acme", &place("-00009")).await,
        Some(ErrorKind::NotFound)
    );
    assert_eq!(
        kind("acme", &|d| d.recipient = "nowhere".into()).await,
        Some(ErrorKind::NotFound)
    );
    assert_eq!(
        kind("acme", &|d| d.evidence.clear()).await,
        Some(ErrorKind::Malformed)
    );
    assert_eq!(
        kind("acme", &|d| d.evidence[0] = "PB1-x".into()).await,
        Some(ErrorKind::Malformed)
    );
    assert_eq!(
        kind("acme", &|d| d.case.clear()).await,
        Some(ErrorKind::Malformed)
    );
    assert_eq!(
        kind("acme", &|d| d.evidence.push(d.evidence[0].to_lowercase())).await,
        None,
        "twice is once"
    );
}

#[tokio::test]
async fn pages_go_through_every_order() {
    let platform = Platform::new().await;
    for name in ["c-1", "c-2", "c-3"] {
        let court = court(name);
        platform
            .profile(&court, &court.document(None))
            .await
            .unwrap();
        platform.request(&court).await;
        platform.clock.advance_ms(1_000);
    }
    let shelf = Shelf::Case(
        tenant("acme"),
        CaseId::parse("(2026)京0491民初12345号").unwrap(),
    );
    let (mut seen, mut page) = (Vec::new(), None);
    loop {
        let listed = platform
            .courier
            .list(&shelf, page.as_deref(), 1, |_| true)
            .await
            .unwrap();
        seen.extend(listed.deliveries.iter().map(|d| d.recipient.to_string()));
        page = listed.next_page;
        if page.is_none() {
            break;
        }
    }
    assert_eq!(seen, ["c-1", "c-2", "c-3"]);
}

/// Deliveries to three courts of one case, in three orders, on a store that can be troubled.
async fn three_orders() -> (Platform, Arc<MemoryObjects>, Vec<DeliveryId>, Shelf) {
    let (platform, truth) = Platform::troubled().await;
    let mut ids = Vec::new();
    for name in ["c-1", "c-2", "c-3"] {
        let court = court(name);
        let document = court.document(None);
        platform.profile(&court, &document).await.unwrap();
        ids.push(platform.request(&court).await.id);
        platform.clock.advance_ms(1_000);
    }
    let case = CaseId::parse("(2026)京0491民初12345号").unwrap();
    (platform, truth, ids, Shelf::Case(tenant("acme"), case))
}

#[tokio::test]
async fn what_does_not_read_is_left_out_of_a_listing_and_what_is_away_is_not() {
    let (platform, truth, ids, shelf) = three_orders().await;
    let list = async || platform.courier.list(&shelf, None, 100, |_| true).await;
    let listed = async || {
        let page = list().await.unwrap();
        assert_eq!(page.next_page, None);
        page.deliveries.iter().map(|d| d.id).collect::<Vec<_>>()
    };
    assert_eq!(listed().await, ids);
    let event = format!("ledger/delivery/{}/00000000", ids[0]);
    let away = event.clone();
    truth.set_faults(move |verb, key| {
        let away = verb == Verb::Get && key == away;
        away.then_some(Fault::Refuse)
    });
    assert_eq!(list().await.unwrap_err().kind, ErrorKind::Unavailable);
    truth.set_faults(|verb, key| {
        let away = verb == Verb::Get && key.starts_with("deliveries/by-case/");
        away.then_some(Fault::Stall)
    });
    assert_eq!(list().await.unwrap_err().kind, ErrorKind::Timeout);
    truth.clear_faults();

    truth.put(&event, "junk".into()).await.unwrap();
    assert_eq!(listed().await, ids[1..]);
    let orders = truth.list("deliveries/by-case/", None, 10).await.unwrap();
    truth.put(&orders[1].key, "junk".into()).await.unwrap();
    assert_eq!(listed().await, ids[2..]);
}

/// Where a page goes on is known before what stands there is read.
#[tokio::test]
async fn a_page_does_not_fail_because_of_what_stands_behind_it() {
    let (platform, truth, ids, shelf) = three_orders().await;
    let away = format!("ledger/delivery/{}/", ids[1]);
    truth.set_faults(move |verb, key| {
        let away = verb == Verb::Get && key.starts_with(&away);
        away.then_some(Fault::Refuse)
    });
    let list = async |page: Option<&str>| platform.courier.list(&shelf, page, 1, |_| true).await;
    let first = list(None).await.unwrap();
    assert_eq!(first.deliveries[0].id, ids[0]);
    let next = first.next_page.unwrap();
    let failed = list(Some(&next)).await.unwrap_err();
    assert_eq!(failed.kind, ErrorKind::Unavailable);
    truth.clear_faults();
    assert_eq!(list(Some(&next)).await.unwrap().deliveries[0].id, ids[1]);
}
