//! What an audit found, for people and for programs.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use probity_domain::Timestamp;
use probity_platform::Result;
use serde::Serialize;

use super::Point;
use crate::insistent::of_object;

const FORMAT: &str = "probity.audit/1";
/// Findings that are listed; all are counted.
const LISTED_MAX: usize = 10_000;

/// What a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// Not signed by the log's key, or not the tree that the entries make.
    Checkpoint,
    /// The head in `work` is behind the newest checkpoint, or of another tree.
    Head,
    /// Missing, or other hashes than those of the entries.
    Tile,
    /// Missing, cut short, or other entries than were signed into the log.
    Bundle,
    /// Other entries than the bundle's.
    Segment,
    /// Missing, or other numbers than the entries'.
    IndexTile,
    /// No record, or one that a stranger would not believe.
    Record,
    /// A number that stands in the log more than once.
    Twice,
    /// An entry whose number no submission accepted.
    Unsubmitted,
    /// A submission that does not read, or is not what was signed.
    Submission,
    /// An accepted item that is not in the log.
    Lost,
    /// Missing, or other bytes than were submitted.
    Blob,
    /// A number that a caller was given and that is not in the log.
    Receipt,
    /// An object that no checkpoint accounts for.
    Stray,
    /// An event of the ledger that is missing, does not read, or does not say who acted, when and why.
    Event,
    /// A key with more versions than its first writing and recorded repairs account for, or a hidden one.
    Version,
}

impl FindingKind {
    /// The word in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Checkpoint => "checkpoint",
            Self::Head => "head",
            Self::Tile => "tile",
            Self::Bundle => "bundle",
            Self::Segment => "segment",
            Self::IndexTile => "index_tile",
            Self::Record => "record",
            Self::Twice => "twice",
            Self::Unsubmitted => "unsubmitted",
            Self::Submission => "submission",
            Self::Lost => "lost",
            Self::Blob => "blob",
            Self::Receipt => "receipt",
            Self::Stray => "stray",
            Self::Event => "event",
            Self::Version => "version",
        }
    }
}

/// One thing that is not as it has to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub kind: FindingKind,
    /// Of the object: in bucket `work` for the head, in `truth` for all others.
    pub key: String,
    pub reason: String,
}

/// How many were looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Checked {
    pub checkpoints: u64,
    pub tiles: u64,
    pub bundles: u64,
    pub segments: u64,
    pub index_tiles: u64,
    pub records: u64,
    pub submissions: u64,
    /// Accepted items of all submissions.
    pub items: u64,
    pub blobs: u64,
    pub blob_bytes: u64,
    /// Gone by recorded order (ledger kind `custody`).
    pub deleted_blobs: u64,
    pub receipts: u64,
    /// Of the ledger.
    pub events: u64,
    /// Of all keys in `truth`; 0 where the store keeps none.
    pub versions: u64,
}

/// What was accepted and is not in the log, for a reason.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Open {
    pub submissions: u64,
    pub items: u64,
    pub receipts: u64,
    /// Items that a stage refused for good: they wait for an operator, and are none of the above.
    pub quarantined: u64,
}

/// The report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditReport {
    pub format: &'static str,
    /// The log's name.
    pub log: String,
    /// RFC 3339.
    pub started_at: String,
    pub finished_at: String,
    /// Size and root (base64) of the newest checkpoint that the log's key signed.
    pub size: u64,
    pub root: String,
    pub checked: Checked,
    pub open: Open,
    /// Worth knowing, and nothing wrong.
    pub notes: Vec<String>,
    /// How many of each kind.
    pub found: BTreeMap<FindingKind, u64>,
    /// The first ten thousand.
    pub findings: Vec<Finding>,
    pub clean: bool,
}

impl AuditReport {
    pub(super) fn new(log: &str, started_at: Timestamp) -> Self {
        Self {
            format: FORMAT,
            log: log.to_owned(),
            started_at: started_at.to_rfc3339(),
            finished_at: String::new(),
            size: 0,
            root: String::new(),
            checked: Checked::default(),
            open: Open::default(),
            notes: Vec::new(),
            found: BTreeMap::new(),
            findings: Vec::new(),
            clean: false,
        }
    }

    pub(super) fn find(&mut self, kind: FindingKind, key: &str, reason: impl ToString) {
        *self.found.entry(kind).or_default() += 1;
        if self.findings.len() < LISTED_MAX {
            let (key, reason) = (key.to_owned(), reason.to_string());
            self.findings.push(Finding { kind, key, reason });
        }
    }

    /// What was read. An error that is about the object and not about reaching it becomes a finding, and `None`.
    pub(super) fn read<T>(
        &mut self,
        kind: FindingKind,
        key: &str,
        read: Result<T>,
    ) -> Result<Option<T>> {
        let read = of_object(read)?;
        Ok(read.map_err(|e| self.find(kind, key, e.detail)).ok())
    }

    pub(super) fn finish(&mut self, newest: Option<&Point>, at: Timestamp) {
        if let Some(point) = newest {
            (self.size, self.root) = (point.size, STANDARD.encode(point.root.0));
        }
        self.finished_at = at.to_rfc3339();
        self.clean = self.found.is_empty();
    }

    /// The report as JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Strings, numbers and lists only: serialising cannot fail.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// The report as lines of text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = format!("log {}: {} entries", self.log, self.size);
        if !self.root.is_empty() {
            text += &format!(", root {}", self.root);
        }
        let checked = &self.checked;
        let counts = [
            ("checkpoints", checked.checkpoints),
            ("tiles", checked.tiles),
            ("bundles", checked.bundles),
            ("segments", checked.segments),
            ("index tiles", checked.index_tiles),
            ("records", checked.records),
            ("submissions", checked.submissions),
            ("accepted items", checked.items),
            ("blobs", checked.blobs),
            ("bytes of blobs", checked.blob_bytes),
            ("blobs deleted by order", checked.deleted_blobs),
            ("receipts", checked.receipts),
            ("ledger events", checked.events),
            ("versions", checked.versions),
            ("open submissions", self.open.submissions),
            ("open items", self.open.items),
            ("open receipts", self.open.receipts),
            ("in quarantine", self.open.quarantined),
        ];
        for (what, count) in counts {
            // Writing to a string cannot fail.
            write!(text, "\n{what:<18}{count:>14}").ok();
        }
        for note in &self.notes {
            write!(text, "\nnote: {note}").ok();
        }
        for Finding { kind, key, reason } in &self.findings {
            write!(text, "\nfound: {}: {key}: {reason}", kind.as_str()).ok();
        }
        for (kind, count) in &self.found {
            write!(text, "\n{count} of {}", kind.as_str()).ok();
        }
        let verdict = if self.clean { "clean" } else { "findings" };
        write!(text, "\nverdict: {verdict}").ok();
        text
    }
}
