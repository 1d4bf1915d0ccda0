//! The scrubber against everything that can happen to an object: F20, each by damaging a small real store.

use std::sync::Arc;

use bytes::Bytes;
use probity_domain::{
    Artifact, ArtifactName, ArtifactRole, CaseId, CredentialId, Digests, EvidenceId,
    IdempotencyKey, Item, ItemOutcome, MediaType, PartyId, Purpose, Record, Sha3_256, Sha256,
    Submission, SubmissionDraft, SubmissionId, TenantId, Timestamp,
};
use probity_platform::ledger::Ledger;
use probity_platform::objects::{
    Buckets, LockConfig, LockMode, MemoryObjects, Objects, ReplicaConfig, S3Config,
};
use probity_platform::{Clock as _, SystemClock, SystemRandom};
use probity_proto::ledger::{AgreementEvent, FindingEvent};
use probity_proto::stored::{blob_key, submission_key, write_submission};
use probity_proto::v1::ProveRequest;
use probity_storage::log::{Entry, Log, Writer};
use probity_storage::{LapReport, Scrubber, What, prove};
use probity_testkit::World;
use sha2::Digest as _;

/// Two full bundles and a tail.
const ENTRIES: u32 = 600;
const BLOB: &[u8] = b"the captured page";

pub fn log_key() -> probity_pki::tlog::LogKey {
    probity_pki::tlog::LogKey::generate("log.example/scrub", &[9; 32]).unwrap()
}

/// A store with something of every area in it.
pub struct Scrubbed {
    pub buckets: Buckets,
    pub replica: Option<Arc<dyn Objects>>,
    pub ledger: Ledger,
    pub blob: String,
    pub submission: String,
    pub first: EvidenceId,
}

impl Scrubbed {
    pub async fn fill(buckets: Buckets) -> Self {
        let truth = &buckets.truth;
        let now = SystemClock.now();
        let clock = Arc::new(SystemClock);
        let ledger = Ledger::new(truth.clone(), clock, Arc::new(SystemRandom));
        for text in ["first", "second", "third"] {
            let mut history = ledger.read::<AgreementEvent>("terms.1").await.unwrap();
            let published = AgreementEvent::Published {
                text: text.into(),
                sha3_256: String::new(),
            };
            let appended = ledger.append(&mut history, "role:test", "test", published);
            appended.await.unwrap();
        }
        let submission = submission(now, 3);
        let tenant = TenantId::parse("acme").unwrap();
        let blob = blob_key(&tenant, &Sha3_256(sha3::Sha3_256::digest(BLOB).into()));
        let created = truth.create(&blob, Bytes::from_static(BLOB)).await;
        created.unwrap();
        let key = submission_key(submission.id);
        let bytes = write_submission(&submission);
        truth.create(&key, bytes.into()).await.unwrap();

        let id = submission.id;
        let entry = |item| {
            let evidence = EvidenceId {
                submission: id,
                item,
            };
            let statement = format!("statement {item}").into_bytes();
            Entry::of(&Record {
                evidence,
                statement,
                manifest: vec![],
                signature: vec![],
            })
        };
        let entries: Vec<Entry> = (0..ENTRIES).map(|item| entry(item).unwrap()).collect();
        let filled = Self {
            buckets,
            replica: None,
            ledger,
            blob,
            submission: key,
            first: entries.first().unwrap().evidence,
        };
        let mut writer = Writer::new(filled.log(), log_key(), Arc::new(SystemRandom));
        for part in entries.chunks(250) {
            writer.commit(part).await.unwrap();
        }
        filled
    }

    pub async fn in_memory() -> Self {
        Self::fill(Buckets {
            truth: Arc::new(MemoryObjects::new()),
            work: Arc::new(MemoryObjects::new()),
        })
        .await
    }

    pub fn log(&self) -> Arc<Log> {
        let key = log_key();
        let verifier = probity_pki::tlog::LogVerifier::parse(key.verifier_key()).unwrap();
        Arc::new(Log::new(&self.buckets, verifier))
    }

    pub async fn lap(&self) -> LapReport {
        self.lap_at(next_second()).await
    }

    async fn lap_at(&self, at: Timestamp) -> LapReport {
        let (random, replica) = (Arc::new(SystemRandom), self.replica.clone());
        let clock = Arc::new(probity_platform::clock::ManualClock::at(at));
        let scrubber = Scrubber::new(&self.buckets, replica, &self.log(), clock, random);
        scrubber.lap().await.unwrap()
    }

    pub async fn bytes(&self, key: &str) -> Vec<u8> {
        let object = self.buckets.truth.get(key, 64 << 20).await.unwrap();
        assert!(object.is_some(), "{key}");
        object.unwrap().bytes.to_vec()
    }

    /// All that is in `truth`, again in another bucket.
    pub async fn copy_to(&self, replica: &dyn Objects) {
        for listed in self.buckets.truth.list("", None, 1_000).await.unwrap() {
            let bytes = self.bytes(&listed.key).await;
            replica.put(&listed.key, bytes.into()).await.unwrap();
        }
    }

    pub async fn put(&self, key: &str, bytes: Vec<u8>) {
        self.buckets.truth.put(key, bytes.into()).await.unwrap();
    }

    /// Another evidence with the same bytes.
    pub async fn submit_again(&self) -> EvidenceId {
        let again = submission(SystemClock.now(), 4);
        let bytes = write_submission(&again);
        let key = submission_key(again.id);
        let created = self.buckets.truth.create(&key, bytes.into()).await;
        created.unwrap();
        EvidenceId {
            submission: again.id,
            item: 0,
        }
    }

    /// What the ledger says of a key.
    pub async fn recorded(&self, key: &str) -> Vec<FindingEvent> {
        let id = hex::encode(sha2::Sha256::digest(key));
        let history = self.ledger.read::<FindingEvent>(&id).await.unwrap();
        history.facts().cloned().collect()
    }
}

/// Laps are named by the second they begin in.
fn next_second() -> Timestamp {
    use std::sync::atomic::{AtomicI64, Ordering};
    static LAPS: AtomicI64 = AtomicI64::new(0);
    SystemClock
        .now()
        .plus_ms(1_000 * LAPS.fetch_add(1, Ordering::SeqCst))
}

fn submission(now: Timestamp, seed: u8) -> Submission {
    let artifact = Artifact {
        name: ArtifactName::parse("page.html").unwrap(),
        media_type: MediaType::parse("text/html").unwrap(),
        role: ArtifactRole::Content,
        size_bytes: BLOB.len() as u64,
        digests: Digests {
            sha3_256: Sha3_256(sha3::Sha3_256::digest(BLOB).into()),
            sha256: Sha256(sha2::Sha256::digest(BLOB).into()),
        },
    };
    let artifacts = vec![artifact];
    let item = Item::new(
        "Page".into(),
        Purpose::Ownership,
        None,
        Some(now),
        artifacts,
    )
    .unwrap();
    Submission::new(SubmissionDraft {
        id: SubmissionId::new(now, [seed; 10]),
        tenant: TenantId::parse("acme").unwrap(),
        party: PartyId::parse("acme-ltd").unwrap(),
        credential: CredentialId::new(now, [1; 10]),
        on_behalf_of: None,
        automated: true,
        case: CaseId::parse("(2026)X1").unwrap(),
        intent: None,
        idempotency_key: IdempotencyKey::parse("k").unwrap(),
        instruction_sha256: Sha256([1; 32]),
        submitter_signature: None,
        received_at: now,
        items: vec![ItemOutcome::Accepted(item)],
    })
    .unwrap()
}

pub fn seen(report: &LapReport) -> Vec<(&str, What, bool)> {
    let findings = report.findings.iter();
    findings
        .map(|f| (f.key.as_str(), f.what, f.repaired))
        .collect()
}

#[tokio::test]
async fn a_store_as_it_was_written_has_no_findings() {
    let store = Scrubbed::in_memory().await;
    let first = store.lap().await;
    assert_eq!(seen(&first), []);
    assert_eq!(first.log_size, u64::from(ENTRIES));
    for (area, least) in [("blobs", 1), ("log", 8), ("kept", 8)] {
        assert!(first.areas[area].objects >= least, "{first}");
    }
    assert!(first.baseline.pages > 0);
    // The second has the first one's baseline to compare with, and as much to write down.
    let second = store.lap().await;
    assert_eq!(seen(&second), []);
    assert_eq!(second.areas["kept"].objects, first.areas["kept"].objects);
    let written = serde_json::to_vec(&second).unwrap();
    assert_eq!(
        serde_json::from_slice::<LapReport>(&written).unwrap(),
        second
    );
}

/// One change to one object, and what has to be said of it.
struct Damage {
    key: String,
    change: fn(Vec<u8>) -> Option<Vec<u8>>,
    what: What,
    /// It follows from the rest of the log and is written again where nothing would be lost.
    repaired: bool,
}

fn flip(mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    let at = bytes.len() / 2;
    *bytes.get_mut(at).unwrap() ^= 1;
    Some(bytes)
}

fn cut(mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    bytes.truncate(bytes.len() - 1);
    Some(bytes)
}

fn lose(_: Vec<u8>) -> Option<Vec<u8>> {
    None
}

/// Still a submission, of another case.
fn another_case(bytes: Vec<u8>) -> Option<Vec<u8>> {
    let text = String::from_utf8(bytes).unwrap();
    Some(text.replace("(2026)X1", "(2026)X2").into_bytes())
}

#[tokio::test]
async fn each_damage_is_found_within_a_lap_and_said_once() {
    let made = Scrubbed::in_memory().await;
    let damage = |key: &str, change, what| Damage {
        key: key.to_owned(),
        change,
        what,
        repaired: false,
    };
    let event = "ledger/agreement/terms.1/00000001";
    let mut all = vec![
        damage(&made.blob, flip, What::Wrong),
        damage(&made.blob, cut, What::Wrong),
        damage(&made.blob, lose, What::Missing),
        damage(&made.submission, another_case, What::Wrong),
        damage(&made.submission, cut, What::Truncated),
        damage(&made.submission, lose, What::Missing),
        damage(event, flip, What::Wrong),
        damage(event, cut, What::Truncated),
        damage(event, lose, What::Missing),
        damage("log/tile/entries/001", flip, What::Wrong),
        damage("log/tile/entries/001", cut, What::Wrong),
        damage("log/tile/entries/001", lose, What::Missing),
        damage("log/tile/0/001", flip, What::Wrong),
        damage("log/index/000", flip, What::Wrong),
        damage("log/tile/1/000.p/2", flip, What::Wrong),
        damage("log/segments/000000000512", flip, What::Wrong),
        damage("log/checkpoints/000000000250", flip, What::Wrong),
        damage("log/checkpoints/000000000250", lose, What::Missing),
    ];
    for key in ["log/tile/0/001", "log/index/000"] {
        all.push(Damage {
            repaired: true,
            ..damage(key, lose, What::Missing)
        });
    }
    for Damage {
        key,
        change,
        what,
        repaired,
    } in all
    {
        // Everything but the lap's second is the same, so keys are those of the first store where ids are not in them.
        let store = Scrubbed::in_memory().await;
        let key = if key.starts_with("submissions/") {
            store.submission.clone()
        } else {
            key
        };
        assert_eq!(seen(&store.lap().await), [], "{key}");
        let right = store.bytes(&key).await;
        match change(right.clone()) {
            Some(bytes) => store.put(&key, bytes).await,
            None => store.buckets.truth.remove(&key).await.unwrap(),
        }
        let found = store.lap().await;
        let ours = found.findings.iter().find(|f| f.key == key);
        let ours = ours.unwrap_or_else(|| panic!("{key}: {found}"));
        assert_eq!((ours.what, ours.repaired), (what, repaired), "{found}");
        // A damaged edge is seen from both sides; nothing else may be accused.
        assert!(found.findings.len() <= 2, "{found}");
        let recorded = store.recorded(&key).await;
        let FindingEvent::Found { what: said, .. } = &recorded[0] else {
            panic!("{recorded:?}")
        };
        assert_eq!(said, what.as_str());
        let again = store.lap().await;
        if repaired {
            assert_eq!(seen(&again), [], "{key}");
            assert_eq!(store.bytes(&key).await, right, "{key}");
        } else {
            assert!(again.findings.iter().any(|f| f.key == key), "{again}");
            assert_eq!(store.recorded(&key).await.len(), 1, "said once: {key}");
        }
    }
}

/// What is wrong when it is met first has nothing to be compared with but its own name.
#[tokio::test]
async fn the_first_lap_knows_what_an_object_must_say() {
    for (key, bytes) in [
        ("ledger/agreement/terms.9/00000000", &b"{}"[..]),
        ("submissions/2026112614/00/x", b"{}"),
        ("log/checkpoints/000000000999", b"a forged note\n"),
        ("blobs/acme/not-a-digest", b""),
    ] {
        let store = Scrubbed::in_memory().await;
        store.put(key, bytes.to_vec()).await;
        let found = store.lap().await;
        assert_eq!(seen(&found), [(key, What::Wrong, false)]);
        assert_eq!(
            found.log_size,
            u64::from(ENTRIES),
            "a forged size is not followed"
        );
    }
    let store = Scrubbed::in_memory().await;
    let lost = "ledger/agreement/terms.1/00000001";
    store.buckets.truth.remove(lost).await.unwrap();
    assert_eq!(seen(&store.lap().await), [(lost, What::Missing, false)]);
}

#[tokio::test]
async fn a_baseline_that_was_changed_is_noticed() {
    let store = Scrubbed::in_memory().await;
    let lap = store.lap().await.lap;
    let page = format!("scrub/baseline/{lap}/00000000");
    let text = String::from_utf8(store.bytes(&page).await).unwrap();
    let line = text.lines().nth(1).unwrap();
    // One line less: what it spoke of would be believed anew.
    let less = text.replace(&format!("{line}\n"), "");
    store.put(&page, less.into_bytes()).await;
    let found = store.lap().await;
    assert!(seen(&found).iter().any(|(_, what, _)| *what == What::Wrong));
    assert!(found.findings[0].key.starts_with("scrub/baseline/"));
}

/// Reports that do not read hide neither the baseline before them nor themselves.
#[tokio::test]
async fn a_report_that_does_not_read_ends_no_laps() {
    let store = Scrubbed::in_memory().await;
    store.lap().await;
    let stray = "scrub/laps/stray";
    store.put(stray, b"{}".to_vec()).await;
    let event = "ledger/agreement/terms.1/00000002";
    let other = store.bytes("ledger/agreement/terms.1/00000001").await;
    store.put(event, other).await;
    for _ in 0..2 {
        let found = store.lap().await;
        let wrong = [(stray, What::Wrong, false), (event, What::Wrong, false)];
        assert_eq!(seen(&found), wrong);
        assert_eq!(store.recorded(event).await.len(), 1, "said once");
    }
}

/// As after a newer version was taken back: its report would read as today's and name another baseline.
#[tokio::test]
async fn a_report_of_another_version_is_passed_over() {
    let store = Scrubbed::in_memory().await;
    let record = "clock/unit/00000000";
    store.put(record, b"as it was written".to_vec()).await;
    let lap = store.lap().await.lap;
    let text = String::from_utf8(store.bytes(&format!("scrub/laps/{lap}")).await).unwrap();
    let newer = text
        .replace("probity.scrub/1", "probity.scrub/2")
        .replace(&lap, "999999999999");
    let key = "scrub/laps/999999999999";
    store.put(key, newer.clone().into_bytes()).await;
    store.put(record, b"otherwise".to_vec()).await;
    let found = store.lap().await;
    assert_eq!(
        seen(&found),
        [(record, What::Truncated, false)],
        "by the baseline before"
    );
    assert!(store.recorded(key).await.is_empty());
    assert_eq!(store.bytes(key).await, newer.into_bytes());
}

/// Its lines are not known, but that nobody has changed it is.
#[tokio::test]
async fn a_baseline_of_another_version_is_passed_over() {
    let store = Scrubbed::in_memory().await;
    let first = store.lap().await;
    // Of the last page the report names the digest.
    let last = first.baseline.pages - 1;
    let page = format!("scrub/baseline/{}/{last:08}", first.lap);
    let text = String::from_utf8(store.bytes(&page).await).unwrap();
    let newer = text.replacen("scrub-baseline/1", "scrub-baseline/2", 1);
    store.put(&page, newer.clone().into_bytes()).await;
    let changed = store.lap().await;
    assert_eq!(
        seen(&changed),
        [(page.as_str(), What::Wrong, false)],
        "not what the report names"
    );

    let report = format!("scrub/laps/{}", changed.lap);
    store.buckets.truth.remove(&report).await.unwrap();
    let report = format!("scrub/laps/{}", first.lap);
    let text = String::from_utf8(store.bytes(&report).await).unwrap();
    let digest = hex::encode(sha2::Sha256::digest(&newer));
    let named = text.replace(&first.baseline.sha256, &digest);
    store.put(&report, named.into_bytes()).await;
    assert_eq!(seen(&store.lap().await), []);
    assert_eq!(store.bytes(&page).await, newer.into_bytes());
}

/// Reads give out nothing that the scrubber would find.
#[tokio::test]
async fn a_changed_entry_is_not_proved() {
    let store = Scrubbed::in_memory().await;
    let log = store.log();
    log.refresh().await.unwrap();
    let request = ProveRequest {
        evidence_number: store.first.to_string(),
    };
    prove(&log, &request).await.unwrap();
    let key = "log/tile/entries/000";
    let mut bytes = store.bytes(key).await;
    let at = bytes.windows(11).position(|w| w == b"statement 0").unwrap();
    bytes[at + 10] = b'7';
    store.put(key, bytes).await;
    let refused = prove(&log, &request).await.unwrap_err();
    assert!(refused.detail.contains("not the log's"), "{refused}");
}

/// Objects are kept for a year, and by whoever may lift that.
pub fn governed() -> LockConfig {
    LockConfig {
        mode: LockMode::Governance,
        years: [("default".to_owned(), 1)].into(),
    }
}

pub struct Minio {
    pub store: Scrubbed,
    pub keeper: S3Config,
    _keys: tempfile::TempDir,
}

/// The same on MinIO: `truth` with versions, and a replica.
pub async fn on_minio(lock: LockConfig) -> Minio {
    let access = World::shared().await.s3();
    let keys = tempfile::tempdir().unwrap();
    let config = || {
        let mut config: S3Config = toml::from_str(&access.settings(keys.path())).unwrap();
        config.lock = lock.clone();
        config
    };
    let random = || Arc::new(SystemRandom);
    let (ours, copies) = (config(), config());
    for config in [&ours, &copies] {
        config.ensure_buckets(random()).await.unwrap();
    }
    let mut store = Scrubbed::fill(ours.open(random()).unwrap()).await;
    let replica = ReplicaConfig {
        endpoint: copies.endpoint.clone(),
        region: copies.region.clone(),
        bucket: copies.truth_bucket.clone(),
        path_style: copies.path_style,
        access_key_file: copies.access_key_file.clone(),
        secret_key_file: copies.secret_key_file.clone(),
    };
    store.replica = Some(replica.open(random()).unwrap());
    Minio {
        store,
        keeper: copies,
        _keys: keys,
    }
}

/// F20: what the keeper of the bucket can do. The replica has the right bytes of some of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn second_versions_and_removals_are_found_and_the_right_bytes_written_again() {
    let Minio {
        store,
        keeper,
        _keys,
    } = on_minio(LockConfig::default()).await;
    assert_eq!(seen(&store.lap().await), []);
    let replica = keeper.open(Arc::new(SystemRandom)).unwrap().truth;
    let (event, bundle) = (
        "ledger/agreement/terms.1/00000001".to_owned(),
        "log/tile/entries/001".to_owned(),
    );
    let right = store.bytes(&event).await;
    for key in [&event, &bundle] {
        let bytes = store.bytes(key).await;
        replica.put(key, bytes.into()).await.unwrap();
    }
    let impostor = b"impostor".to_vec();
    for key in [&store.blob, &event, &bundle] {
        store.put(key, impostor.clone()).await;
    }
    // The same bytes once more: no read can tell, only the versions do.
    let twin = "ledger/agreement/terms.1/00000002";
    store.put(twin, store.bytes(twin).await).await;
    store.buckets.truth.remove("log/index/000").await.unwrap();
    store.buckets.truth.remove(&store.submission).await.unwrap();

    let found = store.lap().await;
    for (key, what, repaired) in [
        (store.blob.as_str(), What::Wrong, false),
        (store.blob.as_str(), What::SecondVersion, false),
        (event.as_str(), What::Truncated, true),
        (bundle.as_str(), What::Wrong, true),
        (twin, What::SecondVersion, false),
        ("log/index/000", What::Missing, true),
        (store.submission.as_str(), What::Missing, false),
        (store.submission.as_str(), What::Removed, false),
    ] {
        assert!(
            seen(&found).contains(&(key, what, repaired)),
            "{key}: {found}"
        );
    }
    assert_eq!(found.findings_total, 8, "{found}");
    assert_eq!(store.bytes(&event).await, right);
    let recorded = store.recorded(&event).await;
    let Some(FindingEvent::Repaired { from, versions, .. }) = recorded.last() else {
        panic!("{recorded:?}")
    };
    assert_eq!((from.as_str(), *versions), ("replica", 3));
    // What was repaired is at rest, and what was not is not.
    let again = store.lap().await;
    assert_eq!(again.findings_total, 5, "{again}");
    // Nothing else was ever copied: so far that may be on its way, and some day it is not.
    let later = store.lap_at(next_second().plus_ms(2 * 3_600_000)).await;
    let absent = "replica:log/checkpoints/000000000250";
    let missing = (absent, What::Missing, false);
    assert!(seen(&later).contains(&missing), "{later}");
    assert!(!seen(&later).iter().any(|(key, ..)| key.ends_with(&event)));
}
