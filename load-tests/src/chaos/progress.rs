//! What was accepted and deposited when: the curve from which recovery times are read.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

use crate::Failure;
use crate::generator::log_size;

use super::load::Tally;

const SAMPLE_EVERY: Duration = Duration::from_millis(200);
const SAMPLE_MAX: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, Copy)]
struct Sample {
    at: Instant,
    accepted: u64,
    deposited: u64,
}

/// Samples the log's published size and the vendor's count until it is dropped.
pub struct Progress {
    samples: Arc<Mutex<Vec<Sample>>>,
    deposited: Arc<AtomicU64>,
    tally: Arc<Tally>,
    sampler: tokio::task::JoinHandle<()>,
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.sampler.abort();
    }
}

impl Progress {
    /// `log` is the base URL of the log's public tiles.
    pub fn start(log: String, tally: Arc<Tally>) -> Self {
        let samples = Arc::new(Mutex::new(Vec::new()));
        let deposited = Arc::new(AtomicU64::new(0));
        let (own_samples, own_deposited) = (samples.clone(), deposited.clone());
        let own_tally = tally.clone();
        let sampler = tokio::spawn(async move {
            loop {
                // While the log's process is down nothing is known, which is no sample.
                if let Ok(Ok(size)) = timeout(SAMPLE_MAX, log_size(&log)).await {
                    own_deposited.fetch_max(size, Ordering::SeqCst);
                }
                let sample = Sample {
                    at: Instant::now(),
                    accepted: own_tally.accepted(),
                    deposited: own_deposited.load(Ordering::SeqCst),
                };
                push(&own_samples, sample);
                sleep(SAMPLE_EVERY).await;
            }
        });
        Self {
            samples,
            deposited,
            tally,
            sampler,
        }
    }

    pub fn accepted(&self) -> u64 {
        self.tally.accepted()
    }

    pub fn deposited(&self) -> u64 {
        self.deposited.load(Ordering::SeqCst)
    }

    /// Waits until the log holds so many.
    pub async fn reaches(&self, size: u64, within: Duration) -> Result<(), Failure> {
        let began = Instant::now();
        while self.deposited() < size {
            if began.elapsed() > within {
                let now = self.deposited();
                return Err(Failure::new(format!(
                    "the log stands at {now} and not at {size} after {within:?}"
                )));
            }
            sleep(SAMPLE_EVERY).await;
        }
        Ok(())
    }

    /// When the log was first seen with so many entries, a sample's distance late at most.
    pub fn reached_at(&self, size: u64) -> Option<Instant> {
        let samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        let reached = samples.iter().find(|sample| sample.deposited >= size);
        reached.map(|sample| sample.at)
    }

    /// From the end of the faults to the next acceptance, to the next deposit, and to the deposit of all that was accepted
    /// until then; `None` where it did not come, or nothing was open.
    pub fn recovery(&self, fault_end: Instant) -> Recovery {
        let samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        let before = samples.iter().rfind(|sample| sample.at <= fault_end);
        let Some(before) = before.copied() else {
            return Recovery::default();
        };
        let first = |holds: &dyn Fn(&Sample) -> bool| {
            let mut after = samples.iter().filter(|sample| sample.at > fault_end);
            let found = after.find(|sample| holds(sample))?;
            Some(found.at.duration_since(fault_end).as_secs_f64())
        };
        Recovery {
            first_accepted_s: first(&|sample| sample.accepted > before.accepted),
            first_deposited_s: first(&|sample| sample.deposited > before.deposited),
            backlog_deposited_s: first(&|sample| sample.deposited >= before.accepted),
        }
    }
}

fn push(samples: &Mutex<Vec<Sample>>, sample: Sample) {
    let mut samples = samples.lock().unwrap_or_else(PoisonError::into_inner);
    samples.push(sample);
}

/// Seconds after the last fault ended.
#[derive(Debug, Clone, Copy, Default, serde::Serialize)]
pub struct Recovery {
    pub first_accepted_s: Option<f64>,
    pub first_deposited_s: Option<f64>,
    pub backlog_deposited_s: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn recovery_is_read_from_the_curve() {
        let began = Instant::now();
        let at = |ms| began + Duration::from_millis(ms);
        let sample = |ms, accepted, deposited| Sample {
            at: at(ms),
            accepted,
            deposited,
        };
        let progress = Progress {
            samples: Arc::new(Mutex::new(vec![
                sample(0, 10, 5),
                sample(1_000, 20, 5),
                sample(2_000, 20, 6),
                sample(3_000, 30, 20),
            ])),
            deposited: Arc::default(),
            tally: Arc::default(),
            sampler: tokio::spawn(async {}),
        };
        let recovery = progress.recovery(at(1_500));
        assert_eq!(recovery.first_deposited_s, Some(0.5));
        assert_eq!(recovery.first_accepted_s, Some(1.5));
        assert_eq!(recovery.backlog_deposited_s, Some(1.5));
        assert!(progress.recovery(at(5_000)).first_deposited_s.is_none());
        assert_eq!(progress.reached_at(7), Some(at(3_000)));
        assert_eq!(progress.reached_at(21), None);
    }
}
