//! Stating: everything the platform says about one piece of evidence.

use probity_domain::{EvidenceId, Item};
use probity_pki::statement::{ActingAs, STATEMENT_FORMAT, StatedArtifact, Statement};

use crate::Instruction;

/// The statement of one item. The same instruction and item give the same statement.
#[must_use]
pub fn state(instruction: &Instruction, evidence: EvidenceId, item: &Item) -> Statement {
    let (submission, facts) = (&instruction.submission, &instruction.facts);
    Statement {
        format: STATEMENT_FORMAT.to_owned(),
        evidence_number: evidence,
        submission: submission.id,
        tenant: submission.tenant.clone(),
        submitter: facts.submitter.clone(),
        acting_as: ActingAs {
            credential: submission.credential,
            automated: submission.automated,
            on_behalf_of: submission.on_behalf_of.clone(),
        },
        agreement: facts.agreement.clone(),
        instruction_sha256: submission.instruction_sha256,
        intent: facts.intent.clone(),
        submitter_signature: submission.submitter_signature.as_ref().map(Into::into),
        case: submission.case.clone(),
        title: item.title().to_owned(),
        purpose: item.purpose(),
        source_url: item.source_url().map(str::to_owned),
        declared_captured_at: item.declared_captured_at(),
        received_at: submission.received_at,
        artifacts: item.artifacts().iter().map(StatedArtifact::from).collect(),
    }
}
