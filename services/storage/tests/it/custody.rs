//! Holds and deletions: refused where they must be, followed by the store, provable afterwards.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use probity_domain::{EvidenceId, TenantId};
use probity_platform::objects::{LockConfig, LockMode, MemoryObjects, Objects as _};
use probity_platform::{Clock as _, ErrorKind, Result, SystemClock, SystemRandom};
use probity_proto::ledger::RemovalEvent;
use probity_proto::removal::{REMOVAL_WAIT_MS, stream_ids, under_way};
use probity_storage::{Authority, CarriedOut, Custody, Order, What};
use tokio::sync::mpsc;

use crate::scrub::{Scrubbed, on_minio};

fn by(order: &str) -> Authority {
    Authority {
        actor: "officer-7".into(),
        order: order.into(),
        cause: "order of the court".into(),
    }
}

/// Where nothing is taken in meanwhile.
fn custody(store: &Scrubbed) -> Custody {
    patient(store).waiting(Duration::ZERO)
}

fn patient(store: &Scrubbed) -> Custody {
    Custody::new(
        &store.buckets,
        Arc::new(SystemClock),
        Arc::new(SystemRandom),
    )
}

async fn order(
    custody: &Custody,
    evidence: EvidenceId,
    what: Order,
    by: &Authority,
) -> Result<CarriedOut> {
    custody.carry_out(evidence, what, by, &|_| ()).await
}

async fn refused(custody: &Custody, evidence: EvidenceId, named: &str) {
    let error = order(custody, evidence, Order::Delete, &by("D-1"))
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Forbidden);
    assert!(error.detail.contains(named), "{error}");
}

#[tokio::test]
async fn held_bytes_stay_and_deleted_ones_are_accounted_for() {
    let store = Scrubbed::in_memory().await;
    let (custody, evidence) = (custody(&store), store.first);
    for number in ["H-1", "H-2"] {
        // Twice is once.
        for _ in 0..2 {
            let held = order(&custody, evidence, Order::Hold, &by(number)).await;
            held.unwrap();
        }
    }
    refused(&custody, evidence, "legal hold").await;
    let lifted = order(&custody, evidence, Order::Lift, &by("H-1")).await;
    lifted.unwrap();
    refused(&custody, evidence, "legal hold").await;
    let lifted = order(&custody, evidence, Order::Lift, &by("H-2")).await;
    lifted.unwrap();

    let nameless = Authority {
        cause: " ".into(),
        ..by("D-1")
    };
    let error = order(&custody, evidence, Order::Delete, &nameless).await;
    assert_eq!(error.unwrap_err().kind, ErrorKind::Malformed);

    store.lap().await;
    for _ in 0..2 {
        let deleted = order(&custody, evidence, Order::Delete, &by("D-1")).await;
        assert_eq!(deleted.unwrap(), CarriedOut::Deleted(1));
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
    let held = order(&custody, other, Order::Hold, &by("H-1")).await;
    held.unwrap();
    refused(&custody, store.first, "legal hold").await;
    let none = EvidenceId {
        item: 9,
        ..store.first
    };
    let error = order(&custody, none, Order::Hold, &by("H-1")).await;
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
    let held = order(&custody, evidence, Order::Hold, &by("H-1")).await;
    held.unwrap();
    assert!(truth.protection(&store.blob).await.unwrap().hold);
    // Whoever asks the store without asking us is refused by the store.
    let error = truth.remove_for_good(&store.blob).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Forbidden, "{error}");
    let lifted = order(&custody, evidence, Order::Lift, &by("H-1")).await;
    lifted.unwrap();
    assert!(!truth.protection(&store.blob).await.unwrap().hold);
    let deleted = order(&custody, evidence, Order::Delete, &by("D-1")).await;
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

/// A deletion under way at the moment in which it waits.
struct Waiting {
    store: Arc<Scrubbed>,
    said: String,
    deleting: tokio::task::JoinHandle<Result<CarriedOut>>,
}

impl Waiting {
    async fn new() -> Self {
        let store = Arc::new(Scrubbed::in_memory().await);
        let (tell, mut told) = mpsc::unbounded_channel();
        let deletes = store.clone();
        let deleting = tokio::spawn(async move {
            let tell = |said: &str| tell.send(said.to_owned()).unwrap();
            patient(&deletes)
                .carry_out(deletes.first, Order::Delete, &by("D-1"), &tell)
                .await
        });
        let said = told.recv().await.unwrap();
        Self {
            store,
            said,
            deleting,
        }
    }

    async fn stands(&self) -> bool {
        let truth = &self.store.buckets.truth;
        truth.head(&self.store.blob).await.unwrap().is_some()
    }

    /// What intake is told to keep away from.
    async fn told(&self) -> Vec<(String, String)> {
        let mut facts = Vec::new();
        // There is one for each day, and the one before may have ended just now.
        for id in stream_ids(&TenantId::parse("acme").unwrap(), SystemClock.now()) {
            let history = self.store.ledger.read::<RemovalEvent>(&id).await.unwrap();
            facts.extend(history.facts().cloned());
        }
        under_way(facts.iter())
            .iter()
            .flat_map(|removal| removal.keys.iter().map(|key| (key, removal.order)))
            .map(|(key, order)| (key.clone(), order.to_owned()))
            .collect()
    }
}

#[tokio::test(start_paused = true)]
async fn a_deletion_is_told_and_waits_before_it_removes() {
    let mut waiting = Waiting::new().await;
    let seconds = REMOVAL_WAIT_MS / 1_000;
    assert!(
        waiting.said.contains(&format!("in {seconds} s")),
        "{}",
        waiting.said
    );
    assert!(waiting.stands().await);
    let told = (waiting.store.blob.clone(), "D-1".to_owned());
    assert_eq!(waiting.told().await, [told]);
    assert_eq!(
        (&mut waiting.deleting).await.unwrap().unwrap(),
        CarriedOut::Deleted(1)
    );
    assert!(!waiting.stands().await);
    assert_eq!(waiting.told().await, []);
}

/// Between the first look at who needs the bytes and their removal.
#[tokio::test(start_paused = true)]
async fn bytes_that_are_submitted_again_meanwhile_stay() {
    let mut waiting = Waiting::new().await;
    let other = waiting.store.submit_again().await;
    let done = (&mut waiting.deleting).await.unwrap().unwrap();
    assert_eq!(done, CarriedOut::KeptFor(other));
    assert!(waiting.stands().await);
    assert_eq!(waiting.told().await, []);
    // They go with the last evidence that needs them.
    let custody = custody(&waiting.store);
    let deleted = order(&custody, other, Order::Delete, &by("D-2")).await;
    assert_eq!(deleted.unwrap(), CarriedOut::Deleted(1));
    assert!(!waiting.stands().await);
}

#[tokio::test(start_paused = true)]
async fn bytes_that_are_held_meanwhile_stay() {
    let mut waiting = Waiting::new().await;
    let (custody, evidence) = (custody(&waiting.store), waiting.store.first);
    let held = order(&custody, evidence, Order::Hold, &by("H-1")).await;
    held.unwrap();
    let error = (&mut waiting.deleting).await.unwrap().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Forbidden, "{error}");
    assert!(waiting.stands().await);
    assert_eq!(waiting.told().await, []);
}

/// Whoever was killed while waiting: uploads of the bytes are not refused longer than needed.
#[tokio::test(start_paused = true)]
async fn an_order_that_was_cut_short_goes_on() {
    let waiting = Waiting::new().await;
    waiting.deleting.abort();
    assert_eq!(waiting.told().await.len(), 1);
    let custody = custody(&waiting.store);
    let deleted = order(&custody, waiting.store.first, Order::Delete, &by("D-1")).await;
    assert_eq!(deleted.unwrap(), CarriedOut::Deleted(1));
    assert!(!waiting.stands().await);
    assert_eq!(waiting.told().await, []);
}

/// The one that ends first ends it for both: what is there afterwards was brought afterwards.
#[tokio::test(start_paused = true)]
async fn the_same_order_twice_at_once_removes_once() {
    let mut waiting = Waiting::new().await;
    let (store, evidence) = (waiting.store.clone(), waiting.store.first);
    let other = order(&custody(&store), evidence, Order::Delete, &by("D-1")).await;
    assert_eq!(other.unwrap(), CarriedOut::Deleted(1));
    store.put(&store.blob, b"brought again".to_vec()).await;
    let done = (&mut waiting.deleting).await.unwrap().unwrap();
    assert_eq!(done, CarriedOut::Deleted(1));
    assert!(waiting.stands().await);
}

#[tokio::test]
async fn a_submission_that_does_not_read_may_need_anything() {
    let store = Scrubbed::in_memory().await;
    let key = "submissions/2026112709/00/torn";
    store.put(key, b"{".to_vec()).await;
    refused(&custody(&store), store.first, key).await;
    let larger = vec![b' '; (64 << 20) + 1];
    store.put(key, larger).await;
    refused(&custody(&store), store.first, key).await;
}
