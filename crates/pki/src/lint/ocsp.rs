//! ResponseData of OCSP (RFC 6960 4.2.1), as RFC 5019 narrows it.

use x509_cert::ext::Extension;
use x509_cert::ext::pkix::CrlReason;

use super::{Findings, rules};
use crate::asn1_time::from_generalized;
use crate::ocsp::OcspRequest;
use crate::ocsp::structures::{
    CertStatusChoice, ResponderId, ResponseData, RevokedInfo, SingleResponse,
};
use crate::oid;
use crate::x509::Certificate;

/// What a response must agree with.
#[derive(Debug, Clone, Copy)]
pub struct OcspContext<'a> {
    pub request: &'a OcspRequest,
    /// Whose key signs.
    pub responder: &'a Certificate,
    /// Whose certificates are answered for.
    pub issuer: &'a Certificate,
}

pub(super) fn lint(bytes: &[u8], context: &OcspContext<'_>, findings: &mut Findings) {
    let Some(data) = findings.decode::<ResponseData>(bytes) else {
        return;
    };
    findings.require(&rules::OCSP_VERSION, data.version == 0, "not version 1");
    responder(&data, context, findings);
    times(&data, context, findings);
    let asked = &context.request.cert_ids;
    let answered = data.responses.iter().map(|single| &single.cert_id);
    let same = answered.eq(asked.iter());
    findings.require(&rules::OCSP_CERT_ID, same, "not the certificates asked for");
    for single in &data.responses {
        status(single, &data, context, findings);
    }
    extensions(data.response_extensions.as_deref(), context, findings);
}

fn responder(data: &ResponseData, context: &OcspContext<'_>, findings: &mut Findings) {
    let OcspContext {
        responder, issuer, ..
    } = context;
    let delegated = responder
        .extended_key_usages()
        .contains(&oid::KP_OCSP_SIGNING)
        && responder.issuer_name() == issuer.subject_name()
        && responder.authority_key_id() == issuer.subject_key_id()
        && responder
            .key_usage()
            .is_some_and(|usage| usage.digital_signature());
    let rule = &rules::OCSP_RESPONDER;
    let authorised = delegated || responder == issuer;
    findings.require(rule, authorised, "neither the issuer nor delegated by it");
    let named = match &data.responder_id {
        ResponderId::ByName(name) => name == responder.subject_name(),
        ResponderId::ByKey(hash) => {
            crate::ocsp::key_hash(responder).is_ok_and(|expected| expected == hash.as_bytes())
        }
    };
    findings.require(
        &rules::OCSP_RESPONDER_ID,
        named,
        "not the responder's name or key",
    );
}

/// thisUpdate ≤ producedAt ≤ nextUpdate, all of them given, while the responder's certificate is valid.
fn times(data: &ResponseData, context: &OcspContext<'_>, findings: &mut Findings) {
    let produced = from_generalized(data.produced_at);
    let holds = data.responses.iter().all(|single| {
        let this = from_generalized(single.this_update);
        let next = single.next_update.map(from_generalized);
        this <= produced && next.is_some_and(|next| produced <= next && this < next)
    });
    let rule = &rules::OCSP_TIMES;
    findings.require(
        rule,
        holds,
        "this update, produced at, next update out of order",
    );
    let valid = context.responder.is_valid_at(produced);
    findings.require(
        rule,
        valid,
        "produced while the responder's certificate is not valid",
    );
}

fn status(
    single: &SingleResponse,
    data: &ResponseData,
    context: &OcspContext<'_>,
    findings: &mut Findings,
) {
    let is_unknown = matches!(single.cert_status, CertStatusChoice::Unknown(_));
    let holds = is_unknown || single.cert_id.is_of(context.issuer);
    findings.require(
        &rules::OCSP_CERT_ID,
        holds,
        "a status for another CA's certificate",
    );
    if let CertStatusChoice::Revoked(RevokedInfo {
        revocation_time,
        revocation_reason,
    }) = &single.cert_status
    {
        let past = from_generalized(*revocation_time) <= from_generalized(data.produced_at);
        findings.require(&rules::OCSP_REVOCATION_TIME, past, "in the future");
        let misplaced = matches!(
            revocation_reason,
            Some(CrlReason::Unspecified | CrlReason::RemoveFromCRL)
        );
        findings.require(
            &rules::OCSP_REASON,
            !misplaced,
            "left out, or of delta lists",
        );
    }
    let rule = &rules::OCSP_EXTENSION;
    findings.require(
        rule,
        single.single_extensions.is_none(),
        "in a single response",
    );
}

/// The request's nonce, not critical, and nothing else.
fn extensions(list: Option<&[Extension]>, context: &OcspContext<'_>, findings: &mut Findings) {
    let found = list.unwrap_or_default();
    let others = found
        .iter()
        .any(|extension| extension.extn_id != oid::OCSP_NONCE || extension.critical);
    let empty = list.is_some_and(<[_]>::is_empty);
    let rule = &rules::OCSP_EXTENSION;
    findings.require(
        rule,
        !others && !empty && found.len() <= 1,
        "other than one nonce",
    );
    let echoed =
        crate::ocsp::nonce(list).is_ok_and(|nonce| nonce.as_deref() == context.request.nonce());
    findings.require(&rules::OCSP_NONCE, echoed, "not the request's");
}
