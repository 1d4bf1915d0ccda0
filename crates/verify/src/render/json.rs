//! The verdict as one JSON document; its schema is `schema/verdict.schema.json` of this crate.

use probity_domain::Purpose;
use probity_pki::statement::PartyKind;
use serde::Serialize;

use crate::check::Check;
use crate::text::Text;
use crate::verdict::{Verdict, What};

/// Schema of [`Verdict::to_json`]. Fields are added, never renamed or removed.
pub const VERDICT_FORMAT: &str = "probity.verdict/1";

#[derive(Serialize)]
struct Document<'v> {
    format: &'static str,
    overall: &'static str,
    source: &'static str,
    verified_at: String,
    policy: PolicyDocument<'v>,
    evidence_number: Option<String>,
    title: Option<&'v str>,
    case: Option<&'v str>,
    purpose: Option<&'static str>,
    who: Option<WhoDocument<'v>>,
    when: Option<String>,
    accuracy_us: Option<u64>,
    what: Vec<WhatDocument<'v>>,
    log: Option<LogDocument<'v>>,
    handed_in: HandedInDocument,
    checks: Vec<CheckDocument<'v>>,
    missing: Vec<MissingDocument<'v>>,
    not_proved: Vec<TextDocument<'v>>,
}

#[derive(Serialize)]
struct PolicyDocument<'v> {
    name: &'v str,
    version: &'v str,
    sha256: String,
}

#[derive(Serialize)]
struct MissingDocument<'v> {
    check: &'static str,
    en: &'v str,
    zh: &'v str,
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
struct HandedInDocument {
    revocation_lists: usize,
    ocsp_responses: usize,
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
            source: self.source.as_str(),
            verified_at: self.verified_at.to_rfc3339(),
            policy: PolicyDocument {
                name: &self.policy.name,
                version: &self.policy.version,
                sha256: self.policy.sha256.to_hex(),
            },
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
            handed_in: HandedInDocument {
                revocation_lists: self.handed_in.revocation_lists,
                ocsp_responses: self.handed_in.ocsp_responses,
            },
            checks: self.checks.iter().map(CheckDocument::of).collect(),
            missing: self
                .missing
                .iter()
                .map(|missing| MissingDocument {
                    check: missing.check.as_str(),
                    en: &missing.reason.en,
                    zh: &missing.reason.zh,
                })
                .collect(),
            not_proved: self.not_proved.iter().map(TextDocument::of).collect(),
        }
    }
}

impl<'v> WhatDocument<'v> {
    fn of(what: &'v What) -> Self {
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
    fn of(check: &'v Check) -> Self {
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
