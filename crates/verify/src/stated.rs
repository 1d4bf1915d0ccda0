//! The statement against everything it speaks of.

use probity_domain::{ArtifactRole, Timestamp};
use probity_pki::digest::HashAlgorithm;
use probity_pki::package::{ARTIFACTS, artifact_member};
use probity_pki::statement::{PartyKind, Statement};
use probity_pki::x509::certified_name;

use crate::check::CheckResult;
use crate::members::Members;
use crate::policy::Policy;
use crate::signature::{Outcome, Signed};
use crate::text::Text;

/// Files, signer and instruction are those the statement names.
pub fn check(
    statement: &Statement,
    members: &Members<'_>,
    signed: Option<&Signed>,
    policy: &Policy,
) -> Outcome {
    let mut wrong = Vec::new();
    check_artifacts(statement, members, &mut wrong);
    let Some(signed) = signed else {
        wrong.push(Text::new(
            "there is no signature to compare with",
            "没有可供比对的签名",
        ));
        return (CheckResult::Failed, Text::join(&wrong));
    };
    check_signer(statement, signed, &mut wrong);
    if let Some(time) = signed.proven_time(policy)
        && statement.received_at > time.plus_ms(policy.clock_tolerance_ms)
    {
        wrong.push(Text::new(
            format!(
                "received at {}, after it was time-stamped",
                statement.received_at
            ),
            format!("接收时间 {} 晚于时间戳时间", statement.received_at),
        ));
    }
    if wrong.is_empty() {
        let count = statement.artifacts.len();
        let words = Text::new(
            format!("{count} artifacts, submitter and instruction agree"),
            format!("{count} 个证据文件、提交人与指令均一致"),
        );
        return (CheckResult::Passed, words);
    }
    (CheckResult::Failed, Text::join(&wrong))
}

fn check_artifacts(statement: &Statement, members: &Members<'_>, wrong: &mut Vec<Text>) {
    for artifact in &statement.artifacts {
        let member = artifact_member(&artifact.name);
        let agrees = members.get(member.as_str()).is_some_and(|measured| {
            measured.size_bytes == artifact.size_bytes
                && measured.digest(HashAlgorithm::Sha3_256) == Some(&artifact.sha3_256.0)
                && measured.digest(HashAlgorithm::Sha256) == Some(&artifact.sha256.0)
        });
        if !agrees {
            wrong.push(Text::new(
                format!("{member:?} is not the file that was stated"),
                format!("文件 {member:?} 与声明不符"),
            ));
        }
    }
    for member in members.keys().filter(|name| name.starts_with(ARTIFACTS)) {
        if !statement
            .artifacts
            .iter()
            .any(|artifact| artifact_member(&artifact.name) == **member)
        {
            wrong.push(Text::new(
                format!("{member:?} was not stated"),
                format!("声明中没有文件 {member:?}"),
            ));
        }
    }
}

fn check_signer(statement: &Statement, signed: &Signed, wrong: &mut Vec<Text>) {
    let mut differs = |what_en: &str, what_zh: &str| {
        wrong.push(Text::new(
            format!("{what_en} of certificate or signature differs from the statement"),
            format!("证书或签名中的{what_zh}与声明不符"),
        ));
    };
    let Ok(certificate) = signed.data.signer_certificate() else {
        return differs("the certificate", "证书");
    };
    let submitter = &statement.submitter;
    let name = certified_name(&submitter.name);
    if certificate.common_name().as_ref() != Some(&name) {
        differs("the name", "姓名或名称");
    }
    // What one side says and the other leaves out differs too.
    let is_organization = submitter.kind == PartyKind::Organization;
    if certificate.organization() != is_organization.then_some(name) {
        differs("the organization", "单位名称");
    }
    let certified = certificate.organization_identifier();
    let certified = certified.as_deref().map(registered);
    let stated = submitter.identifier.as_deref().filter(|_| is_organization);
    if certified != stated.map(Some) {
        differs("the organization identifier", "单位证件号码");
    }
    let person = (!is_organization).then(|| submitter.party.to_string());
    if certificate.subject_serial_number() != person {
        differs("the party", "主体编号");
    }
    if certificate.instruction() != Some(statement.submission.to_string().as_str()) {
        differs("the submission", "提交编号");
    }
    if signed.data.instruction_digest() != Some(statement.instruction_sha256.0) {
        differs("the instruction's digest", "指令摘要");
    }
}

/// The number in an organizationIdentifier, behind three letters of the register's kind, two of the country and a
/// hyphen (ETSI EN 319 412-1 5.1.4).
fn registered(identifier: &str) -> Option<&str> {
    let (scheme, number) = identifier.split_once('-')?;
    let is_scheme = scheme.len() == 5 && scheme.bytes().all(|b| b.is_ascii_uppercase());
    is_scheme.then_some(number)
}

/// W1, W2: recorded, or printed as not established.
pub fn identity(statement: &Statement) -> Outcome {
    match &statement.submitter.verification {
        Some(v) => recorded(
            format!(
                "by {}, {}, decided at {}",
                v.verifier, v.method, v.decided_at
            ),
            format!(
                "核验人 {}，方式 {}，时间 {}",
                v.verifier, v.method, v.decided_at
            ),
        ),
        None => absent(
            "how the identity was verified is not recorded",
            "未记录身份核验方式",
        ),
    }
}

/// W5, I4.
pub fn agreement(statement: &Statement) -> Outcome {
    match &statement.agreement {
        Some(a) => recorded(
            format!(
                "{} version {}, accepted at {} by {}",
                a.id, a.version, a.accepted_at, a.channel
            ),
            format!(
                "{} 第 {} 版，{} 经 {} 接受",
                a.id, a.version, a.accepted_at, a.channel
            ),
        ),
        None => absent("no accepted agreement is recorded", "未记录已接受的约定"),
    }
}

/// I1, I2: the code confirmed this instruction, before it was time-stamped.
pub fn intent(statement: &Statement, time: Option<Timestamp>, policy: &Policy) -> Outcome {
    let Some(intent) = &statement.intent else {
        return absent(
            "no confirmation of this instruction is recorded: intent is not proven",
            "未记录对本次指令的确认：意愿未证明",
        );
    };
    if intent.instruction_sha256 != statement.instruction_sha256 {
        let words = Text::new(
            "the one-time code confirmed another instruction",
            "一次性验证码确认的是另一指令",
        );
        return (CheckResult::Failed, words);
    }
    let late = |at: Timestamp| time.is_some_and(|t| at > t.plus_ms(policy.clock_tolerance_ms));
    if intent.confirmed_at < intent.issued_at || late(intent.confirmed_at) {
        let words = Text::new(
            "confirmed before the code was issued, or after the signature",
            "确认时间早于验证码发出，或晚于签名",
        );
        return (CheckResult::Failed, words);
    }
    recorded(
        format!(
            "one-time code by {} to {}, confirmed at {}",
            intent.channel, intent.masked_destination, intent.confirmed_at
        ),
        format!(
            "一次性验证码经 {} 发至 {}，{} 确认",
            intent.channel, intent.masked_destination, intent.confirmed_at
        ),
    )
}

/// C3, C11: the course of the capture, without which there is only its result.
pub fn process_log(statement: &Statement) -> Outcome {
    let roles = || statement.artifacts.iter().map(|artifact| artifact.role);
    if roles().any(|role| role == ArtifactRole::ProcessLog) {
        let recording = roles().any(|role| role == ArtifactRole::Recording);
        let (en, zh) = if recording {
            (" and a recording", "及录像")
        } else {
            ("", "")
        };
        return recorded(
            format!("a process log{en}, signed"),
            format!("过程日志{zh}，已签名"),
        );
    }
    absent(
        "weak: the course of the capture is not recorded, only its result",
        "证明力弱：未记录取证过程，仅能反映结果",
    )
}

fn recorded(en: String, zh: String) -> Outcome {
    (
        CheckResult::Passed,
        Text::new(format!("recorded: {en}"), format!("有记录：{zh}")),
    )
}

fn absent(en: &str, zh: &str) -> Outcome {
    (CheckResult::NotPresent, Text::new(en, zh))
}
