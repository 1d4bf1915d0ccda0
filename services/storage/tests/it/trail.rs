//! What the audit reads of ledger and versions, and what was done to them.

use std::sync::Arc;

use probity_pki::tlog::LogVerifier;
use probity_platform::SystemClock;
use probity_platform::objects::{Keeping, LockConfig};
use probity_storage::{AuditReport, AuditScope, FindingKind, audit};

use crate::scrub::{Scrubbed, log_key, on_minio};

/// The store's records are no real ones, so only these kinds count here.
const TRAIL: [FindingKind; 2] = [FindingKind::Event, FindingKind::Version];

async fn audited(store: &Scrubbed) -> AuditReport {
    let scope = AuditScope {
        buckets: store.buckets.clone(),
        log_key: LogVerifier::parse(log_key().verifier_key()).unwrap(),
        roots: Arc::new([]),
        clock: Arc::new(SystemClock),
        open_s: 0,
        blobs: false,
        receipts: Vec::new(),
    };
    audit(scope).await.unwrap()
}

fn trail(report: &AuditReport) -> Vec<(FindingKind, &str, &str)> {
    let of_the_trail = |f: &&probity_storage::Finding| TRAIL.contains(&f.kind);
    let found = report.findings.iter().filter(of_the_trail);
    found
        .map(|f| (f.kind, f.key.as_str(), f.reason.as_str()))
        .collect()
}

#[tokio::test]
async fn every_event_is_there_and_says_who_when_and_why() {
    let store = Scrubbed::in_memory().await;
    let sound = audited(&store).await;
    assert_eq!(trail(&sound), []);
    assert_eq!(sound.checked.events, 3);
    assert!(sound.notes.iter().any(|note| note.contains("no versions")));

    let event = "ledger/agreement/terms.1/00000001";
    let next = "ledger/agreement/terms.1/00000002";
    let right = String::from_utf8(store.bytes(event).await).unwrap();
    let nobody = right.replace("role:test", "");
    let never = {
        let at = right.find("\"at\":\"").unwrap() + 6;
        let mut never = right.clone();
        never.replace_range(at..at + 4, "soon");
        never
    };
    let another = right.replace("\"seq\":1", "\"seq\":2");
    let unknown = right.replace("published", "painted");
    for (bytes, reason) in [
        (nobody, "who acted"),
        (never, "when"),
        (another, "it is event 2"),
        (unknown, "painted"),
        ("{}".to_owned(), "event"),
    ] {
        assert_ne!(bytes, right, "{reason}");
        store.put(event, bytes.into_bytes()).await;
        let report = audited(&store).await;
        let [(kind, key, said)] = trail(&report)[..] else {
            panic!("{reason}: {}", report.to_text())
        };
        assert_eq!((kind, key), (FindingKind::Event, event));
        assert!(said.contains(reason), "{said}");
    }
    store.buckets.truth.remove(event).await.unwrap();
    let report = audited(&store).await;
    let reason = format!("missing: {next} follows on it");
    assert_eq!(
        trail(&report),
        [(FindingKind::Event, event, reason.as_str())]
    );
    store.put(event, right.into_bytes()).await;
    for stray in ["ledger/agreement/terms.1/1", "ledger/painting/x/00000000"] {
        store.put(stray, b"{}".to_vec()).await;
    }
    let report = audited(&store).await;
    assert_eq!(report.found[&FindingKind::Event], 2, "{}", report.to_text());
}

/// From the store alone, without a lap of the scrubber.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_nothing_accounts_for_is_found() {
    let minio = on_minio(LockConfig::default()).await;
    let store = &minio.store;
    let sound = audited(store).await;
    assert_eq!(trail(&sound), []);
    let keeps = store.buckets.truth.keeping().await.unwrap();
    assert!(matches!(keeps, Keeping { versions: true, .. }));
    assert!(sound.checked.versions > 3, "{}", sound.to_text());

    // The same bytes once more: no read can tell.
    let twin = "ledger/agreement/terms.1/00000002";
    store.put(twin, store.bytes(twin).await).await;
    store.buckets.truth.remove(&store.blob).await.unwrap();
    let report = audited(store).await;
    let found: Vec<_> = trail(&report)
        .into_iter()
        .map(|(k, key, _)| (k, key))
        .collect();
    let expected = [
        (FindingKind::Version, store.blob.as_str()),
        (FindingKind::Version, twin),
    ];
    assert_eq!(found, expected, "{}", report.to_text());
    // A repair that is recorded accounts for its version.
    store.buckets.truth.remove("log/index/000").await.unwrap();
    store.lap().await;
    let report = audited(store).await;
    assert_eq!(
        report.found[&FindingKind::Version],
        2,
        "{}",
        report.to_text()
    );
}
