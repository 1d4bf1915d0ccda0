//! One page for a reader who is no engineer: the answer first, every term explained.

use super::put;
use crate::check::CheckResult;
use crate::glossary;
use crate::verdict::{Overall, Source, Verdict};
use crate::words::{self, Lang};

const FILES_SHOWN: usize = 5;

impl Verdict {
    /// One page: the verdict; who, what, when and where; what is wrong or missing; what this does not
    /// prove; and a line for every term used.
    #[must_use]
    pub fn summary_text(&self, lang: Lang) -> String {
        let mut page = String::new();
        put(
            &mut page,
            lang.pick("Verification of electronic evidence", "电子证据验证结果"),
        );
        put(&mut page, "");
        put(&mut page, words::overall(self.overall, lang));
        if self.source == Source::Diagnostic {
            put(&mut page, words::from_diagnostic(lang));
        }
        if self.overall == Overall::Invalid {
            put(&mut page, words::not_to_be_relied_on(lang));
        }
        if let Some(words) = words::handed_in(self.handed_in, lang) {
            put(&mut page, &words);
        }
        put(&mut page, "");
        self.put_facts(&mut page, lang);
        self.put_files(&mut page, lang);
        self.put_checks(&mut page, lang);
        put(
            &mut page,
            lang.pick("What this does not prove", "不能证明的事项"),
        );
        for text in &self.not_proved {
            put(&mut page, &format!("  - {}", text.get(lang)));
        }
        put(&mut page, "");
        let terms = glossary::of(&page, lang);
        put(&mut page, lang.pick("Terms used", "用语说明"));
        for (term, means) in terms {
            put(
                &mut page,
                &format!("  {term}{}{means}", lang.pick(": ", "：")),
            );
        }
        page
    }

    fn put_facts(&self, page: &mut String, lang: Lang) {
        let mut fact = |name: &str, value: Option<String>| {
            let value = value.unwrap_or_else(|| lang.pick("not known", "不详").to_owned());
            put(page, &format!("{name}{}{value}", lang.pick(": ", "：")));
        };
        let who = self.who.as_ref().map(|who| match &who.identifier {
            Some(identifier) => format!("{} ({identifier})", who.name),
            None => who.name.clone(),
        });
        let when = self.when.map(|when| {
            let within = self.accuracy_us.map(|us| us.div_ceil(1_000));
            let within = within.map(|ms| format!(" ± {ms} {}", lang.pick("ms", "毫秒")));
            format!("{when}{}", within.unwrap_or_default())
        });
        let place = self.log.as_ref().map(|log| match lang {
            Lang::English => format!(
                "{}, entry number {} (the log held {})",
                log.origin, log.leaf_index, log.tree_size
            ),
            Lang::Chinese => format!(
                "{} 第 {} 号（该日志共 {} 条）",
                log.origin, log.leaf_index, log.tree_size
            ),
        });
        fact(lang.pick("Who submitted it", "提交人"), who);
        fact(lang.pick("What it is", "标题"), self.title.clone());
        fact(
            lang.pick(
                "Since when it has existed unchanged",
                "自何时起存在且未改动",
            ),
            when,
        );
        fact(lang.pick("Where it is deposited", "存证于"), place);
        fact(
            lang.pick("What it is to prove", "证明目的"),
            self.purpose
                .map(|purpose| words::purpose(purpose, lang).to_owned()),
        );
        fact(lang.pick("Case", "案号"), self.case.clone());
        fact(
            lang.pick("Evidence number", "证据编号"),
            self.evidence_number.map(|n| n.to_string()),
        );
        fact(
            lang.pick("Verified as of", "验证时间"),
            Some(self.verified_at.to_rfc3339()),
        );
        put(page, "");
    }

    fn put_files(&self, page: &mut String, lang: Lang) {
        put(
            page,
            lang.pick(
                "Files, with their SHA3-256 digests",
                "文件及其 SHA3-256 摘要",
            ),
        );
        for what in self.what.iter().take(FILES_SHOWN) {
            let bytes = lang.pick("bytes", "字节");
            let (name, size, digest) = (&what.name, what.size_bytes, what.sha3_256);
            put(page, &format!("  {name} ({size} {bytes})"));
            put(page, &format!("    {digest}"));
        }
        let more = self.what.len().saturating_sub(FILES_SHOWN);
        if more > 0 {
            put(
                page,
                &match lang {
                    Lang::English => format!("  and {more} more"),
                    Lang::Chinese => format!("  另有 {more} 个"),
                },
            );
        }
        put(page, "");
    }

    fn put_checks(&self, page: &mut String, lang: Lang) {
        let passed = |check: &&crate::Check| check.result == CheckResult::Passed;
        let (count, all) = (self.checks.iter().filter(passed).count(), self.checks.len());
        put(
            page,
            &match lang {
                Lang::English => format!("Checks: {count} of {all} passed"),
                Lang::Chinese => format!("检查项目：共 {all} 项，通过 {count} 项"),
            },
        );
        let absent = |check: &&crate::Check| check.result == CheckResult::NotPresent;
        for check in self.checks.iter().filter(|c| !passed(c) && !absent(c)) {
            let result = words::result(check.result, lang);
            let name = words::check(check.name, lang);
            put(page, &format!("  [{result}] {name}"));
            put(page, &format!("      {}", check.reason.get(lang)));
        }
        if !self.missing.is_empty() {
            put(
                page,
                lang.pick("What is missing for a decision", "作出判定所缺少的信息"),
            );
            for missing in &self.missing {
                let colon = lang.pick(": ", "：");
                let name = words::check(missing.check, lang);
                put(
                    page,
                    &format!("  - {name}{colon}{}", missing.reason.get(lang)),
                );
            }
        }
        put(page, "");
    }
}
