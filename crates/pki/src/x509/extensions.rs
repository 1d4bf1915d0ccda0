//! The extensions of each profile (RFC 5280 4.2).

use const_oid::ObjectIdentifier;
use der::asn1::{Ia5String, Null, OctetString, Utf8StringRef};
use der::flagset::FlagSet;
use der::{Any, Encode};
use sha2::{Digest, Sha256};
use spki::SubjectPublicKeyInfoOwned;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::certpolicy::{
    DisplayText, PolicyInformation, PolicyQualifierInfo, UserNotice,
};
use x509_cert::ext::pkix::crl::dp::DistributionPoint;
use x509_cert::ext::pkix::name::{DistributionPointName, GeneralName};
use x509_cert::ext::pkix::{
    AccessDescription, AuthorityKeyIdentifier, BasicConstraints, KeyUsages,
};

use super::{Addresses, CertificateTemplate, Profile};
use crate::oid;

const CRITICAL: bool = true;
const NOT_CRITICAL: bool = false;

pub(super) fn for_template(
    template: &CertificateTemplate<'_>,
    spki: &SubjectPublicKeyInfoOwned,
) -> der::Result<Vec<Extension>> {
    let profile = template.profile;
    let own_key_id = key_identifier(spki);
    let mut list = vec![
        extension(
            oid::BASIC_CONSTRAINTS,
            CRITICAL,
            &basic_constraints(profile),
        )?,
        extension(oid::KEY_USAGE, CRITICAL, &key_usage(profile))?,
        extension(
            oid::SUBJECT_KEY_IDENTIFIER,
            NOT_CRITICAL,
            &OctetString::new(own_key_id.as_slice())?,
        )?,
    ];
    let issuer_key_id = match template.issuer {
        Some(issuer) => issuer.subject_key_id(),
        None => Some(own_key_id.as_slice()),
    };
    if let Some(key_id) = issuer_key_id {
        list.push(extension(
            oid::AUTHORITY_KEY_IDENTIFIER,
            NOT_CRITICAL,
            &authority_key_identifier(key_id)?,
        )?);
    }
    let purposes = extended_key_usages(profile);
    if !purposes.is_empty() {
        // RFC 3161 2.3: critical for a time-stamping unit.
        let critical = profile == Profile::Tsa;
        list.push(extension(oid::EXTENDED_KEY_USAGE, critical, &purposes)?);
    }
    list.push(extension(
        oid::CERTIFICATE_POLICIES,
        NOT_CRITICAL,
        &policies(template)?,
    )?);
    if let Some(url) = &template.addresses.crl {
        list.push(extension(
            oid::CRL_DISTRIBUTION_POINTS,
            NOT_CRITICAL,
            &distribution(url)?,
        )?);
    }
    let access = information_access(&template.addresses)?;
    if !access.is_empty() {
        list.push(extension(
            oid::AUTHORITY_INFO_ACCESS,
            NOT_CRITICAL,
            &access,
        )?);
    }
    if profile == Profile::OcspResponder {
        list.push(extension(oid::OCSP_NO_CHECK, NOT_CRITICAL, &Null)?);
    }
    if let Some(instruction) = &template.instruction {
        if is_uuid(instruction) {
            let names = vec![uri(&format!("urn:uuid:{instruction}"))?];
            list.push(extension(oid::SUBJECT_ALT_NAME, NOT_CRITICAL, &names)?);
        }
        let text = Utf8StringRef::new(instruction)?;
        list.push(extension(oid::INSTRUCTION, NOT_CRITICAL, &text)?);
    }
    Ok(list)
}

fn information_access(addresses: &Addresses) -> der::Result<Vec<AccessDescription>> {
    let named = [
        (oid::AD_OCSP, &addresses.ocsp),
        (oid::AD_CA_ISSUERS, &addresses.ca_issuers),
    ];
    let configured = named
        .into_iter()
        .filter_map(|(method, url)| Some((method, url.as_ref()?)));
    let described = configured.map(|(access_method, url)| {
        Ok(AccessDescription {
            access_method,
            access_location: uri(url)?,
        })
    });
    described.collect()
}

pub(crate) fn extension(
    extn_id: ObjectIdentifier,
    critical: bool,
    value: &impl Encode,
) -> der::Result<Extension> {
    Ok(Extension {
        extn_id,
        critical,
        extn_value: OctetString::new(value.to_der()?)?,
    })
}

pub(crate) fn authority_key_identifier(key_id: &[u8]) -> der::Result<AuthorityKeyIdentifier> {
    Ok(AuthorityKeyIdentifier {
        key_identifier: Some(OctetString::new(key_id)?),
        ..AuthorityKeyIdentifier::default()
    })
}

/// RFC 7093 2, method 1: the leftmost 160 bits of the SHA-256 of the public key.
fn key_identifier(spki: &SubjectPublicKeyInfoOwned) -> Vec<u8> {
    let mut digest = Sha256::digest(spki.subject_public_key.raw_bytes()).to_vec();
    digest.truncate(20);
    digest
}

fn basic_constraints(profile: Profile) -> BasicConstraints {
    let (ca, path_len_constraint) = match profile {
        Profile::RootCa => (true, Some(1)),
        Profile::IssuingCa => (true, Some(0)),
        _ => (false, None),
    };
    BasicConstraints {
        ca,
        path_len_constraint,
    }
}

fn key_usage(profile: Profile) -> FlagSet<KeyUsages> {
    match profile {
        Profile::RootCa | Profile::IssuingCa => KeyUsages::KeyCertSign | KeyUsages::CRLSign,
        Profile::Tsa | Profile::OcspResponder => KeyUsages::DigitalSignature.into(),
        Profile::Event | Profile::Seal | Profile::CourtSigning | Profile::Ceremony => {
            KeyUsages::DigitalSignature | KeyUsages::NonRepudiation
        }
        Profile::CourtEncryption => KeyUsages::KeyAgreement.into(),
    }
}

/// Besides documentSigning (RFC 9336), emailProtection: the purpose S/MIME tools, among them
/// `openssl cms -verify` without options, ask of any CMS signer.
fn extended_key_usages(profile: Profile) -> Vec<ObjectIdentifier> {
    match profile {
        Profile::RootCa | Profile::IssuingCa => vec![],
        Profile::Tsa => vec![oid::KP_TIME_STAMPING],
        Profile::OcspResponder => vec![oid::KP_OCSP_SIGNING],
        Profile::Event | Profile::Seal | Profile::CourtSigning | Profile::Ceremony => {
            vec![oid::KP_DOCUMENT_SIGNING, oid::KP_EMAIL_PROTECTION]
        }
        Profile::CourtEncryption => vec![oid::KP_EMAIL_PROTECTION],
    }
}

fn policies(template: &CertificateTemplate<'_>) -> der::Result<Vec<PolicyInformation>> {
    let policy_identifier = match template.profile {
        Profile::RootCa | Profile::IssuingCa => oid::ANY_POLICY,
        Profile::Tsa => oid::POLICY_TSA,
        Profile::OcspResponder => oid::POLICY_OCSP,
        Profile::Event => oid::POLICY_EVENT,
        Profile::Seal => oid::POLICY_SEAL,
        Profile::CourtEncryption | Profile::CourtSigning => oid::POLICY_COURT,
        Profile::Ceremony => oid::POLICY_CEREMONY,
    };
    let mut qualifiers = Vec::new();
    if let Some(url) = &template.addresses.cps {
        qualifiers.push(PolicyQualifierInfo {
            policy_qualifier_id: oid::QUALIFIER_CPS,
            qualifier: Some(Any::encode_from(&Ia5String::new(url)?)?),
        });
    }
    if let Some(text) = &template.reliance_limit {
        let notice = UserNotice {
            notice_ref: None,
            explicit_text: Some(DisplayText::Utf8String(text.clone())),
        };
        qualifiers.push(PolicyQualifierInfo {
            policy_qualifier_id: oid::QUALIFIER_USER_NOTICE,
            qualifier: Some(Any::encode_from(&notice)?),
        });
    }
    let policy_qualifiers = (!qualifiers.is_empty()).then_some(qualifiers);
    Ok(vec![PolicyInformation {
        policy_identifier,
        policy_qualifiers,
    }])
}

fn distribution(url: &str) -> der::Result<Vec<DistributionPoint>> {
    let names = vec![uri(url)?];
    Ok(vec![DistributionPoint {
        distribution_point: Some(DistributionPointName::FullName(names)),
        reasons: None,
        crl_issuer: None,
    }])
}

fn uri(text: &str) -> der::Result<GeneralName> {
    Ok(GeneralName::UniformResourceIdentifier(Ia5String::new(
        text,
    )?))
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}
