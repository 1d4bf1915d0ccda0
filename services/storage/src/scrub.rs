//! The scrubber: reads everything in `truth` again, lap after lap, and says what is not as it was written.
//!
//! | area | what is compared |
//! |---|---|
//! | `blobs` | bytes with the SHA3-256 they are named by; those a submission names must be there |
//! | `log` | bundles with their hash tiles, tiles with the signed root, index tiles with the bundles |
//! | `kept` | all else (ledger, submissions, segments, checkpoints, …) with the SHA-256 the lap before wrote down |
//! | `versions` | every key has one version, where the store keeps versions |
//! | `copies` | what the replica holds with what is here, where one is configured |
//!
//! What has no digest in its name is believed when a lap meets it first, if it reads as what it says it is: from then on
//! the *baseline* in `truth` holds its digest, and every page of the baseline the digest of the page before.
//!
//! A finding is an event in the ledger, a line in the error log and a count in `/metrics`, once for each thing found. It
//! is repaired from a replica, or from the log itself where it follows from it, only with bytes of the right digest, and
//! never over anything that would be lost by it.

mod baseline;
mod blobs;
mod check;
mod copies;
mod finding;
mod kept;
mod pace;
mod position;
mod register;
mod report;
mod run;
mod versions;

use std::collections::BTreeMap;
use std::sync::Arc;

use probity_domain::Timestamp;
use probity_platform::ledger::Ledger;
use probity_platform::objects::{Buckets, Keeping, Objects};
use probity_platform::{Clock, Error, Random, Result};

use crate::custody::Custody;
use crate::insistent::Insistent;
use crate::log::Log;
use position::{AREAS, COPIES, Position};

pub(crate) use copies::copy_of;
pub use finding::{Finding, What};
pub(crate) use finding::{accounted, findings, is_open};
pub use pace::ScrubConfig;
pub(crate) use report::newest_report;
pub use report::{AreaCount, LapReport};
pub use run::{Measures, scrub_once, serve};
pub(crate) use versions::{several, unaccounted, versions_of};

/// What it takes to read `truth` again.
pub struct Scrubber {
    truth: Arc<dyn Objects>,
    work: Arc<dyn Objects>,
    /// Another bucket with the same keys, at another site.
    replica: Option<Arc<dyn Objects>>,
    log: Log,
    ledger: Ledger,
    /// What is written again has to be held again.
    custody: Custody,
    clock: Arc<dyn Clock>,
}

impl Scrubber {
    #[must_use]
    pub fn new(
        buckets: &Buckets,
        replica: Option<Arc<dyn Objects>>,
        log: &Log,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Self {
        let truth = Insistent::around(buckets.truth.clone());
        let work = buckets.work.clone();
        Self {
            log: log.through(&Buckets {
                truth: truth.clone(),
                work: work.clone(),
            }),
            ledger: Ledger::new(truth.clone(), clock.clone(), random.clone()),
            custody: Custody::new(buckets, clock.clone(), random),
            replica: replica.map(Insistent::around),
            truth,
            work,
            clock,
        }
    }

    /// A whole lap, as fast as the store gives.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn lap(&self) -> Result<LapReport> {
        let mut position = self.begin().await?;
        while !position.is_done() {
            match self.step(&mut position).await {
                Err(e) if position.is_in(COPIES) => {
                    self.leave_copies(&mut position, &e.detail).await?;
                }
                stepped => drop(stepped?),
            }
        }
        self.end(&position).await
    }

    /// Begins a lap: finds the baseline of the lap before and checks that it hangs together.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn begin(&self) -> Result<Position> {
        let mut position = Position::new(self.clock.now());
        position.keeping = self.truth.keeping().await?;
        position.log_size = self.newest_believable(&mut position).await?;
        let (newest, unread) = newest_report(&*self.truth).await?;
        for (key, reason) in unread {
            self.found(&mut position, &key, (What::Wrong, reason), None)
                .await?;
        }
        if let Some(before) = newest.map(|report| report.baseline) {
            self.check_baseline(&before, &mut position).await?;
            position.baseline.previous = Some(before);
        }
        Ok(position)
    }

    /// Reads a bounded number of objects and moves on. Answers the bytes that were read.
    ///
    /// # Errors
    /// Those of the store; then the same step is to be done again.
    pub(crate) async fn step(&self, position: &mut Position) -> Result<u64> {
        let before = position.bytes();
        match AREAS.get(position.area) {
            Some(&"blobs") => self.step_blobs(position).await?,
            Some(&"log") => self.step_log(position).await?,
            Some(&"kept") => self.step_kept(position).await?,
            Some(&"versions") => self.step_versions(position).await?,
            _ => self.step_copies(position).await?,
        }
        Ok(position.bytes() - before)
    }

    /// Writes down what the lap came to.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn end(&self, position: &Position) -> Result<LapReport> {
        self.close_findings(position).await?;
        let report = LapReport::of(position, self.clock.now(), self.replica.is_some());
        let json = serde_json::to_vec(&report).map_err(Error::internal)?;
        let key = report::lap_key(&position.lap);
        self.truth.create(&key, json.into()).await?;
        Ok(report)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use probity_pki::tlog::{LogKey, LogVerifier};
    use probity_platform::objects::MemoryObjects;
    use probity_platform::{SystemClock, SystemRandom};

    use super::*;

    fn scrubber(buckets: &Buckets) -> Scrubber {
        scrubber_at(buckets, Arc::new(SystemClock))
    }

    pub(super) fn scrubber_at(buckets: &Buckets, clock: Arc<dyn Clock>) -> Scrubber {
        let key = LogKey::generate("log.example/1", &[7; 32]).unwrap();
        let verifier = LogVerifier::parse(key.verifier_key()).unwrap();
        let random = Arc::new(SystemRandom);
        let log = Log::new(buckets, verifier);
        Scrubber::new(buckets, None, &log, clock, random)
    }

    /// Before every step another process takes over with what `work` holds, and does the step twice, as after a crash
    /// between the step and its being written down.
    #[tokio::test]
    async fn a_lap_goes_on_in_another_process() {
        let truth = Arc::new(MemoryObjects::new());
        let buckets = Buckets {
            truth: truth.clone(),
            work: Arc::new(MemoryObjects::new()),
        };
        for n in 0..1_200 {
            let key = format!("clock/unit/{n:05}");
            truth.create(&key, Bytes::from(key.clone())).await.unwrap();
        }
        for (lap, damaged) in [(0, None), (1, None), (2, Some("clock/unit/00700"))] {
            if let Some(key) = damaged {
                truth.put(key, Bytes::from_static(b"else")).await.unwrap();
            }
            let mut position = scrubber(&buckets).begin().await.unwrap();
            // Laps are named by seconds, which do not pass here.
            position.lap = format!("{lap:012}");
            while !position.is_done() {
                let json = serde_json::to_vec(&position).unwrap();
                let mut lost: Position = serde_json::from_slice(&json).unwrap();
                let other = scrubber(&buckets);
                other.step(&mut lost).await.unwrap();
                position = serde_json::from_slice(&json).unwrap();
                other.step(&mut position).await.unwrap();
            }
            let report = scrubber(&buckets).end(&position).await.unwrap();
            let found: Vec<_> = report.findings.iter().map(|f| f.key.as_str()).collect();
            assert_eq!(found, Vec::from_iter(damaged), "lap {lap}: {report}");
            assert!(report.areas["kept"].objects >= 1_200);
        }
    }
}
