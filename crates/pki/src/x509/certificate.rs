//! One parsed certificate.

use core::fmt;
use std::sync::Arc;

use const_oid::ObjectIdentifier;
use der::{Decode, Encode};
use probity_domain::Timestamp;
use x509_cert::ext::pkix::KeyUsage;
use x509_cert::ext::pkix::name::DirectoryString;
use x509_cert::name::Name;

use super::known::Known;
use crate::asn1_time::from_time;
use crate::digest::HashAlgorithm;
use crate::keys::KnownSignatures;
use crate::signed::Signed;
use crate::{Error, Result, oid};

const WHAT: &str = "certificate";
/// No certificate of ours passes 2 KiB; the largest of others known are some tens of KiB.
const BYTES_MAX: usize = 64 * 1024;

/// A certificate, parsed once and strictly: DER, version 3, no trailing bytes, no extension twice, the
/// known extensions well-formed. Cloning is cheap. Nothing is verified by parsing.
#[derive(Clone)]
pub struct Certificate(Arc<Parsed>);

struct Parsed {
    der: Vec<u8>,
    signed: Signed,
    inner: x509_cert::Certificate,
    spki_der: Vec<u8>,
    serial_hex: String,
    extensions: Known,
}

impl Certificate {
    /// Parses DER.
    ///
    /// # Errors
    /// [`Error::Malformed`], or [`Error::TooLarge`] over 64 KiB.
    pub fn from_der(der: &[u8]) -> Result<Self> {
        let bad = |e: der::Error| Error::malformed(WHAT, e);
        let signed = Signed::from_der(WHAT, der, BYTES_MAX)?;
        let inner = x509_cert::Certificate::from_der(der).map_err(bad)?;
        let tbs = inner.tbs_certificate();
        if tbs.version() != x509_cert::Version::V3 {
            return Err(Error::unsupported(WHAT, "version other than 3"));
        }
        // RFC 5280 4.1.1.2: the two algorithm fields are the same.
        if tbs.signature() != inner.signature_algorithm() {
            return Err(Error::malformed(WHAT, "two different signature algorithms"));
        }
        let spki_der = tbs.subject_public_key_info().to_der().map_err(bad)?;
        let serial = magnitude(tbs.serial_number().as_bytes());
        let serial_hex = hex::encode(serial);
        let extensions = Known::of(&inner)?;
        let der = der.to_vec();
        Ok(Self(Arc::new(Parsed {
            der,
            signed,
            inner,
            spki_der,
            serial_hex,
            extensions,
        })))
    }

    /// Parses one PEM block `CERTIFICATE`.
    ///
    /// # Errors
    /// As [`Certificate::from_der`].
    pub fn from_pem(pem: &str) -> Result<Self> {
        let (label, document) =
            der::Document::from_pem(pem).map_err(|e| Error::malformed(WHAT, e))?;
        if label != "CERTIFICATE" {
            return Err(Error::malformed(WHAT, format!("PEM label {label:?}")));
        }
        Self::from_der(document.as_bytes())
    }

    /// Parses a file of several PEM blocks `CERTIFICATE`, in order.
    ///
    /// # Errors
    /// As [`Certificate::from_der`].
    pub fn chain_from_pem(pem: &str) -> Result<Vec<Self>> {
        const END: &str = "-----END CERTIFICATE-----";
        pem.split_inclusive(END)
            .map(str::trim)
            .filter(|block| !block.is_empty())
            .map(Self::from_pem)
            .collect()
    }

    /// The bytes that were parsed.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.0.der
    }

    /// One PEM block with a final newline.
    ///
    /// # Errors
    /// [`Error::Malformed`] if encoding fails.
    pub fn to_pem(&self) -> Result<String> {
        der::pem::encode_string("CERTIFICATE", der::pem::LineEnding::LF, self.der())
            .map_err(|e| Error::malformed(WHAT, e))
    }

    /// TBSCertificate, the bytes the issuer signed.
    ///
    /// # Errors
    /// [`Error::Malformed`] if encoding fails.
    pub fn to_be_signed(&self) -> Result<Vec<u8>> {
        self.0.signed.to_be_signed_der(WHAT)
    }

    /// Serial number: big-endian magnitude without leading zeros.
    #[must_use]
    pub fn serial(&self) -> &[u8] {
        magnitude(self.0.inner.tbs_certificate().serial_number().as_bytes())
    }

    /// Serial number in lower-case hexadecimal, without leading zero bytes.
    #[must_use]
    pub fn serial_hex(&self) -> &str {
        &self.0.serial_hex
    }

    /// Subject name as RFC 4514 text.
    #[must_use]
    pub fn subject(&self) -> String {
        self.subject_name().to_string()
    }

    /// Issuer name as RFC 4514 text.
    #[must_use]
    pub fn issuer(&self) -> String {
        self.issuer_name().to_string()
    }

    /// Common name of the subject.
    #[must_use]
    pub fn common_name(&self) -> Option<String> {
        self.subject_name()
            .common_name()
            .ok()
            .flatten()
            .map(String::from)
    }

    /// Organization of the subject.
    #[must_use]
    pub fn organization(&self) -> Option<String> {
        self.subject_name()
            .organization()
            .ok()
            .flatten()
            .map(String::from)
    }

    /// organizationIdentifier of the subject, e.g. a company register number.
    #[must_use]
    pub fn organization_identifier(&self) -> Option<String> {
        let value = self
            .subject_name()
            .by_oid::<DirectoryString>(oid::ORGANIZATION_IDENTIFIER);
        value.ok().flatten().map(String::from)
    }

    /// serialNumber attribute of the subject, which tells persons of one name apart.
    #[must_use]
    pub fn subject_serial_number(&self) -> Option<String> {
        let value = self
            .subject_name()
            .by_oid::<DirectoryString>(oid::SERIAL_NUMBER);
        value.ok().flatten().map(String::from)
    }

    /// First instant of validity.
    #[must_use]
    pub fn not_before(&self) -> Timestamp {
        from_time(self.0.inner.tbs_certificate().validity().not_before)
    }

    /// Last second of validity; the whole second counts.
    #[must_use]
    pub fn not_after(&self) -> Timestamp {
        from_time(self.0.inner.tbs_certificate().validity().not_after)
    }

    /// Whether `at` lies in the validity period, both ends included (RFC 5280 4.1.2.5).
    #[must_use]
    pub fn is_valid_at(&self, at: Timestamp) -> bool {
        let second = at.unix_ms().div_euclid(1_000);
        self.not_before().unix_ms().div_euclid(1_000) <= second
            && second <= self.not_after().unix_ms().div_euclid(1_000)
    }

    /// SubjectPublicKeyInfo, DER.
    #[must_use]
    pub fn spki_der(&self) -> &[u8] {
        &self.0.spki_der
    }

    /// Whether the key is on secp384r1.
    #[must_use]
    pub fn is_p384(&self) -> bool {
        let algorithm = &self
            .0
            .inner
            .tbs_certificate()
            .subject_public_key_info()
            .algorithm;
        algorithm.oid == oid::EC_PUBLIC_KEY
            && algorithm
                .parameters
                .as_ref()
                .and_then(|any| any.decode_as::<ObjectIdentifier>().ok())
                .is_some_and(|curve| curve == oid::SECP384R1)
    }

    /// SHA-256 of the DER, as other tools print it.
    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        let mut digest = [0; 32];
        digest.copy_from_slice(&HashAlgorithm::Sha256.digest(&self.0.der));
        digest
    }

    /// The keyUsage extension.
    #[must_use]
    pub fn key_usage(&self) -> Option<KeyUsage> {
        self.0.extensions.key_usage
    }

    /// The extendedKeyUsage extension's purposes; empty if absent.
    #[must_use]
    pub fn extended_key_usages(&self) -> &[ObjectIdentifier] {
        self.0
            .extensions
            .extended
            .as_ref()
            .map_or(&[], |(_, purposes)| purposes)
    }

    /// Whether the extendedKeyUsage extension is there and critical.
    #[must_use]
    pub fn is_extended_key_usage_critical(&self) -> bool {
        self.0
            .extensions
            .extended
            .as_ref()
            .is_some_and(|(critical, _)| *critical)
    }

    /// Whether timeStamping is the one and critical extended key usage (RFC 3161 2.3).
    #[must_use]
    pub fn is_time_stamping_unit(&self) -> bool {
        self.is_extended_key_usage_critical()
            && self.extended_key_usages() == [oid::KP_TIME_STAMPING]
    }

    /// Whether basicConstraints say it is a certification authority.
    #[must_use]
    pub fn is_ca(&self) -> bool {
        self.0.extensions.is_ca
    }

    /// Whether subject and issuer are the same name.
    #[must_use]
    pub fn is_self_issued(&self) -> bool {
        self.subject_name() == self.issuer_name()
    }

    /// Certificate policies.
    #[must_use]
    pub fn policies(&self) -> &[ObjectIdentifier] {
        &self.0.extensions.policies
    }

    /// URIs in subjectAltName.
    #[must_use]
    pub fn subject_uris(&self) -> &[String] {
        &self.0.extensions.uris
    }

    /// Subject key identifier.
    #[must_use]
    pub fn subject_key_id(&self) -> Option<&[u8]> {
        self.0.extensions.subject_key_id.as_deref()
    }

    /// Key identifier of the issuer's key.
    #[must_use]
    pub fn authority_key_id(&self) -> Option<&[u8]> {
        self.0.extensions.authority_key_id.as_deref()
    }

    /// The instruction (submission) the certificate was issued for, from Probity's own extension.
    #[must_use]
    pub fn instruction(&self) -> Option<&str> {
        self.0.extensions.instruction.as_deref()
    }

    /// Whether id-pkix-ocsp-nocheck is there: nobody need ask for a responder's own status (RFC 6960 4.2.2.2.1).
    #[must_use]
    pub fn is_ocsp_no_check(&self) -> bool {
        self.0.extensions.no_check
    }

    /// Whether an extension that is not understood here is critical (RFC 5280 4.2).
    #[must_use]
    pub fn has_unknown_critical_extension(&self) -> bool {
        self.0.extensions.unknown_critical
    }

    /// Verifies that `issuer`'s key signed this certificate and that the names chain. One link only: use
    /// [`crate::path::validate_path`] to decide on trust.
    ///
    /// # Errors
    /// [`Error::NotVerified`] if not.
    pub fn verify_issued_by(&self, issuer: &Self) -> Result<()> {
        self.verify_issued_unless_known(issuer, None)
    }

    pub(crate) fn verify_issued_unless_known(
        &self,
        issuer: &Self,
        known: Option<&KnownSignatures>,
    ) -> Result<()> {
        if self.issuer_name() != issuer.subject_name() {
            return Err(Error::not_verified(WHAT, "issuer name differs"));
        }
        self.0.signed.verify(WHAT, issuer.spki_der(), known)
    }

    pub(crate) fn subject_name(&self) -> &Name {
        self.0.inner.tbs_certificate().subject()
    }

    pub(crate) fn issuer_name(&self) -> &Name {
        self.0.inner.tbs_certificate().issuer()
    }

    pub(crate) fn serial_number(&self) -> &x509_cert::serial_number::SerialNumber {
        self.0.inner.tbs_certificate().serial_number()
    }
}

/// An INTEGER's content without the zero byte that keeps it positive.
pub(crate) fn magnitude(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.get(zeros..).unwrap_or_default()
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.0.der == other.0.der
    }
}

impl Eq for Certificate {}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("subject", &self.subject())
            .field("serial", &self.serial_hex())
            .finish_non_exhaustive()
    }
}
