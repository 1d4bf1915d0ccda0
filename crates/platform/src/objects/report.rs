//! What an operator files before evidence is put into a store: everything that was asked of it and how it answered.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;

use super::probe::probe_kept;
use super::{Keeping, LockMode, ProbeReport, ProbeSize, S3Config, probe};
use crate::{Clock, Error, ErrorKind, Random, Result};

/// Whether evidence may be put there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Fit,
    /// A condition did not hold, or the buckets keep less than the configuration asks for.
    Unfit,
    /// The store did not answer.
    Undecided,
}

/// One examination of a store.
#[derive(Debug, Clone, Serialize)]
pub struct StoreReport {
    pub verdict: Verdict,
    /// Why it is not `fit`.
    pub reason: Option<String>,
    /// RFC 3339.
    pub at: String,
    pub endpoints: Vec<String>,
    pub truth_bucket: String,
    pub work_bucket: String,
    pub truth_keeps: Option<Keeping>,
    pub lock_asked_for: LockMode,
    pub work_races: Option<ProbeReport>,
    /// Create-only races with one winner in `truth`; an object of each stays there under `probe/`.
    pub truth_create_rounds: usize,
    /// The same for completing uploads.
    pub truth_upload_rounds: usize,
    pub seconds: f64,
}

/// Asks the buckets how they keep, and races writers through every endpoint.
///
/// # Errors
/// `Malformed` for a wrong configuration; whatever the store answers is in the report.
pub async fn examine_store(
    config: &S3Config,
    random: Arc<dyn Random>,
    clock: &dyn Clock,
    size: ProbeSize,
) -> Result<StoreReport> {
    let begun = Instant::now();
    let doors = config.open_each(&random)?;
    let mut report = StoreReport {
        verdict: Verdict::Fit,
        reason: None,
        at: clock.now().to_rfc3339(),
        endpoints: config.doors().into_iter().map(str::to_owned).collect(),
        truth_bucket: config.truth_bucket.clone(),
        work_bucket: config.work_bucket.clone(),
        truth_keeps: None,
        lock_asked_for: config.lock.mode,
        work_races: None,
        truth_create_rounds: 0,
        truth_upload_rounds: 0,
        seconds: 0.0,
    };
    let truths: Vec<_> = doors.iter().map(|b| b.truth.clone()).collect();
    let works: Vec<_> = doors.iter().map(|b| b.work.clone()).collect();
    let examined = async {
        for truth in &truths {
            let keeping = truth.keeping().await?;
            report.truth_keeps = Some(keeping);
            let bucket = &config.truth_bucket;
            keeping.suits(bucket, config.versions_demanded, &config.lock)?;
        }
        report.work_races = Some(probe(&works, &*random, size).await?);
        let kept = probe_kept(&truths, &*random, size).await?;
        report.truth_create_rounds = kept.create_rounds;
        report.truth_upload_rounds = kept.upload_rounds;
        Ok::<_, Error>(())
    };
    if let Err(e) = examined.await {
        report.verdict = match e.kind {
            ErrorKind::Conflict | ErrorKind::Internal => Verdict::Unfit,
            _ => Verdict::Undecided,
        };
        report.reason = Some(e.detail);
    }
    report.seconds = begun.elapsed().as_secs_f64();
    Ok(report)
}

impl fmt::Display for StoreReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Fit => "FIT for evidence",
            Verdict::Unfit => "UNFIT for evidence",
            Verdict::Undecided => "UNDECIDED: the store did not answer in time",
        };
        writeln!(f, "verdict        {verdict}")?;
        if let Some(reason) = &self.reason {
            writeln!(f, "reason         {reason}")?;
        }
        writeln!(f, "examined       {}, {:.1} s", self.at, self.seconds)?;
        writeln!(f, "endpoints      {}", self.endpoints.join(", "))?;
        let (truth, work) = (&self.truth_bucket, &self.work_bucket);
        writeln!(f, "buckets        truth {truth}, work {work}")?;
        if let Some(keeps) = self.truth_keeps {
            let yes = |b| if b { "yes" } else { "no" };
            let (versions, lock) = (yes(keeps.versions), yes(keeps.object_lock));
            writeln!(f, "truth          versions {versions}, object lock {lock}")?;
            let (mode, days) = (keeps.default_mode, keeps.default_days);
            writeln!(f, "default        {mode}, {days} days")?;
        }
        writeln!(f, "lock asked for {}", self.lock_asked_for)?;
        if let Some(races) = &self.work_races {
            writeln!(
                f,
                "races          {} writers through {} endpoints: {} creates, {} swaps, {} uploads, one winner each",
                races.writers,
                races.doors,
                races.create_rounds,
                races.swap_rounds,
                races.upload_rounds
            )?;
        }
        let (creates, uploads) = (self.truth_create_rounds, self.truth_upload_rounds);
        write!(
            f,
            "races in truth {creates} creates, {uploads} uploads, one winner each"
        )
    }
}
