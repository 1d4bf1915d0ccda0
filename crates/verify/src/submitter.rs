//! The submitter's own signature: made on its instruction, before the platform had a say.

use probity_domain::Timestamp;
use probity_pki::digest::HashAlgorithm;
use probity_pki::package::{
    SUBMITTER_INSTRUCTION, SUBMITTER_MANIFEST, SUBMITTER_MEMBERS, SUBMITTER_SIGNATURE,
};
use probity_pki::path::Purpose;
use probity_pki::statement::{Statement, SubmitterSignature};

use crate::algorithms::{self, Relied};
use crate::check::CheckResult;
use crate::members::Members;
use crate::parts::{Part, Parts};
use crate::policy::Policy;
use crate::signature::{Outcome, Signed};
use crate::text::Text;
use crate::trust::{Lists, Status, path_failure, root_name, validate_unrevoked};

/// Detached CAdES over manifest 003, which names the instruction alone. The statement names signature and
/// instruction by their digests, so that both existed when the statement was time-stamped: the signer's
/// certificate is judged at that time. Roots are the policy's `submitter_roots`.
pub fn check(
    statement: &Statement,
    members: &Members<'_>,
    parts: &Parts,
    beside: &Lists,
    policy: &Policy,
    relied: &mut Relied,
) -> Outcome {
    let present = SUBMITTER_MEMBERS
        .iter()
        .any(|(name, _)| members.contains_key(name));
    let stated = match (&statement.submitter_signature, present) {
        (Some(stated), _) => stated,
        (None, true) => {
            return failed(
                "the statement knows nothing of a signature by the submitter",
                "声明中没有提交人自有签名",
            );
        }
        (None, false) => {
            let words = Text::new(
                "the submitter did not sign with a certificate of its own",
                "提交人未使用自有证书签名",
            );
            return (CheckResult::NotPresent, words);
        }
    };
    let signed = match &parts.submitter {
        Part::Read(signed) => signed,
        Part::Unreadable(reason) => return (CheckResult::Failed, reason.clone()),
        Part::Absent => {
            return failed(
                "the statement names a signature that is not in the package",
                "声明所列的提交人签名不在证据包内",
            );
        }
    };
    if let Err(outcome) = same_instruction(statement, stated, members, parts) {
        return outcome;
    }
    let time = parts
        .event
        .read()
        .and_then(|event| event.proven_time(policy));
    let status = Status {
        kept: signed.kept(),
        beside: beside.clone(),
    };
    trusted(signed, stated, &status, time, policy, relied)
}

/// Signature, manifest and instruction are those the statement names.
fn same_instruction(
    statement: &Statement,
    stated: &SubmitterSignature,
    members: &Members<'_>,
    parts: &Parts,
) -> Result<(), Outcome> {
    let digest = |name: &str, algorithm| {
        let member = members.get(name);
        member.and_then(|member| member.digest(algorithm))
    };
    if digest(SUBMITTER_SIGNATURE, HashAlgorithm::Sha3_256) != Some(&stated.sha3_256.0) {
        return Err(failed(
            "it is another signature than the statement names",
            "提交人签名与声明所列不符",
        ));
    }
    let instruction = (
        digest(SUBMITTER_INSTRUCTION, HashAlgorithm::Sha3_256),
        digest(SUBMITTER_INSTRUCTION, HashAlgorithm::Sha256),
    );
    let expected = (
        Some(&stated.instruction_sha3_256.0[..]),
        Some(&statement.instruction_sha256.0[..]),
    );
    if instruction != expected {
        return Err(failed(
            "it is another instruction than the statement names",
            "指令与声明所列不符",
        ));
    }
    let references = parts.submitter_manifest.read().map(|m| &m.references[..]);
    let names_it = references.is_some_and(
        |references| matches!(references, [one] if one.member == SUBMITTER_INSTRUCTION),
    );
    if !names_it {
        return Err(failed(
            &format!("{SUBMITTER_MANIFEST} does not name the instruction alone"),
            &format!("{SUBMITTER_MANIFEST} 并非仅列明指令"),
        ));
    }
    Ok(())
}

fn trusted(
    signed: &Signed,
    stated: &SubmitterSignature,
    status: &Status,
    time: Option<Timestamp>,
    policy: &Policy,
    relied: &mut Relied,
) -> Outcome {
    let signer = match &signed.signer {
        Ok(signer) => signer,
        Err(words) => return (CheckResult::Failed, words.clone()),
    };
    let (leaf, roots) = (&signer.certificate, &policy.submitter_roots);
    if leaf.subject() != stated.signer {
        return failed(
            "the signer is not the one the statement names",
            "签名人与声明所列不符",
        );
    }
    if roots.is_empty() {
        let words = Text::new(
            "the signature holds, but no root for submitters' own certificates is pinned",
            "签名成立，但未指定提交人自有证书的可信根证书",
        );
        return (CheckResult::Indeterminate, words);
    }
    let Some(at) = time else {
        let words = Text::new("no time-stamp that holds", "没有成立的时间戳");
        return (CheckResult::Indeterminate, words);
    };
    if signer
        .signing_time
        .is_some_and(|claimed| claimed > at.plus_ms(policy.clock_tolerance_ms))
    {
        return failed(
            "it claims to be made after the evidence was time-stamped",
            "自称签名时间晚于时间戳时间",
        );
    }
    let (others, purpose) = (signed.data.certificates(), Purpose::SubmitterSigning);
    let path = validate_unrevoked(leaf, others, roots, status, at, purpose);
    // The statement names it by its digest, and the time-stamp covers the statement.
    relied.signature(signed, path.as_ref().ok(), algorithms::SUBMITTER, at);
    match path {
        Ok(path) => {
            relied.status(&path, at);
            let (subject, root) = (leaf.subject(), root_name(&path));
            let words = Text::new(
                format!("by {subject} before {at}, leads to {root}"),
                format!("{subject} 于 {at} 之前签名，证书链至 {root}"),
            );
            (CheckResult::Passed, words)
        }
        Err(e) => path_failure(&e, roots),
    }
}

fn failed(en: &str, zh: &str) -> Outcome {
    (CheckResult::Failed, Text::new(en, zh))
}
