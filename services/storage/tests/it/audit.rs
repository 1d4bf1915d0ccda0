//! The audit finds what was done to a store, and says where.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;

use bytes::Bytes;
use probity_domain::{Submission, SubmissionId};
use probity_pki::tlog::{Checkpoint, Hash, LogKey, LogVerifier};
use probity_platform::ErrorKind;
use probity_platform::objects::{Buckets, Fault, MemoryObjects, Objects};
use probity_proto::stored::{blob_key, submission_key};
use probity_storage::log::{Entry, Tree, read_bundle};
use probity_storage::{AuditReport, AuditScope, FindingKind, audit};

use crate::log::{Store, key};
use crate::pipeline::Pipeline;
use crate::pki::NOW;
use crate::world::number;

/// A store with deposits, and what it takes to audit it.
pub struct Audited {
    pipeline: Pipeline,
    submissions: Vec<Submission>,
}

impl Audited {
    /// Deposits submissions of so many items (the one at place 1 is refused), each in a commit of its own.
    pub async fn of(items: &[u32]) -> Self {
        let pipeline = Pipeline::new().await;
        let mut submissions = Vec::new();
        for (items, seed) in items.iter().zip(1..) {
            let submission = pipeline.world.submit(seed, *items).await;
            let records = pipeline.stamp(&pipeline.sign(&submission).await);
            for deposited in pipeline.deposit(records).await {
                deposited.leaf.unwrap();
            }
            submissions.push(submission);
        }
        Self {
            pipeline,
            submissions,
        }
    }

    /// A copy to be damaged.
    pub async fn copy(&self) -> Store {
        let copy = Store::new();
        let store = &self.pipeline.store;
        for (from, to) in [(&store.truth, &copy.truth), (&store.work, &copy.work)] {
            for key in keys(&**from, "").await {
                to.put(&key, read(&**from, &key).await).await.unwrap();
            }
        }
        copy
    }

    fn scope(&self, buckets: Buckets) -> AuditScope {
        AuditScope {
            buckets,
            log_key: LogVerifier::parse(key().verifier_key()).unwrap(),
            roots: vec![self.pipeline.pki.root.certificate.clone()].into(),
            clock: self.pipeline.world.clock.clone(),
            open_s: 0,
            blobs: true,
            receipts: Vec::new(),
        }
    }

    pub async fn audit(&self, store: &Store) -> AuditReport {
        audit(self.scope(store.buckets())).await.unwrap()
    }

    /// The entries as they lie in the log.
    pub async fn entries(&self) -> Vec<Entry> {
        let log = self.pipeline.store.log();
        log.refresh().await.unwrap();
        let size = log.latest().unwrap().size;
        let truth = &*self.pipeline.store.truth;
        let bundle = read_bundle(truth, 0, size).await.unwrap();
        bundle.iter().map(|e| Entry::read(e).unwrap()).collect()
    }
}

async fn keys(objects: &dyn Objects, prefix: &str) -> Vec<String> {
    let listed = objects.list(prefix, None, 1_000).await.unwrap();
    assert!(listed.len() < 1_000);
    listed.into_iter().map(|listed| listed.key).collect()
}

async fn read(objects: &dyn Objects, key: &str) -> Bytes {
    let object = objects.get(key, 1 << 24).await.unwrap();
    object.unwrap().bytes
}

async fn change(objects: &MemoryObjects, key: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = read(objects, key).await.to_vec();
    change(&mut bytes);
    objects.put(key, bytes.into()).await.unwrap();
}

/// Writes a log of these entries with the log's own key, as nobody but its writer could.
pub async fn write_log(store: &Store, entries: &[Entry]) {
    for key in keys(&*store.truth, "log/").await {
        store.truth.forget(&key);
    }
    for key in keys(&*store.work, "log/").await {
        store.work.forget(&key);
    }
    let grown = Tree::empty().grow(entries).unwrap();
    for (key, bytes) in grown.entries.iter().chain(&grown.tiles) {
        store.truth.put(key, bytes.clone()).await.unwrap();
    }
    let (size, root) = (grown.tree.size, grown.tree.root);
    put_checkpoint(store, size, root, &key()).await;
}

async fn put_checkpoint(store: &Store, size: u64, root: Hash, key: &LogKey) {
    let origin = key.name().to_owned();
    let note = Checkpoint { origin, size, root }.sign(key).unwrap();
    let path = format!("log/checkpoints/{size:012}");
    store.truth.put(&path, note.into()).await.unwrap();
}

/// Kinds and keys of what was found.
fn found(report: &AuditReport) -> Vec<(FindingKind, &str)> {
    let found = |f: &'_ probity_storage::Finding| f.kind;
    assert_eq!(report.clean, report.findings.is_empty());
    let counted: u64 = report.found.values().sum();
    assert_eq!(counted, report.findings.len() as u64);
    report
        .findings
        .iter()
        .map(|f| (found(f), f.key.as_str()))
        .collect()
}

#[tokio::test]
async fn a_sound_store_is_clean_and_everything_was_looked_at() {
    let audited = Audited::of(&[3, 5]).await;
    let report = audited.audit(&audited.pipeline.store).await;
    assert_eq!(found(&report), [], "{}", report.to_text());
    let checked = &report.checked;
    // Two commits: a checkpoint, a segment and a tile each; and the checkpoint of the empty log.
    let log = (checked.checkpoints, checked.segments, checked.tiles);
    assert_eq!(log, (3, 2, 2));
    assert_eq!((report.size, checked.records, checked.items), (6, 6, 6));
    assert_eq!(checked.submissions, 2);
    // Places 0, 2 and 0, 2, 3, 4: the two submissions share the blobs of 0 and 2.
    assert_eq!(checked.blobs, 8);
    let of_this_store = |note: &String| note.contains("keeps no versions");
    assert!(report.notes.iter().all(of_this_store), "{:?}", report.notes);
    assert!(checked.events > 0);
    let json: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
    assert_eq!((&json["clean"], &json["size"]), (&true.into(), &6.into()));
    assert!(report.to_text().ends_with("verdict: clean"));
    let mut quick = audited.scope(audited.pipeline.store.buckets());
    quick.blobs = false;
    assert_eq!(audit(quick).await.unwrap().checked.blobs, 0);
    // With no log at all nothing is deposited; no pinned key, nothing is believed.
    let store = audited.copy().await;
    let mut other = audited.scope(store.buckets());
    let stranger = LogKey::generate("log.example/1", &[9; 32]).unwrap();
    other.log_key = LogVerifier::parse(stranger.verifier_key()).unwrap();
    let report = audit(other).await.unwrap();
    assert_eq!(report.found[&FindingKind::Checkpoint], 3);
    assert_eq!(report.found[&FindingKind::Lost], 6);
}

#[tokio::test]
async fn damage_is_found_where_it_was_done() {
    let audited = Audited::of(&[3, 5]).await;
    let (first, second) = (&audited.submissions[0], &audited.submissions[1]);
    let item = first.item(0).unwrap();
    let blob = blob_key(&first.tenant, &item.artifacts()[0].digests.sha3_256);
    let (first_key, second_key) = (submission_key(first.id), submission_key(second.id));
    let old_head = {
        let store = Audited::of(&[3]).await.pipeline.store.work.clone();
        read(&*store, "log/head").await
    };
    type Damage = (&'static str, Vec<(FindingKind, String)>);
    let at = |kind, key: &str| (kind, key.to_owned());
    let newest = "log/checkpoints/000000000006";
    let damages: Vec<Damage> = vec![
        ("blob changed", vec![at(FindingKind::Blob, &blob)]),
        ("blob missing", vec![at(FindingKind::Blob, &blob)]),
        (
            "tile changed",
            vec![at(FindingKind::Tile, "log/tile/0/000.p/6")],
        ),
        (
            "tile missing",
            vec![at(FindingKind::Tile, "log/tile/0/000.p/2")],
        ),
        (
            "tile too many",
            vec![at(FindingKind::Stray, "log/tile/0/000.p/3")],
        ),
        ("head rolled back", vec![at(FindingKind::Head, "log/head")]),
        (
            "head of another tree",
            vec![at(FindingKind::Head, "log/head")],
        ),
        (
            "submission changed",
            vec![at(FindingKind::Submission, &first_key); 2],
        ),
        ("submission of another id", {
            // Its entries are of a submission that accepted no such item, and it is not where its own id is.
            vec![at(FindingKind::Submission, &first_key); 3]
        }),
        (
            "submission unreadable",
            vec![at(FindingKind::Submission, &first_key)],
        ),
        (
            "submission removed",
            vec![at(FindingKind::Unsubmitted, &second_key); 4],
        ),
        (
            "checkpoint of another key",
            vec![at(FindingKind::Checkpoint, "log/checkpoints/000000000002")],
        ),
        (
            "checkpoint of another tree",
            vec![at(FindingKind::Checkpoint, "log/checkpoints/000000000002")],
        ),
        (
            "newest checkpoint of another tree",
            vec![
                at(FindingKind::Head, "log/head"),
                at(FindingKind::Checkpoint, newest),
            ],
        ),
        (
            "checkpoint made up",
            vec![at(FindingKind::Checkpoint, "log/checkpoints/000000000004")],
        ),
    ];
    for (what, expected) in damages {
        let store = audited.copy().await;
        let flip = |bytes: &mut Vec<u8>| bytes[3] ^= 1;
        let truth = &*store.truth;
        match what {
            "blob changed" => change(truth, &blob, flip).await,
            "blob missing" => truth.forget(&blob),
            "tile changed" => change(truth, "log/tile/0/000.p/6", flip).await,
            "tile missing" => truth.forget("log/tile/0/000.p/2"),
            "tile too many" => {
                let bytes = read(truth, "log/tile/0/000.p/6").await.slice(..96);
                truth.put("log/tile/0/000.p/3", bytes).await.unwrap();
            }
            "head rolled back" => store.work.put("log/head", old_head.clone()).await.unwrap(),
            "head of another tree" => {
                let (size, root, key) = (6, Hash([1; 32]), key());
                let origin = key.name().to_owned();
                let note = Checkpoint { origin, size, root }.sign(&key).unwrap();
                let head = read(&*store.work, "log/head").await;
                let mut head: serde_json::Value = serde_json::from_slice(&head).unwrap();
                head["checkpoint"] = String::from_utf8(note).unwrap().into();
                let head = serde_json::to_vec(&head).unwrap();
                store.work.put("log/head", head.into()).await.unwrap();
            }
            "submission changed" => {
                change(truth, &first_key, |bytes| {
                    let text = String::from_utf8(bytes.clone()).unwrap();
                    *bytes = text
                        .replace("\"automated\":true", "\"automated\":false")
                        .into();
                })
                .await;
            }
            "submission of another id" => {
                let bytes = read(truth, &second_key).await;
                truth.put(&first_key, bytes).await.unwrap();
            }
            "submission unreadable" => change(truth, &first_key, |b| b.truncate(50)).await,
            "submission removed" => truth.forget(&second_key),
            "checkpoint of another key" => {
                let stranger = LogKey::generate(key().name(), &[8; 32]).unwrap();
                put_checkpoint(&store, 2, Hash([1; 32]), &stranger).await;
            }
            "checkpoint of another tree" => {
                put_checkpoint(&store, 2, Hash([1; 32]), &key()).await;
            }
            "newest checkpoint of another tree" => {
                put_checkpoint(&store, 6, Hash([1; 32]), &key()).await;
            }
            "checkpoint made up" => put_checkpoint(&store, 4, Hash([1; 32]), &key()).await,
            _ => unreachable!(),
        }
        let report = audited.audit(&store).await;
        let expected: Vec<_> = expected.iter().map(|(k, key)| (*k, key.as_str())).collect();
        assert_eq!(found(&report), expected, "{what}: {}", report.to_text());
    }
}

#[tokio::test]
async fn what_was_accepted_and_is_not_in_the_log_is_lost_or_still_open() {
    let audited = Audited::of(&[3]).await;
    let waiting = audited.pipeline.world.submit(9, 4).await;
    let clock = &audited.pipeline.world.clock;
    clock.advance_ms(60_000);
    let store = &audited.pipeline.store;
    let report = audited.audit(store).await;
    let lost = (FindingKind::Lost, submission_key(waiting.id));
    assert_eq!(found(&report), vec![(lost.0, lost.1.as_str()); 3]);
    let mut scope = audited.scope(store.buckets());
    let mut receipts = tempfile::NamedTempFile::new().unwrap();
    let unknown = SubmissionId::new(NOW, [77; 10]);
    let numbers = [
        number(&audited.submissions[0], 2),
        number(&waiting, 0),
        probity_domain::EvidenceId {
            submission: unknown,
            item: 0,
        },
    ];
    for evidence in numbers {
        let evidence = evidence.to_string();
        let line = serde_json::json!({"capture": "c", "state": "accepted", "evidence": evidence});
        writeln!(receipts, "{line}").unwrap();
    }
    let refused = serde_json::json!({"capture": "c", "state": "refused", "evidence": null});
    writeln!(receipts, "{refused}").unwrap();
    scope.receipts = vec![receipts.path().to_owned()];
    scope.open_s = 61;
    let report = audit(scope.clone()).await.unwrap();
    let (unknown, waiting) = (submission_key(unknown), submission_key(waiting.id));
    assert_eq!(found(&report), [(FindingKind::Receipt, unknown.as_str())]);
    assert!(
        report.findings[0].reason.contains("line 3"),
        "{:?}",
        report.findings
    );
    let open = (
        report.open.submissions,
        report.open.items,
        report.open.receipts,
    );
    assert_eq!((open, report.checked.receipts), ((1, 3, 1), 3));
    clock.advance_ms(2_000);
    let report = audit(scope.clone()).await.unwrap();
    let count = |kind| report.found.get(&kind).copied().unwrap_or(0);
    assert_eq!(
        (count(FindingKind::Lost), count(FindingKind::Receipt)),
        (3, 2)
    );
    assert!(report.to_text().contains(&waiting));
    // What is no receipt, and a store that does not answer, leave no verdict.
    scope.receipts = vec![PathBuf::from("/dev/null/none")];
    let error = audit(scope.clone()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Malformed);
    writeln!(receipts, "PB1").unwrap();
    scope.receipts = vec![receipts.path().to_owned()];
    let error = audit(scope.clone()).await.unwrap_err();
    assert!(error.detail.contains("line 5"), "{error}");
    scope.receipts.clear();
    for verb in ["blobs/", "submissions/", "log/"] {
        store
            .truth
            .set_faults(move |_, key| key.starts_with(verb).then_some(Fault::Refuse));
        let error = audit(scope.clone()).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable, "{verb}");
    }
}

#[tokio::test]
async fn what_its_own_writer_would_have_to_have_done_is_found_too() {
    let audited = Audited::of(&[3]).await;
    let entries = audited.entries().await;
    let store = audited.copy().await;
    write_log(&store, &[entries.clone(), entries[..1].to_vec()].concat()).await;
    let report = audited.audit(&store).await;
    let segment = "log/segments/000000000000";
    assert_eq!(found(&report), [(FindingKind::Twice, segment)]);
    assert!(
        report.findings[0]
            .reason
            .contains("at leaf 0 and at leaf 2")
    );
    let no_head = |note: &String| note.starts_with("there is no head");
    assert!(report.notes.iter().any(no_head), "{:?}", report.notes);
    // A record signed into the log whose signature is another's, and bytes that are no record.
    let record = |n: usize| probity_domain::Record::decode(&entries[n].bytes).unwrap();
    let mut mixed = record(0);
    mixed.signature = record(1).signature;
    let rubbish = Entry {
        bytes: Bytes::from_static(b"no record"),
        ..entries[1].clone()
    };
    write_log(
        &store,
        &[Entry::of(&mixed).unwrap(), entries[1].clone(), rubbish],
    )
    .await;
    let report = audited.audit(&store).await;
    assert_eq!(found(&report), [(FindingKind::Record, segment); 2]);
    // An entry whose submission accepted no such item.
    let mut other = record(0);
    other.evidence.item = 1;
    write_log(
        &store,
        &[entries.clone(), vec![Entry::of(&other).unwrap()]].concat(),
    )
    .await;
    let report = audited.audit(&store).await;
    let submission = submission_key(audited.submissions[0].id);
    let expected = [
        (FindingKind::Unsubmitted, submission.as_str()),
        (FindingKind::Record, segment),
    ];
    assert_eq!(found(&report), expected);
}

/// A log of one full bundle and some, in three commits.
#[tokio::test]
async fn full_bundles_are_proved_entry_by_entry() {
    let audited = Audited::of(&[11, 261, 6]).await;
    let report = audited.audit(&audited.pipeline.store).await;
    assert_eq!(found(&report), [], "{}", report.to_text());
    let checked = &report.checked;
    let log = (checked.bundles, checked.segments, checked.index_tiles);
    assert_eq!((log, report.size), ((1, 3, 1), 275));
    let bundle = "log/tile/entries/000";
    type Counts = &'static [(FindingKind, u64)];
    // Entries 10 to 255 lie in the bundle alone, the first ten also in a segment.
    let damages: [(&str, Counts); 4] = [
        (
            "bundle cut short",
            &[(FindingKind::Bundle, 1), (FindingKind::Lost, 246)],
        ),
        (
            "bundle missing",
            &[(FindingKind::Bundle, 1), (FindingKind::Lost, 246)],
        ),
        (
            "entry, index tile and segment changed",
            &[
                (FindingKind::Bundle, 1),
                (FindingKind::Record, 1),
                (FindingKind::IndexTile, 1),
                (FindingKind::Segment, 1),
            ],
        ),
        ("tiles changed and missing", &[(FindingKind::Tile, 2)]),
    ];
    for (what, expected) in damages {
        let store = audited.copy().await;
        let truth = &*store.truth;
        match what {
            "bundle cut short" => change(truth, bundle, |b| b.truncate(b.len() - 1)).await,
            "bundle missing" => truth.forget(bundle),
            "entry, index tile and segment changed" => {
                // The last byte of the last signature.
                change(truth, bundle, |b| *b.last_mut().unwrap() ^= 1).await;
                change(truth, "log/index/000", |b| b[19] ^= 1).await;
                change(truth, "log/segments/000000000000", |b| b.truncate(9)).await;
            }
            "tiles changed and missing" => {
                change(truth, "log/tile/0/000", |b| b[40] ^= 1).await;
                truth.forget("log/tile/0/000.p/10");
            }
            _ => unreachable!(),
        }
        let report = audited.audit(&store).await;
        let expected: BTreeMap<_, _> = expected.iter().copied().collect();
        assert_eq!(report.found, expected, "{what}: {}", report.to_text());
    }
    // Nothing of the tail can be read, and its tile is gone as well: the walk ends, and says so.
    let store = audited.copy().await;
    store.truth.forget("log/segments/000000000270");
    store.truth.forget("log/tile/0/001.p/19");
    let report = audited.audit(&store).await;
    let expected = BTreeMap::from([
        (FindingKind::Bundle, 1),
        (FindingKind::Checkpoint, 1),
        (FindingKind::Lost, 5),
    ]);
    assert_eq!(report.found, expected, "{}", report.to_text());
}
