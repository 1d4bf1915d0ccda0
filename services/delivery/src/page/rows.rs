//! The tables' rows, one function for each table.

use probity_domain::{ArtifactRole, Timestamp};

use super::text::{NOT_PROVED, PROVED};
use super::{Facts, Language, escape};

/// A row; the value is escaped here and nowhere else.
fn row(language: Language, zh: &str, en: &str, value: &str) -> String {
    format!(
        "<tr><th>{}</th><td>{}</td></tr>\n",
        escape(language.pick(zh, en)),
        escape(value)
    )
}

/// A row that says something is missing stands out.
fn row_or_not(language: Language, zh: &str, en: &str, value: Option<String>) -> String {
    match value {
        Some(value) => row(language, zh, en, &value),
        None => format!(
            "<tr><th>{}</th><td class=\"not\">{}</td></tr>\n",
            escape(language.pick(zh, en)),
            language.pick("未确认", "not established"),
        ),
    }
}

fn at(time: Timestamp) -> String {
    time.to_rfc3339()
}

/// Who, what, when, under which will, and where it is registered.
pub fn fact_rows(facts: &Facts<'_>, language: Language) -> String {
    [
        who_rows(facts, language),
        what_rows(facts, language),
        proof_fact_rows(facts, language),
    ]
    .concat()
}

fn who_rows(facts: &Facts<'_>, language: Language) -> String {
    let s = facts.statement;
    let verification = s.submitter.verification.as_ref();
    let verified =
        verification.map(|v| format!("{} / {} / {}", v.method, v.verifier, at(v.decided_at)));
    let automated = match s.acting_as.automated {
        true => language.pick(
            "由提交者预设的信息系统自动提交",
            "sent by the submitter's information system, unattended",
        ),
        false => language.pick("由人工提交", "sent by a person"),
    };
    let agreement = s.agreement.as_ref();
    let agreed = agreement.map(|a| {
        format!(
            "{} {} / {} / SHA3-256 {}",
            a.id,
            a.version,
            at(a.accepted_at),
            a.sha3_256
        )
    });
    let confirmed = s.intent.as_ref().map(|i| {
        let code = language.pick(
            "一次性验证码，绑定本次指令",
            "one-time code bound to this instruction",
        );
        format!(
            "{code}: {} {} / {} → {} / SHA-256 {}",
            i.channel,
            i.masked_destination,
            at(i.issued_at),
            at(i.confirmed_at),
            i.instruction_sha256
        )
    });
    let mut rows = vec![
        row(
            language,
            "证据编号",
            "Evidence number",
            &s.evidence_number.to_string(),
        ),
        row(language, "提交者", "Submitter", &s.submitter.name),
    ];
    if let Some(identifier) = &s.submitter.identifier {
        rows.push(row(language, "登记号", "Registration number", identifier));
    }
    rows.push(row_or_not(
        language,
        "身份核验",
        "Identity verified",
        verified,
    ));
    if let Some(party) = &s.acting_as.on_behalf_of {
        rows.push(row(language, "被代理人", "On behalf of", party.as_str()));
    }
    rows.push(row(language, "提交方式", "Manner of submission", automated));
    rows.push(row_or_not(
        language,
        "约定采用电子形式",
        "Electronic form agreed",
        agreed,
    ));
    rows.push(row_or_not(
        language,
        "意愿确认",
        "Intent confirmed",
        confirmed,
    ));
    rows.concat()
}

fn what_rows(facts: &Facts<'_>, language: Language) -> String {
    let s = facts.statement;
    let purpose = match (s.purpose.as_str(), language) {
        ("ownership", Language::Chinese) => "权属",
        ("infringement", Language::Chinese) => "侵权",
        ("defence", Language::Chinese) => "抗辩",
        ("neutral", Language::Chinese) => "中性",
        (word, _) => word,
    };
    let declared = language.pick("（提交者声明）", " (declared by the submitter)");
    let mut rows = vec![
        row(language, "名称", "Title", &s.title),
        row(
            language,
            "提交者案号",
            "Submitter's case reference",
            s.case.as_str(),
        ),
        row(language, "证明目的", "Purpose", purpose),
    ];
    if let Some(url) = &s.source_url {
        rows.push(row(
            language,
            "来源网址",
            "Source address",
            &format!("{url}{declared}"),
        ));
    }
    if let Some(captured) = s.declared_captured_at {
        rows.push(row(
            language,
            "取证时间",
            "Time of capture",
            &format!("{}{declared}", at(captured)),
        ));
    }
    rows.push(row(
        language,
        "平台接收时间",
        "Received by the platform",
        &at(s.received_at),
    ));
    rows.concat()
}

fn proof_fact_rows(facts: &Facts<'_>, language: Language) -> String {
    let signer = &facts.signer;
    let accuracy = facts
        .accuracy_us
        .map(|us| format!(" ± {us} µs"))
        .unwrap_or_default();
    let validity = format!("{} → {}", at(signer.not_before), at(signer.not_after));
    let certificate = format!("{} / {} / {}", signer.serial, signer.issuer, validity);
    let stamp = format!("{}{accuracy}", at(facts.stamped_at));
    let unit = format!("{} / {}", facts.time_stamp_unit, facts.time_stamp_serial);
    let entry = format!(
        "{} #{} / {}",
        facts.log.origin, facts.log.leaf_index, facts.log.tree_size
    );
    [
        row(language, "签名证书主体", "Signer", &signer.subject),
        row(
            language,
            "证书序列号、颁发者、有效期",
            "Certificate: serial, issuer, validity",
            &certificate,
        ),
        row(language, "时间戳", "Time-stamp", &stamp),
        row(
            language,
            "时间戳机构、序号",
            "Time-stamping unit, serial",
            &unit,
        ),
        row(language, "存证日志、序号、总数", "Log, entry, size", &entry),
        row(
            language,
            "存证机构",
            "Deposit institution",
            &facts.institution,
        ),
        row(
            language,
            "证书生成时间",
            "Certificate made at",
            &at(facts.sealed_at),
        ),
    ]
    .concat()
}

/// One row for each file, with its digests.
pub fn artifact_rows(facts: &Facts<'_>, language: Language) -> String {
    let heads = match language {
        Language::Chinese => ["文件", "类型", "字节数", "摘要"],
        Language::English => ["File", "Kind", "Bytes", "Digests"],
    };
    let head: String = heads.map(|h| format!("<th>{h}</th>")).concat();
    let files = facts.statement.artifacts.iter().map(|a| {
        format!(
            "<tr><td>{}</td><td>{} ({})</td><td>{}</td><td><code>SHA3-256 {}<br>SHA-256 {}</code></td></tr>\n",
            escape(a.name.as_str()),
            escape(a.media_type.as_str()),
            role_word(a.role, language),
            a.size_bytes,
            a.sha3_256,
            a.sha256,
        )
    });
    format!("<tr>{head}</tr>\n{}", files.collect::<String>())
}

const fn role_word(role: ArtifactRole, language: Language) -> &'static str {
    match role {
        ArtifactRole::Content => language.pick("内容", "content"),
        ArtifactRole::ProcessLog => language.pick("过程日志", "process log"),
        ArtifactRole::Recording => language.pick("过程录像", "recording"),
        ArtifactRole::CleanCheck => language.pick("环境清洁性检查", "clean check"),
        ArtifactRole::Other => language.pick("其他", "other"),
    }
}

/// What is proved.
pub fn proof_rows(_facts: &Facts<'_>, language: Language) -> String {
    fixed_rows(&PROVED, language)
}

/// What is not.
pub fn limit_rows(_facts: &Facts<'_>, language: Language) -> String {
    fixed_rows(&NOT_PROVED, language)
}

fn fixed_rows(table: &[(&str, &str, &str, &str)], language: Language) -> String {
    table
        .iter()
        .map(|(zh, en, text_zh, text_en)| row(language, zh, en, language.pick(text_zh, text_en)))
        .collect()
}

/// The court's four points of review, each with what this package offers for it.
pub fn review_rows(facts: &Facts<'_>, language: Language) -> String {
    let has = |role| facts.statement.artifacts.iter().any(|a| a.role == role);
    let process = match (has(ArtifactRole::ProcessLog), has(ArtifactRole::CleanCheck)) {
        (true, true) => Some(language.pick(
            "文件中附有取证过程日志和环境清洁性检查记录",
            "a log of the capture's course and a clean check of its environment are among the files",
        )),
        (true, false) => {
            Some(language.pick("文件中附有取证过程日志", "a log of the capture's course is among the files"))
        }
        (false, true) => {
            Some(language.pick("文件中附有环境清洁性检查记录", "a clean check of the environment is among the files"))
        }
        (false, false) => None,
    };
    let content = language.pick(
        "文件原样保存于包内，逐一列明摘要；内容由法庭审查",
        "the files are in the package as submitted, each with its digests; their content is the court's to judge",
    );
    let unchanged = language.pick(
        "签名、时间戳与日志证明覆盖全部文件，改动必被发现；提交之前的状态不在证明范围内",
        "signature, time-stamp and log proof cover every file, so that any change shows; their state before submission \
         is not covered",
    );
    let verifiable = language.pick(
        "可由任何人以公开标准离线重复验证",
        "anybody can repeat the verification offline, by open standards",
    );
    [
        row_or_not(
            language,
            "一、软硬件环境安全可靠",
            "1. Environment safe and reliable",
            process.map(str::to_owned),
        ),
        row(
            language,
            "二、内容清晰、客观、准确",
            "2. Content clear, objective, accurate",
            content,
        ),
        row(
            language,
            "三、未被篡改、完整",
            "3. Unmodified and complete",
            unchanged,
        ),
        row(
            language,
            "四、提取过程可复现、可验证",
            "4. Reproducible or verifiable",
            verifiable,
        ),
    ]
    .concat()
}
