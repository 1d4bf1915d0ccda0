//! Records as a stranger reads them, each against its submission.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use futures::{StreamExt as _, stream};
use probity_domain::{EvidenceId, Record, Submission};
use probity_platform::{Error, ErrorKind, Result};
use probity_proto::stored::submission_key;
use tokio::task::JoinHandle;

use super::bundles::Stored;
use super::{Audit, FindingKind, READS_AT_ONCE};
use crate::verify::{as_submitted, by_themselves};

/// Records verified by one thread before it looks for more: those of one instruction lie together.
const TOGETHER: usize = 64;

/// Whether a record holds by its own bytes, and whether it is what was submitted.
type Judged = (Result<()>, Result<()>);

/// Records in the hands of a thread.
pub(super) struct Verifying {
    part: Arc<[Work]>,
    judged: JoinHandle<Vec<Judged>>,
}

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

    /// Hands records to be verified while the next are read; takes up what the oldest came to when enough are under way.
    async fn verify(&mut self, mut work: Vec<Work>) {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        while !work.is_empty() {
            let rest = work.split_off(work.len().min(TOGETHER));
            let part: Arc<[Work]> = std::mem::replace(&mut work, rest).into();
            if self.verifying.len() > threads {
                self.take_verified().await;
            }
            let judged = self.judge(&part, 0..part.len());
            self.verifying.push_back(Verifying { part, judged });
        }
    }

    fn judge(&self, part: &Arc<[Work]>, range: Range<usize>) -> JoinHandle<Vec<Judged>> {
        let (part, known) = (part.clone(), self.known.clone());
        let (roots, now) = (self.scope.roots.clone(), self.scope.clock.now());
        tokio::task::spawn_blocking(move || {
            let part = part.get(range).unwrap_or_default();
            let sound = by_themselves(part.iter().map(|work| &work.record), &roots, now, &known);
            let same = part.iter().map(|work| match &work.submission {
                Some(submission) => as_submitted(&work.record, submission),
                None => Ok(()),
            });
            sound.into_iter().zip(same).collect()
        })
    }

    /// Waits for all that is under way.
    pub(super) async fn all_verified(&mut self) {
        while !self.verifying.is_empty() {
            self.take_verified().await;
        }
    }

    async fn take_verified(&mut self) {
        let Some(Verifying { part, judged }) = self.verifying.pop_front() else {
            return;
        };
        let judged = match judged.await {
            Ok(judged) => judged,
            Err(_) => self.judge_each(&part).await,
        };
        for (work, (sound, same)) in part.iter().zip(judged) {
            let told = |e: Error| format!("leaf {}: {}", work.leaf, e.detail);
            match (sound, same) {
                (Err(e), _) => self.report.find(FindingKind::Record, &work.key, told(e)),
                (_, Err(e)) => {
                    let key = submission_key(work.record.evidence.submission);
                    self.report.find(FindingKind::Submission, &key, told(e));
                }
                (Ok(()), Ok(())) => {}
            }
        }
    }

    /// A record that makes the verifier panic is no record that anybody could believe. Its neighbours are none the worse.
    async fn judge_each(&self, part: &Arc<[Work]>) -> Vec<Judged> {
        let mut all = Vec::with_capacity(part.len());
        for at in 0..part.len() {
            let judged = self.judge(part, at..at + 1).await;
            let panicked = || vec![(Err(Error::internal("verifying it panicked")), Ok(()))];
            all.extend(judged.unwrap_or_else(|_| panicked()));
        }
        all
    }
}
