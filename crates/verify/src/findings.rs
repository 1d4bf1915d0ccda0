//! What judgement has found so far, and the verdict it makes.

use probity_domain::Sha256;
use probity_pki::digest::HashAlgorithm;
use probity_pki::statement::{StatedArtifact, Statement};

use crate::check::{Check, CheckName, CheckResult};
use crate::diagnostic::Diagnostic;
use crate::policy::Policy;
use crate::signature::Outcome;
use crate::text::Text;
use crate::verdict::{HandedIn, Log, Missing, Overall, PolicyName, Verdict, What, Who};
use crate::words;

/// What has been found so far.
#[derive(Default)]
pub struct Findings {
    checks: Vec<Check>,
    pub statement: Option<Statement>,
    pub who: Option<Who>,
    pub when: Option<probity_domain::Timestamp>,
    pub accuracy_us: Option<u64>,
    pub log: Option<Log>,
}

impl Findings {
    pub fn note(&mut self, name: CheckName, (result, reason): Outcome) {
        self.checks.push(Check {
            name,
            result,
            reason,
        });
    }

    /// The check, in its place. One that was not reached is undecided, never left out; one that the
    /// policy requires cannot be merely absent.
    fn settle(&self, name: CheckName, required: bool) -> Check {
        let found = self.checks.iter().find(|check| check.name == name);
        let mut check = found.cloned().unwrap_or_else(|| Check {
            name,
            result: CheckResult::Indeterminate,
            reason: Text::new(
                "not reached, see the failed checks",
                "未能检查，见未通过的检查项",
            ),
        });
        if required && check.result == CheckResult::NotPresent {
            check.result = CheckResult::Indeterminate;
        }
        check
    }

    pub fn into_verdict(self, diagnostic: &Diagnostic, policy: &Policy) -> Verdict {
        let source = diagnostic.source;
        let handed_in = HandedIn {
            revocation_lists: diagnostic.handed_in.crls.len(),
            ocsp_responses: diagnostic.handed_in.ocsp.len(),
        };
        let statement = self.statement.as_ref();
        let purpose = statement.map(|statement| statement.purpose);
        let required = |name| policy.requires(name, purpose);
        let checks: Vec<Check> = CheckName::ALL
            .into_iter()
            .map(|name| self.settle(name, required(name)))
            .collect();
        let undecided = checks
            .iter()
            .filter(|check| check.result == CheckResult::Indeterminate && required(check.name));
        let missing: Vec<Missing> = undecided
            .map(|check| Missing {
                check: check.name,
                reason: check.reason.clone(),
            })
            .collect();
        let overall = if checks.iter().any(|c| c.result == CheckResult::Failed) {
            Overall::Invalid
        } else if missing.is_empty() {
            Overall::Valid
        } else {
            Overall::Indeterminate
        };
        let artifacts = statement.iter().flat_map(|s| &s.artifacts);
        Verdict {
            overall,
            source,
            verified_at: policy.at,
            policy: PolicyName::of(policy),
            evidence_number: statement.map(|s| s.evidence_number),
            title: statement.map(|s| s.title.clone()),
            case: statement.map(|s| s.case.to_string()),
            purpose,
            when: self.when,
            accuracy_us: self.accuracy_us,
            what: artifacts.map(What::of).collect(),
            not_proved: words::not_proved(&checks, statement, source),
            who: self.who,
            log: self.log,
            handed_in,
            checks,
            missing,
        }
    }
}

impl PolicyName {
    fn of(policy: &Policy) -> Self {
        let digest = HashAlgorithm::Sha256.digest(policy.to_json().as_bytes());
        Self {
            name: policy.name.clone(),
            version: policy.version.clone(),
            sha256: Sha256(digest.try_into().unwrap_or_default()),
        }
    }
}

impl What {
    fn of(artifact: &StatedArtifact) -> Self {
        Self {
            name: artifact.name.clone(),
            media_type: artifact.media_type.clone(),
            role: artifact.role,
            size_bytes: artifact.size_bytes,
            sha3_256: artifact.sha3_256,
            sha256: artifact.sha256,
        }
    }
}
