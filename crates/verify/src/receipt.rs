//! A court's receipt, handed in beside the package.

use probity_domain::{EvidenceId, ReceiptScope, Sha3_256, Sha256, Timestamp};
use probity_pki::digest::HashAlgorithm;
use probity_pki::path::Purpose;
use serde::Deserialize;

use crate::algorithms::{self, Relied};
use crate::check::CheckResult;
use crate::diagnostic::{Diagnostic, SignedReceipt};
use crate::policy::Policy;
use crate::signature::{Outcome, Signed, trusted_time};
use crate::text::Text;
use crate::trust::{Status, path_failure, root_name, validate_unrevoked};

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

/// What a receipt is judged beside.
pub struct Beside<'c> {
    pub diagnostic: &'c Diagnostic,
    pub evidence: EvidenceId,
    /// When the package was sealed, or else its evidence time-stamped: nobody received it before.
    pub made_at: Option<Timestamp>,
    /// What is known of revocation without the receipt's own.
    pub status: &'c Status,
}

/// Signature by the recipient's own certificate, which leads to one of the policy's `recipient_roots`, for this
/// evidence and this very file.
pub fn check(beside: &Beside<'_>, policy: &Policy, relied: &mut Relied) -> Outcome {
    let Some(signed) = &beside.diagnostic.receipt else {
        let words = Text::new("no receipt was handed in", "未提供回执");
        return (CheckResult::NotPresent, words);
    };
    judged(signed, beside, policy, relied).unwrap_or_else(|outcome| outcome)
}

fn judged(
    signed: &SignedReceipt,
    beside: &Beside<'_>,
    policy: &Policy,
    relied: &mut Relied,
) -> Result<Outcome, Outcome> {
    let failed = |words| (CheckResult::Failed, words);
    let (receipt, received_at) = read(&signed.document).map_err(failed)?;
    same_package(&receipt, beside.diagnostic, beside.evidence)?;
    let signature = Signed::read(&signed.signature, &signed.document);
    let signature = signature.map_err(|e| failed(Text::error(&e)))?;
    let (subject, root) = signed_by(&signature, received_at, beside, policy, relied)?;
    recipients_own(&signature, &receipt.recipient, policy)?;
    let Receipt {
        recipient,
        scope,
        place,
        ..
    } = &receipt;
    let words = Text::new(
        format!(
            "{recipient} received it at {received_at} in {place} ({scope}); signed by {subject}, \
             leads to {root}"
        ),
        format!(
            "{recipient} 于 {received_at} 在 {place} 收到（{scope}）；由 {subject} 签名，证书链至 {root}"
        ),
    );
    Ok((CheckResult::Passed, words))
}

/// The document, and when it says that the package was received.
fn read(document: &[u8]) -> Result<(Receipt, Timestamp), Text> {
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
    let received_at = Timestamp::parse_rfc3339(&receipt.received_at);
    let received_at = received_at.map_err(|e| bad(e.to_string()))?;
    if ReceiptScope::parse(&receipt.scope).is_none() {
        return Err(bad("unknown scope".to_owned()));
    }
    Ok((receipt, received_at))
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

fn signed_by(
    signed: &Signed,
    received_at: Timestamp,
    beside: &Beside<'_>,
    policy: &Policy,
    relied: &mut Relied,
) -> Result<(String, String), Outcome> {
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
    let status = Status {
        kept: beside.status.kept.clone().and(signed.kept()),
        beside: beside.status.beside.clone(),
    };
    let proven = match &signed.stamp {
        Some(_) => {
            // A court may have a unit of its own.
            let units = [policy.time_stamp_roots(), &roots[..]].concat();
            let (at, _) = trusted_time(signed, &status, &units, policy, relied)?;
            Some(at)
        }
        None => None,
    };
    let Some(at) = proven.or(signer.signing_time) else {
        let words = Text::new("it does not say when it was signed", "未说明签名时间");
        return Err((CheckResult::Indeterminate, words));
    };
    in_order(beside.made_at, received_at, at, policy)?;
    let (leaf, others) = (&signer.certificate, signed.data.certificates());
    let purpose = Purpose::ReceiptSigning;
    let path = validate_unrevoked(leaf, others, roots, &status, at, purpose);
    relied.signature(
        signed,
        path.as_ref().ok(),
        algorithms::RECEIPT,
        proven.unwrap_or(policy.at),
    );
    let path = path.map_err(|e| path_failure(&e, roots))?;
    relied.status(&path, policy.at);
    Ok((leaf.subject(), root_name(&path)))
}

/// Made, received, signed, verified: in this order, give or take what clocks may differ.
fn in_order(
    made_at: Option<Timestamp>,
    received_at: Timestamp,
    signed_at: Timestamp,
    policy: &Policy,
) -> Result<(), Outcome> {
    let after =
        |earlier: Timestamp, later: Timestamp| earlier > later.plus_ms(policy.clock_tolerance_ms);
    let words = if made_at.is_some_and(|made_at| after(made_at, received_at)) {
        Text::new(
            format!("received at {received_at}, before the package was made"),
            format!("接收时间 {received_at} 早于证据包制作时间"),
        )
    } else if after(received_at, signed_at) {
        Text::new(
            format!("received at {received_at}, after the receipt was signed"),
            format!("接收时间 {received_at} 晚于回执签名时间"),
        )
    } else if signed_at > policy.latest() {
        Text::new(
            format!("signed at {signed_at}, after the verification"),
            format!("签名时间 {signed_at} 晚于验证时间"),
        )
    } else {
        return Ok(());
    };
    Err((CheckResult::Failed, words))
}

/// A root vouches for many; whose certificate it is that signed, only a pin tells.
fn recipients_own(signed: &Signed, recipient: &str, policy: &Policy) -> Result<(), Outcome> {
    let pinned = policy.recipients.get(recipient);
    let signer = signed.data.signer_certificate().ok();
    match pinned {
        None => {
            let words = Text::new(
                format!(
                    "whether the signer is {recipient:?} is not known: none of its certificates is pinned"
                ),
                format!("无法确认签名人即 {recipient:?}：未指定其证书"),
            );
            Err((CheckResult::Indeterminate, words))
        }
        Some(own) if signer.is_some_and(|signer| own.contains(signer)) => Ok(()),
        Some(_) => {
            let words = Text::new(
                format!("the signer's certificate is none of those pinned for {recipient:?}"),
                format!("签名证书不在为 {recipient:?} 指定的证书之列"),
            );
            Err((CheckResult::Failed, words))
        }
    }
}
