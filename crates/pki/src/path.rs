//! Certification path validation at a given instant (RFC 5280 6), with revocation.

mod revocation;
mod webpki;

use probity_domain::Timestamp;

use revocation::Kept;

use crate::crl::{Crl, RevocationReason};
use crate::digest::HashAlgorithm;
use crate::keys::KnownSignatures;
use crate::ocsp::OcspResponse;
use crate::x509::Certificate;
use crate::{Error, oid};

type Result<T, E = Error> = core::result::Result<T, E>;

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
    /// A submitter's own signature on its instruction, by a certificate of its own CA: signatures
    /// allowed and, where purposes are listed, one that documents are signed for.
    SubmitterSigning,
    /// Recipient of an encrypted package: keyAgreement.
    Encryption,
    /// Delegated OCSP responder; its own revocation is not asked (RFC 6960 4.2.2.2.1).
    OcspSigning,
}

/// How revocation is decided.
#[derive(Debug, Clone, Copy)]
pub enum Revocation<'a> {
    /// Every certificate below the root needs a list of its issuer that was still current at the
    /// instant asked, give or take the tolerance, and not made before the certificate. A list made later is
    /// as good, or better, provided the certificate had not expired by then: an entry counts if its date is
    /// not after the instant asked. An entry counts in an older list too, for a revocation does not lapse.
    Crls { crls: &'a [Crl], tolerance_ms: u64 },
    /// What a CAdES-LT signature keeps: lists as above, or an OCSP response current at the instant asked.
    /// Where both speak of a certificate, the one that says revoked is believed.
    Kept {
        crls: &'a [Crl],
        ocsp: &'a [OcspResponse],
        tolerance_ms: u64,
    },
    /// Not decided here: the caller asks OCSP, or says so to its reader.
    NotChecked,
}

/// A validated path.
#[derive(Debug, Clone)]
pub struct Path {
    /// From the leaf to the root, both included.
    pub certificates: Vec<Certificate>,
    /// Who said that none of them was revoked; empty if that was not asked.
    pub told_by: Vec<ToldBy>,
}

/// The signer of a list or response that was relied on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToldBy {
    pub signer: Certificate,
    /// Inside the signature.
    pub hash: HashAlgorithm,
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
    #[error("no key of a trusted issuer made the signature on the path of {subject}")]
    BadSignature { subject: String },
    #[error("certificate of {subject} was revoked at {} ({})", .at.to_rfc3339(), named(.reason))]
    Revoked {
        subject: String,
        /// Since when it counts ([`crate::crl::RevokedEntry::counts_since`]).
        at: Timestamp,
        reason: Option<RevocationReason>,
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

fn named(reason: &Option<RevocationReason>) -> String {
    reason.map_or_else(|| "no reason given".to_owned(), |r| format!("{r:?}"))
}

/// Validates `leaf` at `at` for `purpose`: signatures, validity, basic and name constraints and path
/// length by rustls-webpki; the leaf's usages and the revocation of every certificate below the root
/// here. A root is trusted because it is given: neither its own validity nor its revocation is asked
/// (RFC 5280 6.1.1 d).
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
    validate_path_unless_known(leaf, intermediates, roots, revocation, at, purpose, None)
}

/// [`validate_path`], which computes each signature that several paths share once: those of authorities, of lists and of
/// responses. All else is decided for each path by itself.
///
/// # Errors
/// As [`validate_path`].
pub fn validate_path_unless_known(
    leaf: &Certificate,
    intermediates: &[Certificate],
    roots: &[Certificate],
    revocation: Revocation<'_>,
    at: Timestamp,
    purpose: Purpose,
    known: Option<&KnownSignatures>,
) -> Result<Path> {
    check_validity(leaf, at)?;
    if let Err(reason) = check_usage(leaf, purpose) {
        let subject = leaf.subject();
        return Err(PathError::WrongPurpose {
            subject,
            purpose,
            reason,
        }
        .into());
    }
    let mut path = webpki::build(leaf, intermediates, roots, at, purpose, known)?;
    check_authorities(&path, purpose)?;
    let kept = match revocation {
        Revocation::Crls { crls, tolerance_ms } => Kept::new(crls, &[], tolerance_ms, known),
        Revocation::Kept {
            crls,
            ocsp,
            tolerance_ms,
        } => Kept::new(crls, ocsp, tolerance_ms, known),
        Revocation::NotChecked => return Ok(path),
    };
    path.told_by = kept.check(&path, at, purpose)?;
    Ok(path)
}

/// Whether lists or responses that somebody hands in, newer than what was kept, say that a certificate of a validated
/// path was revoked at `at`. They can only take away: what is not known without them is not known with them.
///
/// # Errors
/// [`PathError::Revoked`].
pub fn find_revocation(
    path: &Path,
    crls: &[Crl],
    ocsp: &[OcspResponse],
    at: Timestamp,
    purpose: Purpose,
) -> Result<(), PathError> {
    Kept::new(crls, ocsp, 0, None).find(path, at, purpose)
}

fn check_validity(certificate: &Certificate, at: Timestamp) -> Result<(), PathError> {
    let subject = certificate.subject();
    if certificate.is_valid_at(at) {
        Ok(())
    } else if at < certificate.not_before() {
        Err(PathError::NotYetValid { subject })
    } else {
        Err(PathError::Expired { subject })
    }
}

fn check_usage(leaf: &Certificate, purpose: Purpose) -> Result<(), &'static str> {
    let require = |holds: bool, reason| if holds { Ok(()) } else { Err(reason) };
    let usage = leaf.key_usage();
    // RFC 5280 4.2.1.3: without the extension nothing is excluded.
    let may_sign = usage.is_none_or(|usage| usage.digital_signature() || usage.non_repudiation());
    let purposes = leaf.extended_key_usages();
    let profile = |policy| {
        require(may_sign, "keyUsage does not allow signatures")?;
        require(
            purposes.contains(&oid::KP_DOCUMENT_SIGNING),
            "no documentSigning",
        )?;
        require(
            leaf.policies().contains(policy),
            "certificate policy differs",
        )
    };
    match purpose {
        Purpose::TimeStamping => {
            require(
                purposes == [oid::KP_TIME_STAMPING],
                "timeStamping is not the only purpose",
            )?;
            require(
                leaf.is_extended_key_usage_critical(),
                "extendedKeyUsage is not critical",
            )?;
            require(may_sign, "keyUsage does not allow signatures")
        }
        Purpose::EventSigning => profile(&oid::POLICY_EVENT),
        Purpose::Seal => profile(&oid::POLICY_SEAL),
        Purpose::ReceiptSigning => require(may_sign, "keyUsage does not allow signatures"),
        Purpose::SubmitterSigning => {
            let document = [
                oid::KP_DOCUMENT_SIGNING,
                oid::KP_EMAIL_PROTECTION,
                oid::ANY_EXTENDED_KEY_USAGE,
            ];
            require(may_sign, "keyUsage does not allow signatures")?;
            require(
                purposes.is_empty() || purposes.iter().any(|p| document.contains(p)),
                "extendedKeyUsage lists no purpose that documents are signed for",
            )
        }
        Purpose::Encryption => require(
            usage.is_some_and(|usage| usage.key_agreement()),
            "no keyAgreement",
        ),
        Purpose::OcspSigning => {
            require(purposes.contains(&oid::KP_OCSP_SIGNING), "no OCSPSigning")?;
            require(may_sign, "keyUsage does not allow signatures")
        }
    }
}

/// What rustls-webpki leaves out of RFC 5280 6.1.4: who issued below the root may sign certificates (n), and under the
/// policy that the leaf is asked for (6.1.3 d).
fn check_authorities(path: &Path, purpose: Purpose) -> Result<(), PathError> {
    let demanded = match purpose {
        Purpose::EventSigning => Some(oid::POLICY_EVENT),
        Purpose::Seal => Some(oid::POLICY_SEAL),
        _ => None,
    };
    let below_root = path.certificates.len().saturating_sub(1);
    let issuers = path.certificates.iter().take(below_root).skip(1);
    for issuer in issuers {
        if issuer
            .key_usage()
            .is_some_and(|usage| !usage.key_cert_sign())
        {
            return Err(PathError::Invalid {
                subject: issuer.subject(),
                reason: "keyUsage does not allow certificates to be signed".to_owned(),
            });
        }
        let asserted = issuer.policies();
        let asserts = |policy| asserted.contains(&policy) || asserted.contains(&oid::ANY_POLICY);
        if !demanded.is_none_or(asserts) {
            return Err(PathError::WrongPurpose {
                subject: issuer.subject(),
                purpose,
                reason: "the authority may not certify under this policy",
            });
        }
    }
    Ok(())
}
