//! SignedAttributes of CMS (RFC 5652 5.3, 11; EN 319 122-1 5): what the key really signs.

use const_oid::ObjectIdentifier;
use der::asn1::{OctetString, SetOfVec};
use der::{Any, Decode, Encode};
use x509_cert::attr::Attribute;
use x509_cert::ext::pkix::name::GeneralName;

use super::{Findings, rules, time};
use crate::cms::CommitmentType;
use crate::cms::structures::{CommitmentTypeIndication, EssCertIdV2, SigningCertificateV2};
use crate::digest::HashAlgorithm;
use crate::oid;
use crate::x509::Certificate;

/// What the signature is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignedAs {
    /// CAdES-BASELINE-B (EN 319 122-1 6.3).
    Cades,
    /// RFC 3161 2.4.2.
    TimeStampToken,
}

/// What signed attributes must agree with.
#[derive(Debug, Clone, Copy)]
pub struct AttributesContext<'a> {
    pub signed_as: SignedAs,
    pub content_type: ObjectIdentifier,
    /// Made with the hash function of the signature.
    pub content_digest: &'a [u8],
    /// Whose key signs.
    pub signer: &'a Certificate,
}

pub(super) fn lint(bytes: &[u8], context: &AttributesContext<'_>, findings: &mut Findings) {
    let Some(attributes) = findings.decode::<SetOfVec<Attribute>>(bytes) else {
        return;
    };
    let list = attributes.as_slice();
    for (at, attribute) in list.iter().enumerate() {
        let before = list.get(..at).unwrap_or_default();
        let first = before.iter().all(|other| other.oid != attribute.oid);
        let single = first && attribute.values.len() == 1;
        let rule = &rules::ATTRIBUTE_SINGLE;
        findings.require(rule, single, &attribute.oid.to_string());
    }
    let attributes = Attributes { list };
    let content_type = attributes.decoded::<ObjectIdentifier>(oid::CONTENT_TYPE);
    findings.require(
        &rules::ATTRIBUTE_CONTENT_TYPE,
        content_type == Some(context.content_type),
        "missing or not the content's",
    );
    let digest = attributes.decoded::<OctetString>(oid::MESSAGE_DIGEST);
    findings.require(
        &rules::ATTRIBUTE_MESSAGE_DIGEST,
        digest.is_some_and(|digest| digest.as_bytes() == context.content_digest),
        "missing or not the content's",
    );
    signing_certificate(&attributes, context.signer, findings);
    if context.signed_as == SignedAs::Cades {
        cades(&attributes, context.signer, findings);
    }
}

struct Attributes<'a> {
    list: &'a [Attribute],
}

impl Attributes<'_> {
    fn value(&self, oid: ObjectIdentifier) -> Option<&Any> {
        let attribute = self.list.iter().find(|attribute| attribute.oid == oid)?;
        attribute.values.as_slice().first()
    }

    fn decoded<T: for<'a> Decode<'a, Error = der::Error>>(
        &self,
        oid: ObjectIdentifier,
    ) -> Option<T> {
        T::from_der(&self.value(oid)?.to_der().ok()?).ok()
    }
}

/// One ESSCertIDv2, of the signer's certificate, with its issuer and serial number; none of version 1.
fn signing_certificate(attributes: &Attributes<'_>, signer: &Certificate, findings: &mut Findings) {
    let rule = &rules::ATTRIBUTE_SIGNING_CERTIFICATE;
    let old = attributes.value(oid::AA_SIGNING_CERTIFICATE).is_some();
    findings.require(rule, !old, "version 1");
    let found = attributes.decoded::<SigningCertificateV2>(oid::AA_SIGNING_CERTIFICATE_V2);
    let bound = match found.as_ref().map(|found| found.certificates.as_slice()) {
        Some([id]) => binds(id, signer),
        _ => false,
    };
    findings.require(
        rule,
        bound,
        "missing, or not the signer's certificate alone",
    );
}

fn binds(id: &EssCertIdV2, signer: &Certificate) -> bool {
    let digest = match &id.hash_algorithm {
        None => Some(signer.sha256().to_vec()),
        // The default is left out in DER.
        Some(identifier) => HashAlgorithm::from_identifier(identifier)
            .ok()
            .filter(|hash| *hash != HashAlgorithm::Sha256)
            .map(|hash| hash.digest(signer.der())),
    };
    let issuer = GeneralName::DirectoryName(signer.issuer_name().clone());
    let named = id.issuer_serial.as_ref().is_some_and(|named| {
        named.issuer == [issuer] && named.serial_number == *signer.serial_number()
    });
    named && digest.is_some_and(|digest| digest == id.certificate_hash.as_bytes())
}

fn cades(attributes: &Attributes<'_>, signer: &Certificate, findings: &mut Findings) {
    let rule = &rules::ATTRIBUTE_SIGNING_TIME;
    match attributes.value(oid::SIGNING_TIME).map(time::read) {
        None => findings.add(rule, "missing"),
        Some(Err(reason)) => findings.add(rule, reason),
        Some(Ok(at)) => {
            let valid = signer.is_valid_at(at);
            findings.require(rule, valid, "when the signer's certificate is not valid");
        }
    }
    let indication = attributes.decoded::<CommitmentTypeIndication>(oid::AA_COMMITMENT_TYPE);
    let known = indication.is_some_and(|indication| {
        indication.qualifiers.is_none()
            && CommitmentType::ALL
                .iter()
                .any(|known| known.oid() == indication.commitment_type)
    });
    findings.require(
        &rules::ATTRIBUTE_COMMITMENT_TYPE,
        known,
        "missing or not known",
    );
    let may = signer
        .key_usage()
        .is_some_and(|usage| usage.digital_signature() || usage.non_repudiation());
    let rule = &rules::ATTRIBUTE_SIGNER_KEY_USAGE;
    findings.require(rule, may, "the signer's key is not for signatures");
}
