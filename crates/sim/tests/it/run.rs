//! One run: a world, a time of faults, a time of peace, and the audit.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use probity_platform::objects::Objects as _;
use probity_storage::log::{Log, Writer};

use crate::audit::{audit, filler, is_finished};
use crate::bus::Bus;
use crate::chance::Chance;
use crate::clock::WallClock;
use crate::nemesis::Nemesis;
use crate::pki::{EPOCH, Pki, log_key, log_verifier};
use crate::processes::Processes;
use crate::roles::Role;
use crate::sim::{Mutation, Sim};
use crate::store::{ROTTEN, Store};
use crate::vendors::{Receipts, Vendor, plan};

/// The same certificates for all runs: making them is not what is simulated.
pub static PKI: LazyLock<Arc<Pki>> = LazyLock::new(|| Arc::new(Pki::new()));

const VENDORS: [&str; 2] = ["vendor-1", "vendor-2"];
const STORAGES: [&str; 2] = ["storage-1", "storage-2"];
/// How long things go wrong, in seconds.
const FAULTS_S: (u64, u64) = (150, 600);
/// Peace comes in pieces, until everything accepted is in the log, up to this many: the reconciler's patience with a
/// submission that has often failed is an hour.
const PEACE: Duration = Duration::from_secs(120);
const PEACES_MAX: usize = 90;

/// What is left of a run.
pub struct Left {
    pub seed: u64,
    pub history: Vec<String>,
    pub violations: Vec<String>,
    pub accepted: usize,
}

/// Runs a seed.
pub fn run(seed: u64, mutation: Option<Mutation>) -> Left {
    paused(live(seed, mutation, true)).0
}

/// Runs a seed in which nothing goes wrong; answers the store it leaves.
pub fn run_peacefully(seed: u64) -> Store {
    let (left, store) = paused(live(seed, None, false));
    assert_eq!(left.violations, [""; 0]);
    store
}

/// Runs on a runtime of its own, whose time is paused: nothing outside has a say.
pub fn paused<T>(lives: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .max_blocking_threads(1)
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(Box::pin(lives))
}

async fn live(seed: u64, mutation: Option<Mutation>, faults: bool) -> (Left, Store) {
    let sim = Sim::new(seed, mutation);
    // Runs begin anywhere within an hour: hours close.
    let clock = WallClock::new(EPOCH.plus_ms(sim.chance.below(3_600_000) as i64));
    let store = Store::new();
    let bus = Bus::new(&sim);
    let receipts = Receipts::default();
    fill(seed, &store).await;
    let planned = plan(seed, &store, &clock).await;

    let mut processes = Processes::new(&sim);
    let mut clocks = Vec::new();
    for who in VENDORS {
        let vendor = Arc::new(Vendor {
            who,
            sim: sim.clone(),
            store: store.clone(),
            bus: bus.clone(),
            clock: clock.another(),
            random: Arc::new(Chance::new(seed, who)),
            planned: planned.clone(),
            receipts: receipts.clone(),
        });
        clocks.push((who, vendor.clock.clone()));
        processes.add(who, move || Box::pin(vendor.clone().live()));
    }
    let role = |who| Role {
        who,
        sim: sim.clone(),
        store: store.clone(),
        bus: bus.clone(),
        clock: clock.another(),
        random: Arc::new(Chance::new(seed, who)),
        pki: PKI.clone(),
    };
    let (signing, timestamping, court) = (role("signing"), role("stamping"), role("court"));
    clocks.push((signing.who, signing.clock.clone()));
    clocks.push((timestamping.who, timestamping.clock.clone()));
    // Issuance signs on the thread for blocking work.
    processes.add_threaded(signing.who, move || Box::pin(signing.clone().signing()));
    processes.add(timestamping.who, move || {
        Box::pin(timestamping.clone().timestamping())
    });
    processes.add(court.who, move || Box::pin(court.clone().court()));
    for storage in STORAGES.map(role) {
        clocks.push((storage.who, storage.clock.clone()));
        processes.add_threaded(storage.who, move || Box::pin(storage.clone().storage()));
    }
    let nemesis = Arc::new(Nemesis {
        sim: sim.clone(),
        store: store.clone(),
        bus: bus.clone(),
        orders: processes.orders.clone(),
        processes: clocks.iter().map(|(who, _)| *who).collect(),
        clocks,
        storages: STORAGES,
        chance: Chance::new(seed, "nemesis"),
    });
    {
        let nemesis = nemesis.clone();
        processes.add("nemesis", move || Box::pin(nemesis.clone().live()));
    }

    if faults {
        store.truth.put(&ROTTEN, "rot".into()).await.unwrap();
        sim.set_faults(true);
        nemesis.set_an_intake_ahead(&Chance::new(seed, "intake ahead"), &VENDORS);
        let (low, high) = FAULTS_S;
        let length = Duration::from_secs(sim.chance.between(low, high));
        processes.run(length).await;
        sim.set_faults(false);
        nemesis.set_clocks_right();
    }
    for _ in 0..PEACES_MAX {
        processes.run(PEACE).await;
        let all = receipts.keys() == planned.len();
        if all && bus.is_empty() && is_finished(&store).await {
            break;
        }
    }
    drop(processes);
    if receipts.keys() != planned.len() {
        sim.violate("an instruction was never accepted".to_owned());
    }
    audit(&sim, &store, &receipts, &PKI).await;
    let left = Left {
        seed,
        history: sim.history(),
        violations: sim.violations(),
        accepted: receipts.all().len(),
    };
    (left, store)
}

/// What stands in the log from earlier days, so that some runs fill a bundle.
async fn fill(seed: u64, store: &Store) {
    let chance = Arc::new(Chance::new(seed, "fill"));
    let count = *chance.one_of(&[0, 0, 0, 3, 240, 253]);
    let entries: Vec<_> = (100..100 + count).map(filler).collect();
    if entries.is_empty() {
        return;
    }
    let log = Arc::new(Log::new(&store.buckets(), log_verifier()));
    let mut writer = Writer::new(log, log_key(), chance);
    writer.commit(&entries).await.unwrap();
}
