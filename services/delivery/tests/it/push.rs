//! Pushing: what each answer leads to (fault F14).

use std::sync::Arc;

use bytes::Bytes;
use probity_delivery::answer::Answer;
use probity_delivery::deliver::Next;
use probity_domain::{DeliveryState, RetrySchedule};
use probity_platform::ErrorKind;
use probity_platform::objects::{Fault, MemoryObjects, Verb};
use probity_platform::startup::Shutdown;
use probity_proto::ledger::DeliveryEvent;
use sha2::Digest as _;

use crate::schedule::until;
use crate::world::{Court, Platform, answer, collect};

fn plain(status: u16) -> Answer {
    Answer::Response {
        status,
        retry_after_ms: None,
        body: Bytes::new(),
    }
}

/// What a good court answers, from the bytes it got and nothing else.
pub fn receives(
    court: &Court,
) -> impl Fn(&probity_delivery::ports::Parcel, &[u8]) -> Answer + Send + Sync + 'static {
    let key = court.signing.0.to_pkcs8_der().unwrap().to_vec();
    let encryption = court.encryption.0.to_pkcs8_der().unwrap().to_vec();
    let certificate = court.signing.1.clone();
    move |parcel, bytes| {
        let mut opened = Vec::new();
        probity_pki::envelope::decrypt(&mut &bytes[..], &encryption, &mut opened).unwrap();
        let receipt = probity_proto::http::ReceiptDocument {
            format: "probity.receipt/1".to_owned(),
            delivery: parcel.delivery.to_string(),
            recipient: parcel.recipient.clone(),
            evidence: parcel.evidence.to_string(),
            package_sha256: hex::encode(sha2::Sha256::digest(bytes)),
            content_sha3_256: Some(crate::fixture::stated("x", &opened).sha3_256.to_hex()),
            scope: "technical_conformity_confirmed".to_owned(),
            received_at: crate::fixture::NOW.to_rfc3339(),
            place: "Beijing".to_owned(),
        };
        let key = probity_pki::keys::MemoryKey::from_pkcs8_der(&key).unwrap();
        answer(
            200,
            &crate::world::sign_with(&key, &certificate, &serde_json::to_vec(&receipt).unwrap()),
        )
    }
}

#[tokio::test]
async fn a_push_ends_with_the_courts_receipt() {
    let platform = Platform::new().await;
    platform.court_answers(receives(&platform.beijing));
    let id = platform.request(&platform.beijing).await.id;
    assert_eq!(platform.courier.deliver(id).await.unwrap(), Next::Quiet);
    let delivery = platform.courier.delivery(id).await.unwrap();
    assert_eq!(
        delivery.document().receipt_scope.as_deref(),
        Some("technical_conformity_confirmed")
    );
    let entered = platform.events(id).await.into_iter().find_map(|e| match e {
        DeliveryEvent::Entered { rule, place } => Some((rule, place)),
        _ => None,
    });
    let (rule, place) = entered.unwrap();
    assert!(rule.contains("entered_designated_system"), "{rule}");
    assert_eq!(place, "Beijing");
    // Again, and by another process: nothing happens twice.
    platform.courier.deliver(id).await.unwrap();
    platform.restarted().deliver(id).await.unwrap();
    assert_eq!(platform.pushes(), 1);
}

#[tokio::test]
async fn two_hundred_is_not_a_receipt() {
    for (status, body) in [(200, ""), (202, ""), (204, ""), (200, "{\"ok\":true}")] {
        let platform = Platform::new().await;
        platform.court_answers(move |_, _| Answer::Response {
            status,
            retry_after_ms: None,
            body: Bytes::from(body),
        });
        let id = platform.request(&platform.beijing).await.id;
        platform.courier.deliver(id).await.unwrap();
        assert_eq!(
            platform.courier.delivery(id).await.unwrap().state,
            DeliveryState::Entered,
            "{status} {body}"
        );
        // It arrived: it is not sent again while the receipt is awaited.
        platform.courier.deliver(id).await.unwrap();
        assert_eq!(platform.pushes(), 1);
    }
}

#[tokio::test]
async fn failures_are_tried_again_by_the_schedule_and_then_suspend() {
    let platform = Platform::new().await;
    platform.court_answers(|_, _| plain(503));
    let id = platform.request(&platform.beijing).await.id;
    let began = platform.now();
    let mut waits = Vec::new();
    while let Next::At(at) = platform.courier.deliver(id).await.unwrap() {
        // Not due yet: nothing is sent.
        let pushes = platform.pushes();
        assert_eq!(platform.courier.deliver(id).await.unwrap(), Next::At(at));
        assert_eq!(platform.pushes(), pushes);
        waits.push(at.ms_since(platform.now()));
        platform.clock.advance_ms(at.ms_since(platform.now()));
        // The fixture's certificates last a day, the schedule three.
        if platform.now().ms_since(began) > 20 * crate::fixture::HOUR_MS {
            break;
        }
    }
    assert!(waits.len() >= 5, "{waits:?}");
    for (failed, wait) in (1..).zip(&waits) {
        let [shortest, longest] =
            [0, 255].map(|jitter| RetrySchedule.wait_ms(failed, jitter, false, None).unwrap());
        assert!((shortest..=longest).contains(wait), "{waits:?}");
    }
    assert_eq!(platform.pushes(), waits.len());
    let attempts = platform
        .events(id)
        .await
        .iter()
        .filter(|e| matches!(e, DeliveryEvent::AttemptFailed { .. }))
        .count();
    assert_eq!(attempts, waits.len());
}

#[tokio::test]
async fn ten_failures_suspend_and_asking_again_takes_it_up() {
    let platform = Platform::new().await;
    platform.court_answers(|_, _| plain(500));
    let id = platform.request(&platform.beijing).await.id;
    platform.courier.deliver(id).await.unwrap();
    // Eight more, recorded as other processes would have.
    for _ in 0..8 {
        let history = &mut platform
            .ledger
            .read::<DeliveryEvent>(&id.to_string())
            .await
            .unwrap();
        let event = DeliveryEvent::AttemptFailed {
            next_at: platform.now().to_rfc3339(),
            reason: "500".into(),
        };
        platform
            .ledger
            .append(history, "role:delivery", "push", event)
            .await
            .unwrap();
    }
    assert_eq!(platform.courier.deliver(id).await.unwrap(), Next::Quiet);
    let DeliveryState::Suspended { reason } = platform.courier.delivery(id).await.unwrap().state
    else {
        panic!("not suspended")
    };
    assert!(
        reason.contains("10 attempts") && reason.contains("500"),
        "{reason}"
    );

    platform.court_answers(receives(&platform.beijing));
    let again = platform.request(&platform.beijing).await;
    assert_eq!((again.id, again.state.as_str()), (id, "prepared"));
    platform.courier.deliver(id).await.unwrap();
    assert_eq!(
        platform.courier.delivery(id).await.unwrap().state.as_str(),
        "acknowledged"
    );
}

#[tokio::test]
async fn slow_down_waits_a_minute_and_gone_ends_it() {
    for slow in [plain(429), Answer::TimedOut] {
        let platform = Platform::new().await;
        platform.court_answers(move |_, _| slow.clone());
        let id = platform.request(&platform.beijing).await.id;
        let Next::At(at) = platform.courier.deliver(id).await.unwrap() else {
            panic!("not tried again")
        };
        assert!(at.ms_since(platform.now()) >= 60_000);
    }
    let platform = Platform::new().await;
    platform.court_answers(|_, _| Answer::Response {
        status: 503,
        retry_after_ms: Some(7_200_000),
        body: Bytes::new(),
    });
    let id = platform.request(&platform.beijing).await.id;
    let Next::At(at) = platform.courier.deliver(id).await.unwrap() else {
        panic!("not tried again")
    };
    assert_eq!(at.ms_since(platform.now()), 7_200_000);

    let platform = Platform::new().await;
    platform.court_answers(|_, _| plain(410));
    let id = platform.request(&platform.beijing).await.id;
    assert_eq!(platform.courier.deliver(id).await.unwrap(), Next::Quiet);
    assert_eq!(
        platform.courier.delivery(id).await.unwrap().state.as_str(),
        "suspended"
    );
}

#[tokio::test]
async fn what_is_not_deposited_waits_and_goes_on_when_it_is() {
    let platform = Platform::new().await;
    platform.court_answers(receives(&platform.beijing));
    let proof = platform.outside.proof.lock().unwrap().take();
    let id = platform.request(&platform.beijing).await.id;
    assert_eq!(
        platform.courier.deliver(id).await.unwrap(),
        Next::AwaitDeposit(platform.evidence)
    );
    assert_eq!(platform.events(id).await.len(), 1);
    *platform.outside.proof.lock().unwrap() = proof;
    assert_eq!(platform.courier.deliver(id).await.unwrap(), Next::Quiet);
    assert_eq!(
        platform.courier.delivery(id).await.unwrap().state.as_str(),
        "acknowledged"
    );
}

/// A store that is read and not written.
async fn on_a_store_that_takes_no_events(
    answer: Answer,
) -> (Platform, Arc<MemoryObjects>, probity_domain::DeliveryId) {
    let (platform, truth) = Platform::troubled().await;
    let store = truth.clone();
    // From the push on.
    platform.court_answers(move |_, _| {
        store.set_faults(|verb, key| {
            let refused = verb == Verb::Create && key.starts_with("ledger/delivery/");
            refused.then_some(Fault::Refuse)
        });
        answer.clone()
    });
    let id = platform.request(&platform.beijing).await.id;
    for _ in 0..3 {
        let failed = platform.courier.deliver(id).await.unwrap_err();
        assert_eq!(failed.kind, ErrorKind::Unavailable);
        assert_eq!(platform.pushes(), 1, "what was answered is not asked again");
        assert_eq!(
            platform.courier.delivery(id).await.unwrap().state,
            DeliveryState::Prepared
        );
        platform.clock.advance_ms(60_000);
    }
    (platform, truth, id)
}

#[tokio::test]
async fn an_answer_that_the_store_does_not_take_is_recorded_later() {
    let (platform, truth, id) = on_a_store_that_takes_no_events(plain(410)).await;
    truth.clear_faults();
    assert_eq!(platform.courier.deliver(id).await.unwrap(), Next::Quiet);
    let state = platform.courier.delivery(id).await.unwrap().state;
    assert_eq!(state.as_str(), "suspended");

    let later = Answer::Response {
        status: 503,
        retry_after_ms: Some(7_200_000),
        body: Bytes::new(),
    };
    let (platform, truth, id) = on_a_store_that_takes_no_events(later).await;
    truth.clear_faults();
    let Next::At(at) = platform.courier.deliver(id).await.unwrap() else {
        panic!("not tried again")
    };
    let since_answer_ms = 3 * 60_000;
    assert_eq!(
        at.ms_since(platform.now()),
        7_200_000 - since_answer_ms,
        "from the answer on"
    );
    assert_eq!(platform.pushes(), 1);
    // The next answer is another one.
    platform.court_answers(|_, _| plain(202));
    platform.clock.advance_ms(7_200_000);
    assert_eq!(platform.courier.deliver(id).await.unwrap(), Next::Quiet);
    assert_eq!(platform.pushes(), 2);
    let state = platform.courier.delivery(id).await.unwrap().state;
    assert_eq!(state, DeliveryState::Entered);
}

/// The store did it, and nobody heard.
#[tokio::test]
async fn an_attempt_is_counted_once_when_the_stores_answer_is_lost() {
    let (platform, truth) = Platform::troubled().await;
    let store = truth.clone();
    platform.court_answers(move |_, _| {
        store.set_faults(|verb, _| (verb == Verb::Create).then_some(Fault::DropResponse));
        plain(503)
    });
    let id = platform.request(&platform.beijing).await.id;
    let unheard = platform.courier.deliver(id).await.unwrap_err();
    assert_eq!(unheard.kind, ErrorKind::UnknownOutcome);
    truth.clear_faults();
    let next = platform.courier.deliver(id).await.unwrap();
    assert!(matches!(next, Next::At(_)), "{next:?}");
    let state = platform.courier.delivery(id).await.unwrap().state;
    assert!(
        matches!(state, DeliveryState::Retrying { attempts: 1, .. }),
        "{state:?}"
    );
    assert_eq!(platform.pushes(), 1);
}

/// A court that is pushed to gives its receipt once: whenever the process ends that heard it, the receipt stands or the
/// package is pushed again.
#[tokio::test]
async fn a_process_that_ends_while_it_records_loses_no_receipt() {
    for recorded in 0..2 {
        let (platform, truth) = Platform::troubled().await;
        let (store, receives) = (truth.clone(), receives(&platform.beijing));
        platform.court_answers(move |parcel, bytes| {
            // After the request and the package.
            let from = format!("ledger/delivery/{}/{:08}", parcel.delivery, 2 + recorded);
            store.set_faults(move |verb, key| {
                let refused = verb == Verb::Create && key >= from.as_str();
                refused.then_some(Fault::Refuse)
            });
            receives(parcel, bytes)
        });
        let id = platform.request(&platform.beijing).await.id;
        platform.courier.deliver(id).await.unwrap_err();
        truth.clear_faults();
        let after = platform.restarted();
        let state = after.delivery(id).await.unwrap().state;
        let has_receipt = matches!(state, DeliveryState::Acknowledged { .. });
        assert_eq!(has_receipt, recorded == 1, "{state:?}");
        assert!(has_receipt || state == DeliveryState::Prepared, "{state:?}");
    }
}

/// What the court acknowledged is recorded by the process that heard it, though the court has fetched it meanwhile.
#[tokio::test]
async fn an_answer_waits_until_it_is_recorded_whatever_else_happens() {
    let (platform, truth) = Platform::troubled().await;
    let (store, receives) = (truth.clone(), receives(&platform.beijing));
    platform.court_answers(move |parcel, bytes| {
        store.set_faults(|verb, _| (verb == Verb::Create).then_some(Fault::Refuse));
        receives(parcel, bytes)
    });
    let id = platform.request(&platform.beijing).await.id;
    let shutdown = Shutdown::new();
    let (courier, stop) = (platform.courier.clone(), shutdown.clone());
    let working = tokio::spawn(async move {
        tokio::join!(courier.work(&stop), courier.tick(&stop));
    });
    platform.courier.take(id).await.unwrap();
    until("it is pushed", async || {
        platform.pushes() == 1 && platform.courier.is_idle()
    })
    .await;
    truth.clear_faults();
    let caller = platform.beijing.caller();
    let fetch = platform.courier.fetch(&caller, id, Some("case 1")).await;
    let body = platform.courier.give(fetch.unwrap(), None).await.unwrap();
    collect(body).await.unwrap();
    let state = async || platform.courier.delivery(id).await.unwrap().state;
    assert_eq!(state().await, DeliveryState::Entered);
    platform.clock.advance_ms(16_000);
    until("the receipt is on record", async || {
        state().await.as_str() == "acknowledged"
    })
    .await;
    assert_eq!(platform.pushes(), 1);
    shutdown.request();
    working.await.unwrap();
}
