//! Revocation of the certificates of a path (RFC 5280 6.3, RFC 6960 4.2.2).
//!
//! Two questions that are kept apart: whether anything says *revoked*, were it out of date, and whether something that
//! was current says *not revoked*.

use probity_domain::Timestamp;

use super::{Path, PathError, Purpose, ToldBy};
use crate::algorithm::signature_hash;
use crate::crl::{Crl, RevocationReason};
use crate::keys::KnownSignatures;
use crate::ocsp::{CertStatus, OcspResponse, Told};
use crate::x509::Certificate;

/// Lists and responses.
#[derive(Clone, Copy)]
pub(super) struct Kept<'a> {
    crls: &'a [Crl],
    ocsp: &'a [OcspResponse],
    tolerance_ms: i64,
    known: Option<&'a KnownSignatures>,
}

impl<'a> Kept<'a> {
    pub(super) fn new(
        crls: &'a [Crl],
        ocsp: &'a [OcspResponse],
        tolerance_ms: u64,
        known: Option<&'a KnownSignatures>,
    ) -> Self {
        Self {
            crls,
            ocsp,
            tolerance_ms: i64::try_from(tolerance_ms).unwrap_or(i64::MAX),
            known,
        }
    }

    /// No certificate is revoked, and of each that is known; answers by whom.
    pub(super) fn check(
        self,
        path: &Path,
        at: Timestamp,
        purpose: Purpose,
    ) -> Result<Vec<ToldBy>, PathError> {
        let (mut all, mut unknown) = (Vec::new(), None);
        // A revocation further up outweighs what is not known.
        for link in links(path, at, purpose) {
            let told_by = self.told_by(&link)?;
            if told_by.is_empty() && unknown.is_none() {
                unknown = Some(link.certificate.subject());
            }
            all.extend(told_by);
        }
        match unknown {
            Some(subject) => Err(PathError::RevocationUnknown { subject }),
            None => Ok(all),
        }
    }

    /// No certificate is said to be revoked.
    pub(super) fn find(
        self,
        path: &Path,
        at: Timestamp,
        purpose: Purpose,
    ) -> Result<(), PathError> {
        for link in links(path, at, purpose) {
            self.told_by(&link)?;
        }
        Ok(())
    }

    fn told_by(self, link: &Link<'_>) -> Result<Vec<ToldBy>, PathError> {
        let mut told_by = self.by_lists(link)?;
        told_by.extend(self.by_responses(link)?);
        Ok(told_by)
    }

    fn by_lists(self, link: &Link<'_>) -> Result<Vec<ToldBy>, PathError> {
        let Link {
            certificate,
            issuer,
            at,
            ..
        } = *link;
        let mut told_by = Vec::new();
        let by_issuer = |crl: &&Crl| crl.verify_unless_known(issuer, self.known).is_ok();
        for crl in self.crls.iter().filter(by_issuer) {
            if let Some(entry) = crl.find(certificate.serial()) {
                let until = crl.next_update().plus_ms(self.tolerance_ms);
                link.refuse(entry.counts_since(), entry.reason, Some(until))?;
            }
            if crl.tells_of(certificate, at, self.tolerance_ms)
                && let Ok(hash) = signature_hash(crl.der())
            {
                let signer = issuer.clone();
                told_by.push(ToldBy { signer, hash });
            }
        }
        Ok(told_by)
    }

    /// "unknown" tells nothing.
    fn by_responses(self, link: &Link<'_>) -> Result<Vec<ToldBy>, PathError> {
        let mut all = Vec::new();
        for response in self.ocsp {
            let told = response.status(
                link.issuer,
                link.certificate.serial(),
                self.crls,
                self.known,
            );
            let Ok(told) = told else { continue };
            let is_current = told.is_current(link.at);
            let Told {
                status,
                next_update,
                told_by,
                ..
            } = told;
            if let CertStatus::Revoked { at: since, reason } = status {
                link.refuse(since, reason, next_update)?;
            }
            if status != CertStatus::Unknown && is_current {
                all.extend(told_by);
            }
        }
        Ok(all)
    }
}

/// A certificate, who issued it, and what is asked of it.
#[derive(Clone, Copy)]
struct Link<'p> {
    certificate: &'p Certificate,
    issuer: &'p Certificate,
    at: Timestamp,
    purpose: Purpose,
}

/// Every certificate below the root; but a responder's own revocation is not asked.
fn links(path: &Path, at: Timestamp, purpose: Purpose) -> impl Iterator<Item = Link<'_>> {
    let skip = usize::from(purpose == Purpose::OcspSigning);
    let issuers = path.certificates.iter().skip(1);
    let pairs = path.certificates.iter().zip(issuers).skip(skip);
    pairs.map(move |(certificate, issuer)| Link {
        certificate,
        issuer,
        at,
        purpose,
    })
}

impl Link<'_> {
    /// A revocation counts from its date on. One for good is believed however old the list or response is; a suspension
    /// may have ended since (`until`: when news was due).
    fn refuse(
        &self,
        since: Timestamp,
        reason: Option<RevocationReason>,
        until: Option<Timestamp>,
    ) -> Result<(), PathError> {
        let is_hold = reason == Some(RevocationReason::CertificateHold);
        let lapsed = is_hold && until.is_some_and(|until| self.at > until);
        if lapsed || !(since <= self.at || self.undoes_tokens(reason)) {
            return Ok(());
        }
        Err(PathError::Revoked {
            subject: self.certificate.subject(),
            at: since,
            reason,
        })
    }

    /// RFC 3161 4: what a time-stamping unit's key says of the past is worth nothing once the key may be another's.
    fn undoes_tokens(&self, reason: Option<RevocationReason>) -> bool {
        self.purpose == Purpose::TimeStamping && !RevocationReason::leaves_the_past(reason)
    }
}
