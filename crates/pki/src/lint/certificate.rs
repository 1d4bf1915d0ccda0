//! TBSCertificate (RFC 5280 4.1), apart from its extensions and names.

use const_oid::ObjectIdentifier;
use der::asn1::{BitString, Int};
use der::{Any, Encode, Sequence};
use spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use x509_cert::ext::Extension;

use super::{Findings, extensions, name, rules, time};
use crate::keys::SignatureAlgorithm;
use crate::oid;
use crate::x509::{Addresses, Certificate, Profile, algorithm_of};

const VERSION_3: u8 = 2;
const SERIAL_BYTES_MAX: usize = 20;
/// Sixty-four random bits.
const SERIAL_BYTES_MIN: usize = 8;

/// What a certificate must agree with.
#[derive(Debug, Clone, Copy)]
pub struct CertificateContext<'a> {
    pub profile: Profile,
    /// `None` for a self-signed root.
    pub issuer: Option<&'a Certificate>,
    /// As configured; an address that is configured must be there, and no other may.
    pub addresses: &'a Addresses,
    /// The instruction an event certificate is bound to.
    pub instruction: Option<&'a str>,
}

/// RFC 5280 4.1 with every field, decoded no further than each rule needs.
#[derive(Debug, Clone, Sequence)]
pub(super) struct Tbs {
    #[asn1(
        context_specific = "0",
        tag_mode = "EXPLICIT",
        default = "Default::default"
    )]
    pub(super) version: u8,
    pub(super) serial_number: Int,
    pub(super) signature: AlgorithmIdentifierOwned,
    pub(super) issuer: Any,
    pub(super) validity: Validity,
    pub(super) subject: Any,
    pub(super) subject_public_key_info: SubjectPublicKeyInfoOwned,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", optional = "true")]
    pub(super) issuer_unique_id: Option<BitString>,
    #[asn1(context_specific = "2", tag_mode = "IMPLICIT", optional = "true")]
    pub(super) subject_unique_id: Option<BitString>,
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT", optional = "true")]
    pub(super) extensions: Option<Vec<Extension>>,
}

#[derive(Debug, Clone, Sequence)]
pub(super) struct Validity {
    pub(super) not_before: Any,
    pub(super) not_after: Any,
}

pub(super) fn lint(
    bytes: &[u8],
    context: &CertificateContext<'_>,
    findings: &mut Findings,
) -> Option<ObjectIdentifier> {
    let tbs: Tbs = findings.decode(bytes)?;
    findings.require(
        &rules::CERTIFICATE_VERSION,
        tbs.version == VERSION_3,
        "not version 3",
    );
    serial(
        tbs.serial_number.as_bytes(),
        &rules::SERIAL_POSITIVE,
        &rules::SERIAL_LENGTH,
        findings,
    );
    findings.require(
        &rules::SERIAL_ENTROPY,
        crate::x509::magnitude(tbs.serial_number.as_bytes()).len() >= SERIAL_BYTES_MIN,
        "fewer than 64 bits",
    );
    findings.require(
        &rules::UNIQUE_IDENTIFIERS,
        tbs.issuer_unique_id.is_none() && tbs.subject_unique_id.is_none(),
        "there",
    );
    issuer(&tbs, context, findings);
    validity(&tbs.validity, context.issuer, findings);
    name::lint(&tbs.subject, context.profile, findings);
    key(&tbs.subject_public_key_info, findings);
    let extensions = tbs.extensions.as_deref().unwrap_or_default();
    extensions::lint(extensions, context, findings);
    Some(tbs.signature.oid)
}

/// Contents octets of a serial number (RFC 5280 4.1.2.2).
pub(super) fn serial(
    octets: &[u8],
    positive: &'static super::Rule,
    length: &'static super::Rule,
    findings: &mut Findings,
) {
    let is_negative = octets.first().is_some_and(|first| first & 0x80 != 0);
    let is_zero = octets.iter().all(|octet| *octet == 0);
    findings.require(
        positive,
        !is_negative && !is_zero,
        "serial zero or negative",
    );
    let fits = octets.len() <= SERIAL_BYTES_MAX;
    findings.require(length, fits, "serial of more than 20 octets");
}

/// The algorithm is that of the issuer's key; the issuer may issue; its name is copied byte for byte.
fn issuer(tbs: &Tbs, context: &CertificateContext<'_>, findings: &mut Findings) {
    let expected = match context.issuer {
        Some(issuer) => algorithm_of(issuer.spki_der()).ok(),
        None => tbs
            .subject_public_key_info
            .to_der()
            .ok()
            .and_then(|spki| algorithm_of(&spki).ok()),
    };
    // RFC 5758 3.2: without parameters.
    let named = expected.map(SignatureAlgorithm::identifier);
    findings.require(
        &rules::SIGNATURE_ALGORITHM,
        named.is_none_or(|named| named == tbs.signature),
        "not that of the issuer's key, or with parameters",
    );
    let is_root = context.profile == Profile::RootCa;
    let Some(issuer) = context.issuer else {
        findings.require(
            &rules::ISSUER_NAME,
            tbs.issuer == tbs.subject,
            "not the subject",
        );
        findings.require(&rules::ISSUER_MAY_SIGN, is_root, "only a root signs itself");
        return;
    };
    let name = Any::encode_from(issuer.subject_name());
    findings.require(
        &rules::ISSUER_NAME,
        name.is_ok_and(|name| name == tbs.issuer),
        "not the issuer's subject",
    );
    let signs = issuer.is_ca()
        && issuer
            .key_usage()
            .is_some_and(|usage| usage.key_cert_sign());
    // Only the root's path length leaves room for another CA.
    let has_room = context.profile != Profile::IssuingCa || issuer.is_self_issued();
    findings.require(
        &rules::ISSUER_MAY_SIGN,
        signs && has_room && !is_root,
        "the issuer may not issue this",
    );
}

fn validity(validity: &Validity, issuer: Option<&Certificate>, findings: &mut Findings) {
    let (from, to) = match (
        time::read(&validity.not_before),
        time::read(&validity.not_after),
    ) {
        (Ok(from), Ok(to)) => (from, to),
        (Err(reason), _) | (_, Err(reason)) => {
            return findings.add(&rules::TIME_ENCODING, reason);
        }
    };
    findings.require(&rules::VALIDITY_ORDER, from < to, "ends before it begins");
    if let Some(issuer) = issuer {
        // Valid when the issuer is not, it would chain to nothing.
        findings.require(
            &rules::VALIDITY_WITHIN_ISSUER,
            issuer.not_before() <= from && to <= issuer.not_after(),
            "outside the issuer's",
        );
    }
}

/// A named curve that is used here, and an uncompressed point on it.
fn key(spki: &SubjectPublicKeyInfoOwned, findings: &mut Findings) {
    let curve = spki
        .algorithm
        .parameters
        .as_ref()
        .and_then(|any| any.decode_as::<ObjectIdentifier>().ok());
    let algorithm = curve
        .filter(|_| spki.algorithm.oid == oid::EC_PUBLIC_KEY)
        .and_then(|curve| SignatureAlgorithm::for_curve(&curve).ok());
    let Some(algorithm) = algorithm else {
        return findings.add(&rules::KEY_ALGORITHM, "no EC key on a named curve of ours");
    };
    let point = spki.subject_public_key.as_bytes().unwrap_or_default();
    findings.require(
        &rules::KEY_POINT,
        crate::keys::is_on_curve(algorithm, point),
        "not an uncompressed point on the curve",
    );
}
