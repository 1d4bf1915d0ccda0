//! `submit`: a vendor's instruction becomes evidence with numbers.

use std::time::Duration;

use bytes::Bytes;
use probity_domain::{
    CaseId, IdempotencyKey, IntentId, ItemOutcome, Malformed, PartyId, Sha3_256, Sha256,
    Submission, SubmissionDraft, SubmissionId, SubmitterSignature, TenantId,
};
use probity_platform::access::Caller;
use probity_platform::objects::Created;
use probity_platform::{Error, Result, telemetry};
use probity_proto::stored::{
    SUBMISSION_BYTES_MAX, WRITE_WITHIN_MS, read_submission, submission_bytes, submission_key,
    write_submission,
};
use probity_proto::v1::Submitted;
use sha2::Digest as _;
use tokio::time::Instant;
use tracing::Instrument as _;

use crate::instruction::{self, Instruction};
use crate::intent::{self, Claim};
use crate::reserve::{Place, Reservations, Reserved};
use crate::{Intake, status, submitter};

/// Items named by one hint: what signing takes at once.
pub const ITEMS_PER_HINT: u32 = 200;

const WRITE_WITHIN: Duration = Duration::from_millis(WRITE_WITHIN_MS.unsigned_abs());

/// An instruction as it came.
pub struct Request<'a> {
    pub caller: &'a Caller,
    /// Byte for byte what the one-time code was bound to.
    pub instruction: Bytes,
    pub key: IdempotencyKey,
    pub intent: Option<IntentId>,
    /// Names the submitter's own signature on it, uploaded before.
    pub signature: Option<Sha3_256>,
}

/// Accepts an instruction, or finds that it was accepted before. When this answers, nothing may lose it.
///
/// # Errors
/// `Forbidden` without standing or a confirmed intent; `Malformed` when the instruction cannot be read or none of its
/// lines was accepted; `Conflict` when the key or the intent was used for something else, or for the same without the
/// submitter's own signature; those of the store.
pub async fn submit(intake: &Intake, request: Request<'_>) -> Result<Submission> {
    // 1. Who instructs, and what exactly.
    let (tenant, party) = request.caller.require_vendor()?;
    let digest = Sha256(sha2::Sha256::digest(&request.instruction).into());

    // 2. The same key again: the same answer, from the store alone.
    let mut reservations = Reservations::read(&intake.ledger, tenant, &request.key, digest).await?;
    if let Some(reserved) = reservations.latest()?
        && let Some(stored) = status::stored_submission(intake, reserved.submission).await?
    {
        if !stored.is_void() {
            return as_instructed(&request, stored);
        }
        reservations.note_closed(reserved.submission);
    }

    // 3. The instruction as a whole, and each of its lines.
    let mut instruction = instruction::read(&request.instruction)?;
    let admitted = 2 * request.instruction.len() as u64;
    let _refusals = match instruction.refusals_bytes().saturating_sub(admitted) {
        0 => None,
        more => Some(intake.admit(tenant, more).await?),
    };

    // 4. The party's standing: verified, and agreed to the electronic form (W1, I4).
    intake
        .standings
        .check(&intake.ledger, tenant, party, intake.clock.now())
        .await?;

    // 5. Its will: this instruction, confirmed by its own one-time code (I2).
    let reserved_before = reservations.submissions();
    let claim = Claim {
        tenant,
        party,
        instruction: digest,
        reserved: &reserved_before,
    };
    match request.intent {
        Some(intent) => intent::check(&intake.ledger, intent, &claim).await?,
        None if intake.require_intent => {
            return Err(Error::forbidden(
                "an instruction needs its confirmed intent: header Probity-Intent (I2)",
            ));
        }
        None => {}
    }

    // 6. Each line's bytes: stored, and what the line says of them.
    let blobs = instruction.blobs();
    let seen = intake.may_rely_on(tenant, blobs.iter().copied()).await?;
    let stored = intake.blobs.look_up(tenant, blobs, seen).await?;
    instruction.refuse_absent(&stored);
    drop(stored);
    if instruction.accepted().next().is_none() {
        let refusals = instruction::every_refusal(&instruction.items);
        return Err(Error::malformed(format!(
            "every item was refused: {refusals}"
        )));
    }

    // 7. The submitter's own signature on the instruction, if it made one, and what it is on.
    let signature = match request.signature {
        Some(signature) => {
            Some(submitter::take(intake, tenant, &request.instruction, signature).await?)
        }
        None => None,
    };

    // 8. Its submission fits what readers read: found out before anything of it is decided.
    let now = intake.clock.now();
    let fresh = Reserved {
        submission: SubmissionId::new(now, intake.random.bytes()),
        received_at: now,
    };
    let plan = Plan {
        request: &request,
        tenant,
        party,
        digest,
        case: instruction.case.clone(),
    };
    let draft = plan.draft(fresh, instruction, signature);
    refuse_oversized(submission_bytes(&draft))?;

    // 9. A place: the key's reservation decides the submission id, whoever else comes with the key. A place of another
    //    time is closed first, unless its submission was written after all.
    let actor = request.caller.actor();
    let reserved = loop {
        let place = reservations.reserve(&intake.ledger, &actor, tenant, digest, fresh);
        match place.await? {
            Place::Open(reserved) => break reserved,
            Place::Stale(stale) => {
                let stands = create(intake, Submission::new(plan.void(stale))?).await?;
                if !stands.is_void() {
                    return as_instructed(&request, stands);
                }
                reservations.note_closed(stale.submission);
            }
        }
    };

    // 10. The intent is used, by this submission and no other.
    if let Some(intent) = request.intent {
        let mut reserved_now = reserved_before.clone();
        reserved_now.push(reserved.submission.to_string());
        let claim = Claim {
            reserved: &reserved_now,
            ..claim
        };
        intent::use_once(&intake.ledger, intent, &claim, reserved.submission).await?;
    }

    // From here on the submission's id is known; by it its spans are found, in every role.
    let span = tracing::info_span!(
        "submit",
        probity.submission = telemetry::submission(&reserved.submission.to_string())
    );

    // 11. The submission becomes durable: from here nothing may lose it. Of several at once, one is written.
    let submission = Submission::new(SubmissionDraft {
        id: reserved.submission,
        received_at: reserved.received_at,
        ..draft
    })?;
    let submission = store(intake, reserved, seen, submission)
        .instrument(span.clone())
        .await?;

    // 12. Signing is told. A hint may be lost: the reconciler finds the submission all the same.
    hint(intake, &submission).instrument(span).await;
    Ok(submission)
}

/// What was accepted under the key before, as the answer to this request.
fn as_instructed(request: &Request<'_>, accepted: Submission) -> Result<Submission> {
    if request.signature.is_some() && accepted.submitter_signature.is_none() {
        return Err(Error::conflict(
            "accepted before without the submitter's own signature, which cannot be added",
        ));
    }
    Ok(accepted)
}

/// What no reader would read again is refused while nothing of it is written.
fn refuse_oversized(bytes: u64) -> Result<()> {
    match bytes {
        0..=SUBMISSION_BYTES_MAX => Ok(()),
        _ => Err(Error::malformed(format!(
            "the instruction comes to {bytes} bytes as it would be stored, at most {SUBMISSION_BYTES_MAX}; send it in parts"
        ))),
    }
}

/// What is known of a submission before it has a place.
struct Plan<'a> {
    request: &'a Request<'a>,
    tenant: &'a TenantId,
    party: &'a PartyId,
    digest: Sha256,
    case: CaseId,
}

impl Plan<'_> {
    fn draft(
        &self,
        reserved: Reserved,
        instruction: Instruction,
        submitter_signature: Option<SubmitterSignature>,
    ) -> SubmissionDraft {
        SubmissionDraft {
            on_behalf_of: instruction.on_behalf_of,
            automated: instruction.automated,
            intent: self.request.intent,
            submitter_signature,
            items: instruction.items,
            ..self.void(reserved)
        }
    }

    /// What is written into a place that nobody is to use any more.
    fn void(&self, reserved: Reserved) -> SubmissionDraft {
        let unused = Malformed::new("item", "nothing was accepted under this number");
        SubmissionDraft {
            id: reserved.submission,
            tenant: self.tenant.clone(),
            party: self.party.clone(),
            credential: self.request.caller.credential,
            on_behalf_of: None,
            automated: false,
            case: self.case.clone(),
            intent: None,
            idempotency_key: self.request.key.clone(),
            instruction_sha256: self.digest,
            submitter_signature: None,
            received_at: reserved.received_at,
            items: vec![ItemOutcome::Refused(unused)],
        }
    }
}

/// Writes a submission into its place, if its time is still now; answers what stands there afterwards.
async fn store(
    intake: &Intake,
    place: Reserved,
    seen: Instant,
    submission: Submission,
) -> Result<Submission> {
    // Later, whoever looks for unfinished work may be past this submission's hour, and whoever removes bytes by order may
    // have looked who needs them.
    if !place.is_open(intake.clock.now()) || seen.elapsed() >= WRITE_WITHIN {
        return Err(Error::unavailable("checking took too long; try again"));
    }
    let stands = create(intake, submission).await?;
    if stands.is_void() {
        return Err(Error::unavailable(
            "another try has given up this one's place; try again",
        ));
    }
    Ok(stands)
}

/// Creates, or finds who was first.
async fn create(intake: &Intake, submission: Submission) -> Result<Submission> {
    let key = submission_key(submission.id);
    match intake
        .truth
        .create(&key, Bytes::from(write_submission(&submission)))
        .await?
    {
        Created::Created => Ok(submission),
        Created::Exists(winner) => read_submission(&winner)
            .map_err(|e| Error::internal(format!("{key} does not read: {e}"))),
    }
}

async fn hint(intake: &Intake, submission: &Submission) {
    for hint in hints(submission) {
        if let Err(error) = intake.neighbours.submitted(&hint).await {
            tracing::warn!(submission = hint.submission_id, %error, "hint not sent; the reconciler will");
            // With the bus down, every further hint would only wait as long.
            return;
        }
    }
}

/// Hints over the accepted items: runs of places, so that what was refused is not asked for.
fn hints(submission: &Submission) -> Vec<Submitted> {
    let mut hints: Vec<Submitted> = Vec::new();
    for (id, _) in submission.accepted() {
        match hints.last_mut() {
            Some(hint) if id.item - hint.first_item < ITEMS_PER_HINT => hint.last_item = id.item,
            _ => hints.push(Submitted {
                submission_id: submission.id.to_string(),
                first_item: id.item,
                last_item: id.item,
                round: 0,
                tenant: submission.tenant.to_string(),
            }),
        }
    }
    hints
}

#[cfg(test)]
mod tests {
    use super::*;
    use probity_domain::{
        Artifact, ArtifactName, ArtifactRole, CredentialId, Digests, Item, MediaType, Purpose,
        Timestamp,
    };

    fn item() -> Item {
        let artifact = Artifact {
            name: ArtifactName::parse("a").unwrap(),
            media_type: MediaType::parse("text/plain").unwrap(),
            role: ArtifactRole::Content,
            size_bytes: 1,
            digests: Digests {
                sha3_256: Sha3_256([1; 32]),
                sha256: Sha256([2; 32]),
            },
        };
        Item::new("t".into(), Purpose::Neutral, None, None, vec![artifact]).unwrap()
    }

    fn submission(accepted: impl Fn(usize) -> bool, count: usize) -> Submission {
        let outcome = |place| match accepted(place) {
            true => ItemOutcome::Accepted(item()),
            false => ItemOutcome::Refused(Malformed::new("title", "bad")),
        };
        Submission::new(SubmissionDraft {
            id: SubmissionId::new(Timestamp::from_unix_ms(1), [0; 10]),
            tenant: TenantId::parse("t").unwrap(),
            party: PartyId::parse("p").unwrap(),
            credential: CredentialId::new(Timestamp::from_unix_ms(1), [0; 10]),
            on_behalf_of: None,
            automated: false,
            case: CaseId::parse("c").unwrap(),
            intent: None,
            idempotency_key: IdempotencyKey::parse("k").unwrap(),
            instruction_sha256: Sha256([0; 32]),
            submitter_signature: None,
            received_at: Timestamp::from_unix_ms(1),
            items: (0..count).map(outcome).collect(),
        })
        .unwrap()
    }

    #[test]
    fn what_no_reader_reads_is_not_written() {
        let kind = |bytes| refuse_oversized(bytes).map_err(|e| e.kind);
        assert_eq!(kind(SUBMISSION_BYTES_MAX), Ok(()));
        assert_eq!(
            kind(SUBMISSION_BYTES_MAX + 1),
            Err(probity_platform::ErrorKind::Malformed)
        );
    }

    #[test]
    fn hints_cover_every_accepted_item_once() {
        let runs = |s: &Submission| {
            hints(s)
                .iter()
                .map(|h| (h.first_item, h.last_item))
                .collect::<Vec<_>>()
        };
        assert_eq!(runs(&submission(|_| true, 1)), [(0, 0)]);
        assert_eq!(
            runs(&submission(|_| true, 450)),
            [(0, 199), (200, 399), (400, 449)]
        );
        assert_eq!(runs(&submission(|place| place >= 300, 302)), [(300, 301)]);
        assert_eq!(
            runs(&submission(|place| place % 150 == 0, 301)),
            [(0, 150), (300, 300)]
        );
    }
}
