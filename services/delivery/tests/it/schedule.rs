//! What drives deliveries, and what survives a restart.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use probity_delivery::answer::Answer;
use probity_delivery::rescan::Quiet;
use probity_domain::DeliveryId;
use probity_platform::objects::{Buckets, Fault, MemoryObjects};
use probity_platform::startup::Shutdown;
use tokio::time::Instant;

use crate::world::Platform;

const PATIENCE: Duration = Duration::from_secs(60);

pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < deadline, "{what} did not come about");
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

async fn state(platform: &Platform, id: DeliveryId) -> String {
    platform
        .courier
        .delivery(id)
        .await
        .unwrap()
        .state
        .as_str()
        .to_owned()
}

/// What is told hangs on a bus that does not answer.
#[tokio::test]
async fn a_bus_that_hangs_holds_up_no_shutdown() {
    let platform = Platform::new().await;
    let id = platform.request(&platform.beijing).await.id;
    let restarted = platform.restarted();
    restarted.rescan_once(&mut Quiet::default()).await.unwrap();
    *platform.outside.bus_hangs.lock().unwrap() = true;
    let shutdown = Shutdown::new();
    let (courier, stop) = (restarted.clone(), shutdown.clone());
    let ticking = tokio::spawn(async move { courier.tick(&stop).await });
    platform.clock.advance_ms(3_600_000);
    until("it is told", async || {
        *platform.outside.hints.lock().unwrap() == [id, id]
    })
    .await;
    shutdown.request();
    tokio::time::timeout(PATIENCE, ticking)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn without_a_bus_deliveries_go_on_and_a_court_that_hangs_holds_up_nobody() {
    let platform = Platform::new().await;
    *platform.outside.bus.lock().unwrap() = false;
    platform.outside.hangs.lock().unwrap().push("hangs".into());
    platform.court_answers(|_, _| Answer::Response {
        status: 202,
        retry_after_ms: None,
        body: Bytes::new(),
    });
    let shutdown = Shutdown::new();
    let (courier, stop) = (platform.courier.clone(), shutdown.clone());
    let working = tokio::spawn(async move {
        tokio::join!(courier.work(&stop), courier.tick(&stop));
    });
    let hangs = crate::world::court("hangs");
    platform
        .profile(&hangs, &hangs.document(Some("https://hangs.example")))
        .await
        .unwrap();
    let held = platform.request(&hangs).await.id;
    until("the first is under way", async || {
        state(&platform, held).await == "prepared"
    })
    .await;
    let other = platform.request(&platform.beijing).await.id;
    until("the other court's arrives", async || {
        state(&platform, other).await == "entered"
    })
    .await;
    assert_eq!(state(&platform, held).await, "prepared");
    shutdown.request();
    working.abort();
}

#[tokio::test]
async fn a_delivery_that_panics_gives_its_place_back() {
    let platform = Platform::new().await;
    platform
        .outside
        .panics
        .lock()
        .unwrap()
        .push("beijing".into());
    platform.court_answers(|_, _| Answer::Response {
        status: 202,
        retry_after_ms: None,
        body: Bytes::new(),
    });
    let shutdown = Shutdown::new();
    let (courier, stop) = (platform.courier.clone(), shutdown.clone());
    let working = tokio::spawn(async move { courier.work(&stop).await });
    let id = platform.request(&platform.beijing).await.id;
    platform.courier.take(id).await.unwrap();
    until("it is prepared, and its push has panicked", async || {
        state(&platform, id).await == "prepared" && platform.courier.is_idle()
    })
    .await;
    platform.outside.panics.lock().unwrap().clear();
    platform.courier.take(id).await.unwrap();
    until("it arrives", async || {
        state(&platform, id).await == "entered"
    })
    .await;
    shutdown.request();
    working.await.unwrap();
}

/// It was told once, and the bus drops what it was told before: whoever has it must keep it.
#[tokio::test]
async fn what_a_process_has_it_keeps_while_the_store_is_away() {
    let (truth, failures) = (
        Arc::new(MemoryObjects::new()),
        Arc::new(AtomicUsize::new(0)),
    );
    let buckets = Buckets {
        truth: truth.clone(),
        work: Arc::new(MemoryObjects::new()),
    };
    let artifacts = vec![("a.txt".to_owned(), b"bytes".to_vec())];
    let platform = Platform::on(buckets, artifacts).await;
    platform.court_answers(|_, _| Answer::Response {
        status: 202,
        retry_after_ms: None,
        body: Bytes::new(),
    });
    let id = platform.request(&platform.beijing).await.id;
    let shutdown = Shutdown::new();
    let (courier, stop) = (platform.courier.clone(), shutdown.clone());
    let working = tokio::spawn(async move {
        tokio::join!(courier.work(&stop), courier.tick(&stop));
    });
    let away = |of: &'static str| {
        let failures = failures.clone();
        truth.set_faults(move |_, key| {
            let away = key.starts_with(of).then_some(Fault::Refuse);
            failures.fetch_add(usize::from(away.is_some()), Ordering::SeqCst);
            away
        });
    };
    away("blobs/");
    platform.courier.take(id).await.unwrap();
    until("it could not go on", async || {
        failures.load(Ordering::SeqCst) > 0 && platform.courier.is_idle()
    })
    .await;
    away("");
    let before = failures.load(Ordering::SeqCst);
    platform.clock.advance_ms(16_000);
    until("it could not be looked at", async || {
        failures.load(Ordering::SeqCst) > before
    })
    .await;
    truth.clear_faults();
    until("it arrives", async || {
        // Whenever it was put off: once more as soon as nothing is under way.
        if platform.courier.is_idle() {
            platform.clock.advance_ms(16_000);
        }
        state(&platform, id).await == "entered"
    })
    .await;
    assert_eq!(*platform.outside.hints.lock().unwrap(), [id], "told once");
    shutdown.request();
    working.await.unwrap();
}

#[tokio::test]
async fn hints_and_deposits_wake_what_waits() {
    let platform = Platform::new().await;
    platform.court_answers(|_, _| Answer::Response {
        status: 202,
        retry_after_ms: None,
        body: Bytes::new(),
    });
    let proof = platform.outside.proof.lock().unwrap().take();
    let shutdown = Shutdown::new();
    let (courier, stop) = (platform.courier.clone(), shutdown.clone());
    let working = tokio::spawn(async move {
        tokio::join!(courier.work(&stop), courier.tick(&stop));
    });
    let id = platform.request(&platform.beijing).await.id;
    assert_eq!(*platform.outside.hints.lock().unwrap(), [id], "told once");
    platform.courier.take(id).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(state(&platform, id).await, "requested");
    *platform.outside.proof.lock().unwrap() = proof;
    platform.courier.deposited(&platform.evidence);
    // Whoever took the hint goes on by itself: a bus drops what it was told before.
    until("it arrives", async || {
        state(&platform, id).await == "entered"
    })
    .await;
    assert_eq!(*platform.outside.hints.lock().unwrap(), [id]);
    shutdown.request();
    tokio::time::timeout(PATIENCE, working)
        .await
        .unwrap()
        .unwrap();
}
