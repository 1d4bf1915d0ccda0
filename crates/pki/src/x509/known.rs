//! The extensions that are understood (RFC 5280 4.2).

use const_oid::ObjectIdentifier;
use der::Decode;
use der::asn1::Utf8StringRef;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, CertificatePolicies, ExtendedKeyUsage, KeyUsage,
    SubjectAltName, SubjectKeyIdentifier,
};

use crate::{Error, Result, oid};

/// What a certificate's extensions say, decoded once.
#[derive(Default)]
pub(super) struct Known {
    pub(super) key_usage: Option<KeyUsage>,
    pub(super) extended: Option<(bool, Vec<ObjectIdentifier>)>,
    pub(super) is_ca: bool,
    pub(super) subject_key_id: Option<Vec<u8>>,
    pub(super) authority_key_id: Option<Vec<u8>>,
    pub(super) policies: Vec<ObjectIdentifier>,
    pub(super) uris: Vec<String>,
    pub(super) instruction: Option<String>,
    pub(super) no_check: bool,
    pub(super) unknown_critical: bool,
}

/// What may be critical and is still understood, in a certificate that certifies no others.
const UNDERSTOOD: [ObjectIdentifier; 10] = [
    oid::BASIC_CONSTRAINTS,
    oid::KEY_USAGE,
    oid::EXTENDED_KEY_USAGE,
    oid::SUBJECT_KEY_IDENTIFIER,
    oid::AUTHORITY_KEY_IDENTIFIER,
    oid::CERTIFICATE_POLICIES,
    oid::CRL_DISTRIBUTION_POINTS,
    oid::AUTHORITY_INFO_ACCESS,
    oid::SUBJECT_ALT_NAME,
    oid::OCSP_NO_CHECK,
];

impl Known {
    pub(super) fn of(inner: &x509_cert::Certificate) -> Result<Self> {
        let bad = |e: der::Error| Error::malformed("certificate extension", e);
        let tbs = inner.tbs_certificate();
        let extensions = tbs.extensions().map_or(&[][..], Vec::as_slice);
        let mut seen: Vec<_> = extensions
            .iter()
            .map(|extension| extension.extn_id)
            .collect();
        seen.sort_unstable();
        seen.dedup();
        if seen.len() != extensions.len() {
            return Err(Error::malformed("certificate extension", "appears twice"));
        }
        let constraints = tbs.get_extension::<BasicConstraints>().map_err(bad)?;
        let extended = tbs.get_extension::<ExtendedKeyUsage>().map_err(bad)?;
        let policies = tbs.get_extension::<CertificatePolicies>().map_err(bad)?;
        let names = tbs.get_extension::<SubjectAltName>().map_err(bad)?;
        let subject_key = tbs.get_extension::<SubjectKeyIdentifier>().map_err(bad)?;
        let authority_key = tbs.get_extension::<AuthorityKeyIdentifier>().map_err(bad)?;
        let instruction = extensions
            .iter()
            .find(|extension| extension.extn_id == oid::INSTRUCTION)
            .map(|extension| Utf8StringRef::from_der(extension.extn_value.as_bytes()))
            .transpose()
            .map_err(bad)?;
        Ok(Self {
            key_usage: tbs
                .get_extension::<KeyUsage>()
                .map_err(bad)?
                .map(|(_, usage)| usage),
            extended: extended.map(|(critical, usages)| (critical, usages.0)),
            is_ca: constraints.is_some_and(|(_, constraints)| constraints.ca),
            subject_key_id: subject_key.map(|(_, id)| id.0.as_bytes().to_vec()),
            authority_key_id: authority_key
                .and_then(|(_, id)| id.key_identifier)
                .map(|id| id.as_bytes().to_vec()),
            policies: policies
                .map(|(_, policies)| policies.0.iter().map(|p| p.policy_identifier).collect())
                .unwrap_or_default(),
            uris: names.map(|(_, names)| uris(&names)).unwrap_or_default(),
            instruction: instruction.map(|text| text.as_str().to_owned()),
            no_check: seen.contains(&oid::OCSP_NO_CHECK),
            unknown_critical: extensions
                .iter()
                .any(|e| e.critical && !UNDERSTOOD.contains(&e.extn_id)),
        })
    }
}

fn uris(names: &SubjectAltName) -> Vec<String> {
    names
        .0
        .iter()
        .filter_map(|name| match name {
            GeneralName::UniformResourceIdentifier(uri) => Some(uri.as_str().to_owned()),
            _ => None,
        })
        .collect()
}
