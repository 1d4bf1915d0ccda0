//! What is missing from the log, and what somebody else put in its place: made again, or passed over.

use std::sync::Arc;

use probity_domain::{EvidenceId, Record};
use probity_pki::tlog::{Checkpoint, Hash, LogKey};
use probity_platform::objects::{LockConfig, Objects as _};
use probity_platform::{ErrorKind, SystemRandom};
use probity_storage::What;
use probity_storage::log::{Entry, Writer};

use crate::log::{Store, entries, key};
use crate::scrub::{Scrubbed, log_key, on_minio};

const TILE: &str = "log/index/001";

fn note(key: &LogKey, size: u64) -> Vec<u8> {
    let origin = key.name().to_owned();
    let root = Hash([9; 32]);
    Checkpoint { origin, size, root }.sign(key).unwrap()
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
    let evidence = EvidenceId {
        item: 600,
        ..store.first
    };
    Entry::of(&Record {
        evidence,
        statement: b"statement 600".to_vec(),
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
