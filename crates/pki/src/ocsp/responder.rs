//! Who may answer for a CA (RFC 6960 4.2.2.2).

use probity_domain::Timestamp;

use crate::algorithm::signature_hash;
use crate::crl::{Crl, RevocationReason};
use crate::keys::KnownSignatures;
use crate::oid;
use crate::path::ToldBy;
use crate::x509::Certificate;

/// The CA itself, or whom it delegated: a certificate that the CA issued for nothing but answers, valid when the
/// answer was produced, and not revoked. Answers the list which its status rests on, if it needs one.
pub(super) fn authorise(
    signer: &Certificate,
    issuer: &Certificate,
    produced_at: Timestamp,
    crls: &[Crl],
    known: Option<&KnownSignatures>,
) -> Result<Option<ToldBy>, &'static str> {
    if signer == issuer {
        return Ok(None);
    }
    let for_answers = signer.extended_key_usages().contains(&oid::KP_OCSP_SIGNING);
    let may_sign = signer
        .key_usage()
        .is_some_and(|usage| usage.digital_signature());
    let demands = [
        (for_answers, "the responder's certificate is not for OCSP"),
        (may_sign, "the responder's key is not for signatures"),
        (
            !signer.has_unknown_critical_extension(),
            "the responder's certificate has an unknown critical extension",
        ),
        (
            signer.is_valid_at(produced_at),
            "the responder's certificate was not valid when it answered",
        ),
        (
            signer.verify_issued_unless_known(issuer, known).is_ok(),
            "the responder is not the issuer's",
        ),
    ];
    match demands.into_iter().find(|(holds, _)| !holds) {
        Some((_, reason)) => Err(reason),
        None => status(signer, issuer, produced_at, crls, known),
    }
}

/// RFC 6960 4.2.2.2.1: the CA says that nobody need ask, or its list tells. Who has a responder's key answers with
/// any time, so that a revocation without a harmless reason undoes earlier answers too.
fn status(
    signer: &Certificate,
    issuer: &Certificate,
    produced_at: Timestamp,
    crls: &[Crl],
    known: Option<&KnownSignatures>,
) -> Result<Option<ToldBy>, &'static str> {
    let by_issuer = |crl: &&Crl| crl.verify_unless_known(issuer, known).is_ok();
    let mut told_by = None;
    for crl in crls.iter().filter(by_issuer) {
        if let Some(entry) = crl.find(signer.serial())
            && (entry.counts_since() <= produced_at
                || !RevocationReason::leaves_the_past(entry.reason))
        {
            return Err("the responder's certificate was revoked");
        }
        if crl.tells_of(signer, produced_at, 0) {
            let hash = signature_hash(crl.der());
            told_by = hash.ok().map(|hash| ToldBy {
                signer: issuer.clone(),
                hash,
            });
        }
    }
    match told_by {
        None if !signer.is_ocsp_no_check() => Err("whether the responder was revoked is not known"),
        told_by => Ok(told_by),
    }
}
