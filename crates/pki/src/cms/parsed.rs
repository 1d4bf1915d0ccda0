//! Decoding and verifying a SignedData with one signer.

use const_oid::ObjectIdentifier;
use der::asn1::{OctetString, OctetStringRef, SetOfVec};
use der::{Any, Decode, Encode, Tag, Tagged};
use x509_cert::attr::Attribute;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::time::Time;

use super::build::{OTHER, version};
use super::structures::{
    ContentInfo, EssCertIdV2, IssuerAndSerialNumber, OtherRevocationInfoFormat, SignedDataValue,
    SignerInfo, SigningCertificateV2,
};
use crate::canonical;
use crate::crl::Crl;
use crate::digest::HashAlgorithm;
use crate::keys::verify_with_identifier;
use crate::ocsp::OcspResponse;
use crate::x509::Certificate;
use crate::{Error, Result, oid};

/// Bounds on foreign input.
const CERTIFICATES_MAX: usize = 32;
const CRLS_MAX: usize = 16;
const ATTRIBUTES_MAX: usize = 32;

/// How much of the encoding rules is demanded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// DER throughout, versions as RFC 5652 5.1 says, no unused digest algorithm: one signature has one
    /// encoding. For what we and our parties make.
    Strict,
    /// DER lengths and types, but sets in any order and any version: tokens of others.
    Foreign,
}

/// A decoded SignedData with one signer, its certificates and status left as they are.
#[derive(Debug, Clone)]
pub(crate) struct Outline {
    pub(crate) value: SignedDataValue,
    pub(crate) signer: SignerInfo,
    hash: HashAlgorithm,
}

/// A decoded SignedData.
#[derive(Debug, Clone)]
pub(crate) struct Parsed {
    what: &'static str,
    value: SignedDataValue,
    pub(crate) signer: SignerInfo,
    pub(crate) certificates: Vec<Certificate>,
    pub(crate) crls: Vec<Crl>,
    pub(crate) ocsp: Vec<OcspResponse>,
    pub(crate) hash: HashAlgorithm,
    attributes: SetOfVec<Attribute>,
}

impl Outline {
    pub(crate) fn from_der(
        what: &'static str,
        der: &[u8],
        bytes_max: usize,
        encoding: Encoding,
    ) -> Result<Self> {
        let bad = |e: der::Error| Error::malformed(what, e);
        if der.len() > bytes_max {
            return Err(Error::TooLarge {
                what,
                limit: bytes_max as u64,
            });
        }
        match encoding {
            Encoding::Strict => canonical::check(what, der)?,
            Encoding::Foreign => canonical::check_unordered(what, der)?,
        }
        let info = ContentInfo::from_der(der).map_err(bad)?;
        if info.content_type != oid::SIGNED_DATA {
            return Err(Error::unsupported(
                what,
                format!("content type {}", info.content_type),
            ));
        }
        let value: SignedDataValue = info.content.decode_as().map_err(bad)?;
        let [signer] = value.signer_infos.as_slice() else {
            return Err(Error::unsupported(what, "other than one signer"));
        };
        let signer = signer.clone();
        let hash = HashAlgorithm::from_identifier(&signer.digest_algorithm)?;
        if encoding == Encoding::Strict {
            check_strict(what, &info, &value, &signer)?;
        }
        Ok(Self {
            value,
            signer,
            hash,
        })
    }

    pub(crate) fn content_type(&self) -> ObjectIdentifier {
        self.value.encapsulated.content_type
    }
}

impl Parsed {
    pub(crate) fn from_der(
        what: &'static str,
        der: &[u8],
        bytes_max: usize,
        encoding: Encoding,
    ) -> Result<Self> {
        let Outline {
            value,
            signer,
            hash,
        } = Outline::from_der(what, der, bytes_max, encoding)?;
        // RFC 5652 5.3: attributes are mandatory unless plain data is signed; CAdES always has them.
        let attributes = signer
            .signed_attributes
            .clone()
            .ok_or_else(|| Error::unsupported(what, "no signed attributes"))?;
        let unsigned = signer.unsigned_attributes.as_ref().map_or(0, SetOfVec::len);
        if attributes.len() > ATTRIBUTES_MAX || unsigned > ATTRIBUTES_MAX {
            return Err(Error::TooLarge {
                what: "attributes",
                limit: ATTRIBUTES_MAX as u64,
            });
        }
        let certificates = elements(what, value.certificates.as_ref(), CERTIFICATES_MAX)?
            .iter()
            .map(|any| Certificate::from_der(&sequence(what, any)?))
            .collect::<Result<_>>()?;
        let (mut crls, mut ocsp) = (Vec::new(), Vec::new());
        for status in elements(what, value.crls.as_ref(), CRLS_MAX)? {
            if status.tag() == OTHER {
                ocsp.push(ocsp_response(what, status)?);
            } else {
                crls.push(Crl::from_der(&sequence(what, status)?)?);
            }
        }
        Ok(Self {
            what,
            value,
            signer,
            certificates,
            crls,
            ocsp,
            hash,
            attributes,
        })
    }

    pub(crate) fn content_type(&self) -> ObjectIdentifier {
        self.value.encapsulated.content_type
    }

    pub(crate) fn content(&self) -> Option<&[u8]> {
        self.value
            .encapsulated
            .content
            .as_ref()
            .map(OctetString::as_bytes)
    }

    pub(crate) fn signature_value(&self) -> &[u8] {
        self.signer.signature.as_bytes()
    }

    /// The one value of a signed attribute; twice, or with several values, is malformed.
    pub(crate) fn signed_attribute(&self, oid: ObjectIdentifier) -> Result<Option<&Any>> {
        single(self.what, &self.attributes, oid)
    }

    pub(crate) fn unsigned_attribute(&self, oid: ObjectIdentifier) -> Result<Option<&Any>> {
        match &self.signer.unsigned_attributes {
            Some(attributes) => single(self.what, attributes, oid),
            None => Ok(None),
        }
    }

    pub(crate) fn decoded_attribute<'a, T>(&'a self, oid: ObjectIdentifier) -> Result<Option<T>>
    where
        T: der::DecodeValue<'a, Error = der::Error> + der::FixedTag + 'a,
    {
        self.signed_attribute(oid)?
            .map(|value| value.decode_as::<T>())
            .transpose()
            .map_err(|e| Error::malformed(self.what, e))
    }

    /// signing-time (RFC 5652 11.3).
    pub(crate) fn signing_time(&self) -> Result<Option<Time>> {
        self.signed_attribute(oid::SIGNING_TIME)?
            .map(|value| value.to_der().and_then(|der| Time::from_der(&der)))
            .transpose()
            .map_err(|e| Error::malformed(self.what, e))
    }

    /// The certificate that signing-certificate-v2 and the signer identifier both name, from those
    /// inside or from `others`.
    pub(crate) fn signer_certificate<'a>(
        &'a self,
        others: &'a [Certificate],
    ) -> Result<&'a Certificate> {
        let ess: SigningCertificateV2 = self
            .decoded_attribute(oid::AA_SIGNING_CERTIFICATE_V2)?
            .ok_or_else(|| Error::not_verified(self.what, "no signing-certificate-v2"))?;
        // RFC 5035 3: the first identifies the signer's.
        let Some(id) = ess.certificates.first() else {
            return Err(Error::malformed(self.what, "empty signing-certificate-v2"));
        };
        for certificate in self.certificates.iter().chain(others) {
            if self.is_identified(certificate)? && is_bound(id, certificate)? {
                return Ok(certificate);
            }
        }
        Err(Error::not_verified(
            self.what,
            "the signer's certificate is not there",
        ))
    }

    /// Verifies content type, message digest, certificate binding and signature.
    pub(crate) fn verify<'a>(
        &'a self,
        content_digest: &[u8],
        others: &'a [Certificate],
    ) -> Result<&'a Certificate> {
        let content_type: ObjectIdentifier = self
            .decoded_attribute(oid::CONTENT_TYPE)?
            .ok_or_else(|| Error::not_verified(self.what, "no content-type"))?;
        if content_type != self.content_type() {
            return Err(Error::not_verified(self.what, "content-type differs"));
        }
        let digest: &OctetStringRef = self
            .decoded_attribute(oid::MESSAGE_DIGEST)?
            .ok_or_else(|| Error::not_verified(self.what, "no message-digest"))?;
        if digest.as_bytes() != content_digest {
            return Err(Error::not_verified(self.what, "message digest differs"));
        }
        let certificate = self.signer_certificate(others)?;
        let message = self
            .attributes
            .to_der()
            .map_err(|e| Error::malformed(self.what, e))?;
        verify_with_identifier(
            certificate.spki_der(),
            &self.signer.signature_algorithm,
            Some(self.hash),
            &message,
            self.signature_value(),
        )
        .map_err(|error| match error {
            Error::NotVerified { reason, .. } => Error::NotVerified {
                what: self.what,
                reason,
            },
            other => other,
        })?;
        Ok(certificate)
    }

    fn is_identified(&self, certificate: &Certificate) -> Result<bool> {
        let identifier = &self.signer.identifier;
        if identifier.tag() != Tag::Sequence {
            return Ok(certificate.subject_key_id() == Some(identifier.value()));
        }
        let id: IssuerAndSerialNumber = identifier
            .decode_as()
            .map_err(|e| Error::malformed(self.what, e))?;
        Ok(id.issuer == *certificate.issuer_name()
            && id.serial_number == *certificate.serial_number())
    }
}

fn is_bound(id: &EssCertIdV2, certificate: &Certificate) -> Result<bool> {
    let hash = match &id.hash_algorithm {
        Some(identifier) => HashAlgorithm::from_identifier(identifier)?,
        None => HashAlgorithm::Sha256,
    };
    let issuer_matches = id.issuer_serial.as_ref().is_none_or(|named| {
        named.serial_number == *certificate.serial_number()
            && named.issuer
                == [GeneralName::DirectoryName(
                    certificate.issuer_name().clone(),
                )]
    });
    Ok(issuer_matches && hash.digest(certificate.der()) == id.certificate_hash.as_bytes())
}

fn check_strict(
    what: &'static str,
    info: &ContentInfo,
    value: &SignedDataValue,
    signer: &SignerInfo,
) -> Result<()> {
    let encoded = Any::encode_from(value).map_err(|e| Error::malformed(what, e))?;
    if encoded != info.content {
        return Err(Error::malformed(
            what,
            "not DER: a set out of order or a default encoded",
        ));
    }
    let has_other = value
        .crls
        .iter()
        .flat_map(|crls| crls.iter())
        .any(|c| c.tag() == OTHER);
    let expected = match signer.identifier.tag() {
        Tag::Sequence => (version(value.encapsulated.content_type, has_other), 1),
        _ => (if has_other { 5 } else { 3 }, 3),
    };
    if (value.version, signer.version) != expected {
        return Err(Error::malformed(what, "version numbers"));
    }
    if value.digest_algorithms.as_slice() != [signer.digest_algorithm.clone()] {
        return Err(Error::malformed(what, "digest algorithms"));
    }
    if signer.digest_algorithm.parameters.is_some() {
        return Err(Error::malformed(what, "digest algorithm with parameters"));
    }
    Ok(())
}

fn elements<'a>(
    what: &'static str,
    set: Option<&'a SetOfVec<Any>>,
    count_max: usize,
) -> Result<&'a [Any]> {
    let elements = set.map_or(&[][..], SetOfVec::as_slice);
    if elements.len() > count_max {
        return Err(Error::TooLarge {
            what,
            limit: count_max as u64,
        });
    }
    Ok(elements)
}

/// The DER of an X.509 certificate or list.
fn sequence(what: &'static str, any: &Any) -> Result<Vec<u8>> {
    if any.tag() != Tag::Sequence {
        let reason = "other than X.509 certificates, lists and OCSP responses";
        return Err(Error::unsupported(what, reason));
    }
    any.to_der().map_err(|e| Error::malformed(what, e))
}

/// RFC 5940 2.1.
fn ocsp_response(what: &'static str, any: &Any) -> Result<OcspResponse> {
    let bad = |e: der::Error| Error::malformed(what, e);
    let other = Any::new(Tag::Sequence, any.value()).map_err(bad)?;
    let other: OtherRevocationInfoFormat = other.decode_as().map_err(bad)?;
    if other.format != oid::RI_OCSP_RESPONSE {
        return Err(Error::unsupported(
            what,
            format!("status in format {}", other.format),
        ));
    }
    OcspResponse::from_der(&other.info.to_der().map_err(bad)?)
}

fn single<'a>(
    what: &'static str,
    attributes: &'a SetOfVec<Attribute>,
    oid: ObjectIdentifier,
) -> Result<Option<&'a Any>> {
    let mut found = attributes.iter().filter(|attribute| attribute.oid == oid);
    let Some(first) = found.next() else {
        return Ok(None);
    };
    match (found.next(), first.values.as_slice()) {
        (None, [value]) => Ok(Some(value)),
        _ => Err(Error::malformed(
            what,
            format!("attribute {oid} is not single"),
        )),
    }
}
