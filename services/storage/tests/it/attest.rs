//! What storage attests of one evidence, beside what it was asked about.

use std::sync::Arc;

use probity_pki::attestation::{AttestedFinding, AttestedLock, StorageAttestation};
use probity_pki::tlog::LogVerifier;
use probity_platform::objects::{Fault, MemoryObjects, Objects as _};
use probity_platform::{ErrorKind, SystemClock, SystemRandom};
use probity_proto::v1::AttestRequest;
use probity_storage::{Attest, Authority, Custody, Order, Replica, Submissions};

use crate::scrub::{Scrubbed, governed, log_key, on_minio};

async fn attest(store: &Scrubbed) -> Attest {
    let log = store.log();
    log.refresh().await.unwrap();
    let replica = store.replica.clone();
    Attest {
        log,
        key: Arc::new(log_key()),
        submissions: Submissions::new(store.buckets.truth.clone()),
        ledger: store.ledger.clone(),
        replica: replica.map(|objects| Replica {
            bucket: "copy".to_owned(),
            objects,
        }),
        clock: Arc::new(SystemClock),
    }
}

async fn attested(store: &Scrubbed) -> StorageAttestation {
    let evidence_number = store.first.to_string();
    let request = AttestRequest { evidence_number };
    let attested = attest(store).await.attest(&request).await.unwrap();
    let pinned = LogVerifier::parse(log_key().verifier_key()).unwrap();
    StorageAttestation::verify(&attested.note, &[pinned]).unwrap()
}

#[tokio::test]
async fn what_is_not_known_is_said_to_be_so() {
    let store = Scrubbed::in_memory().await;
    let told = attested(&store).await;
    assert_eq!(told.evidence_number, store.first);
    assert_eq!((told.log.leaf_index, told.log.tree_size), (0, 600));
    assert_eq!(told.retention_class, "blobs");
    assert!(!told.store_keeps_versions && !told.store_has_object_lock && !told.legal_hold);
    assert_eq!((&told.replica, &told.scrub), (&None, &None));
    let artifact = &told.artifacts[0];
    assert_eq!(artifact.key, store.blob);
    let size_bytes = store.buckets.truth.head(&store.blob).await.unwrap();
    assert_eq!(artifact.size_bytes, size_bytes);
    assert_eq!((artifact.versions, artifact.retain_until), (None, None));
    assert_eq!(told.defects().count(), 0);

    let unknown = AttestRequest {
        evidence_number: store.submit_again().await.to_string(),
    };
    let refused = attest(&store).await.attest(&unknown).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::NotFound);
}

/// The scrubber's findings, and the orders of authorities.
#[tokio::test]
async fn laps_findings_and_holds_are_told() {
    let store = Scrubbed::in_memory().await;
    let lap = store.lap().await;
    let told = attested(&store).await;
    let attested_lap = told.scrub.unwrap();
    assert_eq!(attested_lap.ended_at.to_rfc3339(), lap.ended_at);
    assert_eq!(attested_lap.log_size, 600);
    assert_eq!(
        (attested_lap.findings_total, attested_lap.findings_here),
        (0, 0)
    );

    let right = store.bytes(&store.blob).await;
    store.put(&store.blob, b"else".to_vec()).await;
    store.lap().await;
    let told = attested(&store).await;
    let artifact = &told.artifacts[0];
    assert_eq!(artifact.size_bytes, Some(4));
    let finding = artifact.finding.as_ref().unwrap();
    assert_eq!(
        (finding.what.as_str(), finding.repaired_at),
        ("wrong", None)
    );
    assert_eq!(told.scrub.as_ref().unwrap().findings_here, 1);
    assert_eq!(told.defects().count(), 1);
    store.buckets.truth.remove(&store.blob).await.unwrap();
    assert_eq!(attested(&store).await.artifacts[0].size_bytes, None);
    store.put(&store.blob, right).await;

    let custody = Custody::new(
        &store.buckets,
        Arc::new(SystemClock),
        Arc::new(SystemRandom),
    );
    let by = Authority {
        actor: "officer-7".into(),
        order: "H-1".into(),
        cause: "order of the court".into(),
    };
    custody
        .carry_out(store.first, Order::Hold, &by, &|_| ())
        .await
        .unwrap();
    assert!(attested(&store).await.legal_hold);
    custody
        .carry_out(store.first, Order::Lift, &by, &|_| ())
        .await
        .unwrap();
    assert!(!attested(&store).await.legal_hold);
}

/// A report that does not read, or a replica that is away, keeps no package from a court.
#[tokio::test]
async fn what_does_not_answer_is_left_out() {
    let mut store = Scrubbed::in_memory().await;
    let replica = Arc::new(MemoryObjects::new());
    store.replica = Some(replica.clone());
    let told = attested(&store).await.replica.unwrap();
    assert!(told.compared_at.is_some());
    assert_eq!((told.bucket.as_str(), told.copies), ("copy", 0));
    let bytes = store.bytes(&store.blob).await;
    replica.put(&store.blob, bytes.into()).await.unwrap();
    assert_eq!(attested(&store).await.replica.unwrap().copies, 1);
    replica.set_faults(|_, _| Some(Fault::Refuse));
    let told = attested(&store).await.replica.unwrap();
    assert_eq!((told.compared_at, told.copies), (None, 0));

    store.put("scrub/laps/999999999999", b"{}".to_vec()).await;
    assert_eq!(attested(&store).await.scrub, None);
}

/// Versions, lock and retention as a store with all of them has them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_and_lock_are_those_of_the_store() {
    let minio = on_minio(governed()).await;
    let store = &minio.store;
    store.lap().await;
    let told = attested(store).await;
    assert!(told.store_keeps_versions && told.store_has_object_lock);
    let artifact = &told.artifacts[0];
    assert_eq!(
        (artifact.versions, artifact.versions_accounted),
        (Some(1), 1)
    );
    assert_eq!(artifact.lock_mode, AttestedLock::Governance);
    assert!(artifact.retain_until.unwrap() > told.attested_at);
    assert_eq!(told.replica.as_ref().unwrap().copies, 0);
    assert_eq!(told.defects().count(), 0);

    // The same bytes once more: the lock leaves the first version where it is.
    let bytes = store.bytes(&store.blob).await;
    store.put(&store.blob, bytes).await;
    store.lap().await;
    let told = attested(store).await;
    let artifact = &told.artifacts[0];
    assert_eq!(
        (artifact.versions, artifact.versions_accounted),
        (Some(2), 1)
    );
    let Some(AttestedFinding { what, .. }) = &artifact.finding else {
        panic!("{artifact:?}")
    };
    assert_eq!(what, "second_version");
    assert_eq!(told.defects().count(), 1);
}
