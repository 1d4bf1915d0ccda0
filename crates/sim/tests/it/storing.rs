//! storage: two processes of it, each with its own log, writer and lease, on one store.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use probity_domain::{EvidenceId, Record, SubmissionId};
use probity_platform::ledger::Ledger;
use probity_platform::stage::Outcome;
use probity_platform::startup::Shutdown;
use probity_platform::{Random, Result};
use probity_proto::subjects::{DEPOSITED, STAMPED, SUBMITTED};
use probity_proto::v1::{Deposited as DepositedHint, DepositedEvidence, EvidenceRecord, Stamped};
use probity_storage::log::{
    AppendLimits, Appender, Appends, Entry, Lease, Log, Verify, Writer, appender,
};
use probity_storage::{Deposit, Deposited, Reconciler, Submissions};
use tokio::time::sleep;

use crate::audit::filler;
use crate::pki::{log_key, log_verifier};
use crate::roles::Role;
use crate::sim::{Doses, Mutation};

const LIMITS: AppendLimits = AppendLimits {
    entries_max: 100,
    age: Duration::from_millis(200),
};
/// Submissions younger than this are left to the bus.
const RECONCILE_AFTER_S: u32 = 30;
const RECONCILE: Duration = Duration::from_secs(30);

/// Different fillers that are appended during a run.
const FILLERS: u32 = 60;

/// As a deposit, but for the fillers, which are nobody's.
struct Judge(Arc<Deposit>);

#[async_trait]
impl Verify for Judge {
    async fn verify(&self, entries: &[Entry]) -> Result<()> {
        let is_real = |entry: &&Entry| *entry != &filler(entry.evidence.item);
        let real: Vec<Entry> = entries.iter().filter(is_real).cloned().collect();
        self.0.verify(&real).await
    }
}

struct Term {
    role: Role,
    deposit: Arc<Deposit>,
    writer: Writer,
    appends: Appends,
}

impl Role {
    /// Stands by until the lease is free, writes while it believes to hold it, stands by again.
    pub async fn storage(self) {
        let buckets = self.store.reached_by(&self.sim, self.who);
        let random: Arc<dyn Random> = self.random.clone();
        let log = Arc::new(Log::new(&buckets, log_verifier()));
        let (appender, appends) = appender(LIMITS);
        let deposit = Arc::new(Deposit::new(
            log.clone(),
            appender,
            Submissions::new(buckets.truth.clone()),
            vec![self.pki.root.clone()].into(),
            self.clock.clone(),
        ));
        let judge = Arc::new(Judge(deposit.clone()));
        // More impatient than any real one: who sees the same value twice takes over, so that both often write at once.
        let mut lease = Lease::new(buckets.work.clone(), random.clone(), Duration::ZERO);
        let mut term = Term {
            writer: Writer::new(log.clone(), log_key(), random).verifying(judge),
            role: self.clone(),
            deposit,
            appends,
        };
        loop {
            if lease.acquire().await.unwrap_or(false) {
                self.sim.note(self.who, "appends from now on");
                tokio::select! {
                    biased;
                    () = renewed(&self, &mut lease) => {}
                    () = term.run() => {}
                }
                self.sim.note(self.who, "appends no longer");
            }
            log.refresh().await.ok();
            self.pause(2, 60).await;
        }
    }

    async fn pause(&self, low_s: u64, high_s: u64) {
        sleep(Duration::from_secs(self.random.between(low_s, high_s))).await;
    }
}

/// Until the lease is known to be lost. The long pauses are what makes it stale.
async fn renewed(role: &Role, lease: &mut Lease) {
    loop {
        role.pause(2, 60).await;
        if !lease.acquire().await.unwrap_or(false) {
            return;
        }
    }
}

impl Term {
    async fn run(&mut self) {
        let Self {
            role,
            deposit,
            writer,
            appends,
        } = self;
        let (role, deposit) = (&*role, &**deposit);
        let never = Shutdown::new();
        let tell = |news: Vec<(EvidenceId, u64)>| role.tell_deposited(news);
        let append = appends.commit_all(writer, LIMITS, &never, tell);
        let handler = |messages: Vec<Stamped>| async move {
            let work = messages.iter().map(|message| async move {
                outcome(match role.sim.has(Mutation::NoDuplicateCheck) {
                    true => deposit_anyway(deposit, message).await,
                    false => role.deposited(deposit, message).await,
                })
            });
            join_all(work).await
        };
        let stage = role.bus.work(role.who, &STAMPED, 4, handler);
        let fill = role.append_fillers(&deposit.appender);
        tokio::join!(append, stage, fill, role.reconcile(deposit.log.clone()));
    }
}

/// As the role's own wiring: done when each record is in the log.
fn outcome(deposited: Vec<Deposited>) -> Outcome {
    let failed = deposited.into_iter().filter_map(|d| d.leaf.err());
    failed.fold(Outcome::Done, |worst, e| match worst {
        Outcome::Retry(_) => worst,
        _ => Outcome::from(Err(e)),
    })
}

impl Role {
    async fn deposited(&self, deposit: &Deposit, message: &Stamped) -> Vec<Deposited> {
        if self.sim.has(Mutation::NothingVerified) {
            let append = message
                .records
                .iter()
                .map(|record| append(deposit, record, None));
            return join_all(append).await;
        }
        deposit.deposit(message).await
    }

    async fn tell_deposited(&self, news: Vec<(EvidenceId, u64)>) {
        let evidence = news.iter().map(|(evidence, leaf_index)| DepositedEvidence {
            evidence_number: evidence.to_string(),
            leaf_index: *leaf_index,
        });
        let hint = DepositedHint {
            evidence: evidence.collect(),
        };
        let random: &dyn Random = &*self.random;
        let id = format!("deposited.{}", hex::encode(random.bytes::<8>()));
        // What is not told is found by whoever looks.
        self.bus.tell(self.who, &DEPOSITED, &id, &hint).await.ok();
    }

    /// While things go wrong, both processes bring entries, often the same: races need somebody to race.
    async fn append_fillers(&self, appender: &Appender) {
        while self.sim.doses() != Doses::default() {
            self.pause(5, 40).await;
            let first = self.random.below(FILLERS.into()) as u32;
            let items = first..first + self.random.between(1, 5) as u32;
            join_all(items.map(|item| appender.append(filler(item)))).await;
        }
    }

    async fn reconcile(&self, log: Arc<Log>) {
        let buckets = self.store.reached_by(&self.sim, self.who);
        let (truth, work) = (buckets.truth, buckets.work);
        let clock = self.clock.clone();
        let ledger = Ledger::new(truth.clone(), clock.clone(), self.random.clone());
        let mut reconciler = Reconciler::new(truth, work, ledger, log, clock, RECONCILE_AFTER_S);
        loop {
            sleep(RECONCILE).await;
            if self.sim.has(Mutation::NoReconciler) {
                continue;
            }
            for redrive in reconciler.round().await.unwrap_or_default() {
                let (id, hint) = (&redrive.message_id, &redrive.hint);
                if self.bus.tell(self.who, &SUBMITTED, id, hint).await.is_err() {
                    break;
                }
            }
        }
    }
}

/// The mutation: each record gets a number of its own in the writer's eyes, so nothing is ever there already.
async fn deposit_anyway(deposit: &Deposit, message: &Stamped) -> Vec<Deposited> {
    let now = deposit.clock.now();
    let mut deposited = Vec::new();
    for (record, place) in message.records.iter().zip(0..) {
        let seen_as = EvidenceId {
            submission: SubmissionId::new(now, deposit_nonce(record)),
            item: place,
        };
        deposited.push(append(deposit, record, Some(seen_as)).await);
    }
    deposited
}

fn deposit_nonce(record: &EvidenceRecord) -> [u8; 10] {
    let digest = probity_pki::digest::HashAlgorithm::Sha256.digest(&record.signature);
    digest[..10].try_into().unwrap()
}

async fn append(
    deposit: &Deposit,
    record: &EvidenceRecord,
    seen_as: Option<EvidenceId>,
) -> Deposited {
    let append = async || -> Result<u64> {
        let evidence = EvidenceId::parse(&record.evidence_number)?;
        let mut entry = Entry::of(&Record {
            evidence,
            statement: record.statement.to_vec(),
            manifest: record.manifest.to_vec(),
            signature: record.signature.to_vec(),
        })?;
        entry.evidence = seen_as.unwrap_or(evidence);
        let appender: &Appender = &deposit.appender;
        appender.append(entry).await
    };
    Deposited {
        evidence_number: record.evidence_number.clone(),
        leaf: append().await,
    }
}
