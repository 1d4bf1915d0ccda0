//! Records as a stranger reads them, each against its submission.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::{StreamExt as _, stream};
use probity_domain::{EvidenceId, Record, Submission};
use probity_platform::{Error, ErrorKind, Result};
use probity_proto::stored::submission_key;

use super::bundles::Stored;
use super::{Audit, FindingKind, READS_AT_ONCE};
use crate::verify::{as_submitted, by_itself};

/// Records verified by one thread before it looks for more: some fifty milliseconds' work.
const TOGETHER: usize = 8;

struct Work {
    leaf: u64,
    key: Arc<str>,
    record: Record,
    /// `None` when there is none to compare with.
    submission: Option<Arc<Submission>>,
}

impl Audit {
    /// Checks the records of entries `first ..`; answers their numbers.
    pub(super) async fn records(
        &mut self,
        first: u64,
        entries: &[Option<Stored>],
    ) -> Result<Vec<Option<EvidenceId>>> {
        let (mut numbers, mut records) = (Vec::with_capacity(entries.len()), Vec::new());
        for (entry, leaf) in entries.iter().zip(first..) {
            let record = entry.as_ref().and_then(|entry| self.record(entry, leaf));
            let number = record.as_ref().map(|record| record.evidence);
            numbers.push(number);
            self.take_up(number, leaf, entry.as_ref());
            if let (Some(record), Some(entry)) = (record, entry) {
                records.push((leaf, entry.key.clone(), record));
            }
        }
        self.fetch_submissions(&numbers).await;
        let mut work = Vec::with_capacity(records.len());
        for (leaf, key, record) in records {
            let submission = self.submission_of(record.evidence, leaf).await?;
            work.push(Work {
                leaf,
                key,
                record,
                submission,
            });
        }
        self.verify(work).await;
        Ok(numbers)
    }

    fn record(&mut self, entry: &Stored, leaf: u64) -> Option<Record> {
        self.report.checked.records += 1;
        Record::decode(&entry.bytes)
            .inspect_err(|e| {
                let reason = format!("leaf {leaf}: {e}");
                self.report.find(FindingKind::Record, &entry.key, reason);
            })
            .ok()
    }

    fn take_up(&mut self, number: Option<EvidenceId>, leaf: u64, entry: Option<&Stored>) {
        let (Some(evidence), Some(entry)) = (number, entry) else {
            return self.index.skip();
        };
        match self.index.leaf(evidence) {
            Some(before) => {
                let reason = format!("{evidence} stands at leaf {before} and at leaf {leaf}");
                self.report.find(FindingKind::Twice, &entry.key, reason);
                self.index.skip();
            }
            None => self.index.push(evidence),
        }
    }

    /// Reads the submissions of a bundle side by side; what fails is read again, and then it counts.
    async fn fetch_submissions(&self, numbers: &[Option<EvidenceId>]) {
        let ids: BTreeSet<_> = numbers.iter().flatten().map(|e| e.submission).collect();
        let read = |id| async move { self.submissions.read(id).await.map(drop).ok() };
        let read = stream::iter(ids).map(read).buffer_unordered(READS_AT_ONCE);
        read.collect::<Vec<_>>().await;
    }

    /// The submission, if the number is one that it accepted.
    async fn submission_of(
        &mut self,
        evidence: EvidenceId,
        leaf: u64,
    ) -> Result<Option<Arc<Submission>>> {
        let why = match self.submissions.read(evidence.submission).await {
            Ok(submission) if submission.item(evidence.item).is_some() => {
                return Ok(Some(submission));
            }
            Ok(_) => "which accepted no such item",
            Err(e) if e.kind == ErrorKind::NotFound => "which is missing",
            Err(e) if e.kind.is_transient() => return Err(e),
            // Found again, and named, when the submissions are walked.
            Err(_) => return Ok(None),
        };
        let key = submission_key(evidence.submission);
        let reason = format!("leaf {leaf} is {evidence} of this submission, {why}");
        self.report.find(FindingKind::Unsubmitted, &key, reason);
        Ok(None)
    }

    async fn verify(&mut self, mut work: Vec<Work>) {
        let mut parts = Vec::new();
        while !work.is_empty() {
            let rest = work.split_off(work.len().min(TOGETHER));
            parts.push(std::mem::replace(&mut work, rest));
        }
        let (roots, clock) = (self.scope.roots.clone(), self.scope.clock.clone());
        let parts = parts.into_iter().map(|part| {
            let (roots, now) = (roots.clone(), clock.now());
            let whole = part.iter().map(|work| (work.key.clone(), work.leaf));
            let whole: Vec<_> = whole.collect();
            async move {
                let judged = tokio::task::spawn_blocking(move || {
                    let judge = |work: &Work| {
                        let sound = by_itself(&work.record, &roots, now);
                        let same = match &work.submission {
                            Some(submission) => as_submitted(&work.record, submission),
                            None => Ok(()),
                        };
                        (work.record.evidence, sound, same)
                    };
                    part.iter().map(judge).collect::<Vec<_>>()
                });
                (whole, judged.await)
            }
        });
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let mut judged = stream::iter(parts).buffered(threads);
        while let Some((whole, part)) = judged.next().await {
            // A record that makes the verifier panic is no record that anybody could believe.
            let Ok(part) = part else {
                for (key, leaf) in whole {
                    let reason = format!("leaf {leaf}: verifying it, or a neighbour, panicked");
                    self.report.find(FindingKind::Record, &key, reason);
                }
                continue;
            };
            for ((key, leaf), (evidence, sound, same)) in whole.into_iter().zip(part) {
                let told = |e: Error| format!("leaf {leaf}: {}", e.detail);
                match (sound, same) {
                    (Err(e), _) => self.report.find(FindingKind::Record, &key, told(e)),
                    (_, Err(e)) => {
                        let key = submission_key(evidence.submission);
                        self.report.find(FindingKind::Submission, &key, told(e));
                    }
                    (Ok(()), Ok(())) => {}
                }
            }
        }
    }
}
