//! One run's frame: its seed, how often what goes wrong, which defect is let in, and the history it leaves.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use crate::chance::Chance;

/// Defects let in on purpose: a simulation that cannot find them proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutation {
    /// The store swaps whatever version the caller had read.
    SwapIgnoresVersion,
    /// The store lets what is written once be written again.
    CreateOverwrites,
    /// A deposit does not look whether the number is in the log already.
    NoDuplicateCheck,
    /// Nobody looks for what got lost.
    NoReconciler,
    /// The store acknowledges submissions, and now and then one is not there.
    AcknowledgedNotDurable,
    /// The time-stamping unit does not see its clock being moved.
    BlindToClockJumps,
    /// Signing and time-stamping do not ask whether a submission lies in the future.
    NothingEarly,
    /// A deposit believes what came over the bus.
    NothingVerified,
}

/// How often, in a thousand, what goes wrong. Drawn anew for each seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Doses {
    /// 409 for ever, 503: nothing done.
    pub refused: u64,
    /// No answer in time, nothing done.
    pub stalled: u64,
    /// Done, and the answer lost.
    pub answer_lost: u64,
    /// Listings lack what is younger than five seconds.
    pub lists_lag: bool,
    pub tell_refused: u64,
    pub tell_lost: u64,
    pub doubled: u64,
    pub delayed: u64,
    /// Work that was done is handed out again.
    pub again: u64,
    /// Death at a step.
    pub crash: u64,
    /// A stage's function panics.
    pub panics: u64,
}

impl Doses {
    pub fn of(seed: u64) -> Self {
        let chance = Chance::new(seed, "doses");
        let upto = |most: u64| chance.below(most + 1);
        Self {
            refused: upto(50),
            stalled: upto(10),
            answer_lost: upto(100),
            lists_lag: chance.per_mille(500),
            tell_refused: upto(50),
            tell_lost: upto(100),
            doubled: upto(200),
            delayed: upto(200),
            again: upto(100),
            crash: upto(4),
            panics: upto(300),
        }
    }
}

pub struct Sim {
    pub mutation: Option<Mutation>,
    /// Draws what goes wrong and who goes next.
    pub chance: Chance,
    start: Instant,
    faults: AtomicBool,
    doses: Doses,
    history: Mutex<Vec<String>>,
    violations: Mutex<Vec<String>>,
    /// What stands under each key of `truth`, and since when.
    standing: Mutex<BTreeMap<String, (String, Instant)>>,
}

impl Sim {
    pub fn new(seed: u64, mutation: Option<Mutation>) -> Arc<Self> {
        Arc::new(Self {
            mutation,
            chance: Chance::new(seed, "faults"),
            start: Instant::now(),
            faults: AtomicBool::new(false),
            doses: Doses::of(seed),
            history: Mutex::default(),
            violations: Mutex::default(),
            standing: Mutex::default(),
        })
    }

    pub fn has(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    /// From now on things go wrong, or no more.
    pub fn set_faults(&self, on: bool) {
        self.faults.store(on, Ordering::SeqCst);
        self.note("sim", if on { "faults begin" } else { "faults end" });
    }

    pub fn doses(&self) -> Doses {
        match self.faults.load(Ordering::SeqCst) {
            true => self.doses,
            false => Doses::default(),
        }
    }

    /// Writes a line of history.
    pub fn note(&self, who: &str, what: &str) {
        let at = self.start.elapsed().as_millis();
        locked(&self.history).push(format!("{at:>9} {who:<9} {what}"));
    }

    pub fn history(&self) -> Vec<String> {
        locked(&self.history).clone()
    }

    /// A promise was broken. The run goes on to its end, so that the history shows what came of it.
    pub fn violate(&self, what: String) {
        self.note("sim", &format!("BROKEN {what}"));
        locked(&self.violations).push(what);
    }

    pub fn violations(&self) -> Vec<String> {
        locked(&self.violations).clone()
    }

    /// What now stands under a key of `truth`: never anything else than before.
    pub fn stands(&self, key: &str, bytes: &[u8]) {
        let digest = short_digest(bytes);
        let mut standing = locked(&self.standing);
        let first = (digest.clone(), Instant::now());
        let (known, _) = standing.entry(key.to_owned()).or_insert(first);
        let same = *known == digest;
        drop(standing);
        if !same {
            self.violate(format!("{key} has a second version"));
        }
    }

    /// When a key of `truth` was first written.
    pub fn stands_since(&self, key: &str) -> Option<Instant> {
        locked(&self.standing).get(key).map(|(_, since)| *since)
    }
}

pub fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Enough of a digest to tell bytes apart in a history.
pub fn short_digest(bytes: &[u8]) -> String {
    hex::encode(&Sha256::digest(bytes)[..8])
}

/// Lets others go first, or the process die: every way to a server and back has one.
pub fn step() -> impl Future<Output = ()> {
    Step(false)
}

struct Step(bool);

impl Future for Step {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.0 {
            return Poll::Ready(());
        }
        self.0 = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
