//! What is missing from the log, and what somebody else put in its place: made again, or passed over.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use probity_domain::{EvidenceId, Record, SubmissionId, Timestamp};
use probity_pki::tlog::{Checkpoint, Hash, LogKey, encode_bundle};
use probity_platform::objects::{Fault, LockConfig, Objects as _, Verb};
use probity_platform::{Error, ErrorKind, Result, SystemRandom};
use probity_proto::v1::ProveRequest;
use probity_storage::log::{Entry, Log, Verify, Writer};
use probity_storage::{What, prove};

use crate::log::{Store, entries, key};
use crate::pipeline::Pipeline;
use crate::scrub::{Scrubbed, log_key, on_minio};
use crate::world::number;

const TILE: &str = "log/index/001";

fn note(key: &LogKey, size: u64) -> Vec<u8> {
    let origin = key.name().to_owned();
    let root = Hash([9; 32]);
    Checkpoint { origin, size, root }.sign(key).unwrap()
}

/// With a flipped bit it lacks a number that is there: it must not be appended a second time. Nothing is read for that when
/// a process starts, and little for what was submitted since.
#[tokio::test]
async fn an_index_tile_with_a_flipped_bit_lets_no_number_in_twice() {
    let store = Store::new();
    let truth = &store.truth;
    store.writer().commit(&entries(1, 0..900)).await.unwrap();
    let tile = truth.get(TILE, 1 << 24).await.unwrap().unwrap().bytes;
    let other = truth.get("log/index/000", 1 << 24).await.unwrap().unwrap();
    // The submission's last byte, the time's first, the place; and another bundle's tile.
    for wrong in [20 * 44 + 15, 20 * 44, 20 * 44 + 18, usize::MAX] {
        let mut bytes = tile.to_vec();
        match bytes.get_mut(wrong) {
            Some(byte) => *byte ^= 4,
            None => bytes = other.bytes.to_vec(),
        }
        truth.put(TILE, bytes.into()).await.unwrap();
        let (mut writer, log) = store.writer_and_log();
        let bundles = Arc::new(AtomicUsize::new(0));
        let counted = bundles.clone();
        truth.set_faults(move |verb, key| {
            let is_bundle = verb == Verb::Get && key.starts_with("log/tile/entries/");
            counted.fetch_add(usize::from(is_bundle), Ordering::SeqCst);
            None
        });
        writer.commit(&[]).await.unwrap();
        assert_eq!(log.leaf(entries(1, 300..301)[0].evidence), None, "{wrong}");
        let before = bundles.load(Ordering::SeqCst);
        // Later than all that is in the log: a look at the newest bundle is enough.
        let at = Timestamp::from_unix_ms(1_795_000_000_000 + 3_600_000);
        let evidence = EvidenceId {
            submission: SubmissionId::new(at, [5; 10]),
            item: 0,
        };
        let (statement, manifest, signature) = (vec![1], vec![], vec![]);
        let later = Record {
            evidence,
            statement,
            manifest,
            signature,
        };
        let placed = writer.commit(&[Entry::of(&later).unwrap()]).await.unwrap();
        assert_eq!(placed.placed, [900]);
        assert!(bundles.load(Ordering::SeqCst) <= before + 1, "{wrong}");
        let again = writer.commit(&entries(1, 300..301)).await.unwrap();
        assert_eq!(again.placed, [300], "{wrong}");
        truth.clear_faults();
    }
    truth.put(TILE, tile).await.unwrap();
    assert_eq!(store.audit().await.len(), 901);
}

#[tokio::test]
async fn an_index_tile_that_is_missing_is_made_again_from_its_entries() {
    let store = Store::new();
    let truth = &store.truth;
    store.writer().commit(&entries(1, 0..600)).await.unwrap();
    let read = async |key: &str| truth.get(key, 1 << 24).await.unwrap().map(|o| o.bytes);
    let right = read(TILE).await.unwrap();
    truth.remove(TILE).await.unwrap();
    assert_eq!(store.audit().await.len(), 600);
    assert_eq!(read(TILE).await.unwrap(), right);

    // One that does not read is the scrubber's to repair; the log opens all the same.
    truth.put(TILE, "else".into()).await.unwrap();
    assert_eq!(store.audit().await.len(), 600);
    assert_eq!(read(TILE).await.unwrap(), "else");

    // Entries that the signed root does not prove make no tile.
    truth.remove(TILE).await.unwrap();
    let bundle = read("log/tile/entries/000").await.unwrap();
    truth.put("log/tile/entries/001", bundle).await.unwrap();
    let refused = store.log().refresh().await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Internal, "{refused}");
    assert_eq!(read(TILE).await, None);
}

/// Larger keys that hold no checkpoint of the log neither stop it nor are built upon, with the head and without.
#[tokio::test]
async fn a_forged_checkpoint_is_passed_over() {
    let store = Store::new();
    let (mut writer, log) = store.writer_and_log();
    writer.commit(&entries(1, 0..300)).await.unwrap();
    let published = log.latest().unwrap();
    let other = LogKey::generate(key().name(), &[8; 32]).unwrap();
    for (at, bytes) in [
        ("000000000310.old", b"no number".to_vec()),
        ("000000000700", published.note.to_vec()),
        ("000000000800", note(&other, 800)),
        ("000000000900", b"no note".to_vec()),
        ("999999999999", vec![b'x'; 20_000]),
        ("next", note(&key(), 900)),
    ] {
        let at = format!("log/checkpoints/{at}");
        store.truth.put(&at, bytes.into()).await.unwrap();
    }
    writer.commit(&entries(1, 300..301)).await.unwrap();
    store.writer().commit(&entries(1, 301..302)).await.unwrap();
    for size in 302..304 {
        store.work.remove("log/head").await.unwrap();
        let log = store.log();
        log.refresh().await.unwrap();
        assert_eq!(log.latest().unwrap().size, u64::from(size));
        let next = entries(1, size..size + 1);
        let placed = store.writer().commit(&next).await.unwrap().placed;
        assert_eq!(placed, [u64::from(size)]);
    }
    assert_eq!(store.audit().await.len(), 304);
}

/// Signed by the log itself, and no tree there that bears it out: to go on beside it would be to fork.
#[tokio::test]
async fn a_signed_checkpoint_without_its_tree_is_not_built_beside() {
    let store = Store::new();
    store.writer().commit(&entries(1, 0..300)).await.unwrap();
    let size = "log/checkpoints/000000000900";
    let signed = note(&key(), 900);
    store.truth.put(size, signed.into()).await.unwrap();
    let next = entries(1, 300..301);
    for head in [true, false] {
        if !head {
            store.work.remove("log/head").await.unwrap();
            let refused = store.log().refresh().await.unwrap_err();
            assert_eq!(refused.kind, ErrorKind::Internal, "{refused}");
        }
        let refused = store.writer().commit(&next).await.unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Internal, "{refused}");
    }
    let next = "log/checkpoints/000000000301";
    assert_eq!(store.truth.head(next).await.unwrap(), None);
}

fn entry_after(store: &Scrubbed) -> Entry {
    entry_of(store, 600, "statement 600")
}

fn entry_of(store: &Scrubbed, item: u32, statement: &str) -> Entry {
    let evidence = EvidenceId {
        item,
        ..store.first
    };
    Entry::of(&Record {
        evidence,
        statement: statement.into(),
        manifest: vec![],
        signature: vec![],
    })
    .unwrap()
}

/// In the very place of the next checkpoint. Where versions are kept the log goes on over it, and it stays to be seen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoints_place_that_is_taken_is_taken_back() {
    let taken = "log/checkpoints/000000000601";
    let minio = on_minio(LockConfig::default()).await;
    let store = &minio.store;
    store.put(taken, b"forged".to_vec()).await;
    let log = store.log();
    let mut writer = Writer::new(log.clone(), log_key(), Arc::new(SystemRandom));
    writer.commit(&[entry_after(store)]).await.unwrap();
    assert_eq!(log.latest().unwrap().size, 601);
    let again = store.log();
    again.refresh().await.unwrap();
    assert_eq!(again.latest().unwrap().size, 601);
    let lap = store.lap().await;
    let mut found = lap.findings.iter().map(|f| (f.key.as_str(), f.what));
    assert_eq!(found.next(), Some((taken, What::SecondVersion)), "{lap}");

    // Where nothing would keep what is written over, a person has to look first.
    let store = Scrubbed::in_memory().await;
    store.put(taken, b"forged".to_vec()).await;
    let mut writer = Writer::new(store.log(), log_key(), Arc::new(SystemRandom));
    let refused = writer.commit(&[entry_after(&store)]).await.unwrap_err();
    assert!(refused.detail.contains(taken), "{refused}");
    assert_eq!(store.bytes(taken).await, b"forged");
}

/// Believes any entry, as nobody should.
struct Anything;

#[async_trait]
impl Verify for Anything {
    async fn verify(&self, _: &[Entry]) -> Result<()> {
        Ok(())
    }
}

/// Believes none.
struct Nothing;

#[async_trait]
impl Verify for Nothing {
    async fn verify(&self, entries: &[Entry]) -> Result<()> {
        assert!(!entries.is_empty());
        Err(Error::malformed("it does not hold"))
    }
}

impl Scrubbed {
    fn writer(&self) -> (Writer, Arc<Log>) {
        let log = self.log();
        let writer = Writer::new(log.clone(), log_key(), Arc::new(SystemRandom));
        (writer.verifying(Arc::new(Nothing)), log)
    }
}

fn framed(entries: &[Entry]) -> Bytes {
    let bytes: Vec<&[u8]> = entries.iter().map(|e| &*e.bytes).collect();
    encode_bundle(&bytes).unwrap().into()
}

/// Every object that the next commits write, put there before by whoever may write into the bucket: what is his goes into
/// no checkpoint, and nothing stops, in a process that runs and after a restart, with the head and without it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn places_behind_the_log_that_are_taken_are_taken_back() {
    let minio = on_minio(LockConfig::default()).await;
    let store = &minio.store;
    let forged = |item| entry_of(store, item, "forged");
    let (mut running, log) = store.writer();
    running.commit(&[]).await.unwrap();
    let mut bundle: Vec<Entry> = (512..600)
        .map(|i| entry_of(store, i, &format!("statement {i}")))
        .collect();
    bundle.extend((600..768).map(forged));
    let garbage = Bytes::from_static(b"forged");
    let mut size = 600;
    for (bytes, restart, head) in [
        (garbage.clone(), false, true),
        (framed(&[forged(9_000)]), false, true),
        (garbage.clone(), true, true),
        (framed(&[forged(9_000)]), true, true),
        (garbage.clone(), true, false),
        (framed(&[forged(9_000), forged(9_001)]), true, false),
    ] {
        for key in [
            format!("log/segments/{size:012}"),
            format!("log/tile/0/002.p/{}", size + 1 - 512),
        ] {
            store.put(&key, bytes.to_vec()).await;
        }
        store
            .put("log/tile/entries/002", framed(&bundle).to_vec())
            .await;
        if !head {
            store.buckets.work.remove("log/head").await.unwrap();
        }
        if restart {
            running = store.writer().0;
        }
        let next = entry_of(store, size, &format!("statement {size}"));
        let placed = running
            .commit(std::slice::from_ref(&next))
            .await
            .unwrap()
            .placed;
        assert_eq!(placed, [u64::from(size)]);
        let reader = store.log();
        reader.refresh().await.unwrap();
        for item in [599, size] {
            let evidence_number = forged(item).evidence.to_string();
            let proof = prove(&reader, &ProveRequest { evidence_number })
                .await
                .unwrap();
            assert_eq!(
                proof.record,
                entry_of(store, item, &format!("statement {item}")).bytes
            );
        }
        for item in [9_000, 9_001] {
            assert_eq!(reader.leaf(forged(item).evidence), None);
        }
        size += 1;
    }
    // The bundle's own place, when it is full, and its index tile's.
    store.put("log/index/002", b"forged".to_vec()).await;
    let rest: Vec<_> = (size..800)
        .map(|i| entry_of(store, i, &format!("statement {i}")))
        .collect();
    running.commit(&rest).await.unwrap();
    let reader = store.log();
    reader.refresh().await.unwrap();
    assert_eq!(reader.leaf(forged(799).evidence), Some(799));
    assert!(log.leaf(forged(9_000).evidence).is_none());
    let lap = store.lap().await;
    assert!(
        lap.findings.iter().all(|f| f.what == What::SecondVersion),
        "{lap}"
    );
    assert!(
        lap.findings.iter().any(|f| f.key == "log/tile/entries/002"),
        "{lap}"
    );
}

/// Where nothing would keep what is written over, nothing is, and nothing is signed: a person has to look first.
#[tokio::test]
async fn without_versions_what_lies_behind_the_log_is_refused() {
    let store = Scrubbed::in_memory().await;
    let taken = "log/segments/000000000600";
    for bytes in [
        framed(&[entry_of(&store, 9_000, "forged")]),
        "forged".into(),
    ] {
        store.put(taken, bytes.to_vec()).await;
        for head in [true, false] {
            if !head {
                store.buckets.work.remove("log/head").await.ok();
            }
            let (mut writer, log) = store.writer();
            let refused = writer.commit(&[entry_after(&store)]).await.unwrap_err();
            assert!(refused.detail.contains(taken), "{refused}");
            assert!(log.latest().is_ok_and(|published| published.size == 600));
        }
    }
    // What holds and is in the log already is not taken up a second time either.
    let again = entry_of(&store, 5, "statement 5");
    store.put(taken, framed(&[again]).to_vec()).await;
    let mut writer = store.writer().0.verifying(Arc::new(Anything));
    let refused = writer.commit(&[]).await.unwrap_err();
    assert!(refused.detail.contains("in the log already"), "{refused}");
}

/// A full bundle where the log has none yet is nobody's: neither proofs nor the next commit go by it.
#[tokio::test]
async fn a_forged_bundle_before_its_time_is_not_read() {
    let store = Store::new();
    store.writer().commit(&entries(1, 0..300)).await.unwrap();
    let forged = framed(&entries(9, 0..256));
    store
        .truth
        .put("log/tile/entries/001", forged)
        .await
        .unwrap();
    let log = store.log();
    log.refresh().await.unwrap();
    let wanted = &entries(1, 299..300)[0];
    let evidence_number = wanted.evidence.to_string();
    let proof = prove(&log, &ProveRequest { evidence_number })
        .await
        .unwrap();
    assert_eq!(proof.record, wanted.bytes);
    let placed = log.leaf(entries(9, 50..51)[0].evidence);
    assert_eq!(placed, None);
    assert_eq!(store.audit().await.len(), 300);
}

/// What a lost commit left is taken up by a process that verifies it as a deposit, and nothing else is.
#[tokio::test]
async fn what_is_left_behind_is_verified_like_a_deposit() {
    let p = Pipeline::new().await;
    let submission = p.world.submit(5, 4).await;
    let signed = p.sign(&submission).await;
    let stamped = p.stamp(&signed);
    let mut left: Vec<Entry> = Vec::new();
    for (record, place) in stamped.iter().zip([0, 2, 3]) {
        let (statement, manifest, signature) =
            (&record.statement, &record.manifest, &record.signature);
        left.push(
            Entry::of(&Record {
                evidence: number(&submission, place),
                statement: statement.to_vec(),
                manifest: manifest.to_vec(),
                signature: signature.to_vec(),
            })
            .unwrap(),
        );
    }
    let deposit = Arc::new(p.deposit_again());
    let taken_up = async |left: &[Entry]| {
        let store = Store {
            truth: p.store.truth.clone(),
            ..Store::new()
        };
        for listed in store.truth.list("log/", None, 100).await.unwrap() {
            store.truth.forget(&listed.key);
        }
        store
            .truth
            .put("log/segments/000000000000", framed(left))
            .await
            .unwrap();
        let log = store.log();
        let writer = Writer::new(log, key(), Arc::new(SystemRandom));
        writer.verifying(deposit.clone()).commit(&[]).await
    };
    let recovered = taken_up(&left).await.unwrap().recovered;
    let numbers = left.iter().map(|entry| entry.evidence).zip(0..);
    assert_eq!(recovered, numbers.collect::<Vec<_>>());
    let mut foreign = Record::decode(&left[1].bytes).unwrap();
    foreign.signature = Record::decode(&left[2].bytes).unwrap().signature;
    left[1] = Entry::of(&foreign).unwrap();
    let refused = taken_up(&left).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Internal, "{refused}");
    assert!(
        refused.detail.contains("log/segments/000000000000"),
        "{refused}"
    );
}

/// What does not read is as good as nothing: the newest signed checkpoint wins.
#[tokio::test]
async fn a_head_or_staged_entries_that_do_not_read_stop_nothing() {
    let store = Store::new();
    store.writer().commit(&entries(1, 0..10)).await.unwrap();
    let (mut dying, _) = store.writer_and_log();
    dying.commit(&[]).await.unwrap();
    let right = store
        .work
        .get("log/head", 1 << 20)
        .await
        .unwrap()
        .unwrap()
        .bytes;
    let mut unsigned: serde_json::Value = serde_json::from_slice(&right).unwrap();
    unsigned["size"] = 900.into();
    for (bytes, size) in [
        (Bytes::from_static(b"{"), 10),
        (Bytes::from(vec![b' '; 100_000]), 11),
        (serde_json::to_vec(&unsigned).unwrap().into(), 12),
    ] {
        store.work.put("log/head", bytes).await.unwrap();
        assert_eq!(store.audit().await.len(), size as usize, "readers go on");
        store
            .writer()
            .commit(&entries(1, size..size + 1))
            .await
            .unwrap();
        assert_eq!(store.audit().await.len(), size as usize + 1);
    }
    for (bytes, from) in [
        (Bytes::from_static(b"\xff\xff"), 20),
        (framed(&entries(7, 0..3)), 40),
    ] {
        let mut dying = store.writer();
        dying.commit(&[]).await.unwrap();
        // It dies behind its swap, before it has written anything.
        store
            .truth
            .set_faults(|verb, _| (verb == Verb::Create).then_some(Fault::Refuse));
        dying.commit(&entries(1, from..from + 5)).await.unwrap_err();
        store.truth.clear_faults();
        let staged = store.work.list("log/staged/", None, 10).await.unwrap();
        for listed in staged {
            store.work.put(&listed.key, bytes.clone()).await.unwrap();
        }
        let before = store.audit().await.len();
        store
            .writer()
            .commit(&entries(1, from..from + 10))
            .await
            .unwrap();
        assert_eq!(store.audit().await.len(), before + 10);
    }
}
