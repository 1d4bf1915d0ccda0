//! What a run leaves: everything as JSON, and one row of a table that people read.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use serde::Serialize;

use crate::Failure;

use super::audit::Audit;
use super::courts::Deliveries;
use super::progress::Recovery;

/// One fault, one run.
#[derive(Debug, Serialize)]
pub struct Report {
    pub fault: String,
    pub what: String,
    pub dose: u32,
    pub dose_full: u32,
    pub unit: String,
    pub captures_planned: u64,
    pub captures_accepted: u64,
    pub planned_per_second: f64,
    pub capture_bytes: usize,
    pub seconds: f64,
    /// What was done, counted.
    pub injected: BTreeMap<String, u64>,
    /// Calls that the vendor's SDK gave up after its own repetitions, and that were begun again.
    pub client_errors: BTreeMap<String, u64>,
    pub recovery: Recovery,
    /// By the supervisor, after a kill or an end of its own.
    pub restarts: BTreeMap<String, u32>,
    /// Ends that nobody brought about.
    pub ended_by_itself: BTreeMap<String, u32>,
    /// What else was measured, by name.
    pub figures: BTreeMap<String, f64>,
    pub audit: Audit,
    /// To the courts, where there are any.
    pub deliveries: Option<Deliveries>,
    /// Whatever went against a promise.
    pub broken: Vec<String>,
    pub passed: bool,
}

const HEADING: &str = "\
| fault | what was done | dose (full) | accepted | deposited | lost | doubled | second versions | store audit | receipted of ordered | pushes repeated | vendor's failed calls | first deposit after | backlog deposited after | restarts (of its own) | verdict |
|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|
";

impl Report {
    /// Writes the JSON, and adds the row to the table.
    pub fn write(&self, json: &Path, table: &Path) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(self).map_err(Failure::new)?;
        std::fs::write(json, format!("{text}\n")).map_err(Failure::new)?;
        let is_new = !table.exists();
        let mut file = File::options()
            .create(true)
            .append(true)
            .open(table)
            .map_err(Failure::new)?;
        let heading = if is_new { HEADING } else { "" };
        write!(file, "{heading}{}", self.row()).map_err(Failure::new)
    }

    /// So many of so many, where there are courts.
    fn of(&self, counts: impl Fn(&Deliveries) -> (u64, u64)) -> String {
        let counts = self.deliveries.as_ref().map(counts);
        counts.map_or("–".to_owned(), |(some, all)| format!("{some} of {all}"))
    }

    pub fn row(&self) -> String {
        let audit = &self.audit;
        let seconds = |value: Option<f64>| value.map_or("–".to_owned(), |s| format!("{s:.1} s"));
        let by_itself: u32 = self.ended_by_itself.values().sum();
        let mut verdict = if self.passed {
            "held".to_owned()
        } else {
            format!("**broken**: {}", self.broken.join("; ").replace('|', "/"))
        };
        for (name, value) in &self.figures {
            // Writing to a string cannot fail.
            let _ = write!(verdict, "; {name}: {value:.0}");
        }
        format!(
            "| {} | {} | {} {} ({}) | {} of {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} ({}) | {} |\n",
            self.fault,
            self.what,
            self.dose,
            self.unit,
            self.dose_full,
            self.captures_accepted,
            self.captures_planned,
            audit.deposited,
            audit.lost,
            audit.doubled,
            audit.second_versions.len(),
            audit.store_audit_word(),
            self.of(|made| (made.receipted, made.ordered)),
            self.of(|made| (made.pushes_repeated, made.pushes)),
            self.client_errors.values().sum::<u64>(),
            seconds(self.recovery.first_deposited_s),
            seconds(self.recovery.backlog_deposited_s),
            self.restarts.values().sum::<u32>(),
            by_itself,
            verdict,
        )
    }
}
