//! Certification path validation at a given instant (RFC 5280 6), with revocation.

use probity_domain::Timestamp;

use crate::Result;
use crate::crl::{Crl, RevocationReason};
use crate::x509::Certificate;

/// What the leaf is asked to be good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// extendedKeyUsage critical and timeStamping alone (RFC 3161 2.3).
    TimeStamping,
    /// Signature of a party on evidence: policy and usages of [`crate::x509::Profile::Event`].
    EventSigning,
    /// The delivery seal: policy and usages of [`crate::x509::Profile::Seal`].
    Seal,
    /// Receipts, by certificates of a court's own CA: digitalSignature or contentCommitment suffices.
    ReceiptSigning,
    /// Recipient of an encrypted package: keyAgreement.
    Encryption,
    /// Delegated OCSP responder; its own revocation is not asked (RFC 6960 4.2.2.2.1).
    OcspSigning,
}

/// How revocation is decided.
#[derive(Debug, Clone, Copy)]
pub enum Revocation<'a> {
    /// Every certificate below the root needs a list of its issuer that was still current at the
    /// instant asked, give or take the tolerance. A list made later is as good, or better, provided the
    /// certificate had not expired by then: an entry counts if its date is not after the instant asked.
    Crls { crls: &'a [Crl], tolerance_ms: u64 },
    /// Not decided here: the caller asks OCSP, or says so to its reader.
    NotChecked,
}

/// A validated path.
#[derive(Debug, Clone)]
pub struct Path {
    /// From the leaf to the root, both included.
    pub certificates: Vec<Certificate>,
}

/// Why a path is not valid. `subject` is RFC 4514 text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PathError {
    #[error("certificate of {subject} has expired")]
    Expired { subject: String },
    #[error("certificate of {subject} is not valid yet")]
    NotYetValid { subject: String },
    #[error("no path to a trusted root for {subject}")]
    UnknownIssuer { subject: String },
    #[error("certificate of {subject} was revoked at {} ({reason:?})", .at.to_rfc3339())]
    Revoked {
        subject: String,
        at: Timestamp,
        reason: RevocationReason,
    },
    #[error("no revocation list for the certificate of {subject} current at the time asked")]
    RevocationUnknown { subject: String },
    #[error("certificate of {subject} is not for {purpose:?}: {reason}")]
    WrongPurpose {
        subject: String,
        purpose: Purpose,
        reason: &'static str,
    },
    #[error("certificate of {subject} is not acceptable: {reason}")]
    Invalid { subject: String, reason: String },
}

/// Validates `leaf` at `at` for `purpose`.
///
/// # Errors
/// [`crate::Error::Path`] with the precise reason.
pub fn validate_path(
    leaf: &Certificate,
    intermediates: &[Certificate],
    roots: &[Certificate],
    revocation: Revocation<'_>,
    at: Timestamp,
    purpose: Purpose,
) -> Result<Path> {
    let _ = (intermediates, roots, revocation, at);
    Err(PathError::WrongPurpose {
        subject: leaf.subject(),
        purpose,
        reason: "being written",
    }
    .into())
}
