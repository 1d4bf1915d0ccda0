//! Responses: signing by a delegated responder, reading, verifying.

use der::asn1::{BitString, Null, OctetString};
use der::{Any, Decode, Encode};
use probity_domain::Timestamp;

use super::request::{OcspRequest, key_hash, nonce, nonce_extension};
use super::structures::{
    BasicOcspResponse, CertStatusChoice, OcspResponseValue, ResponderId, ResponseBytes,
    ResponseData, ResponseStatus, RevokedInfo, SingleResponse,
};
use super::{CertStatus, responder};
use crate::algorithm::hash_of;
use crate::asn1_time::{from_generalized, to_generalized};
use crate::canonical;
use crate::crl::{
    Crl, RevocationReason, counts_since, crl_reason, invalidity_date, refuse_unknown_critical,
    revocation_reason,
};
use crate::keys::{KnownSignatures, Signer, verify_unless_known};
use crate::lint::{Artifact, OcspContext, ToBeSigned};
use crate::path::ToldBy;
use crate::x509::Certificate;
use crate::{Error, Result, oid};

const WHAT: &str = "OCSP response";
const BYTES_MAX: usize = 64 * 1024;
/// A responder and its authorities; more would only be verified in vain.
const CERTIFICATES_MAX: usize = 4;
/// How far the responder's clock may be ahead of the verifier's.
const CLOCK_SKEW_MS: i64 = 5 * 60 * 1_000;

/// A responder: all but its key.
#[derive(Debug, Clone)]
pub struct Responder {
    /// With extendedKeyUsage OCSPSigning, issued by `issuer`; or `issuer` itself (RFC 6960 4.2.2.2).
    pub certificate: Certificate,
    /// The CA whose certificates are answered for.
    pub issuer: Certificate,
}

/// Times of one response; whole seconds.
#[derive(Debug, Clone, Copy)]
pub struct ResponseTimes {
    /// When the response is signed.
    pub produced_at: Timestamp,
    /// When the status was known to be right.
    pub this_update: Timestamp,
    /// By when a newer status will be there.
    pub next_update: Timestamp,
}

impl Responder {
    /// A signed response, DER. `status` is asked by serial (magnitude); certificates of other issuers are
    /// answered "unknown".
    ///
    /// # Errors
    /// [`Error::Key`] if the key is not the responder's or signing fails, [`Error::Lint`] naming the rules.
    pub fn respond(
        &self,
        request: &OcspRequest,
        key: &dyn Signer,
        times: ResponseTimes,
        status: &dyn Fn(&[u8]) -> CertStatus,
    ) -> Result<Vec<u8>> {
        if key.public_key_der() != self.certificate.spki_der() {
            return Err(Error::Key("is not the OCSP responder's".to_owned()));
        }
        let this_update = to_generalized(times.this_update)?;
        let next_update = to_generalized(times.next_update)?;
        let mut responses = Vec::with_capacity(request.cert_ids.len());
        for cert_id in &request.cert_ids {
            let answer = if cert_id.is_of(&self.issuer) {
                status(cert_id.serial())
            } else {
                CertStatus::Unknown
            };
            responses.push(SingleResponse {
                cert_id: cert_id.clone(),
                cert_status: choice(answer)?,
                this_update,
                next_update: Some(next_update),
                single_extensions: None,
            });
        }
        let produced_at = to_generalized(times.produced_at)?;
        let bad = |e: der::Error| Error::malformed(WHAT, e);
        let key_hash = OctetString::new(key_hash(&self.certificate)?).map_err(bad)?;
        let data = ResponseData {
            version: 0,
            responder_id: ResponderId::ByKey(key_hash),
            produced_at,
            responses,
            response_extensions: request
                .nonce()
                .map(nonce_extension)
                .transpose()
                .map_err(bad)?,
        }
        .to_der()
        .map_err(bad)?;
        let context = OcspContext {
            request,
            responder: &self.certificate,
            issuer: &self.issuer,
        };
        let data = ToBeSigned::new(data, &Artifact::OcspResponse(context))?;
        let der = self
            .wrap(data.as_bytes(), &data.sign(key)?, key)
            .map_err(bad)?;
        // Read back: the bytes inside are the bytes that were linted, under the responder's signature.
        let read = OcspResponse::from_der(&der)?;
        read.signed_by(&self.issuer, &[], None)?;
        if read.basic.response_data.to_der().map_err(bad)? != data.as_bytes() {
            return Err(Error::not_verified(WHAT, "other bytes than were linted"));
        }
        Ok(der)
    }

    /// Whoever asks has the CA's own certificate.
    fn certificates(&self) -> der::Result<Option<Vec<Any>>> {
        (self.certificate != self.issuer)
            .then(|| Ok(vec![Any::from_der(self.certificate.der())?]))
            .transpose()
    }

    fn wrap(&self, data: &[u8], signature: &[u8], key: &dyn Signer) -> der::Result<Vec<u8>> {
        let basic = BasicOcspResponse {
            response_data: Any::from_der(data)?,
            signature_algorithm: key.algorithm().identifier(),
            signature: BitString::from_bytes(signature)?,
            certificates: self.certificates()?,
        };
        OcspResponseValue {
            response_status: ResponseStatus::Successful,
            response_bytes: Some(ResponseBytes {
                response_type: oid::OCSP_BASIC,
                response: OctetString::new(basic.to_der()?)?,
            }),
        }
        .to_der()
    }
}

fn choice(status: CertStatus) -> Result<CertStatusChoice> {
    Ok(match status {
        CertStatus::Good => CertStatusChoice::Good(Null),
        CertStatus::Unknown => CertStatusChoice::Unknown(Null),
        CertStatus::Revoked { at, reason } => CertStatusChoice::Revoked(RevokedInfo {
            revocation_time: to_generalized(at)?,
            revocation_reason: crl_reason(reason),
        }),
    })
}

/// A parsed response. Nothing is verified by parsing.
#[derive(Debug, Clone)]
pub struct OcspResponse {
    der: Vec<u8>,
    basic: BasicOcspResponse,
    data: ResponseData,
    certificates: Vec<Certificate>,
}

impl OcspResponse {
    /// Parses DER of a successful basic response.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Error::TooLarge`], [`Error::NotVerified`] for an unsuccessful status.
    pub fn from_der(der: &[u8]) -> Result<Self> {
        let bad = |e: der::Error| Error::malformed(WHAT, e);
        if der.len() > BYTES_MAX {
            return Err(Error::TooLarge {
                what: WHAT,
                limit: BYTES_MAX as u64,
            });
        }
        canonical::check(WHAT, der)?;
        let value = OcspResponseValue::from_der(der).map_err(bad)?;
        if value.response_status != ResponseStatus::Successful {
            return Err(Error::not_verified(
                WHAT,
                format!("{:?}", value.response_status),
            ));
        }
        let bytes = value
            .response_bytes
            .filter(|bytes| bytes.response_type == oid::OCSP_BASIC)
            .ok_or_else(|| Error::unsupported(WHAT, "not a basic response"))?;
        canonical::check(WHAT, bytes.response.as_bytes())?;
        let basic = BasicOcspResponse::from_der(bytes.response.as_bytes()).map_err(bad)?;
        let data =
            ResponseData::from_der(&basic.response_data.to_der().map_err(bad)?).map_err(bad)?;
        if data.version != 0 {
            return Err(Error::unsupported(WHAT, "version other than 1"));
        }
        let extensions = data.response_extensions.iter().flatten();
        if extensions.into_iter().any(|extension| extension.critical) {
            return Err(Error::unsupported(WHAT, "critical extension"));
        }
        let certificates = basic.certificates.as_deref().unwrap_or_default();
        if certificates.len() > CERTIFICATES_MAX {
            return Err(Error::TooLarge {
                what: "certificates of an OCSP response",
                limit: CERTIFICATES_MAX as u64,
            });
        }
        let certificates = certificates
            .iter()
            .map(|any| Certificate::from_der(&any.to_der().map_err(bad)?))
            .collect::<Result<_>>()?;
        Ok(Self {
            der: der.to_vec(),
            basic,
            data,
            certificates,
        })
    }

    /// ResponseData, the bytes the responder signed.
    #[cfg(test)]
    pub(crate) fn response_data(&self) -> Vec<u8> {
        self.basic.response_data.to_der().unwrap()
    }

    /// The bytes that were parsed.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// When the first status in it ends to be current; `None` when it does not say.
    #[must_use]
    pub fn next_update(&self) -> Option<Timestamp> {
        let first = self.data.responses.first()?;
        first.next_update.map(from_generalized)
    }

    /// When it was signed.
    #[must_use]
    pub fn produced_at(&self) -> Timestamp {
        from_generalized(self.data.produced_at)
    }

    /// Verifies that `issuer`, or a responder it delegated, signed a status for `serial` that is current
    /// at `at`, and that the nonce is the one asked with; returns the status. A revocation does not lapse: it is
    /// returned however old or new the response, unless the certificate was only suspended.
    ///
    /// # Errors
    /// [`Error::NotVerified`].
    pub fn verify(
        &self,
        issuer: &Certificate,
        serial: &[u8],
        asked_nonce: Option<&[u8]>,
        at: Timestamp,
    ) -> Result<CertStatus> {
        let fails = |reason| Error::not_verified(WHAT, reason);
        let told = self.status(issuer, serial, &[], None)?;
        if asked_nonce.is_some()
            && nonce(self.data.response_extensions.as_deref())?.as_deref() != asked_nonce
        {
            return Err(fails("nonce differs"));
        }
        let hold = Some(RevocationReason::CertificateHold);
        match told.status {
            CertStatus::Revoked { reason, .. } if reason != hold => {}
            _ if told.this_update > at.plus_ms(CLOCK_SKEW_MS) => {
                return Err(fails("status of the future"));
            }
            _ if !told.is_current(at) => return Err(fails("status is out of date")),
            _ => {}
        }
        Ok(told.status)
    }

    /// The status of `serial` and when it was current. `crls` are where a responder's own status is looked for.
    pub(crate) fn status(
        &self,
        issuer: &Certificate,
        serial: &[u8],
        crls: &[Crl],
        known: Option<&KnownSignatures>,
    ) -> Result<Told> {
        let told_by = self.signed_by(issuer, crls, known)?;
        let serial = crate::x509::magnitude(serial);
        let single = self
            .data
            .responses
            .iter()
            .find(|single| single.cert_id.serial() == serial && single.cert_id.is_of(issuer))
            .ok_or_else(|| Error::not_verified(WHAT, "no status of this certificate"))?;
        let extensions = single.single_extensions.as_deref().unwrap_or_default();
        refuse_unknown_critical(extensions)?;
        let status = match &single.cert_status {
            CertStatusChoice::Good(_) => CertStatus::Good,
            CertStatusChoice::Unknown(_) => CertStatus::Unknown,
            CertStatusChoice::Revoked(info) => {
                let reason = info.revocation_reason.map(revocation_reason);
                let revoked_at = from_generalized(info.revocation_time);
                CertStatus::Revoked {
                    at: counts_since(revoked_at, reason, invalidity_date(extensions)?),
                    reason,
                }
            }
        };
        Ok(Told {
            status,
            this_update: from_generalized(single.this_update),
            next_update: single.next_update.map(from_generalized),
            told_by,
        })
    }

    /// RFC 6960 4.2.2.2: the CA itself, or a certificate it issued for this. Answers whose word it is, with the list
    /// that a responder's own status rests on.
    fn signed_by(
        &self,
        issuer: &Certificate,
        crls: &[Crl],
        known: Option<&KnownSignatures>,
    ) -> Result<Vec<ToldBy>> {
        let message = self
            .basic
            .response_data
            .to_der()
            .map_err(|e| Error::malformed(WHAT, e))?;
        let signature = self
            .basic
            .signature
            .as_bytes()
            .ok_or_else(|| Error::malformed(WHAT, "signature with unused bits"))?;
        let mut refused = Error::not_verified(WHAT, "no authorised responder");
        for signer in self.certificates.iter().chain([issuer]) {
            if !self.is_signed_by(signer)? {
                continue;
            }
            let list = match responder::authorise(signer, issuer, self.produced_at(), crls, known) {
                Ok(list) => list,
                Err(reason) => {
                    refused = Error::not_verified(WHAT, reason);
                    continue;
                }
            };
            verify_unless_known(
                known,
                signer.spki_der(),
                &self.basic.signature_algorithm,
                &message,
                signature,
            )?;
            let word = ToldBy {
                signer: signer.clone(),
                hash: hash_of(&self.basic.signature_algorithm.oid)?,
            };
            return Ok([Some(word), list].into_iter().flatten().collect());
        }
        Err(refused)
    }

    fn is_signed_by(&self, certificate: &Certificate) -> Result<bool> {
        Ok(match &self.data.responder_id {
            ResponderId::ByName(name) => name == certificate.subject_name(),
            ResponderId::ByKey(hash) => hash.as_bytes() == key_hash(certificate)?,
        })
    }
}

/// What a response says of one certificate.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) status: CertStatus,
    pub(crate) this_update: Timestamp,
    /// `None` if it does not say: never current then.
    pub(crate) next_update: Option<Timestamp>,
    pub(crate) told_by: Vec<ToldBy>,
}

impl Told {
    /// Whether a status was current at an instant.
    pub(crate) fn is_current(&self, at: Timestamp) -> bool {
        self.this_update <= at.plus_ms(CLOCK_SKEW_MS)
            && self.next_update.is_some_and(|next| at <= next)
    }
}

impl PartialEq for OcspResponse {
    fn eq(&self, other: &Self) -> bool {
        self.der == other.der
    }
}

impl Eq for OcspResponse {}
