//! Time-stamp tokens: a SignedData over TSTInfo.

use const_oid::ObjectIdentifier;
use der::Decode;
use probity_domain::Timestamp;

use super::structures::{Accuracy, TstInfoValue};
use super::{ClockEvidence, Imprint};
use crate::cms::{Encoding, Parsed};
use crate::crl::Crl;
use crate::digest::HashAlgorithm;
use crate::ocsp::OcspResponse;
use crate::x509::{Certificate, magnitude};
use crate::{Error, Result, oid};

const WHAT: &str = "time-stamp token";
const BYTES_MAX: usize = 256 * 1024;

/// TSTInfo (RFC 3161 2.4.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TstInfo {
    pub policy: ObjectIdentifier,
    pub imprint: Imprint,
    /// Big-endian magnitude without leading zeros.
    pub serial: Vec<u8>,
    pub gen_time: Timestamp,
    /// Microseconds, if stated.
    pub accuracy_us: Option<u64>,
    pub ordering: bool,
    /// Contents octets of the INTEGER, as in [`super::TimeStampReq::nonce`].
    pub nonce: Option<Vec<u8>>,
    /// Why the clock was believed, in tokens of our own.
    pub clock_evidence: Option<ClockEvidence>,
}

/// A parsed time-stamp token. Nothing is verified by parsing.
#[derive(Debug, Clone)]
pub struct TimeStampToken {
    der: Vec<u8>,
    parsed: Parsed,
    tst_info: TstInfo,
}

impl TimeStampToken {
    /// Parses ContentInfo DER.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Error::Unsupported`], [`Error::TooLarge`] over 256 KiB.
    pub fn from_der(der: &[u8]) -> Result<Self> {
        let parsed = Parsed::from_der(WHAT, der, BYTES_MAX, Encoding::Foreign)?;
        if parsed.content_type() != oid::CT_TST_INFO {
            return Err(Error::unsupported(WHAT, "content is not TSTInfo"));
        }
        let content = parsed
            .content()
            .ok_or_else(|| Error::malformed(WHAT, "content is missing"))?;
        let value = TstInfoValue::from_der(content).map_err(|e| Error::malformed(WHAT, e))?;
        let tst_info = TstInfo::of(&value)?;
        Ok(Self {
            der: der.to_vec(),
            parsed,
            tst_info,
        })
    }

    /// The bytes that were parsed.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// What the token says.
    #[must_use]
    pub fn tst_info(&self) -> &TstInfo {
        &self.tst_info
    }

    /// All certificates inside. Untrusted until validated.
    #[must_use]
    pub fn certificates(&self) -> &[Certificate] {
        &self.parsed.certificates
    }

    /// All revocation lists inside. Untrusted until verified.
    #[must_use]
    pub fn crls(&self) -> &[Crl] {
        &self.parsed.crls
    }

    /// All OCSP responses inside. Untrusted until verified.
    #[must_use]
    pub fn ocsp_responses(&self) -> &[OcspResponse] {
        &self.parsed.ocsp
    }

    /// The hash function inside the token's signature.
    #[must_use]
    pub fn digest_algorithm(&self) -> HashAlgorithm {
        self.parsed.hash
    }

    /// Verifies imprint, signature, ESS binding and that the signer is a time-stamping unit valid at
    /// genTime; returns its certificate. The path is not validated.
    ///
    /// # Errors
    /// [`Error::NotVerified`].
    pub fn verify(&self, algorithm: HashAlgorithm, digest: &[u8]) -> Result<Certificate> {
        self.verify_with(algorithm, digest, &[])
    }

    /// [`TimeStampToken::verify`] for a token without certificates (certReq false): the unit's is looked
    /// for among `others` too.
    ///
    /// # Errors
    /// [`Error::NotVerified`].
    pub fn verify_with(
        &self,
        algorithm: HashAlgorithm,
        digest: &[u8],
        others: &[Certificate],
    ) -> Result<Certificate> {
        let fails = |reason: &str| Err(Error::not_verified(WHAT, reason));
        let imprint = &self.tst_info.imprint;
        if imprint.algorithm != algorithm || imprint.digest != digest {
            return fails("message imprint differs");
        }
        let content = self.parsed.content().unwrap_or_default();
        let certificate = self
            .parsed
            .verify(&self.parsed.hash.digest(content), others)?;
        if !certificate.is_time_stamping_unit() {
            return fails("the signer is no time-stamping unit");
        }
        if certificate
            .key_usage()
            .is_some_and(|usage| !usage.digital_signature() && !usage.non_repudiation())
        {
            return fails("the signer's key is not for signing");
        }
        if !certificate.is_valid_at(self.tst_info.gen_time) {
            return fails("the signer's certificate was not valid at genTime");
        }
        Ok(certificate.clone())
    }
}

impl TstInfo {
    fn of(value: &TstInfoValue) -> Result<Self> {
        if value.version != 1 {
            return Err(Error::unsupported(WHAT, "version other than 1"));
        }
        if value
            .extensions
            .iter()
            .flatten()
            .any(|extension| extension.critical)
        {
            return Err(Error::unsupported(WHAT, "critical extension"));
        }
        Ok(Self {
            policy: value.policy,
            imprint: value.message_imprint.parsed()?,
            serial: magnitude(value.serial_number.as_bytes()).to_vec(),
            gen_time: value.gen_time.at,
            accuracy_us: value
                .accuracy
                .as_ref()
                .map(Accuracy::microseconds)
                .transpose()?,
            ordering: value.ordering,
            nonce: value.nonce.as_ref().map(|nonce| nonce.as_bytes().to_vec()),
            clock_evidence: ClockEvidence::find(value.extensions.as_deref().unwrap_or_default())?,
        })
    }
}
