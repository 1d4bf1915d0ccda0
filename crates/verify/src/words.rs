//! Fixed words of the report in both languages.

use probity_domain::Purpose;
use probity_pki::statement::Statement;

use crate::check::{Check, CheckName, CheckResult};
use crate::text::Text;
use crate::verdict::{HandedIn, Overall, Source};

/// The languages a verdict can be read in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lang {
    English,
    Chinese,
}

impl Lang {
    pub(crate) const fn pick<'t>(self, en: &'t str, zh: &'t str) -> &'t str {
        match self {
            Self::English => en,
            Self::Chinese => zh,
        }
    }
}

pub const fn overall(overall: Overall, lang: Lang) -> &'static str {
    match overall {
        Overall::Valid => lang.pick(
            "VALID: every necessary check passed",
            "有效：各项必要检查均通过",
        ),
        Overall::Invalid => lang.pick(
            "INVALID: at least one check failed",
            "无效：至少一项检查未通过",
        ),
        Overall::Indeterminate => lang.pick(
            "INDETERMINATE: nothing is wrong, but something necessary is not known",
            "无法判定：未发现错误，但缺少必要信息",
        ),
    }
}

pub const fn from_diagnostic(lang: Lang) -> &'static str {
    lang.pick(
        "Re-evaluated from diagnostic data, the package itself was not read.",
        "本结论系依据诊断数据重新评估得出，未读取证据包本身。",
    )
}

/// `None` if nothing was handed in.
pub fn handed_in(handed_in: HandedIn, lang: Lang) -> Option<String> {
    let HandedIn {
        revocation_lists: lists,
        ocsp_responses: responses,
    } = handed_in;
    (lists + responses > 0).then(|| match lang {
        Lang::English => format!(
            "Considered besides: {lists} revocation lists and {responses} OCSP responses handed in with the package; \
             they can only add revocations."
        ),
        Lang::Chinese => format!(
            "另行考虑了随证据包提交的 {lists} 份吊销列表和 {responses} 份 OCSP 响应；其仅可增加吊销记录。"
        ),
    })
}

pub const fn not_to_be_relied_on(lang: Lang) -> &'static str {
    lang.pick(
        "Nothing below may be relied on: it is what the package claims.",
        "以下内容仅为证据包自称，不得采信。",
    )
}

pub const fn purpose(purpose: Purpose, lang: Lang) -> &'static str {
    match purpose {
        Purpose::Ownership => lang.pick("ownership of a right", "权利归属"),
        Purpose::Infringement => lang.pick("infringement by somebody else", "他人侵权"),
        Purpose::Defence => lang.pick("a defence", "抗辩"),
        Purpose::Neutral => lang.pick("not stated", "未说明"),
    }
}

pub const fn result(result: CheckResult, lang: Lang) -> &'static str {
    match result {
        CheckResult::Passed => lang.pick("passed", "通过"),
        CheckResult::Failed => lang.pick("FAILED", "未通过"),
        CheckResult::Indeterminate => lang.pick("NOT DECIDED", "无法判定"),
        CheckResult::NotPresent => lang.pick("not established", "未确认"),
    }
}

pub const fn check(name: CheckName, lang: Lang) -> &'static str {
    match name {
        CheckName::Container => lang.pick(
            "Package can be read without ambiguity",
            "证据包结构完整无歧义",
        ),
        CheckName::MembersMatchManifest => lang.pick(
            "Every file is listed and unchanged",
            "全部文件均在清单内且未改动",
        ),
        CheckName::Signature => lang.pick("Signature on the evidence", "证据签名"),
        CheckName::SigningCertificate => {
            lang.pick("Signer's certificate is trusted", "签名证书可信")
        }
        CheckName::CertificateStatus => lang.pick("Certificate was not revoked", "证书未被吊销"),
        CheckName::KeyUsage => lang.pick(
            "Certificate and signature are for this purpose",
            "证书及签名用途相符",
        ),
        CheckName::TimeStamp => lang.pick("Time-stamp on the signature", "签名上的时间戳"),
        CheckName::TimeStampAuthority => {
            lang.pick("Time-stamp authority is trusted", "时间戳机构可信")
        }
        CheckName::TimeStampStatus => lang.pick(
            "Time-stamp authority's certificate was not revoked",
            "时间戳机构的证书未被吊销",
        ),
        CheckName::Statement => lang.pick(
            "Statement agrees with files and certificate",
            "声明与文件及证书一致",
        ),
        CheckName::LogInclusion => lang.pick("Deposited in the public log", "已存入公开日志"),
        CheckName::DeliverySeal => lang.pick("Delivery seal on the package", "送达封签"),
        CheckName::SealTimeStamp => {
            lang.pick("Time-stamp on the delivery seal", "送达封签上的时间戳")
        }
        CheckName::Algorithms => lang.pick(
            "Cryptographic methods are strong enough",
            "密码算法强度足够",
        ),
        CheckName::Identity => lang.pick("Identity of the submitter", "提交人身份核验"),
        CheckName::Agreement => lang.pick("Agreement on the electronic form", "电子形式的约定"),
        CheckName::Intent => lang.pick("Intent behind this instruction", "本次指令的真实意愿"),
        CheckName::ProcessLog => lang.pick("Record of how it was captured", "取证过程记录"),
        CheckName::SubmitterSignature => lang.pick("Submitter's own signature", "提交人自有签名"),
        CheckName::ClockEvidence => {
            lang.pick("Record of the time-stamp's clock", "时间戳的时钟记录")
        }
        CheckName::StorageAttestation => lang.pick(
            "Storage's attestation of how it keeps it",
            "存储方的保管证明",
        ),
        CheckName::Receipt => lang.pick("Receipt by the court", "法院回执"),
    }
}

/// What nobody may conclude: what no package proves, and what this one does not.
pub fn not_proved(checks: &[Check], statement: Option<&Statement>, source: Source) -> Vec<Text> {
    let mut texts = never_proved();
    if source == Source::Diagnostic {
        texts.push(Text::new(
            "That the package is as the diagnostic data say. This verdict was re-evaluated from \
             diagnostic data, the package itself was not read.",
            "证据包与诊断数据相符。本结论系依据诊断数据重新评估得出，未读取证据包本身。",
        ));
    }
    if statement.is_some_and(|s| s.declared_captured_at.is_some() || s.source_url.is_some()) {
        texts.push(Text::new(
            "Time and address of the capture: they are the submitter's declaration.",
            "取证时间与网址：系提交人自行申报。",
        ));
    }
    let absent = checks
        .iter()
        .filter(|check| check.result == CheckResult::NotPresent);
    texts.extend(absent.map(|found| {
        let (en, zh) = (
            check(found.name, Lang::English),
            check(found.name, Lang::Chinese),
        );
        Text::new(
            format!("{en}: {}.", found.reason.en),
            format!("{zh}：{}。", found.reason.zh),
        )
    }));
    texts
}

/// What a package never proves, whoever made it (T4, A10, A15).
fn never_proved() -> Vec<Text> {
    vec![
        Text::new(
            "That what the files show is true, or who made them. The time-stamp proves that these \
             files existed at that time and have not changed since, not their truth or origin.",
            "文件所反映的内容真实，或文件由何人制作。时间戳证明该文件在该时间已存在且此后未被改动，\
             不证明其内容真实或来源。",
        ),
        Text::new(
            "That nothing was falsified before the files were submitted. Log and signature protect \
             what was deposited, not what came before.",
            "文件提交之前未被伪造。日志与签名只保护存入之后的数据，不及于此前。",
        ),
        Text::new(
            "That the environment of the capture was clean, or that the named address really served \
             this content to others.",
            "取证环境清洁，或所称网址当时确向他人提供该内容。",
        ),
    ]
}
