//! Holds and deletions: refused where they must be, followed by the store, provable afterwards.

use std::sync::Arc;

use bytes::Bytes;
use probity_domain::EvidenceId;
use probity_platform::objects::{LockConfig, LockMode, MemoryObjects, Objects as _};
use probity_platform::{ErrorKind, SystemClock, SystemRandom};
use probity_storage::{Authority, Custody, Order, What};

use crate::scrub::{Scrubbed, on_minio};

fn by(order: &str) -> Authority {
    Authority {
        actor: "officer-7".into(),
        order: order.into(),
        cause: "order of the court".into(),
    }
}

fn custody(store: &Scrubbed) -> Custody {
    Custody::new(
        &store.buckets,
        Arc::new(SystemClock),
        Arc::new(SystemRandom),
    )
}

async fn refused(custody: &Custody, evidence: EvidenceId, named: &str) {
    let error = custody
        .carry_out(evidence, Order::Delete, &by("D-1"))
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Forbidden);
    assert!(error.detail.contains(named), "{error}");
}

#[tokio::test]
async fn held_bytes_stay_and_deleted_ones_are_accounted_for() {
    let store = Scrubbed::in_memory().await;
    let (custody, evidence) = (custody(&store), store.first);
    for order in ["H-1", "H-2"] {
        // Twice is once.
        for _ in 0..2 {
            let held = custody.carry_out(evidence, Order::Hold, &by(order)).await;
            held.unwrap();
        }
    }
    refused(&custody, evidence, "legal hold").await;
    let lifted = custody.carry_out(evidence, Order::Lift, &by("H-1")).await;
    lifted.unwrap();
    refused(&custody, evidence, "legal hold").await;
    let lifted = custody.carry_out(evidence, Order::Lift, &by("H-2")).await;
    lifted.unwrap();

    let nameless = Authority {
        cause: " ".into(),
        ..by("D-1")
    };
    let error = custody.carry_out(evidence, Order::Delete, &nameless).await;
    assert_eq!(error.unwrap_err().kind, ErrorKind::Malformed);

    store.lap().await;
    for _ in 0..2 {
        let deleted = custody.carry_out(evidence, Order::Delete, &by("D-1")).await;
        assert!(deleted.unwrap().contains("1 objects"));
    }
    assert_eq!(store.buckets.truth.head(&store.blob).await.unwrap(), None);
    let shown = custody.show(evidence).await.unwrap();
    let did: Vec<_> = shown
        .lines()
        .map(|l| l.split(' ').nth(1).unwrap())
        .collect();
    assert_eq!(
        did,
        ["held", "held", "lifted", "lifted", "deleted"],
        "{shown}"
    );
    assert!(shown.contains("order D-1, officer-7: order of the court"));
    // Gone on purpose is not missing.
    let lap = store.lap().await;
    assert_eq!(lap.findings_total, 0, "{lap}");
}

#[tokio::test]
async fn bytes_that_another_evidence_needs_stay() {
    let store = Scrubbed::in_memory().await;
    let other = store.submit_again().await;
    let custody = custody(&store);
    refused(&custody, store.first, &other.to_string()).await;
    // A hold on the other one holds the same bytes.
    let held = custody.carry_out(other, Order::Hold, &by("H-1")).await;
    held.unwrap();
    refused(&custody, store.first, "legal hold").await;
    let none = EvidenceId {
        item: 9,
        ..store.first
    };
    let error = custody.carry_out(none, Order::Hold, &by("H-1")).await;
    assert_eq!(error.unwrap_err().kind, ErrorKind::NotFound);
}

/// What is missing without an order is a finding as before.
#[tokio::test]
async fn another_evidence_s_order_excuses_nothing() {
    let store = Scrubbed::in_memory().await;
    store.submit_again().await;
    let truth = &store.buckets.truth;
    truth.remove(&store.blob).await.unwrap();
    let lap = store.lap().await;
    assert_eq!(lap.findings[0].what, What::Missing, "{lap}");
}

/// The store's own lock: its flag follows the orders, and retention outlasts them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_holds_what_is_ordered_and_keeps_what_is_not_over() {
    let lock = LockConfig {
        mode: LockMode::Governance,
        years: [("ledger".to_owned(), 1)].into(),
    };
    let minio = on_minio(lock.clone()).await;
    let (store, truth) = (&minio.store, &minio.store.buckets.truth);
    let (custody, evidence) = (custody(store), store.first);
    let held = custody.carry_out(evidence, Order::Hold, &by("H-1")).await;
    held.unwrap();
    assert!(truth.protection(&store.blob).await.unwrap().hold);
    // Whoever asks the store without asking us is refused by the store.
    let error = truth.remove_for_good(&store.blob).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Forbidden, "{error}");
    let lifted = custody.carry_out(evidence, Order::Lift, &by("H-1")).await;
    lifted.unwrap();
    assert!(!truth.protection(&store.blob).await.unwrap().hold);
    let deleted = custody.carry_out(evidence, Order::Delete, &by("D-1")).await;
    deleted.unwrap();
    assert_eq!(truth.head(&store.blob).await.unwrap(), None);
    let versions = truth.list_versions(&store.blob, None, 10).await.unwrap();
    assert_eq!(versions.unwrap().versions, []);

    let years = [("default".to_owned(), 1)].into();
    let minio = on_minio(LockConfig { years, ..lock }).await;
    let custody = self::custody(&minio.store);
    refused(&custody, minio.store.first, "to be kept until").await;
}

#[tokio::test]
async fn a_store_without_locks_holds_by_the_ledger_alone() {
    let truth = MemoryObjects::new();
    truth.create("blobs/a/1", Bytes::new()).await.unwrap();
    truth.set_hold("blobs/a/1", true).await.unwrap();
    assert!(!truth.protection("blobs/a/1").await.unwrap().hold);
}
