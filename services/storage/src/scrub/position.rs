//! Where a lap is: enough to go on after a restart.

use super::report::AreaCount;
use super::{BTreeMap, Finding, Keeping, Timestamp};
use probity_platform::objects::VersionMark;
use serde::{Deserialize, Serialize};

/// In the order they are walked. Places are kept between versions of this program: what is new comes last.
pub(super) const AREAS: [&str; 5] = ["blobs", "log", "kept", "versions", COPIES];
pub(super) const COPIES: &str = "copies";
/// Findings kept in full; those beyond are counted, and in the ledger.
pub(super) const FINDINGS_MAX: usize = 1_000;

/// A lap under way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Position {
    /// Seconds since 1970 when it began, twelve digits: laps sort by their names.
    pub lap: String,
    pub begun_ms: i64,
    /// Place in [`AREAS`]; past them the lap is done.
    pub area: usize,
    /// Last key that was done in this area.
    pub after: Option<String>,
    /// Place in the prefixes of an area that has several.
    pub prefix: usize,
    /// Next bundle in area `log`.
    pub bundle: u64,
    /// Where area `versions` goes on.
    pub mark: Option<VersionMark>,
    pub baseline: BaselinePosition,
    pub counts: BTreeMap<String, AreaCount>,
    pub findings: Vec<Finding>,
    pub findings_total: u64,
    pub keeping: Keeping,
    pub log_size: u64,
}

/// What area `kept` compares with and what it writes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BaselinePosition {
    pub previous: Option<super::baseline::Baseline>,
    /// Next page of the previous lap to be read.
    pub reading: u64,
    /// Next page of this lap to be written.
    pub writing: u64,
    /// SHA-256 of the page written last, in hexadecimal.
    pub chain: String,
}

impl Position {
    pub fn new(now: Timestamp) -> Self {
        Self {
            lap: format!("{:012}", now.unix_s()),
            begun_ms: now.unix_ms(),
            area: 0,
            after: None,
            prefix: 0,
            bundle: 0,
            mark: None,
            baseline: BaselinePosition::default(),
            counts: BTreeMap::new(),
            findings: Vec::new(),
            findings_total: 0,
            keeping: Keeping::default(),
            log_size: 0,
        }
    }

    pub fn is_done(&self) -> bool {
        self.area >= AREAS.len()
    }

    pub fn is_in(&self, area: &str) -> bool {
        AREAS.get(self.area) == Some(&area)
    }

    /// Bytes read so far, all areas.
    pub fn bytes(&self) -> u64 {
        self.counts.values().map(|count| count.bytes).sum()
    }

    pub fn next_area(&mut self) {
        self.area += 1;
        self.prefix = 0;
        self.after = None;
    }

    pub fn next_prefix(&mut self) {
        self.prefix += 1;
        self.after = None;
    }

    pub fn count(&mut self, objects: u64, bytes: u64) {
        let area = AREAS.get(self.area).copied().unwrap_or_default();
        let count = self.counts.entry(area.to_owned()).or_default();
        count.objects += objects;
        count.bytes += bytes;
    }

    /// Whether the lap, which is over, read the object and found its bytes to be the right ones.
    pub fn has_read_well(&self, key: &str) -> bool {
        let replica = super::copy_of("");
        let is_left = self.findings.iter().any(|f| f.key == replica);
        // Reports and baselines of former laps are not read again.
        let not_read = key.starts_with("scrub/") || (is_left && key.starts_with(&replica));
        let versions = [super::What::SecondVersion, super::What::Removed];
        let mut here = self.findings.iter().filter(|finding| finding.key == key);
        !not_read && here.all(|finding| versions.contains(&finding.what))
    }

    /// Whether the lap found the object not to be as it was written, and could not help it.
    pub fn has_open_finding(&self, key: &str) -> bool {
        let mut open = self.findings.iter().filter(|finding| !finding.repaired);
        open.any(|finding| finding.key == key)
    }

    pub fn add(&mut self, finding: Finding) {
        self.findings_total += 1;
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        }
    }
}
