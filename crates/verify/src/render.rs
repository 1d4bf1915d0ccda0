//! A verdict for machines and for people.

use std::fmt::Write as _;

use probity_domain::Purpose;
use probity_pki::statement::PartyKind;
use serde::Serialize;

use crate::verdict::{CheckResult, Text, Verdict};
use crate::words::{self, Lang};

/// Schema of [`Verdict::to_json`]. Fields are added, never renamed or removed.
pub const VERDICT_FORMAT: &str = "probity.verdict/1";

#[derive(Serialize)]
struct Document<'v> {
    format: &'static str,
    overall: &'static str,
    verified_at: String,
    evidence_number: Option<String>,
    title: Option<&'v str>,
    case: Option<&'v str>,
    purpose: Option<&'static str>,
    who: Option<WhoDocument<'v>>,
    when: Option<String>,
    accuracy_us: Option<u64>,
    what: Vec<WhatDocument<'v>>,
    log: Option<LogDocument<'v>>,
    checks: Vec<CheckDocument<'v>>,
    not_proved: Vec<TextDocument<'v>>,
}

#[derive(Serialize)]
struct WhoDocument<'v> {
    party: &'v str,
    kind: PartyKind,
    name: &'v str,
    identifier: Option<&'v str>,
    certificate_subject: Option<&'v str>,
    certificate_issuer: Option<&'v str>,
    certificate_serial: Option<&'v str>,
}

#[derive(Serialize)]
struct WhatDocument<'v> {
    name: &'v str,
    media_type: &'v str,
    role: &'static str,
    size_bytes: u64,
    sha3_256: String,
    sha256: String,
}

#[derive(Serialize)]
struct LogDocument<'v> {
    origin: &'v str,
    leaf_index: u64,
    tree_size: u64,
}

#[derive(Serialize)]
struct CheckDocument<'v> {
    name: &'static str,
    clause: &'static str,
    result: &'static str,
    reason: &'v str,
    reason_zh: &'v str,
}

#[derive(Serialize)]
struct TextDocument<'v> {
    en: &'v str,
    zh: &'v str,
}

impl Verdict {
    /// The verdict as one JSON document, `probity.verdict/1`.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Strings, numbers and lists only: cannot fail.
        serde_json::to_string_pretty(&self.document()).unwrap_or_default()
    }

    fn document(&self) -> Document<'_> {
        Document {
            format: VERDICT_FORMAT,
            overall: self.overall.as_str(),
            verified_at: self.verified_at.to_rfc3339(),
            evidence_number: self.evidence_number.map(|number| number.to_string()),
            title: self.title.as_deref(),
            case: self.case.as_deref(),
            purpose: self.purpose.map(Purpose::as_str),
            who: self.who.as_ref().map(|who| WhoDocument {
                party: &who.party,
                kind: who.kind,
                name: &who.name,
                identifier: who.identifier.as_deref(),
                certificate_subject: who.certificate_subject.as_deref(),
                certificate_issuer: who.certificate_issuer.as_deref(),
                certificate_serial: who.certificate_serial.as_deref(),
            }),
            when: self.when.map(|when| when.to_rfc3339()),
            accuracy_us: self.accuracy_us,
            what: self.what.iter().map(WhatDocument::of).collect(),
            log: self.log.as_ref().map(|log| LogDocument {
                origin: &log.origin,
                leaf_index: log.leaf_index,
                tree_size: log.tree_size,
            }),
            checks: self.checks.iter().map(CheckDocument::of).collect(),
            not_proved: self.not_proved.iter().map(TextDocument::of).collect(),
        }
    }

    /// One page for a reader who is no engineer.
    #[must_use]
    pub fn summary_text(&self, lang: Lang) -> String {
        let mut page = String::new();
        let title = lang.pick("Verification of electronic evidence", "电子证据验证结果");
        put(&mut page, title);
        put(&mut page, "");
        put(&mut page, words::overall(self.overall, lang));
        put(&mut page, "");
        self.put_facts(&mut page, lang);
        put(&mut page, lang.pick("Checks", "检查项目"));
        for check in &self.checks {
            let (name, result) = (
                words::check(check.name, lang),
                words::result(check.result, lang),
            );
            put(&mut page, &format!("  [{result}] {name}"));
            if check.result != CheckResult::Passed {
                put(&mut page, &format!("      {}", check.reason.get(lang)));
            }
        }
        put(&mut page, "");
        put(
            &mut page,
            lang.pick("What this does not prove", "不能证明的事项"),
        );
        for text in &self.not_proved {
            put(&mut page, &format!("  - {}", text.get(lang)));
        }
        page
    }

    fn put_facts(&self, page: &mut String, lang: Lang) {
        const ARTIFACTS_SHOWN: usize = 10;
        let mut fact = |name: &str, value: Option<String>| {
            let value = value.unwrap_or_else(|| lang.pick("not known", "不详").to_owned());
            put(page, &format!("{name}{}{value}", lang.pick(": ", "：")));
        };
        fact(
            lang.pick("Evidence number", "证据编号"),
            self.evidence_number.map(|n| n.to_string()),
        );
        fact(lang.pick("Title", "标题"), self.title.clone());
        fact(lang.pick("Case", "案号"), self.case.clone());
        fact(
            lang.pick("Submitted by", "提交人"),
            self.who.as_ref().map(|who| who.name.clone()),
        );
        fact(
            lang.pick("Existed at", "存在时间"),
            self.when.map(|when| when.to_rfc3339()),
        );
        fact(
            lang.pick("Verified at", "验证时间"),
            Some(self.verified_at.to_rfc3339()),
        );
        put(page, lang.pick("Files (SHA3-256)", "文件（SHA3-256）"));
        for what in self.what.iter().take(ARTIFACTS_SHOWN) {
            let bytes = lang.pick("bytes", "字节");
            put(
                page,
                &format!(
                    "  {} ({} {bytes})\n    {}",
                    what.name, what.size_bytes, what.sha3_256
                ),
            );
        }
        if let Some(more) = self
            .what
            .len()
            .checked_sub(ARTIFACTS_SHOWN)
            .filter(|more| *more > 0)
        {
            put(page, &format!("  + {more}"));
        }
        put(page, "");
    }
}

/// Check by check, with clauses and reasons, for a terminal.
#[must_use]
pub fn render(verdict: &Verdict) -> String {
    let mut out = String::new();
    let number = verdict
        .evidence_number
        .map_or_else(|| "-".to_owned(), |n| n.to_string());
    put(&mut out, &format!("{number}: {}", verdict.overall.as_str()));
    for check in &verdict.checks {
        let (result, name) = (check.result.as_str(), check.name.as_str());
        put(
            &mut out,
            &format!(
                "{result:<13} {name:<22} {} [{}]",
                check.reason.en,
                check.name.clause()
            ),
        );
    }
    for text in &verdict.not_proved {
        put(&mut out, &format!("not proved: {}", text.en));
    }
    out
}

/// One line, with control characters of hostile input made harmless for a terminal.
fn put(out: &mut String, line: &str) {
    let safe = |c: char| !(c.is_control() || is_direction_mark(c));
    let line: String = line
        .chars()
        .map(|c| if safe(c) { c } else { '\u{fffd}' })
        .collect();
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{line}");
}

fn is_direction_mark(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

impl<'v> WhatDocument<'v> {
    fn of(what: &'v crate::verdict::What) -> Self {
        Self {
            name: what.name.as_str(),
            media_type: what.media_type.as_str(),
            role: what.role.as_str(),
            size_bytes: what.size_bytes,
            sha3_256: what.sha3_256.to_hex(),
            sha256: what.sha256.to_hex(),
        }
    }
}

impl<'v> CheckDocument<'v> {
    fn of(check: &'v crate::verdict::Check) -> Self {
        Self {
            name: check.name.as_str(),
            clause: check.name.clause(),
            result: check.result.as_str(),
            reason: &check.reason.en,
            reason_zh: &check.reason.zh,
        }
    }
}

impl<'v> TextDocument<'v> {
    fn of(text: &'v Text) -> Self {
        Self {
            en: &text.en,
            zh: &text.zh,
        }
    }
}
