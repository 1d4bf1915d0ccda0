//! Certification path validation at a given instant (RFC 5280 6), with revocation.

mod webpki;

use probity_domain::Timestamp;

use crate::crl::{Crl, RevocationReason};
use crate::ocsp::{CertStatus, OcspResponse};
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
    /// instant asked, give or take the tolerance. A list made later is as good, or better, provided the
    /// certificate had not expired by then: an entry counts if its date is not after the instant asked.
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
    let path = webpki::build(leaf, intermediates, roots, at, purpose)?;
    check_authorities(&path)?;
    let (crls, ocsp, tolerance_ms) = match revocation {
        Revocation::Crls { crls, tolerance_ms } => (crls, &[][..], tolerance_ms),
        Revocation::Kept {
            crls,
            ocsp,
            tolerance_ms,
        } => (crls, ocsp, tolerance_ms),
        Revocation::NotChecked => return Ok(path),
    };
    let skip = usize::from(purpose == Purpose::OcspSigning);
    let tolerance_ms = i64::try_from(tolerance_ms).unwrap_or(i64::MAX);
    let issuers = path.certificates.iter().skip(1);
    for (certificate, issuer) in path.certificates.iter().zip(issuers).skip(skip) {
        let counts = |since: Timestamp, reason| since <= at || undoes_tokens(purpose, reason);
        let listed = check_lists(certificate, issuer, crls, at, tolerance_ms, &counts)?;
        let answered = check_responses(certificate, issuer, ocsp, at, &counts)?;
        if !listed && !answered {
            let subject = certificate.subject();
            return Err(PathError::RevocationUnknown { subject }.into());
        }
    }
    Ok(path)
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

/// RFC 5280 6.1.4 n, which rustls-webpki leaves out: who issued below the root may sign certificates.
fn check_authorities(path: &Path) -> Result<(), PathError> {
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
    }
    Ok(())
}

/// RFC 3161 4: what a time-stamping unit's key says of the past is worth nothing once the key may be another's,
/// for a thief writes any time. Only three reasons leave older tokens valid; no reason at all, which reads as
/// unspecified, does not.
fn undoes_tokens(purpose: Purpose, reason: RevocationReason) -> bool {
    let harmless = matches!(
        reason,
        RevocationReason::AffiliationChanged
            | RevocationReason::Superseded
            | RevocationReason::CessationOfOperation
    );
    purpose == Purpose::TimeStamping && !harmless
}

/// Whether a revocation since a time and for a reason counts at the instant asked.
type Counts<'a> = &'a dyn Fn(Timestamp, RevocationReason) -> bool;

/// Whether a list tells.
fn check_lists(
    certificate: &Certificate,
    issuer: &Certificate,
    crls: &[Crl],
    at: Timestamp,
    tolerance_ms: i64,
    counts: Counts<'_>,
) -> Result<bool, PathError> {
    let mut is_known = false;
    for crl in crls {
        // RFC 5280 3.3: an expired certificate's entry may be dropped from later lists.
        let is_telling = crl.this_update() <= certificate.not_after()
            && at <= crl.next_update().plus_ms(tolerance_ms);
        if !is_telling || crl.verify(issuer).is_err() {
            continue;
        }
        is_known = true;
        match crl.find(certificate.serial()) {
            Some(entry) if counts(entry.at, entry.reason) => {
                let subject = certificate.subject();
                return Err(PathError::Revoked {
                    subject,
                    at: entry.at,
                    reason: entry.reason,
                });
            }
            _ => {}
        }
    }
    Ok(is_known)
}

/// Whether a response tells. "unknown" tells nothing.
fn check_responses(
    certificate: &Certificate,
    issuer: &Certificate,
    ocsp: &[OcspResponse],
    at: Timestamp,
    counts: Counts<'_>,
) -> Result<bool, PathError> {
    let mut is_known = false;
    for response in ocsp {
        match response.verify(issuer, certificate.serial(), None, at) {
            Ok(CertStatus::Revoked { at: since, reason }) if counts(since, reason) => {
                return Err(PathError::Revoked {
                    subject: certificate.subject(),
                    at: since,
                    reason,
                });
            }
            Ok(CertStatus::Unknown) | Err(_) => {}
            Ok(_) => is_known = true,
        }
    }
    Ok(is_known)
}
