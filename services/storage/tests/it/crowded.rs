//! The reconciler when more is stuck than it can remember, and when most of that is in quarantine.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use probity_domain::{EvidenceId, Record, SubmissionId, Timestamp};
use probity_platform::objects::Verb;
use probity_platform::{Error, quarantine};
use probity_proto::stored::submission_key;
use probity_storage::log::Entry;
use probity_storage::{Reconciler, release};

use crate::pki::NOW;
use crate::reconcile::{HOUR_MS, Lost, of};
use crate::stubborn::{hour_of, remember};

/// As many as are remembered with the mark.
const STUCK_MAX: usize = 10_000;
const DAY_MS: i64 = 24 * HOUR_MS;

impl Lost {
    /// An earlier process left the mark here, with as many stuck as there may be: nobody has them any more.
    async fn crowded(&self, hours_ago: i64) {
        let before = NOW.plus_ms(-30 * HOUR_MS);
        let stuck = (0..STUCK_MAX).map(|n| {
            let mut random = [7; 10];
            random[8..].copy_from_slice(&u16::try_from(n).unwrap().to_be_bytes());
            SubmissionId::new(before, random)
        });
        let stuck: Vec<_> = stuck.collect();
        let mark = hour_of(self.now()).plus_ms(-hours_ago * HOUR_MS);
        remember(self, mark, &stuck).await;
    }

    async fn stuck(&self) -> Vec<String> {
        serde_json::from_value(self.mark().await.get("stuck").cloned().unwrap()).unwrap()
    }

    async fn hours(&self, reconciler: &mut Reconciler, hours: usize) {
        for _ in 0..hours {
            self.world.clock.advance_ms(HOUR_MS + 1);
            reconciler.round().await.unwrap();
        }
    }

    /// How often the store is asked for a submission from now on.
    fn reads_of(&self, id: SubmissionId) -> Arc<AtomicUsize> {
        let (reads, key) = (Arc::new(AtomicUsize::new(0)), submission_key(id));
        let counter = reads.clone();
        self.world.truth.set_faults(move |verb, asked| {
            let is_read = verb == Verb::Get && asked == key;
            counter.fetch_add(usize::from(is_read), Ordering::SeqCst);
            None
        });
        reads
    }

    /// A role refuses the items of a submission for good.
    async fn refuse(&self, submission: SubmissionId, items: u32) {
        let error = Error::malformed("it does not fit a log entry");
        for item in 0..items {
            let evidence = EvidenceId { submission, item };
            let ledger = &self.world.ledger;
            quarantine::refused(ledger, "signing", evidence, quarantine::ROUNDS, &error).await;
        }
    }
}

/// So many rounds that every one of the stuck has its turn.
async fn look(reconciler: &mut Reconciler) {
    for _ in 0..5 {
        reconciler.round().await.unwrap();
    }
}

/// One more is stuck than the mark remembers, so it stands still; what is submitted weeks later is found all the same.
#[tokio::test]
async fn a_mark_that_stands_still_hides_nothing() {
    let lost = Lost::new().await;
    lost.crowded(0).await;
    let mark = lost.mark().await["low_water"].clone();
    let one_more = lost.submission(1, 0, "a", 1).await;
    let mut reconciler = lost.reconciler();
    lost.hours(&mut reconciler, 14).await;
    for (days, seed) in [(15, 15), (40, 40)] {
        let now_ms = lost.now().unix_ms() - NOW.unix_ms();
        lost.world.clock.advance_ms(days * DAY_MS - now_ms);
        let early = lost.submission(seed, (13 - days) * DAY_MS, "a", 1);
        let late = lost.submission(seed + 1, HOUR_MS - days * DAY_MS, "a", 1);
        let (early, late) = (early.await, late.await);
        let redrives = reconciler.round().await.unwrap();
        assert_eq!((of(&redrives, early), of(&redrives, late)), (1, 1));
        assert_eq!(of(&redrives, one_more), 1, "and where the mark is, too");
        assert_eq!(lost.stuck().await.len(), STUCK_MAX);
        assert_eq!(lost.mark().await["low_water"], mark);
        let next = lost.reconciler().round().await.unwrap();
        assert_eq!((of(&next, early), of(&next, late)), (1, 1));
    }
}

/// The store has stuck ones and does not give them back: that ends the looking at them, not at what came since.
#[tokio::test]
async fn stuck_ones_that_cannot_be_had_end_no_round() {
    let lost = Lost::new().await;
    let mut rotten = Vec::new();
    for seed in 0..100 {
        rotten.push(lost.submission(seed, 30 * HOUR_MS, "a", 1).await);
    }
    lost.withhold(&rotten);
    remember(&lost, hour_of(lost.now()).plus_ms(-HOUR_MS), &rotten).await;
    let new = lost.submission(500, HOUR_MS, "a", 2).await;
    let redrives = lost.reconciler().round().await.unwrap();
    assert_eq!(of(&redrives, new), 2);
}

/// Held submissions are named by the ledger: they hold up nothing when there is no place among the stuck, and no process
/// forgets them, or reads them when there is nothing more to wait for.
#[tokio::test]
async fn held_ones_need_no_place() {
    let lost = Lost::new().await;
    lost.crowded(6).await;
    let held = lost.submission(1, 5 * HOUR_MS, "a", 2).await;
    let (mut writer, log) = lost.store.writer_and_log();
    let mut first = lost.reconciler_of(log.clone());
    lost.hours(&mut first, 2).await;
    lost.refuse(held, 2).await;
    lost.hours(&mut first, 6).await;
    assert_eq!(
        (first.quarantined(), lost.stuck().await.len()),
        (2, STUCK_MAX)
    );
    let mark = lost.mark().await["low_water"].clone();
    let mark = Timestamp::parse_rfc3339(mark.as_str().unwrap()).unwrap();
    assert!(mark > held.at());

    // By the process that let the mark pass, and by the next, hourly.
    let reads = lost.reads_of(held);
    for _ in 0..2 {
        lost.world.clock.advance_ms(HOUR_MS + 1);
        look(&mut first).await;
    }
    assert_eq!(reads.swap(0, Ordering::SeqCst), 2);
    remember(&lost, mark, &[]).await;
    let mut second = lost.reconciler_of(log.clone());
    assert_eq!(second.round().await.unwrap(), []);
    assert_eq!(second.quarantined(), 2);
    lost.hours(&mut second, 3).await;
    assert_eq!(reads.swap(0, Ordering::SeqCst), 4);

    // Released, with the key that says so and without.
    let ledger = &lost.world.ledger;
    let [told, untold] = [0, 1].map(|item| EvidenceId {
        submission: held,
        item,
    });
    let work = &*lost.store.work;
    release(ledger, work, told, "operator:o", "mended")
        .await
        .unwrap();
    assert_eq!(of(&second.round().await.unwrap(), held), 1);
    quarantine::release(ledger, untold, "operator:o", "mended")
        .await
        .unwrap();
    lost.world.clock.advance_ms(HOUR_MS);
    assert_eq!(of(&second.round().await.unwrap(), held), 2);

    // And deposited.
    let entry = |evidence| {
        let (statement, manifest, signature) = (vec![1], vec![], vec![]);
        Entry::of(&Record {
            evidence,
            statement,
            manifest,
            signature,
        })
    };
    let entries = [told, untold].map(|evidence| entry(evidence).unwrap());
    writer.commit(&entries).await.unwrap();
    reads.store(0, Ordering::SeqCst);
    lost.hours(&mut second, 5).await;
    assert_eq!((reads.load(Ordering::SeqCst), second.quarantined()), (1, 0));
    let mut third = lost.reconciler_of(log);
    lost.hours(&mut third, 5).await;
    assert_eq!(reads.load(Ordering::SeqCst), 2, "once by each process");
}

/// An earlier version remembered held ones with the mark: they make room.
#[tokio::test]
async fn held_ones_of_an_older_mark_make_room() {
    let lost = Lost::new().await;
    let held = lost.submission(1, 5 * HOUR_MS, "a", 1).await;
    let stuck = lost.submission(2, 5 * HOUR_MS, "a", 1).await;
    lost.refuse(held, 1).await;
    remember(&lost, hour_of(lost.now()), &[held, stuck]).await;
    let mut reconciler = lost.reconciler();
    let redrives = reconciler.round().await.unwrap();
    assert_eq!((of(&redrives, held), of(&redrives, stuck)), (0, 1));
    assert_eq!(lost.stuck().await, [stuck.to_string()]);
    assert_eq!(reconciler.quarantined(), 1);
}
