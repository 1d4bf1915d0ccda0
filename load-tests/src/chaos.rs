//! The fault laboratory: a vendor submits at a planned rate through the real edge of a platform of real processes, while one
//! kind of fault is injected; then everything that was accepted is sought in the store.
//!
//! `infra/chaos.sh` prepares the folder, runs this once for each fault, and keeps the reports. Nothing is restarted by hand: what
//! ends is started again by a supervisor, as an orchestrator would, and the report counts it.

mod audit;
mod calls;
mod conclude;
mod courts;
mod faults;
mod gate;
mod latency;
mod load;
mod process;
mod progress;
mod report;
mod stack;
mod store_faults;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::Args;
use probity_platform::{Random, SystemRandom};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{sleep, timeout};

use self::audit::Given;
use self::calls::Alone;
use self::conclude::{conclude, restarts};
use self::courts::{Courts, Deliveries};
use self::faults::{FAULTS, Fault, inject};
use self::latency::Compared;
use self::load::{Rate, Submitter};
use self::progress::Progress;
use self::report::Report;
use self::stack::{SetUp, Stack};
use crate::Failure;

#[derive(Args)]
pub struct ChaosArgs {
    /// `wipe`, `F1` and so on; `list` prints them.
    fault: String,
    /// Folder that `stack_prepare` of infra/stack.sh filled.
    #[arg(long)]
    dir: PathBuf,
    /// Folder of the executables.
    #[arg(long)]
    programs: PathBuf,
    /// Folder with the `probityd` of another build, which F18 changes to and from.
    #[arg(long)]
    old_programs: Option<PathBuf>,
    /// How much of the fault; a short run's when absent.
    #[arg(long)]
    dose: Option<u32>,
    /// The dose of the table of promises.
    #[arg(long, conflicts_with = "dose")]
    full: bool,
    /// Captures at least; more while the fault lasts.
    #[arg(long, default_value_t = 300)]
    count: u64,
    /// Captures per second; what the fault is planned for when absent, mostly 15.
    #[arg(long)]
    rate: Option<f64>,
    /// Captures in one instruction; what the fault is planned for when absent, mostly 15.
    #[arg(long)]
    batch_size: Option<u64>,
    #[arg(long, default_value_t = 2_048)]
    size_bytes: usize,
    /// How long everything may take after the last fault, beside four times what the captures take at the planned rate; then
    /// what is open counts as lost.
    #[arg(long, default_value_t = 900)]
    settle_s: u64,
    /// Gets the whole report.
    #[arg(long)]
    report: PathBuf,
    /// Gets one row more.
    #[arg(long)]
    table: PathBuf,
}

/// What a fault works with.
pub struct Lab {
    stack: Stack,
    progress: Progress,
    submitter: Arc<Submitter>,
    courts: Option<Courts>,
    rate: Rate,
    dose: u32,
    set_up: SetUp,
    /// Restarts before the first fault: of processes that a busy machine did not bring up at once.
    restarts_before: Restarts,
    notes: Mutex<Notes>,
}

/// Restarts of each process, and how many of them were of its own.
type Restarts = BTreeMap<String, (u32, u32)>;

#[derive(Default)]
struct Notes {
    injected: BTreeMap<String, u64>,
    broken: Vec<String>,
    replaced: Vec<String>,
    figures: BTreeMap<String, f64>,
    /// What vendors beside the first were given.
    others: Vec<Given>,
    compared: Option<Compared>,
    alone: Option<Alone>,
}

impl Lab {
    /// Says and counts what was done.
    fn did(&self, what: &str) {
        eprintln!("chaos: {what}");
        self.count(what);
    }

    fn count(&self, what: &str) {
        *self.notes().injected.entry(what.to_owned()).or_default() += 1;
    }

    /// Notes what went against a promise.
    fn broken(&self, what: String) {
        self.notes().broken.push(what);
    }

    /// Notes a key whose object is no longer what was submitted.
    fn replaced(&self, key: String) {
        self.notes().replaced.push(key);
    }

    /// Notes what was measured; of several under one name the largest.
    fn measured(&self, name: &str, value: f64) {
        let mut notes = self.notes();
        let figure = notes.figures.entry(name.to_owned()).or_insert(value);
        *figure = figure.max(value);
    }

    fn notes(&self) -> std::sync::MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits some seconds out of a range.
    async fn pause(&self, seconds: RangeInclusive<u64>) {
        let width = usize::try_from(seconds.end() - seconds.start() + 1).unwrap_or(1);
        let seconds = seconds.start() + self.below(width) as u64;
        sleep(Duration::from_secs(seconds)).await;
    }

    /// A random number below `bound`; 0 if that is 0.
    fn below(&self, bound: usize) -> usize {
        let random: &dyn Random = &SystemRandom;
        let number = u64::from_be_bytes(random.bytes::<8>());
        usize::try_from(number % (bound as u64).max(1)).unwrap_or(0)
    }

    fn any<T: Copy>(&self, of: &[T]) -> Result<T, Failure> {
        let found = of.get(self.below(of.len())).copied();
        found.ok_or_else(|| Failure::new("nothing to choose from"))
    }
}

/// Runs one fault; fails when a promise did not hold, after the report was written.
pub async fn run(args: ChaosArgs) -> Result<serde_json::Value, Failure> {
    let known = FAULTS.iter().find(|fault| fault.name == args.fault);
    let fault = known.ok_or_else(|| {
        let names: Vec<_> = FAULTS.iter().map(|fault| fault.name).collect();
        Failure::new(format!(
            "no fault {:?}; there are {}",
            args.fault,
            names.join(" ")
        ))
    })?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::new)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::new)?;
    let local = LocalSet::new();
    // Whatever ends first: what was started is killed when the run is dropped.
    let report = tokio::select! {
        report = Box::pin(local.run_until(experiment(fault, &args))) => report?,
        _ = interrupt.recv() => return Err(Failure::new("interrupted")),
        _ = terminate.recv() => return Err(Failure::new("terminated")),
    };
    report.write(&args.report, &args.table)?;
    if report.passed {
        return Ok(serde_json::Value::String(report.row()));
    }
    Err(Failure::new(format!(
        "{}: {}",
        fault.name,
        report.broken.join("; ")
    )))
}

async fn experiment(fault: &Fault, args: &ChaosArgs) -> Result<Report, Failure> {
    let began = Instant::now();
    let set_up = &fault.set_up;
    let old_programs = args.old_programs.as_deref().filter(|_| set_up.upgrade);
    let stack = Stack::start(&args.dir, &args.programs, old_programs, set_up).await?;
    eprintln!(
        "chaos: platform ready after {:.0} s",
        began.elapsed().as_secs_f64()
    );
    let random: &dyn Random = &SystemRandom;
    let rate = Rate {
        count: args.count,
        per_second: args.rate.unwrap_or(set_up.per_second),
        batch_size: args.batch_size.unwrap_or(set_up.batch_size),
        size_bytes: args.size_bytes,
        seed: u64::from(u32::from_be_bytes(random.bytes::<4>())),
    };
    let mut vendor = stack.vendor(&stack.enrolled.secret)?;
    if set_up.asks_once {
        vendor = vendor.asking_once();
    }
    let receipts = stack.path("receipts.jsonl");
    let submitter = Submitter::new(vendor, stack.path("codes"), rate, &receipts)?;
    let submitter = Arc::new(submitter);
    let mut courts = None;
    if set_up.courts {
        courts = Some(Courts::start(&stack, submitter.clone(), rate.count).await?);
    }
    let submitting = spawn_local(submitter.clone().run());
    let mut lab = Lab {
        restarts_before: restarts(&stack),
        progress: Progress::start(stack.url("log")?, submitter.tally.clone()),
        stack,
        submitter,
        courts,
        rate,
        dose: match args.dose {
            Some(dose) => dose,
            None if args.full => fault.dose_full,
            None => fault.dose,
        },
        set_up: set_up.clone(),
        notes: Mutex::default(),
    };
    let slow = Duration::from_secs_f64(4.0 * rate.count as f64 / rate.per_second);
    let settle = slow + Duration::from_secs(args.settle_s);
    let last_fault = inject_and_settle(&lab, fault, submitting, settle).await?;
    let deliveries = courts_receipts(&mut lab, last_fault, last_fault + settle).await?;
    let mut given = std::mem::take(&mut lab.notes().others);
    given.push(Given {
        vendor: lab.submitter.vendor(),
        case: rate.case(),
        receipts,
    });
    let audit = audit::audit(&lab.stack, &given, lab.progress.deposited()).await?;
    Ok(conclude(&lab, fault, audit, deliveries, last_fault, began))
}

/// Injects while the vendor submits, then waits at most `settle` until all that was accepted is deposited; answers when the
/// last fault ended.
async fn inject_and_settle(
    lab: &Lab,
    fault: &Fault,
    submitting: tokio::task::JoinHandle<Result<(), Failure>>,
    settle: Duration,
) -> Result<Instant, Failure> {
    let tally = &lab.submitter.tally;
    // Something is on its way in every stage before the first fault.
    lab.progress.reaches(1, settle).await?;
    // No unit of any fault takes longer, on a machine that does nothing else.
    let faults = settle + Duration::from_secs(90 * u64::from(lab.dose));
    match timeout(faults, inject(lab, fault.name)).await {
        Ok(injected) => injected?,
        Err(_) => lab.broken("the faults did not come to their end in time".to_owned()),
    }
    let last_fault = Instant::now();
    eprintln!("chaos: the last fault is over; waiting for the rest");
    lab.stack.store.calm();
    tally.enough();
    let stop = submitting.abort_handle();
    let bound = last_fault + settle;
    let left = bound.saturating_duration_since(Instant::now());
    match timeout(left, submitting).await {
        Ok(done) => done.map_err(Failure::new)??,
        Err(_) => {
            stop.abort();
            lab.broken("not everything was accepted in time".to_owned());
        }
    }
    let left = bound.saturating_duration_since(Instant::now());
    if let Err(e) = lab.progress.reaches(tally.accepted(), left).await {
        lab.broken(e.to_string());
    }
    // One more sample, so that an entry too many is seen.
    sleep(Duration::from_secs(2)).await;
    Ok(last_fault)
}

/// Waits at most until `bound` for the courts' receipts; answers what became of the orders.
async fn courts_receipts(
    lab: &mut Lab,
    last_fault: Instant,
    bound: Instant,
) -> Result<Option<Deliveries>, Failure> {
    let Some(courts) = lab.courts.as_mut() else {
        return Ok(None);
    };
    eprintln!("chaos: waiting for the courts' receipts");
    let receipted = courts.settle(&lab.submitter, bound).await?;
    courts.that_pulls.program.stop().await?;
    let mut found = courts.examine(&lab.stack).await?;
    found.all_receipted_s = receipted.map(|at| at.duration_since(last_fault).as_secs_f64());
    if receipted.is_none() {
        lab.broken("not everything was ordered and receipted in time".to_owned());
    }
    Ok(Some(found))
}
