//! A policy as a JSON document, `probity.policy/1`.

use std::collections::{BTreeMap, BTreeSet};

use probity_domain::{Purpose, Timestamp};
use probity_pki::asic::Limits;
use probity_pki::tlog::LogVerifier;
use probity_pki::x509::Certificate;
use probity_pki::{Error, Result};
use serde::{Deserialize, Serialize};

use super::{Accepted, Policy, Required};
use crate::check::CheckName;

/// The only accepted value of `format`.
pub const POLICY_FORMAT: &str = "probity.policy/1";

const WHAT: &str = "policy";
const BYTES_MAX: usize = 1024 * 1024;
const ALWAYS: &str = "always";
const PURPOSES: [Purpose; 4] = [
    Purpose::Ownership,
    Purpose::Infringement,
    Purpose::Defence,
    Purpose::Neutral,
];

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: String,
    name: String,
    version: String,
    /// PEM blocks.
    #[serde(default)]
    roots: Vec<String>,
    #[serde(default)]
    tsa_roots: Vec<String>,
    #[serde(default)]
    submitter_roots: Vec<String>,
    #[serde(default)]
    recipient_roots: Vec<String>,
    /// PEM blocks by the recipient's identifier.
    #[serde(default)]
    recipients: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    log_keys: Vec<String>,
    algorithms: Vec<AcceptedDocument>,
    /// Names of checks by purpose, and under `always`.
    required: BTreeMap<String, Vec<String>>,
    clock_tolerance_ms: i64,
    limits: LimitsDocument,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AcceptedDocument {
    name: String,
    /// RFC 3339, or null.
    until: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitsDocument {
    members_max: u64,
    total_bytes_max: u64,
    ratio_max: u64,
    ratio_free_bytes: u64,
    in_memory_bytes_max: u64,
}

impl Policy {
    /// Reads a policy's document, to verify as of `at`. Unknown fields, checks and purposes are refused.
    ///
    /// # Errors
    /// [`Error::TooLarge`] over 1 MiB, [`Error::Unsupported`] for another format, [`Error::Malformed`]
    /// naming what is wrong.
    pub fn parse(bytes: &[u8], at: Timestamp) -> Result<Self> {
        if bytes.len() > BYTES_MAX {
            return Err(Error::TooLarge {
                what: WHAT,
                limit: BYTES_MAX as u64,
            });
        }
        let document: Document = serde_json::from_slice(bytes).map_err(bad)?;
        if document.format != POLICY_FORMAT {
            let reason = format!("format {:?}", document.format);
            return Err(Error::unsupported(WHAT, reason));
        }
        if !(0..=86_400_000).contains(&document.clock_tolerance_ms) {
            return Err(bad("clock_tolerance_ms is not 0 to 86400000"));
        }
        for key in &document.log_keys {
            LogVerifier::parse(key)?;
        }
        let limits = document.limits;
        Ok(Self {
            name: document.name,
            version: document.version,
            roots: certificates(&document.roots)?,
            tsa_roots: certificates(&document.tsa_roots)?,
            submitter_roots: certificates(&document.submitter_roots)?,
            recipient_roots: certificates(&document.recipient_roots)?,
            recipients: document
                .recipients
                .iter()
                .map(|(recipient, pem)| Ok((recipient.clone(), certificates(pem)?)))
                .collect::<Result<_>>()?,
            log_verifier_keys: document.log_keys,
            algorithms: accepted(document.algorithms)?,
            required: required(&document.required)?,
            clock_tolerance_ms: document.clock_tolerance_ms,
            limits: Limits {
                members_max: limits.members_max,
                total_bytes_max: limits.total_bytes_max,
                ratio_max: limits.ratio_max,
                ratio_free_bytes: limits.ratio_free_bytes,
                in_memory_bytes_max: limits.in_memory_bytes_max,
            },
            at,
        })
    }

    /// The policy's document.
    #[must_use]
    pub fn to_json(&self) -> String {
        let pem = |certificates: &[Certificate]| {
            let pem = certificates.iter().filter_map(|c| c.to_pem().ok());
            pem.collect()
        };
        let names = |checks: &BTreeSet<CheckName>| {
            let names = checks.iter().map(|check| check.as_str().to_owned());
            names.collect::<Vec<String>>()
        };
        let mut required: BTreeMap<String, Vec<String>> = PURPOSES
            .into_iter()
            .map(|purpose| (purpose.as_str().to_owned(), Vec::new()))
            .collect();
        let by_purpose = self.required.by_purpose.iter();
        required.extend(by_purpose.map(|(purpose, checks)| ((*purpose).to_owned(), names(checks))));
        required.insert(ALWAYS.to_owned(), names(&self.required.always));
        let document = Document {
            format: POLICY_FORMAT.to_owned(),
            name: self.name.clone(),
            version: self.version.clone(),
            roots: pem(&self.roots),
            tsa_roots: pem(&self.tsa_roots),
            submitter_roots: pem(&self.submitter_roots),
            recipient_roots: pem(&self.recipient_roots),
            recipients: self
                .recipients
                .iter()
                .map(|(recipient, certificates)| (recipient.clone(), pem(certificates)))
                .collect(),
            log_keys: self.log_verifier_keys.clone(),
            algorithms: self
                .algorithms
                .iter()
                .map(|accepted| AcceptedDocument {
                    name: accepted.name.clone(),
                    until: accepted.until.map(Timestamp::to_rfc3339),
                })
                .collect(),
            required,
            clock_tolerance_ms: self.clock_tolerance_ms,
            limits: LimitsDocument {
                members_max: self.limits.members_max,
                total_bytes_max: self.limits.total_bytes_max,
                ratio_max: self.limits.ratio_max,
                ratio_free_bytes: self.limits.ratio_free_bytes,
                in_memory_bytes_max: self.limits.in_memory_bytes_max,
            },
        };
        // Strings, numbers and lists only: cannot fail.
        serde_json::to_string_pretty(&document).unwrap_or_default()
    }
}

fn certificates(pem: &[String]) -> Result<Vec<Certificate>> {
    let mut all = Vec::new();
    for block in pem {
        all.extend(Certificate::chain_from_pem(block)?);
    }
    Ok(all)
}

fn accepted(documents: Vec<AcceptedDocument>) -> Result<Vec<Accepted>> {
    let mut all: Vec<Accepted> = Vec::new();
    for AcceptedDocument { name, until } in documents {
        if all.iter().any(|known| known.name == name) {
            return Err(bad(format!("algorithm {name:?} stands twice")));
        }
        let until = until.as_deref().map(Timestamp::parse_rfc3339);
        let until = until.transpose().map_err(bad)?;
        all.push(Accepted { name, until });
    }
    Ok(all)
}

fn required(documents: &BTreeMap<String, Vec<String>>) -> Result<Required> {
    let mut required = Required::default();
    // Left out, it would waive status, log and seal without a word; an empty list says so.
    if !documents.contains_key(ALWAYS) {
        return Err(bad(format!("required says nothing of {ALWAYS:?}")));
    }
    for (purpose, names) in documents {
        let mut checks = BTreeSet::new();
        for name in names {
            let check = CheckName::parse(name);
            checks.insert(check.ok_or_else(|| bad(format!("there is no check {name:?}")))?);
        }
        if purpose == ALWAYS {
            required.always = checks;
        } else {
            let purpose = Purpose::parse(purpose).map_err(bad)?;
            if !checks.is_empty() {
                required.by_purpose.insert(purpose.as_str(), checks);
            }
        }
    }
    Ok(required)
}

fn bad(reason: impl ToString) -> Error {
    Error::malformed(WHAT, reason)
}
