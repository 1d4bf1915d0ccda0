//! What signing has to know of an instruction: the submission, and the ledger's facts about who was behind it.

use probity_domain::{IntentId, Sha3_256, Sha256, Submission, SubmissionId, Timestamp};
use probity_pki::statement::{Agreement, Intent, PartyKind, Submitter, Verification};
use probity_platform::ledger::Ledger;
use probity_platform::objects::Objects;
use probity_platform::{Error, Result};
use probity_proto::ledger::{IntentEvent, PartyEvent};
use probity_proto::registry::{IntentState, PartyState};
use probity_proto::stored::{SUBMISSION_BYTES_MAX, read_submission, submission_key};

/// A submission with the facts that go into each of its statements.
#[derive(Debug, Clone)]
pub struct Instruction {
    pub submission: Submission,
    pub facts: Facts,
}

/// Who, and with what will. `None` is "not established".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    pub submitter: Submitter,
    pub agreement: Option<Agreement>,
    pub intent: Option<Intent>,
}

/// Reads an instruction.
///
/// # Errors
/// `NotFound` without the submission or its party; those of the store.
pub async fn load_instruction(
    truth: &dyn Objects,
    ledger: &Ledger,
    id: SubmissionId,
) -> Result<Instruction> {
    let submission = load_submission(truth, id).await?;
    let party = ledger.read::<PartyEvent>(submission.party.as_str()).await?;
    let party = PartyState::of(&party.events);
    let intent = match submission.intent {
        Some(id) => intent(ledger, id, &submission).await?,
        None => None,
    };
    let facts = Facts {
        submitter: submitter(&party, &submission)?,
        agreement: agreement(&party, submission.received_at)?,
        intent,
    };
    Ok(Instruction { submission, facts })
}

pub(crate) async fn load_submission(truth: &dyn Objects, id: SubmissionId) -> Result<Submission> {
    let object = truth.get(&submission_key(id), SUBMISSION_BYTES_MAX).await?;
    let object = object.ok_or_else(|| Error::not_found(format!("submission {id}")))?;
    read_submission(&object.bytes).map_err(Error::internal)
}

fn submitter(party: &PartyState, submission: &Submission) -> Result<Submitter> {
    let applicant = party
        .application
        .as_ref()
        .ok_or_else(|| Error::not_found(format!("party {}", submission.party)))?;
    let verification = match party.decision.as_ref().filter(|d| d.verified) {
        Some(decision) => Some(Verification {
            method: decision.method.clone(),
            verifier: decision.verifier.clone(),
            decided_at: time(&decision.at)?,
            evidence_digests: digests(&decision.document_sha3_256)?,
        }),
        None => None,
    };
    let organization = applicant.kind == "organization";
    Ok(Submitter {
        party: submission.party.clone(),
        kind: if organization {
            PartyKind::Organization
        } else {
            PartyKind::Person
        },
        name: applicant.name.clone(),
        // A person's document number stays in the registry: every court and opponent reads statements.
        identifier: organization.then(|| applicant.identifier.clone()),
        verification,
    })
}

/// The latest acceptance that stood when the instruction came in.
fn agreement(party: &PartyState, received_at: Timestamp) -> Result<Option<Agreement>> {
    for acceptance in party.acceptances.iter().rev() {
        let accepted_at = time(&acceptance.at)?;
        if accepted_at <= received_at {
            return Ok(Some(Agreement {
                id: acceptance.agreement.clone(),
                version: acceptance.version.clone(),
                sha3_256: digest(&acceptance.sha3_256)?,
                accepted_at,
                channel: acceptance.channel.clone(),
            }));
        }
    }
    Ok(None)
}

/// A confirmed intent for exactly this instruction (I2); anything less is no intent.
async fn intent(ledger: &Ledger, id: IntentId, submission: &Submission) -> Result<Option<Intent>> {
    let history = ledger.read::<IntentEvent>(&id.to_string()).await?;
    let state = IntentState::of(&history.events);
    let (Some(requested), Some(confirmed)) = (state.requested, state.confirmed) else {
        return Ok(None);
    };
    let instruction = Sha256::parse_hex(&requested.instruction_sha256).map_err(Error::internal)?;
    if instruction != submission.instruction_sha256 || requested.party != submission.party.as_str()
    {
        return Ok(None);
    }
    Ok(Some(Intent {
        id,
        instruction_sha256: instruction,
        channel: requested.channel,
        masked_destination: requested.masked_destination,
        issued_at: time(&requested.at)?,
        confirmed_at: time(&confirmed.at)?,
    }))
}

fn time(rfc3339: &str) -> Result<Timestamp> {
    Timestamp::parse_rfc3339(rfc3339).map_err(Error::internal)
}

fn digest(hex: &str) -> Result<Sha3_256> {
    Sha3_256::parse_hex(hex).map_err(Error::internal)
}

fn digests(hex: &[String]) -> Result<Vec<Sha3_256>> {
    hex.iter().map(|text| digest(text)).collect()
}
