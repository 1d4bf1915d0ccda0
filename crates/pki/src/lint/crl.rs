//! TBSCertList (RFC 5280 5.1): a complete list of the issuer's own certificates.

use std::collections::HashSet;

use const_oid::ObjectIdentifier;
use der::asn1::{GeneralizedTime, Int};
use der::{Any, Sequence};
use probity_domain::Timestamp;
use spki::AlgorithmIdentifierOwned;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::{AuthorityKeyIdentifier, CrlReason};

use super::{Findings, certificate, extensions, rules, time};
use crate::oid;
use crate::x509::{Certificate, algorithm_of};

const VERSION_2: u8 = 1;
/// RFC 5280 5.2.3.
const NUMBER_BYTES_MAX: usize = 20;

/// RFC 5280 5.1, decoded no further than each rule needs.
#[derive(Debug, Clone, Sequence)]
pub(super) struct Tbs {
    pub(super) version: u8,
    pub(super) signature: AlgorithmIdentifierOwned,
    pub(super) issuer: Any,
    pub(super) this_update: Any,
    pub(super) next_update: Any,
    #[asn1(optional = "true")]
    pub(super) revoked_certificates: Option<Vec<Revoked>>,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    pub(super) extensions: Vec<Extension>,
}

#[derive(Debug, Clone, Sequence)]
pub(super) struct Revoked {
    pub(super) serial_number: Int,
    pub(super) revocation_date: Any,
    #[asn1(optional = "true")]
    pub(super) extensions: Option<Vec<Extension>>,
}

pub(super) fn lint(
    bytes: &[u8],
    issuer: &Certificate,
    findings: &mut Findings,
) -> Option<ObjectIdentifier> {
    let tbs: Tbs = findings.decode(bytes)?;
    findings.require(
        &rules::CRL_VERSION,
        tbs.version == VERSION_2,
        "not version 2",
    );
    self::issuer(&tbs, issuer, findings);
    let this_update = updates(&tbs, findings);
    list_extensions(&tbs.extensions, issuer, findings);
    let entries = tbs.revoked_certificates.as_deref();
    let empty = entries.is_some_and(<[_]>::is_empty);
    findings.require(&rules::CRL_EMPTY, !empty, "no entry, instead of no list");
    let mut seen = HashSet::new();
    for revoked in entries.unwrap_or_default() {
        let octets = revoked.serial_number.as_bytes();
        let rule = &rules::CRL_ENTRY_SERIAL;
        certificate::serial(octets, rule, rule, findings);
        let first = seen.insert(octets);
        findings.require(&rules::CRL_ENTRY_DUPLICATE, first, &hex::encode(octets));
        entry(revoked, this_update, findings);
    }
    Some(tbs.signature.oid)
}

fn issuer(tbs: &Tbs, issuer: &Certificate, findings: &mut Findings) {
    let name = Any::encode_from(issuer.subject_name());
    let same = name.is_ok_and(|name| name == tbs.issuer);
    findings.require(&rules::ISSUER_NAME, same, "not the issuer's subject");
    let algorithm = algorithm_of(issuer.spki_der()).map(|algorithm| algorithm.identifier());
    let same = algorithm.is_ok_and(|algorithm| algorithm == tbs.signature);
    let rule = &rules::SIGNATURE_ALGORITHM;
    findings.require(
        rule,
        same,
        "not that of the issuer's key, or with parameters",
    );
    let may = issuer.is_ca() && issuer.key_usage().is_some_and(|usage| usage.crl_sign());
    findings.require(
        &rules::CRL_ISSUER_MAY_SIGN,
        may,
        "the issuer may not sign lists",
    );
}

/// Answers this update, if it reads.
fn updates(tbs: &Tbs, findings: &mut Findings) -> Option<Timestamp> {
    match (time::read(&tbs.this_update), time::read(&tbs.next_update)) {
        (Ok(this), Ok(next)) => {
            let rule = &rules::CRL_UPDATE_ORDER;
            findings.require(rule, this < next, "next update is not after this update");
            Some(this)
        }
        (Err(reason), _) | (_, Err(reason)) => {
            findings.add(&rules::TIME_ENCODING, reason);
            None
        }
    }
}

fn list_extensions(list: &[Extension], issuer: &Certificate, findings: &mut Findings) {
    let criticality = |oid: &ObjectIdentifier| {
        [oid::AUTHORITY_KEY_IDENTIFIER, oid::CRL_NUMBER]
            .contains(oid)
            .then_some(false)
    };
    extensions::known(list, &criticality, findings);
    let rule = &rules::EXTENSION_VALUE;
    let has = |oid| {
        list.iter()
            .any(|extension: &Extension| extension.extn_id == oid)
    };
    let authority: Option<AuthorityKeyIdentifier> =
        extensions::value(list, oid::AUTHORITY_KEY_IDENTIFIER, rule, findings);
    let named = authority.and_then(|authority| authority.key_identifier);
    let same = named.is_some_and(|id| Some(id.as_bytes()) == issuer.subject_key_id());
    findings.require(
        &rules::AUTHORITY_KEY_ID,
        same,
        "missing or not the issuer's",
    );
    let number: Option<Int> = extensions::value(list, oid::CRL_NUMBER, rule, findings);
    let octets = number.as_ref().map(Int::as_bytes).unwrap_or_default();
    let positive = octets.first().is_none_or(|first| first & 0x80 == 0);
    let holds = has(oid::CRL_NUMBER) && positive && octets.len() <= NUMBER_BYTES_MAX;
    let detail = "missing, negative or of more than 20 octets";
    findings.require(&rules::CRL_NUMBER, holds, detail);
}

fn entry(revoked: &Revoked, this_update: Option<Timestamp>, findings: &mut Findings) {
    match time::read(&revoked.revocation_date) {
        Ok(at) => {
            let past = this_update.is_none_or(|this_update| at <= this_update);
            findings.require(&rules::CRL_ENTRY_DATE, past, "revoked after this update");
        }
        Err(reason) => findings.add(&rules::TIME_ENCODING, reason),
    }
    let list = revoked.extensions.as_deref().unwrap_or_default();
    let criticality = |oid: &ObjectIdentifier| {
        [oid::CRL_REASON, oid::INVALIDITY_DATE]
            .contains(oid)
            .then_some(false)
    };
    extensions::known(list, &criticality, findings);
    let rule = &rules::CRL_REASON;
    // RFC 5280 5.3.1: unspecified is left out; removeFromCRL belongs to delta lists. 7 does not decode.
    let reason: Option<CrlReason> = extensions::value(list, oid::CRL_REASON, rule, findings);
    let misplaced = matches!(
        reason,
        Some(CrlReason::Unspecified | CrlReason::RemoveFromCRL)
    );
    findings.require(rule, !misplaced, "not for a complete list");
    let dated = list
        .iter()
        .find(|extension| extension.extn_id == oid::INVALIDITY_DATE);
    let rule = &rules::CRL_INVALIDITY_DATE;
    let date: Option<GeneralizedTime> =
        extensions::value(list, oid::INVALIDITY_DATE, rule, findings);
    if let (Some(extension), Some(_)) = (dated, date) {
        let text = extension.extn_value.as_bytes().get(2..).unwrap_or_default();
        let holds = time::read_generalized(text).is_some();
        findings.require(rule, holds, "not a GeneralizedTime of whole seconds");
    }
}
