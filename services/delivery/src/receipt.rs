//! Whether what a court handed in is its receipt for this delivery.
//!
//! A receipt counts when the court's own signing certificate signed it, byte for byte, and it names this delivery,
//! this recipient, this evidence and the digests of a package that was made for it. Everything else is refused with
//! the reason, and never becomes an acknowledgement.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use probity_domain::{EvidenceId, ReceiptScope, Sha3_256, Sha256, Timestamp};
use probity_pki::cms::{SignedData, verify_detached_content};
use probity_pki::x509::Certificate;
use probity_platform::{Error, Result};
use probity_proto::http::{RECEIPT_FORMAT, ReceiptDocument, SignedReceiptDocument};

use crate::delivery::Delivery;
use crate::error::given;

const RECEIPT_BYTES_MAX: usize = 16 * 1024;
/// How far a court's clock may be ahead.
const SKEW_MS: i64 = 5 * 60_000;

/// A receipt's bytes and the signature over them, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedReceipt {
    pub receipt: Vec<u8>,
    pub signature: Vec<u8>,
}

impl SignedReceipt {
    /// # Errors
    /// `Malformed` when it is not base64.
    pub fn decode(document: &SignedReceiptDocument) -> Result<Self> {
        let decode = |text: &str| {
            STANDARD
                .decode(text)
                .map_err(|e| Error::malformed(format!("receipt: {e}")))
        };
        Ok(Self {
            receipt: decode(&document.receipt)?,
            signature: decode(&document.signature)?,
        })
    }

    /// As it is kept in the ledger.
    #[must_use]
    pub fn encode(&self) -> SignedReceiptDocument {
        SignedReceiptDocument {
            receipt: STANDARD.encode(&self.receipt),
            signature: STANDARD.encode(&self.signature),
        }
    }
}

/// Checks a receipt; answers how much it acknowledges.
///
/// # Errors
/// `Malformed` naming the first thing that does not hold.
pub fn check(
    signed: &SignedReceipt,
    delivery: &Delivery,
    signing_certificate: &Certificate,
    now: Timestamp,
) -> Result<ReceiptScope> {
    let bad = |reason: &str| Err(Error::malformed(format!("receipt: {reason}")));
    if signed.receipt.len() > RECEIPT_BYTES_MAX {
        return bad("longer than 16 KiB");
    }
    check_signature(signed, signing_certificate, now)?;
    let receipt: ReceiptDocument = serde_json::from_slice(&signed.receipt)
        .map_err(|e| Error::malformed(format!("receipt: {e}")))?;
    if receipt.format != RECEIPT_FORMAT {
        return bad("its format is not probity.receipt/1");
    }
    if receipt.delivery != delivery.id.to_string() {
        return bad("it is for another delivery");
    }
    if receipt.recipient != delivery.recipient.as_str() {
        return bad("it is another recipient's");
    }
    if EvidenceId::parse(&receipt.evidence)? != delivery.evidence {
        return bad("it is for other evidence");
    }
    if Timestamp::parse_rfc3339(&receipt.received_at)? > now.plus_ms(SKEW_MS) {
        return bad("it was received in the future");
    }
    let Some(scope) = ReceiptScope::parse(&receipt.scope) else {
        return bad("unknown scope");
    };
    let sha256 = Sha256::parse_hex(&receipt.package_sha256)?;
    let Some(package) = delivery.packages.iter().find(|p| p.sha256 == sha256) else {
        return bad("its package digest is of no package sent");
    };
    let content = receipt
        .content_sha3_256
        .as_deref()
        .map(Sha3_256::parse_hex)
        .transpose()?;
    match content {
        Some(content) if content != package.content_sha3_256 => {
            bad("its content digest is not the package's")
        }
        None if scope > ReceiptScope::ReceiptOnly => bad("its scope needs the content digest"),
        _ => Ok(scope),
    }
}

fn check_signature(signed: &SignedReceipt, expected: &Certificate, now: Timestamp) -> Result<()> {
    if !expected.is_valid_at(now) {
        return Err(Error::malformed(
            "receipt: the profile's signing certificate is not valid now",
        ));
    }
    let cms = SignedData::from_der(&signed.signature).map_err(given)?;
    let signer = verify_detached_content(&cms, &signed.receipt).map_err(given)?;
    if signer.certificate != *expected {
        return Err(Error::malformed(
            "receipt: not signed by the profile's signing certificate",
        ));
    }
    Ok(())
}
