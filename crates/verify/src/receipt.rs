//! A court's receipt, handed in beside the package.

use probity_domain::{EvidenceId, ReceiptScope, Sha3_256, Sha256, Timestamp};
use probity_pki::digest::HashAlgorithm;
use probity_pki::path::{Purpose, Revocation};
use serde::Deserialize;

use crate::check::CheckResult;
use crate::diagnostic::Diagnostic;
use crate::policy::Policy;
use crate::signature::{Outcome, Signed, path_failure, root_name, validate};
use crate::text::Text;

/// The only accepted value of `format`.
const FORMAT: &str = "probity.receipt/1";
const BYTES_MAX: usize = 16 * 1024;

/// What a receipt says. Digests are lower-case hexadecimal.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Receipt {
    format: String,
    #[serde(rename = "delivery")]
    _delivery: String,
    recipient: String,
    evidence: String,
    /// Of the encrypted package, which is not here.
    package_sha256: String,
    /// Of the package after decryption: of the file in front of the verifier.
    #[serde(default)]
    content_sha3_256: Option<String>,
    scope: String,
    received_at: String,
    place: String,
}

/// Signature by a certificate that leads to one of the policy's `recipient_roots`, for this evidence and
/// this very file.
pub fn check(diagnostic: &Diagnostic, evidence: EvidenceId, policy: &Policy) -> Outcome {
    let Some(signed) = &diagnostic.receipt else {
        let words = Text::new("no receipt was handed in", "未提供回执");
        return (CheckResult::NotPresent, words);
    };
    let receipt = match read(&signed.document) {
        Ok(receipt) => receipt,
        Err(words) => return (CheckResult::Failed, words),
    };
    if let Err(outcome) = same_package(&receipt, diagnostic, evidence) {
        return outcome;
    }
    let signer = match Signed::read(&signed.signature, &signed.document) {
        Ok(signer) => signer,
        Err(e) => return (CheckResult::Failed, Text::error(&e)),
    };
    match signed_by(&signer, policy) {
        Ok((subject, root)) => {
            let Receipt {
                recipient,
                scope,
                received_at,
                place,
                ..
            } = &receipt;
            let words = Text::new(
                format!(
                    "{recipient} received it at {received_at} in {place} ({scope}); signed by \
                     {subject}, leads to {root}"
                ),
                format!(
                    "{recipient} 于 {received_at} 在 {place} 收到（{scope}）；由 {subject} 签名，\
                     证书链至 {root}"
                ),
            );
            (CheckResult::Passed, words)
        }
        Err(outcome) => outcome,
    }
}

fn read(document: &[u8]) -> Result<Receipt, Text> {
    let bad = |reason: String| {
        Text::new(
            format!("the receipt is not readable: {reason}"),
            format!("回执无法读取：{reason}"),
        )
    };
    if document.len() > BYTES_MAX {
        return Err(bad(format!("longer than {BYTES_MAX} bytes")));
    }
    let receipt: Receipt = serde_json::from_slice(document).map_err(|e| bad(e.to_string()))?;
    if receipt.format != FORMAT {
        return Err(bad(format!("its format is not {FORMAT}")));
    }
    Sha256::parse_hex(&receipt.package_sha256).map_err(|e| bad(e.to_string()))?;
    Timestamp::parse_rfc3339(&receipt.received_at).map_err(|e| bad(e.to_string()))?;
    if ReceiptScope::parse(&receipt.scope).is_none() {
        return Err(bad("unknown scope".to_owned()));
    }
    Ok(receipt)
}

/// ETA s.14: an acknowledgement does not say that the contents match unless it names their digest.
fn same_package(
    receipt: &Receipt,
    diagnostic: &Diagnostic,
    evidence: EvidenceId,
) -> Result<(), Outcome> {
    let fails = |en: &str, zh: &str| Err((CheckResult::Failed, Text::new(en, zh)));
    let unknown = |en: &str, zh: &str| Err((CheckResult::Indeterminate, Text::new(en, zh)));
    if EvidenceId::parse(&receipt.evidence) != Ok(evidence) {
        return fails("the receipt is for other evidence", "回执针对其他证据");
    }
    let confirmed = receipt.content_sha3_256.as_deref().map(Sha3_256::parse_hex);
    let measured = diagnostic.file.as_ref();
    let measured = measured.and_then(|file| file.digest(HashAlgorithm::Sha3_256));
    match (confirmed, measured) {
        (Some(Err(_)), _) => fails(
            "the receipt's digest is not readable",
            "回执中的摘要无法读取",
        ),
        (None, _) => unknown(
            "the receipt acknowledges arrival alone, not what arrived",
            "回执仅确认收到，未确认内容",
        ),
        (Some(Ok(_)), None) => unknown(
            "the package was not measured as a file",
            "未计算证据包文件的摘要",
        ),
        (Some(Ok(confirmed)), Some(measured)) if confirmed.0 == measured => Ok(()),
        (Some(Ok(_)), Some(_)) => fails(
            "the receipt is for a package with another digest",
            "回执所列摘要与本证据包不符",
        ),
    }
}

fn signed_by(signed: &Signed, policy: &Policy) -> Result<(String, String), Outcome> {
    let signer = match &signed.signer {
        Ok(signer) => signer,
        Err(words) => return Err((CheckResult::Failed, words.clone())),
    };
    let roots = &policy.recipient_roots;
    if roots.is_empty() {
        let words = Text::new(
            "the signature holds, but no root for recipients' certificates is pinned",
            "签名成立，但未指定接收方证书的可信根证书",
        );
        return Err((CheckResult::Indeterminate, words));
    }
    let Some(at) = signed.proven_time(policy).or(signer.signing_time) else {
        let words = Text::new("it does not say when it was signed", "未说明签名时间");
        return Err((CheckResult::Indeterminate, words));
    };
    if at > policy.latest() {
        let words = Text::new(
            format!("signed at {at}, after the verification"),
            format!("签名时间 {at} 晚于验证时间"),
        );
        return Err((CheckResult::Failed, words));
    }
    let kept = signed.status();
    // A court's own authority need not publish status; what travels with the receipt counts.
    let revocation = if kept.is_empty() {
        Revocation::NotChecked
    } else {
        kept.revocation()
    };
    let leaf = &signer.certificate;
    let others = signed.data.certificates();
    match validate(leaf, others, roots, revocation, at, Purpose::ReceiptSigning) {
        Ok(path) => Ok((leaf.subject(), root_name(&path))),
        Err(e) => Err(path_failure(&e, roots)),
    }
}
