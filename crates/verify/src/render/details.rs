//! Check by check, for a terminal.

use super::put;
use crate::verdict::{Source, Verdict};
use crate::words::{self, Lang};

/// Check by check, with clauses and reasons, in English.
#[must_use]
pub fn render(verdict: &Verdict) -> String {
    verdict.details_text(Lang::English)
}

impl Verdict {
    /// Every check with its clause and reason; names and results are those of the JSON document.
    #[must_use]
    pub fn details_text(&self, lang: Lang) -> String {
        let mut out = String::new();
        let number = self
            .evidence_number
            .map_or_else(|| "-".to_owned(), |n| n.to_string());
        put(&mut out, &format!("{number}: {}", self.overall.as_str()));
        if self.source == Source::Diagnostic {
            put(&mut out, words::from_diagnostic(lang));
        }
        let policy = &self.policy;
        put(
            &mut out,
            &format!(
                "policy {} {} (SHA-256 {}), as of {}",
                policy.name, policy.version, policy.sha256, self.verified_at
            ),
        );
        if let Some(words) = words::handed_in(self.handed_in, lang) {
            put(&mut out, &words);
        }
        for check in &self.checks {
            let (result, name) = (check.result.as_str(), check.name.as_str());
            let (reason, clause) = (check.reason.get(lang), check.name.clause());
            put(
                &mut out,
                &format!("{result:<13} {name:<22} {reason} [{clause}]"),
            );
        }
        for missing in &self.missing {
            let (name, reason) = (missing.check.as_str(), missing.reason.get(lang));
            let word = lang.pick("missing", "缺少");
            put(&mut out, &format!("{word}: {name}: {reason}"));
        }
        for text in &self.not_proved {
            let word = lang.pick("not proved", "未证明");
            put(&mut out, &format!("{word}: {}", text.get(lang)));
        }
        out
    }
}
