//! Receipts: what the court says it received, signed with its key.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use probity_domain::{ReceiptScope, Sha3_256, Sha256, Timestamp};
use probity_pki::cms::{CommitmentType, SignRequest, sign_detached};
use probity_pki::crl::{Crl, build_crl};
use probity_pki::keys::MemoryKey;
use probity_pki::x509::Certificate;
use probity_proto::http::{RECEIPT_FORMAT, ReceiptDocument, SignedReceiptDocument};

use super::folder::Folder;
use crate::failure::Failure;

/// What is acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    pub delivery: String,
    pub evidence: String,
    /// Of the encrypted package.
    pub sha256: Sha256,
    /// Of the package inside.
    pub content_sha3_256: Sha3_256,
    pub scope: ReceiptScope,
    pub at: Timestamp,
}

/// Writes and signs the receipt.
pub fn sign(folder: &Folder, received: &Received) -> Result<SignedReceiptDocument, Failure> {
    let settings = folder.settings()?;
    let document = ReceiptDocument {
        format: RECEIPT_FORMAT.to_owned(),
        delivery: received.delivery.clone(),
        recipient: settings.recipient,
        evidence: received.evidence.clone(),
        package_sha256: received.sha256.to_hex(),
        content_sha3_256: Some(received.content_sha3_256.to_hex()),
        scope: received.scope.as_str().to_owned(),
        received_at: received.at.to_rfc3339(),
        place: settings.place_of_business,
    };
    let content = serde_json::to_vec(&document)?;
    let authority = folder.certificate("ca")?;
    let crls = match folder.authority_key()? {
        Some(key) => vec![not_revoked(&authority, &key, received.at)?],
        None => Vec::new(),
    };
    let request = SignRequest {
        content: &content,
        signer: &folder.certificate("signing")?,
        extra_certificates: &[authority],
        crls: &crls,
        signing_time: received.at,
        commitment: CommitmentType::ProofOfReceipt,
        instruction_digest: None,
    };
    let signature = sign_detached(&request, &folder.signing_key()?)?;
    Ok(SignedReceiptDocument {
        receipt: STANDARD.encode(&content),
        signature: STANDARD.encode(signature),
    })
}

/// The court's own list, on which nothing stands: whoever verifies a receipt years later asks whether its certificate
/// was revoked, and there is no other place to look.
fn not_revoked(authority: &Certificate, key: &MemoryKey, at: Timestamp) -> Result<Crl, Failure> {
    const VALID_MS: i64 = 24 * 3_600_000;
    let number = u64::try_from(at.unix_s()).unwrap_or_default();
    let der = build_crl(authority, key, number, at, at.plus_ms(VALID_MS), &[])?;
    Ok(Crl::from_der(&der)?)
}

/// The digest a receipt is for, if it reads.
pub fn package_digest(signed: &SignedReceiptDocument) -> Option<Sha256> {
    let bytes = STANDARD.decode(&signed.receipt).ok()?;
    let document: ReceiptDocument = serde_json::from_slice(&bytes).ok()?;
    Sha256::parse_hex(&document.package_sha256).ok()
}
