//! TSTInfo (RFC 3161 2.4.2, EN 319 422 5.2).

use const_oid::ObjectIdentifier;
use der::asn1::{Int, OctetString};
use der::{Any, Decode, Encode, Sequence};
use probity_domain::Timestamp;
use spki::AlgorithmIdentifierOwned;
use x509_cert::ext::Extension;

use super::{Findings, certificate, rules};
use crate::asn1_time::PreciseTime;
use crate::canonical;
use crate::digest::HashAlgorithm;
use crate::tsp::Imprint;
use crate::x509::Certificate;

/// What a token must agree with.
#[derive(Debug, Clone, Copy)]
pub struct TokenContext<'a> {
    /// Whose key signs.
    pub unit: &'a Certificate,
    pub policy: ObjectIdentifier,
    /// As asked for.
    pub imprint: &'a Imprint,
    /// Contents octets of the INTEGER, as asked for.
    pub nonce: Option<&'a [u8]>,
    /// The clock's answer.
    pub gen_time: Timestamp,
}

/// RFC 3161 2.4.2, decoded no further than each rule needs.
#[derive(Debug, Clone, Sequence)]
pub(super) struct TstInfo {
    pub(super) version: u8,
    pub(super) policy: ObjectIdentifier,
    pub(super) message_imprint: MessageImprint,
    pub(super) serial_number: Int,
    pub(super) gen_time: Any,
    #[asn1(optional = "true")]
    pub(super) accuracy: Option<Accuracy>,
    #[asn1(default = "Default::default")]
    pub(super) ordering: bool,
    #[asn1(optional = "true")]
    pub(super) nonce: Option<Int>,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    pub(super) tsa: Option<Any>,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", optional = "true")]
    pub(super) extensions: Option<Vec<Extension>>,
}

#[derive(Debug, Clone, Sequence)]
pub(super) struct MessageImprint {
    pub(super) hash_algorithm: AlgorithmIdentifierOwned,
    pub(super) hashed_message: OctetString,
}

#[derive(Debug, Clone, Sequence)]
pub(super) struct Accuracy {
    #[asn1(optional = "true")]
    pub(super) seconds: Option<u32>,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", optional = "true")]
    pub(super) millis: Option<u16>,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", optional = "true")]
    pub(super) micros: Option<u16>,
}

pub(super) fn lint(bytes: &[u8], context: &TokenContext<'_>, findings: &mut Findings) {
    let Some(info) = findings.decode::<TstInfo>(bytes) else {
        return;
    };
    findings.require(&rules::TOKEN_VERSION, info.version == 1, "not version 1");
    findings.require(
        &rules::TOKEN_POLICY,
        info.policy == context.policy,
        "another policy",
    );
    let imprint = HashAlgorithm::from_identifier(&info.message_imprint.hash_algorithm)
        .and_then(|hash| Imprint::new(hash, info.message_imprint.hashed_message.as_bytes()));
    let same = imprint.is_ok_and(|imprint| imprint == *context.imprint);
    findings.require(&rules::TOKEN_IMPRINT, same, "not the one asked for");
    let rule = &rules::TOKEN_SERIAL;
    certificate::serial(info.serial_number.as_bytes(), rule, rule, findings);
    let gen_time = info
        .gen_time
        .to_der()
        .and_then(|der| PreciseTime::from_der(&der));
    let same = gen_time.is_ok_and(|time| time.at == context.gen_time);
    findings.require(&rules::TOKEN_TIME, same, "not the clock's, or not in DER");
    accuracy(info.accuracy.as_ref(), findings);
    findings.require(&rules::TOKEN_ORDERING, !info.ordering, "claimed");
    let same = info.nonce.as_ref().map(Int::as_bytes) == context.nonce;
    findings.require(&rules::TOKEN_NONCE, same, "not the one asked with");
    extensions(info.extensions.as_deref(), findings);
    let unit = context.unit;
    let may = unit.is_time_stamping_unit()
        && unit
            .key_usage()
            .is_some_and(|usage| usage.digital_signature())
        && unit.is_valid_at(context.gen_time);
    findings.require(
        &rules::TOKEN_UNIT,
        may,
        "no time-stamping unit, or not valid at genTime",
    );
}

fn accuracy(accuracy: Option<&Accuracy>, findings: &mut Findings) {
    let Some(Accuracy {
        seconds,
        millis,
        micros,
    }) = accuracy
    else {
        return findings.add(&rules::TOKEN_ACCURACY_MISSING, "missing");
    };
    let part = |part: &Option<u16>| part.is_none_or(|part| (1..=999).contains(&part));
    let something = seconds.is_some() || millis.is_some() || micros.is_some();
    let holds = something && part(millis) && part(micros);
    findings.require(
        &rules::TOKEN_ACCURACY,
        holds,
        "empty, or parts that are not 1 to 999",
    );
}

fn extensions(list: Option<&[Extension]>, findings: &mut Findings) {
    let found = list.unwrap_or_default();
    let plain = found.iter().enumerate().all(|(at, extension)| {
        let before = found.get(..at).unwrap_or_default();
        !extension.critical
            && before
                .iter()
                .all(|other| other.extn_id != extension.extn_id)
            && canonical::check_own(extension.extn_value.as_bytes()).is_ok()
    });
    let empty = list.is_some_and(<[_]>::is_empty);
    let rule = &rules::TOKEN_EXTENSION;
    findings.require(rule, plain && !empty, "critical, twice or not in DER");
}
