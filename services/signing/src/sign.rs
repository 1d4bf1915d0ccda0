//! The verb: one record for each accepted item, and the messages they travel in.

use probity_domain::{EvidenceId, Item, Record, SubmissionId, Timestamp};
use probity_pki::cms::{CommitmentType, SignRequest, sign_manifest};
use probity_pki::package::event_manifest;
use probity_platform::{Error, Result};
use probity_proto::v1::{EvidenceRecord, Signed};
use prost::Message as _;

use crate::{EventKey, Instruction, state};

/// A message carries at most this many bytes: half of what the bus takes, for the time-stamps come on top.
const CHUNK_BYTES_MAX: usize = 512 * 1024;
/// Room that the log entry needs for the time-stamp token added later.
const TOKEN_BYTES_MAX: usize = 6 * 1024;

/// Signs the accepted items at these places; each answers for itself. CPU work: a millisecond or less for
/// each. `Malformed` when a statement or record would not fit the log, `Internal` when signing fails.
#[must_use]
pub fn sign(
    instruction: &Instruction,
    places: &[u32],
    key: &EventKey,
    now: Timestamp,
) -> Vec<Result<EvidenceRecord>> {
    let submission = instruction.submission.id;
    let accepted = places.iter().filter_map(|place| {
        let item = instruction.submission.item(*place)?;
        Some((
            EvidenceId {
                submission,
                item: *place,
            },
            item,
        ))
    });
    accepted
        .map(|(evidence, item)| sign_one(instruction, evidence, item, key, now))
        .collect()
}

fn sign_one(
    instruction: &Instruction,
    evidence: EvidenceId,
    item: &Item,
    key: &EventKey,
    now: Timestamp,
) -> Result<EvidenceRecord> {
    let stated = state(instruction, evidence, item);
    let statement = stated.to_bytes().map_err(Error::malformed)?;
    let manifest = event_manifest(&stated, &statement).map_err(Error::malformed)?;
    let request = SignRequest {
        content: &manifest,
        signer: &key.certificate,
        extra_certificates: &key.chain,
        crls: &key.crls,
        signing_time: now,
        // What the confirmed one-time code approved is more than where it came from (I5).
        commitment: match instruction.facts.intent {
            Some(_) => CommitmentType::ProofOfApproval,
            None => CommitmentType::ProofOfOrigin,
        },
        instruction_digest: Some(instruction.submission.instruction_sha256.0),
    };
    let status = std::slice::from_ref(&key.status);
    let signature = sign_manifest(&request, status, &*key.key).map_err(Error::internal)?;
    let record = Record {
        evidence,
        statement,
        manifest,
        signature,
    };
    let fits = record.encode()?.len() + TOKEN_BYTES_MAX <= probity_domain::RECORD_BYTES_MAX;
    if !fits {
        return Err(Error::malformed(format!(
            "{evidence}: statement and signature exceed a log entry"
        )));
    }
    Ok(EvidenceRecord {
        evidence_number: evidence.to_string(),
        statement: record.statement.into(),
        manifest: record.manifest.into(),
        signature: record.signature.into(),
    })
}

/// Splits records into messages, each with an id that names what is in it and the round it was made in.
#[must_use]
pub fn chunks(id: SubmissionId, round: u32, records: Vec<EvidenceRecord>) -> Vec<(String, Signed)> {
    let mut messages: Vec<Vec<EvidenceRecord>> = Vec::new();
    let mut room = 0;
    for record in records {
        let size = record.encoded_len() + 8;
        match messages.last_mut() {
            Some(message) if size <= room => message.push(record),
            _ => {
                room = CHUNK_BYTES_MAX;
                messages.push(vec![record]);
            }
        }
        room = room.saturating_sub(size);
    }
    let named = |records: Vec<EvidenceRecord>| {
        let place = |r: Option<&EvidenceRecord>| {
            r.and_then(|r| r.evidence_number.rsplit_once('-'))
                .map_or("", |(_, place)| place)
                .to_owned()
        };
        let name = format!(
            "signed.{id}.{}-{}.{round}",
            place(records.first()),
            place(records.last())
        );
        (
            name,
            Signed {
                submission_id: id.to_string(),
                records,
                round,
            },
        )
    };
    messages.into_iter().map(named).collect()
}
