//! What a lap came to, as it is kept in `truth` and shown to an operator.

use std::collections::VecDeque;
use std::fmt;

use probity_proto::format;
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

/// What stands under the key of a lap's report.
enum Read {
    Report(Box<LapReport>),
    /// Written by another version of this program, in a format of this name.
    Other(String),
    /// No report of that lap, and why.
    Not(String),
}

fn read(key: &str, bytes: &[u8]) -> Read {
    if let Some(named) = format::other_version(FORMAT, bytes) {
        return Read::Other(named);
    }
    let report = format::read_json::<LapReport>("report", FORMAT, bytes)
        .and_then(|report| format::expect(FORMAT, &report.format).map(|()| report));
    match report {
        Ok(report) if lap_key(&report.lap) == key => Read::Report(Box::new(report)),
        Ok(report) => Read::Not(format!("is the report of lap {}", report.lap)),
        Err(e) => Read::Not(format!("does not read: {e}")),
    }
}

/// The newest report that reads, of a lap that came to its end; and which of the newest do not, with the reason.
///
/// A report of another version's format is no finding: it is passed over and said, and stays as it is.
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
            Ok(Some(object)) => match read(&key, &object.bytes) {
                Read::Report(report) => return Ok((Some(*report), unread)),
                Read::Other(format) => {
                    tracing::warn!(
                        key,
                        format,
                        "a lap's report of another version is passed over"
                    );
                    continue;
                }
                Read::Not(reason) => reason,
            },
            Ok(None) => "listed, and not there when it was read".to_owned(),
            Err(e) => e.detail,
        };
        unread.push((key, reason));
    }
    Ok((None, unread))
}

#[cfg(test)]
mod tests {
    use probity_platform::objects::LockMode;
    use probity_testkit::Golden;

    use super::*;
    use crate::scrub::What;

    fn meant() -> LapReport {
        let area = AreaCount {
            objects: 3,
            bytes: 70,
        };
        LapReport {
            format: FORMAT.to_owned(),
            lap: "001795000000".to_owned(),
            begun_at: "2026-11-18T11:06:40.000Z".to_owned(),
            ended_at: "2026-11-18T12:06:40.000Z".to_owned(),
            log_size: 600,
            areas: [("blobs".to_owned(), area)].into(),
            truth_keeps: Keeping {
                versions: true,
                object_lock: true,
                default_mode: LockMode::Compliance,
                default_days: 365,
            },
            replica: true,
            baseline: Baseline {
                lap: "001795000000".to_owned(),
                pages: 2,
                sha256: "05".repeat(32),
            },
            findings: vec![Finding {
                key: "clock/unit/00000".to_owned(),
                what: What::SecondVersion,
                detail: "2 versions".to_owned(),
                repaired: false,
            }],
            findings_total: 1,
        }
    }

    #[test]
    fn yesterdays_report_reads_and_another_versions_does_not() {
        let today = serde_json::to_vec(&meant()).unwrap();
        let golden = Golden::of(env!("CARGO_MANIFEST_DIR"));
        let bytes = golden.read("scrub-report.json", || today.clone());
        assert_eq!(today, bytes, "written otherwise");
        let key = lap_key(&meant().lap);
        let Read::Report(report) = read(&key, &bytes) else {
            panic!("it does not read")
        };
        assert_eq!(*report, meant());

        let text = String::from_utf8(bytes).unwrap();
        let named = |name: &str| read(&key, text.replace("probity.scrub/1", name).as_bytes());
        assert!(matches!(named("probity.scrub/2"), Read::Other(f) if f == "probity.scrub/2"));
        assert!(matches!(named("probity.event/1"), Read::Not(why) if why.contains("format")));
        let elsewhere = read(&lap_key("1"), text.as_bytes());
        assert!(matches!(elsewhere, Read::Not(why) if why.contains("lap 001795000000")));
    }
}
