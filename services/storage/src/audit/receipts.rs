//! Receipts: evidence numbers that callers were given.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;

use probity_domain::EvidenceId;
use probity_platform::{Error, Result};
use probity_proto::stored::submission_key;
use serde::Deserialize;

use super::{Audit, FindingKind};
use crate::insistent::of_object;

const LINE_BYTES_MAX: u64 = 64 * 1024;

/// A line as `probity submit --out` writes it. A capture that was refused has no number.
#[derive(Deserialize)]
struct Line {
    evidence: Option<String>,
}

impl Audit {
    pub(super) async fn receipts(&mut self) -> Result<()> {
        for path in self.scope.receipts.clone() {
            let file = File::open(&path).map_err(|e| unreadable(&path, 0, &e))?;
            let mut lines = BufReader::new(file);
            for place in 1u64.. {
                let mut line = String::new();
                let read = lines.by_ref().take(LINE_BYTES_MAX).read_line(&mut line);
                if read.map_err(|e| unreadable(&path, place, &e))? == 0 {
                    break;
                }
                if line.trim().is_empty() {
                    continue;
                }
                let line: Line =
                    serde_json::from_str(&line).map_err(|e| unreadable(&path, place, &e))?;
                if let Some(number) = line.evidence {
                    let evidence = EvidenceId::parse(&number);
                    let evidence = evidence.map_err(|e| unreadable(&path, place, &e))?;
                    self.receipt(evidence, &path, place).await?;
                }
            }
        }
        Ok(())
    }

    async fn receipt(&mut self, evidence: EvidenceId, path: &Path, place: u64) -> Result<()> {
        self.report.checked.receipts += 1;
        if self.index.leaf(evidence).is_some() || self.held.contains(&evidence) {
            return Ok(());
        }
        let key = submission_key(evidence.submission);
        // What is there and cannot be read is named when the submissions are walked.
        let head = of_object(self.log.truth.head(&key).await)?;
        let there = head.map_or(true, |size_bytes| size_bytes.is_some());
        if there && self.is_open(evidence.submission) {
            self.report.open.receipts += 1;
            return Ok(());
        }
        let submission = if there { "is there" } else { "is missing" };
        let reason = format!(
            "{evidence} ({}, line {place}) is not in the log; its submission {submission}",
            path.display()
        );
        self.report.find(FindingKind::Receipt, &key, reason);
        Ok(())
    }
}

fn unreadable(path: &Path, place: u64, e: &dyn std::fmt::Display) -> Error {
    Error::malformed(format!("{}, line {place}: {e}", path.display()))
}
