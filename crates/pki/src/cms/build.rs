//! Encoding and signing a SignedData.

use const_oid::ObjectIdentifier;
use der::asn1::{OctetString, SetOfVec};
use der::{Any, Decode, Encode, EncodeValue, Tag, TagNumber, Tagged};
use x509_cert::attr::Attribute;
use x509_cert::ext::pkix::name::GeneralName;

use super::structures::{
    ContentInfo, EncapsulatedContentInfo, EssCertIdV2, IssuerAndSerialNumber, IssuerSerial,
    OtherRevocationInfoFormat, SignedDataValue, SignerInfo, SigningCertificateV2,
};
use crate::crl::Crl;
use crate::digest::HashAlgorithm;
use crate::keys::Signer;
use crate::lint::{Artifact, AttributesContext, SignedAs, ToBeSigned};
use crate::ocsp::OcspResponse;
use crate::x509::Certificate;
use crate::{Error, Result, oid};

const WHAT: &str = "CMS SignedData";

/// What differs between a detached signature and a time-stamp token.
pub(crate) struct Parts<'a> {
    pub(crate) content_type: ObjectIdentifier,
    pub(crate) content: &'a [u8],
    pub(crate) is_detached: bool,
    pub(crate) signer: &'a Certificate,
    /// What goes into `certificates`, the signer's among them or not.
    pub(crate) certificates: Vec<&'a Certificate>,
    pub(crate) crls: &'a [Crl],
    pub(crate) ocsp: &'a [OcspResponse],
    /// Whether lists and responses are bound by a signed attribute, [`oid::STATUS_DIGESTS`]: nothing else in
    /// CMS signs them.
    pub(crate) binds_status: bool,
    /// Signed attributes besides content-type, message-digest and signing-certificate-v2.
    pub(crate) attributes: Vec<Attribute>,
}

/// Signs and encodes; returns ContentInfo DER.
pub(crate) fn build(parts: Parts<'_>, key: &dyn Signer) -> Result<Vec<u8>> {
    if key.public_key_der() != parts.signer.spki_der() {
        return Err(Error::Key("is not the signer certificate's".to_owned()));
    }
    let hash = key.algorithm().hash();
    let content_digest = hash.digest(parts.content);
    let bad = |e: der::Error| Error::malformed(WHAT, e);
    let attributes = signed_attributes(&parts, hash, &content_digest).map_err(bad)?;
    let context = AttributesContext {
        signed_as: if parts.is_detached {
            SignedAs::Cades
        } else {
            SignedAs::TimeStampToken
        },
        content_type: parts.content_type,
        content_digest: &content_digest,
        signer: parts.signer,
    };
    // RFC 5652 5.4: signed as a SET OF, sent under an implicit tag.
    let encoded = attributes.to_der().map_err(bad)?;
    let to_be_signed = ToBeSigned::new(encoded, &Artifact::SignedAttributes(context))?;
    let signature = to_be_signed.sign(key)?;
    let signer = || {
        Ok(SignerInfo {
            version: 1,
            identifier: Any::encode_from(&IssuerAndSerialNumber {
                issuer: parts.signer.issuer_name().clone(),
                serial_number: parts.signer.serial_number().clone(),
            })?,
            digest_algorithm: hash.identifier(),
            signed_attributes: Some(attributes),
            signature_algorithm: key.algorithm().identifier(),
            signature: OctetString::new(signature)?,
            unsigned_attributes: None,
        })
    };
    encode(&parts, hash, signer().map_err(bad)?).map_err(bad)
}

fn encode(parts: &Parts<'_>, hash: HashAlgorithm, signer: SignerInfo) -> der::Result<Vec<u8>> {
    let mut certificates = parts
        .certificates
        .iter()
        .map(|certificate| Any::from_der(certificate.der()))
        .collect::<der::Result<Vec<_>>>()?;
    certificates.sort();
    certificates.dedup();
    let mut crls = parts
        .crls
        .iter()
        .map(|crl| Any::from_der(crl.der()))
        .collect::<der::Result<Vec<_>>>()?;
    for response in parts.ocsp {
        crls.push(ocsp_info(response)?);
    }
    crls.sort();
    crls.dedup();
    let content = (!parts.is_detached)
        .then(|| OctetString::new(parts.content))
        .transpose()?;
    let value = SignedDataValue {
        version: version(parts.content_type, !parts.ocsp.is_empty()),
        digest_algorithms: SetOfVec::try_from(vec![hash.identifier()])?,
        encapsulated: EncapsulatedContentInfo {
            content_type: parts.content_type,
            content,
        },
        certificates: non_empty(certificates)?,
        crls: non_empty(crls)?,
        signer_infos: SetOfVec::try_from(vec![signer])?,
    };
    encode_content_info(&value)
}

pub(super) fn encode_content_info(value: &SignedDataValue) -> der::Result<Vec<u8>> {
    ContentInfo {
        content_type: oid::SIGNED_DATA,
        content: Any::encode_from(value)?,
    }
    .to_der()
}

/// RFC 5652 5.1, with X.509 certificates only and issuerAndSerialNumber.
pub(super) fn version(content_type: ObjectIdentifier, has_other_status: bool) -> u8 {
    match (has_other_status, content_type == oid::DATA) {
        (true, _) => 5,
        (false, true) => 1,
        (false, false) => 3,
    }
}

/// Tag of `RevocationInfoChoice.other` (RFC 5652 10.2.1).
pub(super) const OTHER: Tag = Tag::ContextSpecific {
    constructed: true,
    number: TagNumber(1),
};

/// RFC 5940 2.1: the whole OCSPResponse.
fn ocsp_info(response: &OcspResponse) -> der::Result<Any> {
    let other = OtherRevocationInfoFormat {
        format: oid::RI_OCSP_RESPONSE,
        info: Any::from_der(response.der())?,
    };
    let mut value = Vec::new();
    other.encode_value(&mut value)?;
    Any::new(OTHER, value)
}

fn non_empty(values: Vec<Any>) -> der::Result<Option<SetOfVec<Any>>> {
    if values.is_empty() {
        Ok(None)
    } else {
        SetOfVec::try_from(values).map(Some)
    }
}

fn signed_attributes(
    parts: &Parts<'_>,
    hash: HashAlgorithm,
    content_digest: &[u8],
) -> der::Result<SetOfVec<Attribute>> {
    let mut attributes = parts.attributes.clone();
    attributes.push(attribute(oid::CONTENT_TYPE, &parts.content_type)?);
    attributes.push(attribute(
        oid::MESSAGE_DIGEST,
        &OctetString::new(content_digest)?,
    )?);
    attributes.push(attribute(
        oid::AA_SIGNING_CERTIFICATE_V2,
        &ess(parts.signer)?,
    )?);
    if parts.binds_status {
        attributes.push(attribute(
            oid::STATUS_DIGESTS,
            &status_digests(parts, hash)?,
        )?);
    }
    SetOfVec::try_from(attributes)
}

fn status_digests(parts: &Parts<'_>, hash: HashAlgorithm) -> der::Result<Vec<OctetString>> {
    let crls = parts.crls.iter().map(Crl::der);
    let kept = crls.chain(parts.ocsp.iter().map(OcspResponse::der));
    let mut digests: Vec<_> = kept.map(|der| hash.digest(der)).collect();
    digests.sort();
    digests.dedup();
    digests.into_iter().map(OctetString::new).collect()
}

pub(super) fn attribute<T: Tagged + EncodeValue>(
    oid: ObjectIdentifier,
    value: &T,
) -> der::Result<Attribute> {
    Ok(Attribute {
        oid,
        values: SetOfVec::try_from(vec![Any::encode_from(value)?])?,
    })
}

fn ess(signer: &Certificate) -> der::Result<SigningCertificateV2> {
    Ok(SigningCertificateV2 {
        certificates: vec![EssCertIdV2 {
            hash_algorithm: None,
            certificate_hash: OctetString::new(signer.sha256())?,
            issuer_serial: Some(IssuerSerial {
                issuer: vec![GeneralName::DirectoryName(signer.issuer_name().clone())],
                serial_number: signer.serial_number().clone(),
            }),
        }],
        policies: None,
    })
}
