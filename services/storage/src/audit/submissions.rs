//! Submissions: every accepted item is in the log, and the bytes it names are there.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};

use futures::{StreamExt as _, stream};
use probity_domain::{EvidenceId, Item, Submission, SubmissionId, TenantId};
use probity_platform::objects::Objects;
use probity_platform::{Error, Result, quarantine};
use probity_proto::stored::{blob_key, submission_key, submission_of};
use sha2::Digest as _;

use super::{Audit, FindingKind, PAGE};
use crate::custody::was_deleted;
use crate::submissions::load;

const SUBMISSIONS: &str = "submissions/";
/// Submissions in memory at once: the largest have ten thousand items.
const SUBMISSIONS_AT_ONCE: usize = 8;
const BLOBS_AT_ONCE: usize = 8;
/// Blobs that wait until they are read, those of one submission apart: most submissions have few.
const BLOBS_WAITING: usize = 64;

/// What a blob has to be.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Named {
    key: String,
    sha3_256: [u8; 32],
    /// Where it was stated.
    sha256: Option<[u8; 32]>,
    size_bytes: Option<u64>,
}

/// What a blob is.
struct Hashed {
    sha3_256: [u8; 32],
    sha256: [u8; 32],
    size_bytes: u64,
}

/// Blobs that were looked at, eight bytes each, keyed anew for each audit: submissions may share them.
#[derive(Default)]
struct Seen {
    hashes: HashSet<u64>,
    state: RandomState,
}

impl Seen {
    fn is_new(&mut self, named: &Named) -> bool {
        self.hashes.insert(self.state.hash_one(named))
    }
}

impl Audit {
    pub(super) async fn all_submissions(&mut self) -> Result<()> {
        let mut seen = Seen::default();
        let mut after: Option<String> = None;
        let truth = self.log.truth.clone();
        loop {
            let page = truth.list(SUBMISSIONS, after.as_deref(), PAGE).await?;
            let mut ids = Vec::new();
            for listed in &page {
                match submission_of(&listed.key) {
                    Some(id) => ids.push(id),
                    None => {
                        let reason = "no submission has this key";
                        self.report
                            .find(FindingKind::Submission, &listed.key, reason);
                    }
                }
            }
            let truth = &*truth;
            let mut read = stream::iter(ids)
                .map(|id| async move { (id, load(truth, id).await) })
                .buffered(SUBMISSIONS_AT_ONCE);
            let mut waiting = Vec::new();
            while let Some((id, read)) = read.next().await {
                self.report.checked.submissions += 1;
                let key = submission_key(id);
                let Some(submission) = self.report.read(FindingKind::Submission, &key, read)?
                else {
                    continue;
                };
                if submission.id != id {
                    let reason = format!("it is submission {}", submission.id);
                    self.report.find(FindingKind::Submission, &key, reason);
                    continue;
                }
                self.items(&submission, &key).await?;
                if self.scope.blobs {
                    let blobs = named(&submission).into_iter();
                    waiting.extend(blobs.filter(|(blob, _)| seen.is_new(blob)));
                }
                if waiting.len() >= BLOBS_WAITING {
                    self.blobs(std::mem::take(&mut waiting)).await?;
                }
            }
            self.blobs(waiting).await?;
            match page.last() {
                Some(last) if page.len() == usize::from(PAGE) => after = Some(last.key.clone()),
                _ => return Ok(()),
            }
        }
    }

    /// Whether items of a submission that are not in the log may still be under way.
    pub(super) fn is_open(&self, id: SubmissionId) -> bool {
        id.at().plus_ms(i64::from(self.scope.open_s) * 1_000) > self.started_at
    }

    async fn items(&mut self, submission: &Submission, key: &str) -> Result<()> {
        let accepted = submission.accepted().map(|(evidence, _)| evidence);
        let mut missing = Vec::new();
        for evidence in accepted {
            self.report.checked.items += 1;
            if self.index.leaf(evidence).is_none() {
                missing.push(evidence);
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let held = quarantine::held(&self.ledger, submission.id).await;
        let held = self.report.read(FindingKind::Event, key, held)?;
        let held = held.unwrap_or_default();
        missing.retain(|evidence| {
            let is_held = held.contains_key(&evidence.item);
            if is_held {
                self.held.insert(*evidence);
                self.report.open.quarantined += 1;
            }
            !is_held
        });
        if self.is_open(submission.id) {
            self.report.open.submissions += u64::from(!missing.is_empty());
            self.report.open.items += missing.len() as u64;
            return Ok(());
        }
        for evidence in missing {
            let reason = format!("{evidence} was accepted and no readable entry is it");
            self.report.find(FindingKind::Lost, key, reason);
        }
        Ok(())
    }

    async fn blobs(&mut self, blobs: Vec<(Named, EvidenceId)>) -> Result<()> {
        let truth = self.log.truth.clone();
        let mut hashed = stream::iter(blobs)
            .map(|(named, of)| {
                let (truth, key) = (truth.clone(), named.key.clone());
                // In a task of its own, so that hashing has more than one core.
                let hashed = tokio::spawn(async move { hash(&*truth, &key).await });
                async move {
                    (
                        named,
                        of,
                        hashed.await.unwrap_or_else(|e| Err(Error::internal(e))),
                    )
                }
            })
            .buffered(BLOBS_AT_ONCE);
        while let Some((named, of, hashed)) = hashed.next().await {
            self.report.checked.blobs += 1;
            let reason = match self.report.read(FindingKind::Blob, &named.key, hashed)? {
                Some(Some(is)) => {
                    self.report.checked.blob_bytes += is.size_bytes;
                    match differing(&named, &is) {
                        Some(what) => format!("its {what} is not what was submitted"),
                        None => continue,
                    }
                }
                // An order that does not read is named when the ledger is walked.
                Some(None) if was_deleted(&self.ledger, of).await? => {
                    self.report.checked.deleted_blobs += 1;
                    continue;
                }
                Some(None) => "missing".to_owned(),
                None => continue,
            };
            self.report.find(FindingKind::Blob, &named.key, reason);
        }
        Ok(())
    }
}

/// Everything a submission says it consists of, with an evidence that needs it.
fn named(submission: &Submission) -> Vec<(Named, EvidenceId)> {
    let tenant: &TenantId = &submission.tenant;
    let of_item = |(evidence, item): (EvidenceId, &Item)| {
        let artifacts = item.artifacts().iter().map(|artifact| Named {
            key: blob_key(tenant, &artifact.digests.sha3_256),
            sha3_256: artifact.digests.sha3_256.0,
            sha256: Some(artifact.digests.sha256.0),
            size_bytes: Some(artifact.size_bytes),
        });
        artifacts.map(|named| (named, evidence)).collect::<Vec<_>>()
    };
    let artifacts = submission.accepted().flat_map(of_item);
    let own = submission.submitter_signature.iter().flat_map(|signature| {
        [
            (signature.sha3_256, None),
            (
                signature.instruction_sha3_256,
                Some(submission.instruction_sha256.0),
            ),
        ]
    });
    let own = own.map(|(digest, sha256)| Named {
        key: blob_key(tenant, &digest),
        sha3_256: digest.0,
        sha256,
        size_bytes: None,
    });
    let first = submission.accepted().next().map(|(evidence, _)| evidence);
    let own = own.filter_map(|named| Some((named, first?)));
    artifacts.chain(own).collect()
}

fn differing(named: &Named, is: &Hashed) -> Option<&'static str> {
    let fields = [
        (
            "length",
            named.size_bytes.is_none_or(|size| size == is.size_bytes),
        ),
        ("SHA3-256", named.sha3_256 == is.sha3_256),
        (
            "SHA-256",
            named.sha256.is_none_or(|sha256| sha256 == is.sha256),
        ),
    ];
    let wrong = fields.into_iter().find(|(_, same)| !same);
    wrong.map(|(field, _)| field)
}

async fn hash(truth: &dyn Objects, key: &str) -> Result<Option<Hashed>> {
    let Some((size_bytes, mut body)) = truth.get_streamed(key).await? else {
        return Ok(None);
    };
    let (mut sha3_256, mut sha256) = (sha3::Sha3_256::default(), sha2::Sha256::default());
    let mut read_bytes = 0;
    while let Some(piece) = body.next().await {
        let piece = piece?;
        read_bytes += piece.len() as u64;
        sha3_256.update(&piece);
        sha256.update(&piece);
    }
    if read_bytes != size_bytes {
        return Err(Error::internal(format!("{key} was not read to its end")));
    }
    Ok(Some(Hashed {
        sha3_256: sha3_256.finalize().into(),
        sha256: sha256.finalize().into(),
        size_bytes,
    }))
}
