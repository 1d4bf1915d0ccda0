//! Requests, and how they name a certificate.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use const_oid::ObjectIdentifier;
use der::asn1::{OctetString, OctetStringRef};
use der::{Decode, Encode};
use spki::SubjectPublicKeyInfoRef;
use x509_cert::ext::Extension;
use x509_cert::serial_number::SerialNumber;

use super::structures::{CertId, OcspRequestValue, SingleRequest, TbsRequest};
use crate::canonical;
use crate::digest::HashAlgorithm;
use crate::x509::{Certificate, extension, magnitude};
use crate::{Error, Result, oid};

const WHAT: &str = "OCSP request";
const BYTES_MAX: usize = 16 * 1024;
const CERTIFICATES_MAX: usize = 64;
/// RFC 9654 2.1.
const NONCE_BYTES_MAX: usize = 128;
const SHA1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.14.3.2.26");

/// A parsed request.
#[derive(Debug, Clone)]
pub struct OcspRequest {
    pub(super) cert_ids: Vec<CertId>,
    nonce: Option<Vec<u8>>,
}

impl OcspRequest {
    /// Parses DER. Signatures on requests are ignored.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Error::TooLarge`]: answer with
    /// [`super::OcspFailure::MalformedRequest`].
    pub fn from_der(der: &[u8]) -> Result<Self> {
        if der.len() > BYTES_MAX {
            return Err(Error::TooLarge {
                what: WHAT,
                limit: BYTES_MAX as u64,
            });
        }
        canonical::check(WHAT, der)?;
        let value = OcspRequestValue::from_der(der).map_err(|e| Error::malformed(WHAT, e))?;
        let request = value.tbs_request;
        if request.version != 0 {
            return Err(Error::unsupported(WHAT, "version other than 1"));
        }
        let count = request.request_list.len();
        if !(1..=CERTIFICATES_MAX).contains(&count) {
            return Err(Error::malformed(WHAT, format!("{count} certificates")));
        }
        let nonce = nonce(request.request_extensions.as_deref())?;
        let cert_ids = request
            .request_list
            .into_iter()
            .map(|single| single.cert_id)
            .collect();
        Ok(Self { cert_ids, nonce })
    }

    /// The nonce, 1 to 128 bytes.
    #[must_use]
    pub fn nonce(&self) -> Option<&[u8]> {
        self.nonce.as_deref()
    }

    /// Serial numbers asked for (magnitudes), of whichever issuer.
    pub fn serials(&self) -> impl Iterator<Item = &[u8]> {
        self.cert_ids
            .iter()
            .map(|id| magnitude(id.serial_number.as_bytes()))
    }
}

/// A request for one certificate of `issuer`, DER.
///
/// # Errors
/// [`Error::Malformed`] if it cannot be encoded.
pub fn make_request(issuer: &Certificate, serial: &[u8], nonce: Option<&[u8]>) -> Result<Vec<u8>> {
    let (issuer_name_hash, issuer_key_hash) = issuer_hashes(&oid::SHA256, issuer)?;
    let encode = || {
        let cert_id = CertId {
            hash_algorithm: HashAlgorithm::Sha256.identifier(),
            issuer_name_hash: OctetString::new(issuer_name_hash)?,
            issuer_key_hash: OctetString::new(issuer_key_hash)?,
            serial_number: SerialNumber::new(serial)?,
        };
        let request_extensions = nonce.map(nonce_extension).transpose()?;
        OcspRequestValue {
            tbs_request: TbsRequest {
                version: 0,
                requestor_name: None,
                request_list: vec![SingleRequest {
                    cert_id,
                    extensions: None,
                }],
                request_extensions,
            },
            optional_signature: None,
        }
        .to_der()
    };
    encode().map_err(|e: der::Error| Error::malformed(WHAT, e))
}

pub(super) fn nonce_extension(nonce: &[u8]) -> der::Result<Vec<Extension>> {
    Ok(vec![extension(
        oid::OCSP_NONCE,
        false,
        &OctetString::new(nonce)?,
    )?])
}

pub(super) fn nonce(extensions: Option<&[Extension]>) -> Result<Option<Vec<u8>>> {
    let found = extensions
        .unwrap_or_default()
        .iter()
        .find(|e| e.extn_id == oid::OCSP_NONCE);
    let Some(extension) = found else {
        return Ok(None);
    };
    let nonce = <&OctetStringRef>::from_der(extension.extn_value.as_bytes())
        .map_err(|e| Error::malformed("OCSP nonce", e))?
        .as_bytes();
    if !(1..=NONCE_BYTES_MAX).contains(&nonce.len()) {
        return Err(Error::malformed("OCSP nonce", "not 1 to 128 bytes"));
    }
    Ok(Some(nonce.to_vec()))
}

impl CertId {
    /// Whether the certificate named is one of `issuer`'s.
    pub(super) fn is_of(&self, issuer: &Certificate) -> bool {
        issuer_hashes(&self.hash_algorithm.oid, issuer).is_ok_and(|(name, key)| {
            self.issuer_name_hash.as_bytes() == name && self.issuer_key_hash.as_bytes() == key
        })
    }

    pub(super) fn serial(&self) -> &[u8] {
        magnitude(self.serial_number.as_bytes())
    }
}

/// Hashes of the issuer's name and public key (RFC 6960 4.1.1). They select, they prove nothing: SHA-1,
/// which most clients send, is good enough here and nowhere else.
fn issuer_hashes(hash: &ObjectIdentifier, issuer: &Certificate) -> Result<(Vec<u8>, Vec<u8>)> {
    let bad = |e: der::Error| Error::malformed(WHAT, e);
    let name = issuer.subject_name().to_der().map_err(bad)?;
    let key = public_key_bits(issuer)?;
    if *hash == SHA1 {
        return Ok((sha1(&name), sha1(&key)));
    }
    let hash = HashAlgorithm::from_oid(hash)?;
    Ok((hash.digest(&name), hash.digest(&key)))
}

pub(super) fn sha1(bytes: &[u8]) -> Vec<u8> {
    digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes).as_ref().to_vec()
}

pub(super) fn public_key_bits(certificate: &Certificate) -> Result<Vec<u8>> {
    let spki = SubjectPublicKeyInfoRef::try_from(certificate.spki_der())
        .map_err(|e| Error::malformed("public key", e))?;
    Ok(spki.subject_public_key.raw_bytes().to_vec())
}
