//! The submitter's own signature: made with a certificate of its own, before the platform had a say.

use probity_pki::cms::SignedData;
use probity_pki::package::EVENT_MANIFEST;
use probity_pki::path::Purpose;

use crate::check::CheckResult;
use crate::diagnostic::Diagnostic;
use crate::policy::Policy;
use crate::signature::{Outcome, Signed, by_lists, path_failure, root_name, validate};
use crate::text::Text;

const PREFIX: &str = "META-INF/submitter-signature";
const SUFFIX: &str = ".p7s";

/// Whether a member is such a signature.
pub fn is_signature(name: &str) -> bool {
    name.starts_with(PREFIX) && name.ends_with(SUFFIX)
}

/// Whether examination must keep the member's bytes for this check.
pub fn is_member(name: &str) -> bool {
    is_signature(name)
}

/// Every such signature: detached CAdES over manifest 001, by a certificate that leads to one of the
/// policy's `submitter_roots`, judged at the time its own time-stamp proves, else at the time it claims.
pub fn check(diagnostic: &Diagnostic, policy: &Policy) -> Outcome {
    let members = diagnostic.members.iter().map(|member| &member.name);
    let names: Vec<&String> = members.filter(|name| is_signature(name)).collect();
    if names.is_empty() {
        let words = Text::new(
            "the submitter did not sign with a certificate of its own",
            "提交人未使用自有证书签名",
        );
        return (CheckResult::NotPresent, words);
    }
    let manifest = diagnostic.document(EVENT_MANIFEST).unwrap_or_default();
    let mut passed = Vec::new();
    for name in names {
        let bytes = diagnostic.document(name).unwrap_or_default();
        match check_one(bytes, manifest, policy) {
            (CheckResult::Passed, words) => passed.push(words),
            (result, words) => {
                let (en, zh) = (words.en, words.zh);
                let words = Text::new(format!("{name}: {en}"), format!("{name}：{zh}"));
                return (result, words);
            }
        }
    }
    (CheckResult::Passed, Text::join(&passed))
}

fn check_one(der: &[u8], content: &[u8], policy: &Policy) -> Outcome {
    let signed = match Signed::read(der, content) {
        Ok(signed) => signed,
        Err(e) => return (CheckResult::Failed, Text::error(&e)),
    };
    let signer = match &signed.signer {
        Ok(signer) => signer,
        Err(words) => return (CheckResult::Failed, words.clone()),
    };
    if policy.submitter_roots.is_empty() {
        let words = Text::new(
            "the signature holds, but no root for submitters' own certificates is pinned",
            "签名成立，但未指定提交人自有证书的可信根证书",
        );
        return (CheckResult::Indeterminate, words);
    }
    let Some(at) = signed.proven_time(policy).or(signer.signing_time) else {
        let words = Text::new("it does not say when it was made", "未说明签名时间");
        return (CheckResult::Indeterminate, words);
    };
    if at > policy.latest() {
        let words = Text::new(
            format!("its time {at} lies after the verification"),
            format!("签名时间 {at} 晚于验证时间"),
        );
        return (CheckResult::Failed, words);
    }
    trusted(&signed.data, policy, at)
}

fn trusted(data: &SignedData, policy: &Policy, at: probity_domain::Timestamp) -> Outcome {
    let (others, roots) = (data.certificates(), &policy.submitter_roots);
    let path = data.signer_certificate().and_then(|leaf| {
        let revocation = by_lists(data.crls());
        let purpose = Purpose::ReceiptSigning;
        let path = validate(leaf, others, roots, revocation, at, purpose)?;
        Ok((leaf.subject(), root_name(&path)))
    });
    match path {
        Ok((subject, root)) => {
            let words = Text::new(
                format!("by {subject} at {at}, leads to {root}"),
                format!("{subject} 于 {at} 签名，证书链至 {root}"),
            );
            (CheckResult::Passed, words)
        }
        Err(e) => path_failure(&e, roots),
    }
}
