//! The fault laboratory: a vendor submits at a planned rate through the real edge of a platform of real processes, while one
//! kind of fault is injected; then everything that was accepted is sought in the store.
//!
//! `infra/chaos.sh` prepares the folder, runs this once for each fault, and keeps the reports. Nothing is restarted by hand: what
//! ends is started again by a supervisor, as an orchestrator would, and the report counts it.

mod audit;
mod faults;
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

use self::audit::{Audit, Given};
use self::faults::{FAULTS, Fault, inject};
use self::latency::{Compared, compare};
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
    let vendor = stack.vendor(&stack.enrolled.secret)?;
    let receipts = stack.path("receipts.jsonl");
    let submitter = Submitter::new(vendor, stack.path("codes"), rate, &receipts)?;
    let submitter = Arc::new(submitter);
    let submitting = spawn_local(submitter.clone().run());
    let lab = Lab {
        restarts_before: restarts(&stack),
        progress: Progress::start(stack.url("log")?, submitter.tally.clone()),
        stack,
        submitter,
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
    let mut given = std::mem::take(&mut lab.notes().others);
    given.push(Given {
        vendor: lab.submitter.vendor(),
        case: rate.case(),
        receipts,
    });
    let audit = audit::audit(&lab.stack, &given, lab.progress.deposited()).await?;
    Ok(conclude(&lab, fault, audit, last_fault, began))
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

fn restarts(stack: &Stack) -> Restarts {
    let counted = stack.processes().map(|process| {
        let times = (process.restarts(), process.ended_by_itself());
        (process.name().to_owned(), times)
    });
    counted.collect()
}

fn conclude(lab: &Lab, fault: &Fault, audit: Audit, last_fault: Instant, began: Instant) -> Report {
    let tally = &lab.submitter.tally;
    let mut figures = lab.notes().figures.clone();
    figures.extend(compared(lab, &audit));
    let mut injected = lab.notes().injected.clone();
    for (what, times) in lab.stack.store.injected() {
        injected.insert(format!("store: {what}"), times);
    }
    let replaced = lab.notes().replaced.clone();
    let mut broken = lab.notes().broken.clone();
    broken.extend(audit.broken(&replaced));
    let restarts = restarts(&lab.stack);
    let counts = |count: fn((u32, u32)) -> u32| {
        let counted = restarts.iter().map(|(name, times)| {
            let before = lab.restarts_before.get(name).copied().unwrap_or_default();
            (name.clone(), count(*times).saturating_sub(count(before)))
        });
        counted.filter(|(_, times)| *times > 0).collect()
    };
    Report {
        fault: fault.name.to_owned(),
        what: fault.what.to_owned(),
        dose: lab.dose,
        dose_full: fault.dose_full,
        unit: fault.unit.to_owned(),
        captures_planned: tally.planned(),
        captures_accepted: tally.accepted(),
        planned_per_second: lab.rate.per_second,
        capture_bytes: lab.rate.size_bytes,
        seconds: began.elapsed().as_secs_f64(),
        injected,
        client_errors: tally.errors(),
        recovery: lab.progress.recovery(last_fault),
        restarts: counts(|(all, _)| all),
        ended_by_itself: counts(|(_, of_its_own)| of_its_own),
        figures,
        audit,
        passed: broken.is_empty(),
        broken,
    }
}

/// What the vendor met before and during a fault that is about others, where it was noted when that was.
fn compared(lab: &Lab, audit: &Audit) -> BTreeMap<String, f64> {
    let Some(compared) = lab.notes().compared else {
        return BTreeMap::new();
    };
    let batches = lab.submitter.tally.batches();
    let mut figures = compare(&compared, &batches, "accepted", |batch| {
        Some(batch.accepted)
    });
    figures.extend(compare(&compared, &batches, "deposited", |batch| {
        let places = batch.numbers.iter().map(|number| audit.places.get(number));
        let last = places.max()??;
        lab.progress.reached_at(last + 1)
    }));
    figures
}
