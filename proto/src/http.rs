//! HTTP/JSON shapes of the edges. The OpenAPI documents are generated from these.

use probity_domain as domain;
use probity_domain::Malformed;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a vendor instructs, byte for byte what its one-time code is bound to: body of `POST /v1/submissions`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InstructionDocument {
    /// Always `probity.instruction/1`.
    pub format: String,
    pub case: String,
    /// Sent by an unattended system (W8).
    #[serde(default)]
    pub automated: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<String>,
    /// One to ten thousand captures. Each answers for itself: a bad one does not refuse its neighbours, therefore the
    /// lines are read one by one and not as a list of [`ItemDocument`].
    #[schema(value_type = Vec<ItemDocument>)]
    pub items: Vec<serde_json::Value>,
}

/// The format name of instructions.
pub const INSTRUCTION_FORMAT: &str = "probity.instruction/1";

/// One capture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ItemDocument {
    pub title: String,
    /// `ownership`, `infringement`, `defence` or `neutral`.
    pub purpose: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_url: Option<String>,
    /// RFC 3339; the vendor's own declaration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub captured_at: Option<String>,
    pub artifacts: Vec<ArtifactDocument>,
}

/// One file of a capture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ArtifactDocument {
    pub name: String,
    pub media_type: String,
    /// `content`, `process_log`, `recording`, `clean_check` or `other`.
    #[serde(default = "content")]
    pub role: String,
    pub size_bytes: u64,
    /// 64 hexadecimal digits.
    pub sha3_256: String,
    /// 64 hexadecimal digits.
    pub sha256: String,
}

fn content() -> String {
    domain::ArtifactRole::Content.as_str().to_owned()
}

impl From<&domain::Item> for ItemDocument {
    fn from(item: &domain::Item) -> Self {
        Self {
            title: item.title().to_owned(),
            purpose: item.purpose().as_str().to_owned(),
            source_url: item.source_url().map(str::to_owned),
            captured_at: item
                .declared_captured_at()
                .map(domain::Timestamp::to_rfc3339),
            artifacts: item.artifacts().iter().map(Into::into).collect(),
        }
    }
}

impl From<&domain::Artifact> for ArtifactDocument {
    fn from(a: &domain::Artifact) -> Self {
        Self {
            name: a.name.to_string(),
            media_type: a.media_type.as_str().to_owned(),
            role: a.role.as_str().to_owned(),
            size_bytes: a.size_bytes,
            sha3_256: a.digests.sha3_256.to_hex(),
            sha256: a.digests.sha256.to_hex(),
        }
    }
}

impl TryFrom<ItemDocument> for domain::Item {
    type Error = Malformed;

    fn try_from(d: ItemDocument) -> Result<Self, Malformed> {
        let artifacts = d
            .artifacts
            .into_iter()
            .map(TryInto::try_into)
            .collect::<Result<Vec<_>, Malformed>>()?;
        let captured_at = d
            .captured_at
            .as_deref()
            .map(domain::Timestamp::parse_rfc3339)
            .transpose()?;
        Self::new(
            d.title,
            domain::Purpose::parse(&d.purpose)?,
            d.source_url,
            captured_at,
            artifacts,
        )
    }
}

impl TryFrom<ArtifactDocument> for domain::Artifact {
    type Error = Malformed;

    fn try_from(d: ArtifactDocument) -> Result<Self, Malformed> {
        Ok(Self {
            name: domain::ArtifactName::parse(&d.name)?,
            media_type: domain::MediaType::parse(&d.media_type)?,
            role: domain::ArtifactRole::parse(&d.role)?,
            size_bytes: d.size_bytes,
            digests: domain::Digests {
                sha3_256: domain::Sha3_256::parse_hex(&d.sha3_256)?,
                sha256: domain::Sha256::parse_hex(&d.sha256)?,
            },
        })
    }
}

/// Answer to `PUT /v1/blobs/{sha3_256}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BlobStoredDocument {
    pub sha3_256: String,
    pub size_bytes: u64,
    /// The bytes were known to be there already.
    pub existed: bool,
}

/// Answer to `POST /v1/submissions` and `GET /v1/submissions/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SubmittedDocument {
    pub submission: String,
    pub received_at: String,
    /// One per line of the instruction, in its order.
    pub items: Vec<SubmittedItemDocument>,
}

/// What became of one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SubmittedItemDocument {
    pub place: u32,
    /// Set when accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
    /// `accepted`, `deposited`, `quarantined` or `refused`.
    pub state: String,
    /// Set when refused: the field and the rule it broke; and when quarantined: which role refused it, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Set when deposited: the place in the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaf_index: Option<u64>,
}

/// Where one piece of evidence stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EvidenceStatusDocument {
    pub evidence: String,
    /// `accepted`, `deposited` or `quarantined`.
    pub state: String,
    pub case: String,
    pub title: String,
    pub received_at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaf_index: Option<u64>,
}

/// A page of evidence, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EvidencePageDocument {
    pub evidence: Vec<EvidenceStatusDocument>,
    /// Hand back as `page=` for the next page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_page: Option<String>,
}

/// Body of `POST /v1/intents`: ask for a one-time code bound to an instruction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IntentRequestDocument {
    /// SHA-256 of the instruction's bytes, 64 hexadecimal digits.
    pub instruction_sha256: String,
    /// What the person is shown beside the code, e.g. "submit 200 captures for case X".
    pub summary: String,
}

/// Answer to `POST /v1/intents`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IntentRequestedDocument {
    pub intent: String,
    /// `smtp` or `file`.
    pub channel: String,
    /// Where the code went, e.g. `a***@example.com`.
    pub masked_destination: String,
    pub expires_at: String,
}

/// Body of `POST /v1/intents/{id}/confirm`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IntentConfirmDocument {
    pub code: String,
    /// The digest again: a code for one instruction never confirms another (I2).
    pub instruction_sha256: String,
}

/// Answer to `GET /v1/intents/{id}` and `POST /v1/intents/{id}/confirm`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IntentStatusDocument {
    pub intent: String,
    /// `requested`, `confirmed`, `used`, `expired` or `exhausted`.
    pub state: String,
    pub instruction_sha256: String,
    pub summary: String,
    pub expires_at: String,
    pub attempts_left: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed_at: Option<String>,
    /// The submission it was used for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_by: Option<String>,
}

/// Body of `POST /v1/parties`: an application, the applicant's declaration of its truth included (W6).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PartyApplicationDocument {
    pub party: String,
    pub tenant: String,
    /// `person` or `organization`.
    pub kind: String,
    pub name: String,
    /// Registration or document number.
    pub identifier: String,
    /// ISO 3166-1 alpha-2.
    pub country: String,
    /// Where one-time codes go.
    pub email: String,
    /// For organisations: the legal representative's name (W3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub legal_representative: Option<String>,
    /// For organisations: the handler's name (W3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handler: Option<String>,
    /// The applicant declares the above true, complete and accurate.
    pub declared_true: bool,
}

/// Body of `POST /v1/parties/{party}/decision`: the registration officer's decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DecisionDocument {
    pub verified: bool,
    /// `officer`, or the name of a provider such as `sandbox`.
    pub method: String,
    /// SHA3-256 of each document examined.
    pub document_sha3_256: Vec<String>,
    pub note: String,
}

/// Where a party stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PartyStatusDocument {
    pub party: String,
    pub tenant: String,
    /// `applied`, `verified` or `refused`.
    pub state: String,
    pub name: String,
    /// The latest agreement accepted, as `<agreement>.<version>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreement: Option<String>,
    /// For officers and auditors: the values exactly as submitted (W6).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<PartyApplicationDocument>,
    /// For officers and auditors: how it was verified or refused (W1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<PartyDecisionDocument>,
    /// Every acceptance of an agreement (W5).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub acceptances: Vec<PartyAcceptanceDocument>,
}

/// The latest decision on an application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PartyDecisionDocument {
    pub at: String,
    pub verified: bool,
    /// `officer`, or the name of a provider such as `sandbox`, which verifies nothing.
    pub method: String,
    pub verifier: String,
    pub document_sha3_256: Vec<String>,
    pub note: String,
}

/// Which text was accepted, by which credential, when and from where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PartyAcceptanceDocument {
    pub at: String,
    pub by: String,
    pub agreement: String,
    pub version: String,
    pub sha3_256: String,
    pub channel: String,
    pub from_address: String,
}

/// Body of `POST /v1/agreements`: publishes a version of the agreement on electronic form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AgreementDocument {
    pub agreement: String,
    pub version: String,
    pub text: String,
}

/// Answer to `POST /v1/agreements`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AgreementPublishedDocument {
    pub agreement: String,
    pub version: String,
    /// What a party accepts: SHA3-256 of the text's UTF-8 bytes.
    pub sha3_256: String,
    pub published_at: String,
}

/// Body of `POST /v1/parties/{party}/acceptances`: the party accepts a version by the digest of its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AcceptanceDocument {
    pub agreement: String,
    pub version: String,
    /// SHA3-256 of the text that was shown.
    pub sha3_256: String,
}

/// Body of `POST /v1/credentials`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CredentialRequestDocument {
    /// `vendor`, `court`, `officer`, `operator` or `auditor`.
    pub role: String,
    /// Vendors: their tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Vendors: the verified party that acts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub party: Option<String>,
    /// Courts: the recipient profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipient: Option<String>,
}

/// Answer to `POST /v1/credentials`: the secret stands here once and nowhere else.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CredentialIssuedDocument {
    pub credential: String,
    pub secret: String,
}

/// Body of `PUT /v1/recipients/{recipient}`: a court's profile (ETA s.47).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RecipientDocument {
    pub name: String,
    pub place_of_business: String,
    /// PEM; P-384, key agreement: packages are encrypted to it.
    pub encryption_certificate: String,
    /// PEM; P-384, digital signature: receipts are checked with it.
    pub signing_certificate: String,
    /// `push` or `pull`.
    pub channel: String,
    /// For push: the designated system, https only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// For push: PEM of the CA that the endpoint's TLS certificate must chain to; the system's roots when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_ca: Option<String>,
    /// Loopback and private addresses are refused as endpoints unless an operator allows them here.
    #[serde(default)]
    pub allow_private_address: bool,
}

/// Body of `POST /v1/deliveries`: deliver a case's evidence, or the named ones, to a recipient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeliveryRequestDocument {
    pub recipient: String,
    pub case: String,
    /// Evidence numbers, at most 1,000 at once.
    pub evidence: Vec<String>,
}

/// Answer to `POST /v1/deliveries`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeliveriesDocument {
    pub deliveries: Vec<DeliveryDocument>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_page: Option<String>,
}

/// One delivery, for its vendor and its recipient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeliveryDocument {
    pub delivery: String,
    pub evidence: String,
    pub recipient: String,
    pub case: String,
    pub state: String,
    /// Of the encrypted package, once prepared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Length of each of its envelopes in bytes, in the order they lie in it: each is decrypted for itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub part_bytes: Vec<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt_scope: Option<String>,
}

/// A receipt, byte for byte what the court signs (probity.receipt/1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReceiptDocument {
    /// Always `probity.receipt/1`.
    pub format: String,
    pub delivery: String,
    pub recipient: String,
    pub evidence: String,
    /// SHA-256 of the encrypted package as it arrived.
    pub package_sha256: String,
    /// SHA3-256 of the package after decryption; required beyond `receipt_only`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_sha3_256: Option<String>,
    /// `receipt_only`, `content_digest_confirmed` or `technical_conformity_confirmed`.
    pub scope: String,
    pub received_at: String,
    pub place: String,
}

/// The format name of receipts.
pub const RECEIPT_FORMAT: &str = "probity.receipt/1";

/// Body of `POST /v1/deliveries/{id}/receipt`, and answer of a court's platform to a push.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignedReceiptDocument {
    /// Base64 of the receipt document's bytes.
    pub receipt: String,
    /// Base64 of the detached CMS signature over them.
    pub signature: String,
}

/// RFC 9457 problem document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProblemDocument {
    /// Stable: `urn:probity:problem:<kind>`.
    #[serde(rename = "type")]
    pub kind: String,
    pub title: String,
    pub status: u16,
    pub detail: String,
}
