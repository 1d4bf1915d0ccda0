//! What a lap came to, as it is kept in `truth` and shown to an operator.

use std::collections::VecDeque;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::baseline::Baseline;
use super::position::Position;
use super::{BTreeMap, Finding, Keeping, Objects, Result, Timestamp};
use crate::insistent::of_object;

const FORMAT: &str = "probity.scrub/1";
const LAPS: &str = "scrub/laps/";
const LAP_BYTES_MAX: u64 = 4 * 1024 * 1024;
const PAGE: u16 = 1000;
/// Reports that are tried, from the newest on.
const TRIED_MAX: usize = 16;

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

/// The newest report that reads, of a lap that came to its end; and which of the newest do not, with the reason.
///
/// # Errors
/// Those of the store.
pub(crate) async fn newest_report(
    truth: &dyn Objects,
) -> Result<(Option<LapReport>, Vec<(String, String)>)> {
    let mut newest: VecDeque<String> = VecDeque::new();
    loop {
        let after = newest.back().map(String::as_str);
        let page = truth.list(LAPS, after, PAGE).await?;
        let full = page.len() == usize::from(PAGE);
        newest.extend(page.into_iter().map(|listed| listed.key));
        newest.drain(..newest.len().saturating_sub(TRIED_MAX));
        if !full {
            break;
        }
    }
    let mut unread = Vec::new();
    for key in newest.into_iter().rev() {
        let reason = match of_object(truth.get(&key, LAP_BYTES_MAX).await)? {
            Ok(Some(object)) => match serde_json::from_slice::<LapReport>(&object.bytes) {
                Ok(report) if lap_key(&report.lap) == key => return Ok((Some(report), unread)),
                Ok(report) => format!("is the report of lap {}", report.lap),
                Err(e) => format!("does not read: {e}"),
            },
            Ok(None) => "listed, and not there when it was read".to_owned(),
            Err(e) => e.detail,
        };
        unread.push((key, reason));
    }
    Ok((None, unread))
}
