//! `status`: where submissions and pieces of evidence stand.
//!
//! That something was accepted is read from the store. Whether it is deposited is asked of the index in Redis, then of
//! storage; with both silent the answer says `accepted` and that it may be old. What a stage refused for good is
//! `quarantined`, until an operator releases it.

use std::collections::{BTreeSet, HashMap};

use probity_domain::{EvidenceId, Item, ItemOutcome, Submission, SubmissionId, TenantId};
use probity_platform::{Error, ErrorKind, Result, quarantine};
use probity_proto::http::{EvidenceStatusDocument, SubmittedDocument, SubmittedItemDocument};
use probity_proto::stored::{SUBMISSION_BYTES_MAX, read_submission, submission_key};

use crate::Intake;

/// Numbers asked of storage in one question.
const LOCATE_MAX: usize = 1_000;
/// Nothing is held sooner.
const QUARANTINE_AFTER_MS: i64 = 60_000;

/// Where pieces of evidence are in the log, as far as can be known now.
#[derive(Debug, Default)]
pub struct Whereabouts {
    leaf_indexes: HashMap<EvidenceId, u64>,
    /// Why those that are in quarantine are held.
    held: HashMap<EvidenceId, String>,
    /// Neither index nor storage could say for some: those that read `accepted` may be deposited.
    pub degraded: bool,
}

impl Whereabouts {
    /// Place in the log; `None` while not deposited.
    #[must_use]
    pub fn leaf_index(&self, id: &EvidenceId) -> Option<u64> {
        self.leaf_indexes.get(id).copied()
    }

    /// `deposited`, `quarantined` or `accepted`.
    #[must_use]
    pub fn state(&self, id: &EvidenceId) -> &'static str {
        if self.leaf_index(id).is_some() {
            "deposited"
        } else if self.held.contains_key(id) {
            "quarantined"
        } else {
            "accepted"
        }
    }

    /// Why it is in quarantine.
    #[must_use]
    pub fn reason(&self, id: &EvidenceId) -> Option<&str> {
        let held = self.held.get(id).filter(|_| self.leaf_index(id).is_none());
        held.map(String::as_str)
    }
}

/// Asks where these are. Never fails: what nobody can say counts as accepted, and degraded.
pub async fn whereabouts(intake: &Intake, ids: &[EvidenceId]) -> Whereabouts {
    let mut found = Whereabouts::default();
    let mut unknown = Vec::new();
    match intake.cache.index_get(ids).await {
        Ok(known) => {
            for (id, leaf_index) in ids.iter().zip(known) {
                match leaf_index {
                    Some(leaf_index) => drop(found.leaf_indexes.insert(*id, leaf_index)),
                    None => unknown.push(*id),
                }
            }
        }
        Err(_) => unknown.extend_from_slice(ids),
    }
    for chunk in unknown.chunks(LOCATE_MAX) {
        match intake.neighbours.locate(chunk).await {
            Ok(located) => found.leaf_indexes.extend(located),
            Err(error) => {
                tracing::debug!(%error, "states may be old");
                found.degraded = true;
                break;
            }
        }
    }
    if !found.degraded
        && let Err(error) = quarantined(intake, &unknown, &mut found).await
    {
        tracing::debug!(%error, "states may be old");
        found.degraded = true;
    }
    found
}

/// Looks for those that are held. Most are on their way, and too young to have been refused round after round.
async fn quarantined(intake: &Intake, ids: &[EvidenceId], found: &mut Whereabouts) -> Result<()> {
    let old = intake.clock.now().plus_ms(-QUARANTINE_AFTER_MS);
    let waiting = ids
        .iter()
        .filter(|id| id.submission.at() < old && found.leaf_index(id).is_none());
    let submissions: BTreeSet<SubmissionId> = waiting.map(|id| id.submission).collect();
    for submission in submissions {
        for (item, state) in quarantine::held(&intake.ledger, submission).await? {
            if let Some(held) = state.held {
                let reason = format!("refused by {}: {}", held.stage, held.reason);
                found.held.insert(EvidenceId { submission, item }, reason);
            }
        }
    }
    Ok(())
}

/// A submission as stored; `None` when there is none.
///
/// # Errors
/// `Internal` when it does not read; those of the store.
pub async fn stored_submission(intake: &Intake, id: SubmissionId) -> Result<Option<Submission>> {
    read_stored(intake, id).await?.transpose()
}

/// The same, with what does not read told apart from a store that does not answer: for whoever passes over it.
///
/// # Errors
/// Those of the store. Within: `Internal`, when what is stored does not read.
pub(crate) async fn read_stored(
    intake: &Intake,
    id: SubmissionId,
) -> Result<Option<Result<Submission>>> {
    let key = submission_key(id);
    let unread = |e: &dyn std::fmt::Display| Error::internal(format!("{key} does not read: {e}"));
    Ok(match intake.truth.get(&key, SUBMISSION_BYTES_MAX).await {
        Ok(None) => None,
        Ok(Some(object)) => Some(read_submission(&object.bytes).map_err(|e| unread(&e))),
        // Larger than any may be.
        Err(e) if e.kind == ErrorKind::Malformed => Some(Err(unread(&e.detail))),
        Err(e) => return Err(e),
    })
}

/// A tenant's own submission. Another tenant's is not found: that it exists is nobody else's business.
///
/// # Errors
/// `NotFound`; those of [`stored_submission`].
pub async fn own_submission(
    intake: &Intake,
    tenant: &TenantId,
    id: SubmissionId,
) -> Result<Submission> {
    stored_submission(intake, id)
        .await?
        .filter(|submission| submission.tenant == *tenant)
        .ok_or_else(|| Error::not_found(format!("no submission {id}")))
}

/// A tenant's own piece of evidence, with the submission it came in.
///
/// # Errors
/// `NotFound` also for a line that was refused.
pub async fn own_evidence(
    intake: &Intake,
    tenant: &TenantId,
    id: EvidenceId,
) -> Result<(Submission, Item)> {
    let missing = || Error::not_found(format!("no evidence {id}"));
    let submission = stored_submission(intake, id.submission).await?;
    let submission = submission
        .filter(|s| s.tenant == *tenant)
        .ok_or_else(missing)?;
    let item = submission.item(id.item).cloned().ok_or_else(missing)?;
    Ok((submission, item))
}

/// Where one piece of evidence stands, and whether that may be old.
///
/// # Errors
/// As [`own_evidence`].
pub async fn evidence_status(
    intake: &Intake,
    tenant: &TenantId,
    id: EvidenceId,
) -> Result<(EvidenceStatusDocument, bool)> {
    let (submission, item) = own_evidence(intake, tenant, id).await?;
    let whereabouts = whereabouts(intake, &[id]).await;
    Ok((
        evidence_document(&submission, id, &item, &whereabouts),
        whereabouts.degraded,
    ))
}

/// Where each line of a submission stands, and whether that may be old.
///
/// # Errors
/// As [`own_submission`].
pub async fn submission_status(
    intake: &Intake,
    tenant: &TenantId,
    id: SubmissionId,
) -> Result<(SubmittedDocument, bool)> {
    let submission = own_submission(intake, tenant, id).await?;
    let ids: Vec<_> = submission.accepted().map(|(id, _)| id).collect();
    let whereabouts = whereabouts(intake, &ids).await;
    Ok((
        submitted_document(&submission, &whereabouts),
        whereabouts.degraded,
    ))
}

/// What a vendor is told of one piece of evidence.
#[must_use]
pub fn evidence_document(
    submission: &Submission,
    id: EvidenceId,
    item: &Item,
    whereabouts: &Whereabouts,
) -> EvidenceStatusDocument {
    EvidenceStatusDocument {
        evidence: id.to_string(),
        state: whereabouts.state(&id).to_owned(),
        case: submission.case.to_string(),
        title: item.title().to_owned(),
        received_at: submission.received_at.to_rfc3339(),
        leaf_index: whereabouts.leaf_index(&id),
    }
}

/// What a vendor is told of its instruction, line by line.
#[must_use]
pub fn submitted_document(submission: &Submission, whereabouts: &Whereabouts) -> SubmittedDocument {
    let lines = submission
        .items
        .iter()
        .zip(0u32..)
        .map(|(outcome, place)| match outcome {
            ItemOutcome::Accepted(_) => {
                let id = EvidenceId {
                    submission: submission.id,
                    item: place,
                };
                SubmittedItemDocument {
                    place,
                    evidence: Some(id.to_string()),
                    state: whereabouts.state(&id).to_owned(),
                    reason: whereabouts.reason(&id).map(str::to_owned),
                    leaf_index: whereabouts.leaf_index(&id),
                }
            }
            ItemOutcome::Refused(refused) => SubmittedItemDocument {
                place,
                evidence: None,
                state: "refused".to_owned(),
                reason: Some(refused.to_string()),
                leaf_index: None,
            },
        });
    SubmittedDocument {
        submission: submission.id.to_string(),
        received_at: submission.received_at.to_rfc3339(),
        items: lines.collect(),
    }
}
