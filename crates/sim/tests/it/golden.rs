//! Yesterday's store: both buckets as an earlier version left them, read and gone on from by today's code.

use std::sync::Arc;

use bytes::Bytes;
use probity_domain::Timestamp;
use probity_platform::ErrorKind;
use probity_platform::clock::ManualClock;
use probity_platform::ledger::Ledger;
use probity_platform::objects::{MemoryObjects, Objects as _};
use probity_proto::ledger::{InstructionEvent, IntentEvent, PartyEvent};
use probity_storage::Reconciler;
use probity_storage::log::{Log, Writer};
use probity_testkit::Golden;

use crate::audit::{audit, filler, objects, submissions};
use crate::chance::Chance;
use crate::pki::{EPOCH, log_key, log_verifier};
use crate::run::{PKI, paused, run_peacefully};
use crate::sim::Sim;
use crate::store::Store;
use crate::vendors::Receipts;

/// Of the run that left it.
const SEED: u64 = 4;
const HOUR_MS: i64 = 3_600_000;

/// The golden store: a list of its keys, and a file for each object.
async fn yesterday(made: &Store) -> Store {
    let golden = Golden::of(env!("CARGO_MANIFEST_DIR"));
    let mut made_today = Vec::new();
    for (name, bucket) in [("truth", &made.truth), ("work", &made.work)] {
        let found = objects(bucket, "").await;
        made_today.extend(
            found
                .into_iter()
                .map(|(key, bytes)| (format!("{name}/{key}"), bytes)),
        );
    }
    let list = golden.read("store/keys", || {
        let keys: Vec<_> = made_today.iter().map(|(path, _)| path.as_str()).collect();
        keys.join("\n").into_bytes()
    });
    let store = Store::new();
    for path in String::from_utf8(list).unwrap().lines() {
        let today = made_today.iter().find(|(made, _)| made == path);
        let today = || today.map(|(_, bytes)| bytes.to_vec()).unwrap_or_default();
        let bytes = Bytes::from(golden.read(&format!("store/{path}"), today));
        let (bucket, key) = path.split_once('/').unwrap();
        let bucket = if bucket == "truth" {
            &store.truth
        } else {
            &store.work
        };
        bucket.put(key, bytes).await.unwrap();
    }
    store
}

fn writer(store: &Store) -> (Writer, Arc<Log>) {
    let log = Arc::new(Log::new(&store.buckets(), log_verifier()));
    let random = Arc::new(Chance::new(SEED, "golden"));
    (Writer::new(log.clone(), log_key(), random), log)
}

async fn assert_whole(store: &Store) {
    let sim = Sim::new(SEED, None);
    audit(&sim, store, &Receipts::default(), &PKI).await;
    assert_eq!(sim.violations(), [""; 0]);
}

#[test]
fn yesterdays_store_reads_and_goes_on() {
    let made = run_peacefully(SEED);
    paused(async {
        let store = yesterday(&made).await;
        assert_whole(&store).await;
        let submissions = submissions(&store).await;
        assert!(!submissions.is_empty());

        // The ledger's streams are read by those who need them.
        let clock = Arc::new(ManualClock::at(EPOCH.plus_ms(24 * HOUR_MS)));
        let random = Arc::new(Chance::new(SEED, "ledger"));
        let ledger = Ledger::new(store.truth.clone(), clock.clone(), random);
        let party = ledger.read::<PartyEvent>("acme-ltd").await.unwrap();
        assert_eq!(party.events.len(), 3);
        let intent = submissions[0].intent.unwrap().to_string();
        let intent = ledger.read::<IntentEvent>(&intent).await.unwrap();
        assert!(matches!(
            intent.facts().last(),
            Some(IntentEvent::Used { .. })
        ));
        assert!(
            !ledger
                .ids::<InstructionEvent>(None, 9)
                .await
                .unwrap()
                .is_empty()
        );

        // The log goes on where it stood, and the reconciler finds nothing to do.
        let (mut writer, log) = writer(&store);
        let committed = writer.commit(&[filler(1), filler(2)]).await.unwrap();
        let first = committed.placed[0];
        assert!(first >= submissions.len() as u64, "behind what stood there");
        assert_whole(&store).await;
        let (truth, work) = (store.truth.clone(), store.work.clone());
        let mut reconciler = Reconciler::new(truth, work, ledger, log, clock, 30);
        assert_eq!(reconciler.round().await.unwrap(), []);
    });
}

/// A newer version's documents in `work` stop this one, or are made again; nothing is lost for it.
#[test]
fn a_newer_head_stops_the_writer_and_loses_nothing() {
    let made = run_peacefully(SEED);
    paused(async {
        let store = yesterday(&made).await;
        let before = objects(&store.truth, "").await;
        let head = renamed(&store.work, "log/head", "probity.log-head").await;
        let refused = writer(&store).0.commit(&[filler(1)]).await.unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Internal, "{refused}");
        assert!(refused.detail.contains("log/head"), "{refused}");
        assert_eq!(objects(&store.truth, "").await, before);
        store.work.put("log/head", head).await.unwrap();
        writer(&store).0.commit(&[filler(1)]).await.unwrap();
        assert_whole(&store).await;
    });
}

/// Writes the object as a newer version would; answers what stood there.
async fn renamed(bucket: &MemoryObjects, key: &str, format: &str) -> Bytes {
    let bytes = bucket.get(key, u64::MAX).await.unwrap().unwrap().bytes;
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let newer = text.replace(&format!("{format}/1"), &format!("{format}/2"));
    assert_ne!(newer, text);
    bucket.put(key, newer.into()).await.unwrap();
    bytes
}

#[test]
fn an_unreadable_low_water_mark_costs_a_walk_and_nothing_else() {
    let made = run_peacefully(SEED);
    paused(async {
        let store = yesterday(&made).await;
        let later: Timestamp = EPOCH.plus_ms(24 * HOUR_MS);
        let log = writer(&store).1;
        log.refresh().await.unwrap();
        let round = async || {
            let (truth, work) = (store.truth.clone(), store.work.clone());
            let clock = Arc::new(ManualClock::at(later));
            let random = Arc::new(Chance::new(SEED, "ledger"));
            let ledger = Ledger::new(truth.clone(), clock.clone(), random);
            let mut reconciler = Reconciler::new(truth, work, ledger, log.clone(), clock, 30);
            reconciler.round().await.unwrap()
        };
        assert_eq!(round().await, []);
        renamed(&store.work, "log/low-water", "probity.low-water").await;
        assert_eq!(round().await, []);
        let mark = store
            .work
            .get("log/low-water", u64::MAX)
            .await
            .unwrap()
            .unwrap();
        assert!(String::from_utf8_lossy(&mark.bytes).contains("probity.low-water/1"));
    });
}
