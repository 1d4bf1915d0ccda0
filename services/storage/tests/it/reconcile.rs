//! The reconciler under many open items, floods, and items that nothing can help.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use probity_domain::{ItemOutcome, Submission, SubmissionDraft, SubmissionId, TenantId, Timestamp};
use probity_platform::bus::{Bus, BusConfig, Queue};
use probity_platform::objects::{MemoryObjects, Objects as _};
use probity_platform::{Clock as _, Error, quarantine};
use probity_proto::stored::{submission_key, write_submission};
use probity_proto::subjects::SUBMITTED;
use probity_storage::log::Log;
use probity_storage::{AuditScope, Reconciler, Redrive, audit, release};
use probity_testkit::{eventually, wait_until};

use crate::log::Store;
use crate::pipeline::Pipeline;
use crate::pki::NOW;
use crate::world::{World, number};

pub const HOUR_MS: i64 = 3_600_000;
const PERIOD_MS: i64 = 30_000;
/// For what a server does in an instant.
const PATIENCE: Duration = Duration::from_secs(60);

/// Submissions that were accepted and of which no message is left.
pub struct Lost {
    pub world: World,
    pub store: Store,
    template: SubmissionDraft,
}

impl Lost {
    pub async fn new() -> Self {
        let world = World::new().await;
        let template = (*world.submit(1, 1).await).clone();
        world.truth.forget(&submission_key(template.id));
        let store = Store {
            truth: world.truth.clone(),
            ..Store::new()
        };
        Self {
            world,
            store,
            template,
        }
    }

    /// One of `items` accepted items, this many milliseconds ago.
    pub async fn submission(
        &self,
        seed: u16,
        ago_ms: i64,
        tenant: &str,
        items: usize,
    ) -> SubmissionId {
        let mut random = [0; 10];
        random[8..].copy_from_slice(&seed.to_be_bytes());
        let mut draft = self.template.clone();
        draft.id = SubmissionId::new(NOW.plus_ms(-ago_ms), random);
        draft.tenant = TenantId::parse(tenant).unwrap();
        let item: &ItemOutcome = self.template.items.first().unwrap();
        draft.items = vec![item.clone(); items];
        let submission = Submission::new(draft).unwrap();
        let (key, bytes) = (submission_key(submission.id), write_submission(&submission));
        self.world.truth.create(&key, bytes.into()).await.unwrap();
        submission.id
    }

    pub fn now(&self) -> Timestamp {
        self.world.clock.now()
    }

    pub fn reconciler(&self) -> Reconciler {
        self.reconciler_of(self.store.log())
    }

    pub fn reconciler_of(&self, log: Arc<Log>) -> Reconciler {
        let (truth, work) = (self.store.truth.clone(), self.store.work.clone());
        let (ledger, clock) = (self.world.ledger.clone(), self.world.clock.clone());
        Reconciler::new(truth, work, ledger, log, clock, 30)
    }
}

fn items(redrives: &[Redrive]) -> usize {
    let count = |r: &Redrive| (r.hint.last_item - r.hint.first_item + 1) as usize;
    redrives.iter().map(count).sum()
}

pub fn of(redrives: &[Redrive], id: SubmissionId) -> usize {
    let id = id.to_string();
    let mine = redrives.iter().filter(|r| r.hint.submission_id == id);
    items(&mine.cloned().collect::<Vec<_>>())
}

#[tokio::test]
async fn a_hundred_thousand_open_items_are_hinted_within_a_quarter_of_an_hour() {
    let lost = Lost::new().await;
    let mut seed = 0;
    for (count, size) in [(2_000, 1), (98, 1_000)] {
        for _ in 0..count {
            seed += 1;
            let ago_ms = HOUR_MS * i64::from(1 + seed % 3);
            let tenant = format!("tenant-{}", seed % 7);
            lost.submission(seed, ago_ms, &tenant, size).await;
        }
    }
    let mut reconciler = lost.reconciler();
    let mut hinted = HashSet::new();
    let mut rounds = 0;
    while hinted.len() < 100_000 {
        rounds += 1;
        assert!(rounds * PERIOD_MS <= 15 * 60_000, "{} hinted", hinted.len());
        let redrives = reconciler.round().await.unwrap();
        assert!(items(&redrives) <= 60_000, "a round is bounded");
        for Redrive { hint, .. } in redrives {
            for item in hint.first_item..=hint.last_item {
                hinted.insert((hint.submission_id.clone(), item));
            }
        }
        lost.world.clock.advance_ms(PERIOD_MS);
    }
}

/// While the bus is away nothing is used up: with its return everything is hinted at once, not after an hour's pause.
#[tokio::test]
async fn hints_that_could_not_be_sent_are_none() {
    let lost = Lost::new().await;
    let id = lost.submission(1, HOUR_MS, "acme", 600).await;
    let mut reconciler = lost.reconciler();
    for _ in 0..10 {
        let redrives = reconciler.round().await.unwrap();
        assert_eq!(of(&redrives, id), 600);
        assert!(redrives.len() > 1 && redrives.iter().all(|r| r.hint.round == 1));
        redrives
            .iter()
            .for_each(|redrive| reconciler.unsent(redrive));
        lost.world.clock.advance_ms(PERIOD_MS);
    }
    let sent = reconciler.round().await.unwrap();
    assert_eq!(of(&sent, id), 600);
    let next = reconciler.round().await.unwrap();
    assert!(next.is_empty(), "sent ones have their pause");
}

/// A full queue is left alone: what it does not take is due in the next round, and goes out when there is room.
#[tokio::test]
async fn nothing_is_hinted_into_a_full_queue() {
    let lost = Lost::new().await;
    let id = lost.submission(1, HOUR_MS, "acme", 600).await;
    let nats = probity_testkit::World::builder().nats().start().await;
    let config = BusConfig::plain(nats.nats_url());
    let bus = Bus::connect(&config, "storage").await.unwrap();
    let queue = |max| Queue::new(bus.clone(), SUBMITTED, max);
    wait_until("the bus", PATIENCE, async || bus.is_connected()).await;
    let waiting = async || {
        let look = queue(1);
        let seen = eventually("a look at the queue", PATIENCE, async || {
            look.measure().await;
            look.measured()
        });
        seen.await.messages
    };
    let mut reconciler = lost.reconciler();
    let sent = reconciler.round().await.unwrap();
    assert_eq!(sent.len(), 3);
    // Looked at before the first: an empty one takes them, up to the next look.
    reconciler.send(&sent, &queue(1)).await;
    assert_eq!(waiting().await, 3);
    lost.world.clock.advance_ms(HOUR_MS);
    for _ in 0..3 {
        let again = reconciler.round().await.unwrap();
        assert_eq!(of(&again, id), 600);
        assert!(again.iter().all(|r| r.hint.round == 2), "none was sent");
        reconciler.send(&again, &queue(3)).await;
        assert_eq!(waiting().await, 3);
    }
    let again = reconciler.round().await.unwrap();
    reconciler.send(&again, &queue(4)).await;
    assert_eq!(waiting().await, 6);
    assert!(reconciler.round().await.unwrap().is_empty(), "sent now");
}

#[tokio::test]
async fn a_flooded_hour_and_tenant_keep_nobody_waiting() {
    let lost = Lost::new().await;
    for seed in 0..70 {
        lost.submission(seed, 3 * HOUR_MS, "flood", 1_000).await;
    }
    let late = lost.submission(500, HOUR_MS, "small", 2).await;
    let mut reconciler = lost.reconciler();
    let redrives = reconciler.round().await.unwrap();
    assert_eq!(
        of(&redrives, late),
        2,
        "the later hour is looked at as well"
    );
    assert!(
        items(&redrives) > 48_000,
        "and nothing is left over: {}",
        items(&redrives)
    );
    let place = |r: &Redrive| r.hint.submission_id == late.to_string();
    assert!(
        redrives.iter().position(place).unwrap() < 2,
        "tenants take turns"
    );
    // The rest follows in the next round, though nothing of the first is deposited.
    lost.world.clock.advance_ms(PERIOD_MS);
    let rest = reconciler.round().await.unwrap();
    assert_eq!(items(&rest), 70_002 - items(&redrives));
}

#[tokio::test]
async fn one_that_does_not_read_holds_up_nobody() {
    let lost = Lost::new().await;
    let poison = lost.submission(1, 3 * HOUR_MS, "a", 1).await;
    let key = submission_key(poison);
    lost.world
        .truth
        .put(&key, b"{}".to_vec().into())
        .await
        .unwrap();
    let later = lost.submission(2, 3 * HOUR_MS, "a", 3).await;
    let mut reconciler = lost.reconciler();
    assert_eq!(of(&reconciler.round().await.unwrap(), later), 3);
    // It is stuck, as the later one that nobody deposits: the hour is over all the same.
    for _ in 0..20 {
        lost.world.clock.advance_ms(HOUR_MS + 1);
        reconciler.round().await.unwrap();
    }
    let mark = lost.store.work.get("log/low-water", 1 << 20).await.unwrap();
    let mark: serde_json::Value = serde_json::from_slice(&mark.unwrap().bytes).unwrap();
    let stuck = [poison.to_string(), later.to_string()];
    assert_eq!(mark["stuck"], serde_json::json!(stuck));
}

#[tokio::test]
async fn a_refused_item_is_held_until_it_is_released() {
    let p = Pipeline::new().await;
    let submission = p.world.submit(5, 4).await;
    let signed = p.sign(&submission).await;
    let poison = number(&submission, 3);
    let error = Error::malformed("it does not fit a log entry");
    let ledger = &p.world.ledger;
    quarantine::refused(ledger, "signing", poison, quarantine::ROUNDS, &error).await;
    // The others go on.
    let others = p.stamp(&signed[..2]);
    for deposited in p.deposit(others).await {
        deposited.leaf.unwrap();
    }
    let reconciler = || {
        let (truth, work) = (p.store.truth.clone(), p.store.work.clone());
        let (log, clock) = (p.deposit.log.clone(), p.world.clock.clone());
        Reconciler::new(truth, work, ledger.clone(), log, clock, 30)
    };
    let mut first = reconciler();
    p.world.clock.advance_ms(31_000);
    for _ in 0..4 {
        assert_eq!(
            first.round().await.unwrap(),
            [],
            "held, so nobody is asked again"
        );
        assert_eq!(first.quarantined(), 1);
        p.world.clock.advance_ms(HOUR_MS);
    }
    // It holds up no hour, but is not forgotten by another process either.
    let mut second = reconciler();
    assert_eq!(
        (second.round().await.unwrap(), second.quarantined()),
        (vec![], 1)
    );
    let scope = AuditScope {
        buckets: p.store.buckets(),
        log_key: probity_pki::tlog::LogVerifier::parse(crate::log::key().verifier_key()).unwrap(),
        roots: p.deposit.roots.clone(),
        clock: p.world.clock.clone(),
        open_s: 0,
        blobs: true,
        receipts: Vec::new(),
    };
    let report = audit(scope).await.unwrap();
    assert!(report.clean, "it is not lost: {}", report.to_text());
    assert_eq!(report.open.quarantined, 1);
    // Released, it is hinted in the next round, and the others are not.
    let work: Arc<MemoryObjects> = p.store.work.clone();
    assert!(
        release(ledger, &*work, poison, "operator:o", "mended")
            .await
            .unwrap()
    );
    let ranges: BTreeMap<u32, u32> = second
        .round()
        .await
        .unwrap()
        .iter()
        .map(|r| (r.hint.first_item, r.hint.last_item))
        .collect();
    assert_eq!(ranges, BTreeMap::from([(3, 3)]));
    assert_eq!(second.quarantined(), 0);
    assert_eq!(work.list("log/retries/", None, 10).await.unwrap(), []);
    assert!(
        !release(ledger, &*work, poison, "operator:o", "mended")
            .await
            .unwrap()
    );
}

/// The clock that accepted them was ahead: nobody is asked before their time has come, and then without delay.
#[tokio::test]
async fn a_submission_of_the_future_is_hinted_when_its_time_has_come() {
    const SOON_MS: i64 = 10 * 60_000;
    let lost = Lost::new().await;
    // The first ones ever, so that the walk begins with them.
    let soon = lost.submission(1, -SOON_MS, "a", 1).await;
    let later = lost.submission(2, -3 * HOUR_MS, "a", 1).await;
    let mut reconciler = lost.reconciler();
    assert_eq!(reconciler.round().await.unwrap(), []);
    let ahead = |reconciler: &Reconciler| reconciler.ahead().iter().copied().collect::<Vec<_>>();
    assert_eq!(ahead(&reconciler), [soon, later]);
    // A clock that is ahead as clocks are, and a right one.
    let ordinary = lost.submission(3, -5_000, "a", 1).await;
    let right = lost.submission(4, 0, "a", 1).await;
    let mut first_hinted = BTreeMap::new();
    for at_ms in (0..4 * HOUR_MS).step_by(5_000) {
        for Redrive { hint, .. } in reconciler.round().await.unwrap() {
            first_hinted
                .entry(hint.submission_id)
                .or_insert((at_ms, hint.round));
        }
        let waiting =
            usize::from(at_ms < SOON_MS - 10_000) + usize::from(at_ms < 3 * HOUR_MS - 10_000);
        assert_eq!(reconciler.ahead().len(), waiting, "{at_ms}");
        lost.world.clock.advance_ms(5_000);
    }
    let expected = [
        (soon, SOON_MS),
        (later, 3 * HOUR_MS),
        (ordinary, 35_000),
        (right, 30_000),
    ];
    let expected = expected.map(|(id, at_ms)| (id.to_string(), (at_ms, 1)));
    assert_eq!(first_hinted, BTreeMap::from(expected));
}
