//! What a lap came to, as it is kept in `truth` and shown to an operator.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::baseline::Baseline;
use super::position::Position;
use super::{BTreeMap, Error, Finding, Keeping, Objects, Result, Scrubber, Timestamp};

const FORMAT: &str = "probity.scrub/1";
const LAPS: &str = "scrub/laps/";
const LAP_BYTES_MAX: u64 = 4 * 1024 * 1024;

pub(super) fn lap_key(lap: &str) -> String {
    format!("{LAPS}{lap}")
}

/// What was read in one area.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AreaCount {
    pub objects: u64,
    pub bytes: u64,
}

/// One lap, `scrub/laps/<lap>`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LapReport {
    pub format: String,
    pub lap: String,
    /// RFC 3339.
    pub begun_at: String,
    /// RFC 3339.
    pub ended_at: String,
    /// Entries of the log that were compared with its signed root.
    pub log_size: u64,
    pub areas: BTreeMap<String, AreaCount>,
    pub truth_keeps: Keeping,
    pub replica: bool,
    /// The digests this lap wrote down.
    pub baseline: Baseline,
    /// The first thousand of them.
    pub findings: Vec<Finding>,
    pub findings_total: u64,
}

impl LapReport {
    pub(super) fn of(position: &Position, now: Timestamp, replica: bool) -> Self {
        Self {
            format: FORMAT.to_owned(),
            lap: position.lap.clone(),
            begun_at: Timestamp::from_unix_ms(position.begun_ms).to_rfc3339(),
            ended_at: now.to_rfc3339(),
            log_size: position.log_size,
            areas: position.counts.clone(),
            truth_keeps: position.keeping,
            replica,
            baseline: Baseline {
                lap: position.lap.clone(),
                pages: position.baseline.writing,
                sha256: position.baseline.chain.clone(),
            },
            findings: position.findings.clone(),
            findings_total: position.findings_total,
        }
    }
}

impl LapReport {
    /// Of the findings that are kept in full.
    pub(crate) fn has_finding(&self, key: &str) -> bool {
        self.findings.iter().any(|finding| finding.key == key)
    }
}

impl fmt::Display for LapReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "lap {} from {} to {}",
            self.lap, self.begun_at, self.ended_at
        )?;
        for (area, count) in &self.areas {
            writeln!(
                f,
                "{area:<9} {:>10} objects {:>15} bytes",
                count.objects, count.bytes
            )?;
        }
        for finding in &self.findings {
            writeln!(f, "{finding}")?;
        }
        write!(f, "{} findings", self.findings_total)
    }
}

impl Scrubber {
    /// The baseline of the newest lap that came to its end.
    pub(super) async fn newest_lap(&self) -> Result<Option<Baseline>> {
        let newest = newest_report(&*self.truth).await?;
        Ok(newest.map(|report| report.baseline))
    }
}

/// The report of the newest lap that came to its end.
///
/// # Errors
/// `Internal` when it does not read; those of the store.
pub(crate) async fn newest_report(truth: &dyn Objects) -> Result<Option<LapReport>> {
    let mut newest: Option<String> = None;
    loop {
        let page = truth.list(LAPS, newest.as_deref(), 1000).await?;
        let full = page.len() == 1000;
        newest = page.into_iter().last().map(|l| l.key).or(newest);
        if !full {
            break;
        }
    }
    let Some(key) = newest else { return Ok(None) };
    let object = truth.get(&key, LAP_BYTES_MAX).await?;
    let object = object.ok_or_else(|| Error::unavailable(format!("{key} is not there yet")))?;
    let read = serde_json::from_slice(&object.bytes);
    read.map(Some)
        .map_err(|e| Error::internal(format!("{key} does not read: {e}")))
}
