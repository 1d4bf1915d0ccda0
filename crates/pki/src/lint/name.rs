//! Distinguished names (RFC 5280 4.1.2.4, EN 319 412-2 4.2, EN 319 412-3 4.2).

use const_oid::ObjectIdentifier;
use der::asn1::SetOfVec;
use der::{Any, Encode, Tag, Tagged};
use x509_cert::attr::AttributeTypeAndValue;

use super::{Findings, rules};
use crate::oid;
use crate::x509::Profile;

/// Upper bounds of RFC 5280 appendix A.1, in characters.
const CHARS_MAX: usize = 64;

type Rdn = SetOfVec<AttributeTypeAndValue>;

/// A subject's name.
pub(super) fn lint(name: &Any, profile: Profile, findings: &mut Findings) {
    let Some(attributes) = attributes(name, findings) else {
        return;
    };
    if attributes.is_empty() {
        return findings.add(&rules::SUBJECT_EMPTY, "no attribute");
    }
    for (at, attribute) in attributes.iter().enumerate() {
        let before = attributes.get(..at).unwrap_or_default();
        if before.iter().any(|other| other.oid == attribute.oid) {
            findings.add(&rules::NAME_DUPLICATE, format!("{} twice", attribute.oid));
        }
        self::attribute(attribute, findings);
    }
    let has = |kind: ObjectIdentifier| attributes.iter().any(|a| a.oid == kind);
    findings.require(&rules::NAME_COMMON_NAME, has(oid::COMMON_NAME), "missing");
    if matches!(profile, Profile::Event | Profile::Seal) {
        person(&has, findings);
    }
}

/// Who has an organization is a legal person.
fn person(has: &dyn Fn(ObjectIdentifier) -> bool, findings: &mut Findings) {
    if has(oid::ORGANIZATION_NAME) || has(oid::ORGANIZATION_IDENTIFIER) {
        let all = has(oid::COUNTRY_NAME)
            && has(oid::ORGANIZATION_NAME)
            && has(oid::ORGANIZATION_IDENTIFIER);
        let wanted = "countryName, organizationName and organizationIdentifier";
        return findings.require(&rules::NAME_LEGAL_PERSON, all, wanted);
    }
    let named = has(oid::GIVEN_NAME) || has(oid::SURNAME) || has(oid::PSEUDONYM);
    let all = has(oid::COUNTRY_NAME) && has(oid::SERIAL_NUMBER) && named;
    let wanted = "countryName, serialNumber and a given name, surname or pseudonym";
    findings.require(&rules::NAME_NATURAL_PERSON, all, wanted);
}

/// All attributes, one relative name after the other.
fn attributes(name: &Any, findings: &mut Findings) -> Option<Vec<AttributeTypeAndValue>> {
    let bytes = name.to_der().ok()?;
    let rdns: Vec<Rdn> = findings.decode(&bytes)?;
    Some(rdns.iter().flat_map(|rdn| rdn.iter().cloned()).collect())
}

fn attribute(attribute: &AttributeTypeAndValue, findings: &mut Findings) {
    let AttributeTypeAndValue { oid: kind, value } = attribute;
    let printable_only = [oid::COUNTRY_NAME, oid::SERIAL_NUMBER].contains(kind);
    let holds = match value.tag() {
        Tag::PrintableString => true,
        Tag::Utf8String => !printable_only,
        _ => false,
    };
    if !holds {
        return findings.add(
            &rules::NAME_STRING_TYPE,
            format!("{kind} as {}", value.tag()),
        );
    }
    // The tag is a string's, and strings were checked with the whole.
    let text = core::str::from_utf8(value.value()).unwrap_or_default();
    let chars = text.chars().count();
    if !(1..=CHARS_MAX).contains(&chars) {
        findings.add(&rules::NAME_LENGTH, format!("{kind} of {chars} characters"));
    }
    let plain = !text.chars().any(char::is_control);
    findings.require(&rules::NAME_CHARACTERS, plain, "control characters");
    if *kind == oid::COUNTRY_NAME {
        let code = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase());
        findings.require(&rules::NAME_COUNTRY, code, text);
    }
}
