//! Documents in object storage: the submission. JSON with a format name; unknown fields are refused, so that a reader
//! never silently ignores what a newer writer meant. The wire form and its two conversions stand side by side.

use probity_domain as domain;
use probity_domain::Malformed;
use serde::{Deserialize, Serialize, Serializer};

use crate::format;
use crate::http::ItemDocument;

/// `submissions/<hour>/<shard>/<id>`: one accepted instruction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubmissionDocument<Items = Vec<StoredItem>> {
    pub format: String,
    pub id: String,
    pub tenant: String,
    pub party: String,
    pub credential: String,
    pub on_behalf_of: Option<String>,
    pub automated: bool,
    pub case: String,
    pub intent: Option<String>,
    pub idempotency_key: String,
    pub instruction_sha256: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub submitter_signature: Option<StoredSignature>,
    pub received_at: String,
    pub items: Items,
}

/// The submitter's own signature: its bytes and the instruction's lie under `blobs/`, by these digests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredSignature {
    pub sha3_256: String,
    pub instruction_sha3_256: String,
    pub signer: String,
}

/// One line of the instruction: accepted with its content, or refused with the reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum StoredItem {
    Accepted(ItemDocument),
    Refused { what: String, reason: String },
}

/// The format name this version writes and reads.
pub const SUBMISSION_FORMAT: &str = "probity.submission/1";

/// Largest submission that is read, hence the largest that may be written: bytes. Twice the longest instruction.
pub const SUBMISSION_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Writing a submission begins at most this long after the time in its id, and after its artifacts were seen in the
/// store: milliseconds. Storage's reconciler keeps an hour open for another after its end: much longer, so that the write has
/// come to its end as well.
pub const WRITE_WITHIN_MS: i64 = 5 * 60_000;

/// The id of the submission that has this key in bucket `truth`; `None` when none has.
#[must_use]
pub fn submission_of(key: &str) -> Option<domain::SubmissionId> {
    let name = key.rsplit('/').next()?;
    let id = domain::SubmissionId::parse(name).ok()?;
    (submission_key(id) == key).then_some(id)
}

/// Key of a submission in bucket `truth`; follows from the id alone.
#[must_use]
pub fn submission_key(id: domain::SubmissionId) -> String {
    format!("submissions/{}/{}/{id}", id.at().hour_key(), id.shard())
}

/// Key of an artifact's bytes in bucket `truth`.
#[must_use]
pub fn blob_key(tenant: &domain::TenantId, digest: &domain::Sha3_256) -> String {
    format!("blobs/{tenant}/{digest}")
}

impl From<&domain::SubmitterSignature> for StoredSignature {
    fn from(s: &domain::SubmitterSignature) -> Self {
        Self {
            sha3_256: s.sha3_256.to_hex(),
            instruction_sha3_256: s.instruction_sha3_256.to_hex(),
            signer: s.signer.clone(),
        }
    }
}

impl TryFrom<StoredSignature> for domain::SubmitterSignature {
    type Error = Malformed;

    fn try_from(d: StoredSignature) -> Result<Self, Malformed> {
        Ok(Self {
            sha3_256: domain::Sha3_256::parse_hex(&d.sha3_256)?,
            instruction_sha3_256: domain::Sha3_256::parse_hex(&d.instruction_sha3_256)?,
            signer: d.signer,
        })
    }
}

impl From<&domain::ItemOutcome> for StoredItem {
    fn from(outcome: &domain::ItemOutcome) -> Self {
        match outcome {
            domain::ItemOutcome::Accepted(item) => Self::Accepted(item.into()),
            domain::ItemOutcome::Refused(m) => Self::Refused {
                what: m.what.to_owned(),
                reason: m.reason.clone(),
            },
        }
    }
}

/// Lines that become documents one after the other, so that there is never a second copy of them all.
#[derive(Debug, Clone, Copy)]
pub struct Lines<'a>(&'a [domain::ItemOutcome]);

impl Serialize for Lines<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(StoredItem::from))
    }
}

impl<'a> From<&'a domain::SubmissionDraft> for SubmissionDocument<Lines<'a>> {
    fn from(s: &'a domain::SubmissionDraft) -> Self {
        Self {
            format: SUBMISSION_FORMAT.to_owned(),
            id: s.id.to_string(),
            tenant: s.tenant.to_string(),
            party: s.party.to_string(),
            credential: s.credential.to_string(),
            on_behalf_of: s.on_behalf_of.as_ref().map(ToString::to_string),
            automated: s.automated,
            case: s.case.to_string(),
            intent: s.intent.map(|i| i.to_string()),
            idempotency_key: s.idempotency_key.to_string(),
            instruction_sha256: s.instruction_sha256.to_hex(),
            submitter_signature: s.submitter_signature.as_ref().map(Into::into),
            received_at: s.received_at.to_rfc3339(),
            items: Lines(&s.items),
        }
    }
}

impl TryFrom<SubmissionDocument> for domain::Submission {
    type Error = Malformed;

    fn try_from(d: SubmissionDocument) -> Result<Self, Malformed> {
        format::expect(SUBMISSION_FORMAT, &d.format)?;
        let items = d.items.into_iter().map(|item| {
            Ok(match item {
                StoredItem::Accepted(item) => domain::ItemOutcome::Accepted(item.try_into()?),
                StoredItem::Refused { what, reason } => {
                    domain::ItemOutcome::Refused(Malformed::new(known_field(&what), reason))
                }
            })
        });
        let items = items.collect::<Result<Vec<_>, Malformed>>()?;
        Self::new(domain::SubmissionDraft {
            id: domain::SubmissionId::parse(&d.id)?,
            tenant: domain::TenantId::parse(&d.tenant)?,
            party: domain::PartyId::parse(&d.party)?,
            credential: domain::CredentialId::parse(&d.credential)?,
            on_behalf_of: d
                .on_behalf_of
                .as_deref()
                .map(domain::PartyId::parse)
                .transpose()?,
            automated: d.automated,
            case: domain::CaseId::parse(&d.case)?,
            intent: d
                .intent
                .as_deref()
                .map(domain::IntentId::parse)
                .transpose()?,
            idempotency_key: domain::IdempotencyKey::parse(&d.idempotency_key)?,
            instruction_sha256: domain::Sha256::parse_hex(&d.instruction_sha256)?,
            submitter_signature: d.submitter_signature.map(TryInto::try_into).transpose()?,
            received_at: domain::Timestamp::parse_rfc3339(&d.received_at)?,
            items,
        })
    }
}

/// Refusals name their field by a static word; a word this version does not know reads as "item".
fn known_field(what: &str) -> &'static str {
    const FIELDS: [&str; 12] = [
        "title",
        "source url",
        "artifacts",
        "artifact name",
        "media type",
        "artifact role",
        "purpose",
        "time",
        "sha3-256",
        "sha-256",
        "artifact",
        "duplicate",
    ];
    FIELDS.into_iter().find(|f| *f == what).unwrap_or("item")
}

/// Reads a submission's bytes.
///
/// # Errors
/// [`Malformed`] when they are not this version's format or a value breaks its rule.
pub fn read_submission(bytes: &[u8]) -> Result<domain::Submission, Malformed> {
    let document: SubmissionDocument = format::read_json("submission", SUBMISSION_FORMAT, bytes)?;
    document.try_into()
}

/// How many bytes a submission takes as it is stored, counted without writing them anywhere.
#[must_use]
pub fn submission_bytes(submission: &domain::SubmissionDraft) -> u64 {
    struct Counted(u64);

    impl std::io::Write for Counted {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len() as u64;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    let mut counted = Counted(0);
    // Strings, numbers and lists only: serialising cannot fail, nor can counting.
    serde_json::to_writer(&mut counted, &SubmissionDocument::from(submission)).ok();
    counted.0
}

/// Writes a submission's bytes.
#[must_use]
pub fn write_submission(submission: &domain::Submission) -> Vec<u8> {
    // Counted first: what grows as it is written takes up to twice its length.
    let size = usize::try_from(submission_bytes(submission)).unwrap_or_default();
    let mut bytes = Vec::with_capacity(size);
    let draft: &domain::SubmissionDraft = submission;
    match serde_json::to_writer(&mut bytes, &SubmissionDocument::from(draft)) {
        Ok(()) => bytes,
        // Cannot be, as above; and half a document is none.
        Err(_) => Vec::new(),
    }
}
