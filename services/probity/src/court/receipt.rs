//! Receipts: what the court says it received, signed with its key.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use probity_domain::{ReceiptScope, Sha3_256, Sha256, Timestamp};
use probity_pki::cms::{CommitmentType, SignRequest, sign_detached};
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
    let request = SignRequest {
        content: &content,
        signer: &folder.certificate("signing")?,
        extra_certificates: &[folder.certificate("ca")?],
        crls: &[],
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

/// The digest a receipt is for, if it reads.
pub fn package_digest(signed: &SignedReceiptDocument) -> Option<Sha256> {
    let bytes = STANDARD.decode(&signed.receipt).ok()?;
    let document: ReceiptDocument = serde_json::from_slice(&bytes).ok()?;
    Sha256::parse_hex(&document.package_sha256).ok()
}
