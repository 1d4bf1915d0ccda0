//! The verb: verify as a stranger would, append, answer for each record.

use std::sync::Arc;

use async_trait::async_trait;
use futures::future::join_all;
use probity_domain::{EvidenceId, Record, Submission};
use probity_pki::keys::KnownSignatures;
use probity_pki::x509::Certificate;
use probity_platform::stage::joined;
use probity_platform::{Clock, Error, Result};
use probity_proto::v1::{EvidenceRecord, Stamped};
use tokio::task::JoinHandle;

use crate::Submissions;
use crate::log::{Appender, Entry, Log, Verify};
use crate::verify::verify_all;

/// Signatures remembered from message to message, in less than a megabyte: those of some thousand instructions.
const KNOWN_SIGNATURES_MAX: usize = 16_384;

/// What a deposit needs.
pub struct Deposit {
    pub log: Arc<Log>,
    pub appender: Appender,
    pub submissions: Submissions,
    pub roots: Arc<[Certificate]>,
    pub clock: Arc<dyn Clock>,
    /// What authorities have signed comes with every message.
    known: Arc<KnownSignatures>,
}

/// What became of one record.
#[derive(Debug)]
pub struct Deposited {
    /// As the message named it.
    pub evidence_number: String,
    /// The leaf index, whether appended now or before.
    pub leaf: Result<u64>,
}

impl Deposit {
    #[must_use]
    pub fn new(
        log: Arc<Log>,
        appender: Appender,
        submissions: Submissions,
        roots: Arc<[Certificate]>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            log,
            appender,
            submissions,
            roots,
            clock,
            known: Arc::new(KnownSignatures::new(KNOWN_SIGNATURES_MAX)),
        }
    }

    /// Deposits the records of one message; each answers for itself, in order. Again is the same as once.
    ///
    /// A panic while verifying goes on to the stage: it is about the message, and of no other.
    pub async fn deposit(&self, message: &Stamped) -> Vec<Deposited> {
        let checked = self.check_all(&message.records).await;
        let appended = checked.into_iter().map(|checked| async {
            match checked? {
                Checked::There(leaf) => Ok(leaf),
                Checked::New(entry) => self.appender.append(entry).await,
            }
        });
        let numbers = message
            .records
            .iter()
            .map(|record| record.evidence_number.clone());
        let leaves = join_all(appended).await;
        numbers
            .zip(leaves)
            .map(|(evidence_number, leaf)| Deposited {
                evidence_number,
                leaf,
            })
            .collect()
    }

    async fn check_all(&self, records: &[EvidenceRecord]) -> Vec<Result<Checked>> {
        let mut checked = Vec::with_capacity(records.len());
        let mut work = Vec::new();
        for record in records {
            match self.prepare(record).await {
                Ok(Prepared::There(leaf)) => checked.push(Some(Ok(Checked::There(leaf)))),
                Ok(Prepared::Check(record, submission)) => {
                    work.push((record, submission));
                    checked.push(None);
                }
                Err(e) => checked.push(Some(Err(e))),
            }
        }
        let verified = joined(self.verifying(work)).await.unwrap_or_default();
        let mut verified = verified.into_iter();
        let mut next = || {
            let next = verified.next().map(|entry| entry.map(Checked::New));
            next.unwrap_or_else(|| Err(Error::internal("verifying failed")))
        };
        checked
            .into_iter()
            .map(|known| known.unwrap_or_else(&mut next))
            .collect()
    }

    /// Entries of the records that hold, in their order.
    fn verifying(&self, work: Vec<(Record, Arc<Submission>)>) -> JoinHandle<Vec<Result<Entry>>> {
        let (roots, known, now) = (self.roots.clone(), self.known.clone(), self.clock.now());
        tokio::task::spawn_blocking(move || {
            let to_check = work.iter().map(|(record, of)| (record, &**of));
            let verified = verify_all(to_check, &roots, now, &known)
                .into_iter()
                .zip(&work);
            verified
                .map(|(verified, (record, _))| verified.and_then(|()| Entry::of(record)))
                .collect()
        })
    }

    async fn prepare(&self, record: &EvidenceRecord) -> Result<Prepared> {
        let evidence = EvidenceId::parse(&record.evidence_number)?;
        if self.log.leaf(evidence).is_none() {
            // Here, where nobody else waits: the writer looks again, and finds it done.
            self.log.prove_since(evidence.submission.at()).await?;
        }
        if let Some(leaf) = self.log.leaf(evidence) {
            return Ok(Prepared::There(leaf));
        }
        let submission = self.submissions.read(evidence.submission).await?;
        let record = Record {
            evidence,
            statement: record.statement.to_vec(),
            manifest: record.manifest.to_vec(),
            signature: record.signature.to_vec(),
        };
        Ok(Prepared::Check(record, submission))
    }
}

#[async_trait]
impl Verify for Deposit {
    async fn verify(&self, entries: &[Entry]) -> Result<()> {
        let mut work = Vec::with_capacity(entries.len());
        for entry in entries {
            let submission = self.submissions.read(entry.evidence.submission).await?;
            work.push((Record::decode(&entry.bytes)?, submission));
        }
        // A panic here would end the writer, who serves everybody.
        let verified = self.verifying(work).await.map_err(Error::internal)?;
        if verified.len() != entries.len() {
            return Err(Error::internal("verifying failed"));
        }
        verified.into_iter().try_for_each(|entry| entry.map(drop))
    }
}

enum Prepared {
    There(u64),
    Check(Record, Arc<Submission>),
}

enum Checked {
    There(u64),
    New(Entry),
}
