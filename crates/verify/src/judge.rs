//! Judgement: what was measured, and a policy, make a verdict.

use std::io::{Read, Seek};

use probity_domain::Sha256;
use probity_pki::Error;
use probity_pki::digest::HashAlgorithm;
use probity_pki::package::{SEAL_MANIFEST, SEAL_SIGNATURE};
use probity_pki::statement::Statement;
use probity_pki::x509::Certificate;

use crate::algorithms::{self, Paths};
use crate::check::{Check, CheckName, CheckResult};
use crate::diagnostic::{Container, Diagnostic};
use crate::examine::examine;
use crate::members::{self, Members};
use crate::parts::{Part, Parts};
use crate::policy::Policy;
use crate::signature::{self, Outcome, Signed};
use crate::text::Text;
use crate::verdict::{Log, Missing, Overall, PolicyName, Source, Verdict, What, Who};
use crate::{clock, log, receipt, seal, stated, submitter, words};

/// Verifies a package: [`examine`], then [`judge`]. Always ends in a verdict: what cannot be read is a
/// failed or undecided check.
pub fn verify_package<R: Read + Seek>(reader: R, policy: &Policy) -> Verdict {
    judge(&examine(reader, policy.limits), policy)
}

/// Judges what was measured. The same data and the same policy give the same verdict, at any time.
#[must_use]
pub fn judge(diagnostic: &Diagnostic, policy: &Policy) -> Verdict {
    let mut findings = Findings::default();
    let container = check_container(diagnostic, policy);
    let opened = container.0 == CheckResult::Passed;
    findings.note(CheckName::Container, container);
    if opened {
        let parts = Parts::of(diagnostic);
        let case = Case {
            diagnostic,
            members: members::by_name(diagnostic),
            parts: &parts,
            policy,
        };
        case.run(&mut findings);
    }
    findings.into_verdict(diagnostic.source, policy)
}

/// Examination refused what broke its limits; the policy's may be stricter.
fn check_container(diagnostic: &Diagnostic, policy: &Policy) -> Outcome {
    match &diagnostic.container {
        Container::Opened => {}
        Container::Refused(reason) => return (CheckResult::Failed, reason.clone()),
        Container::Unreadable(reason) => return (CheckResult::Indeterminate, reason.clone()),
    }
    let (limits, members) = (policy.limits, &diagnostic.members);
    let count = members.len();
    let total = members
        .iter()
        .fold(0u64, |sum, member| sum.saturating_add(member.size_bytes));
    let inflated = members.iter().any(|member| {
        let allowed = member.packed_bytes.saturating_mul(limits.ratio_max);
        member.size_bytes > limits.ratio_free_bytes && member.size_bytes > allowed
    });
    let broken = [
        (
            count as u64 > limits.members_max,
            "number of members",
            limits.members_max,
        ),
        (
            total > limits.total_bytes_max,
            "unpacked size",
            limits.total_bytes_max,
        ),
        (inflated, "compression ratio", limits.ratio_max),
    ];
    if let Some((_, what, limit)) = broken.into_iter().find(|(broken, ..)| *broken) {
        let error = Error::TooLarge { what, limit };
        return (CheckResult::Failed, Text::error(&error));
    }
    let words = Text::new(format!("{count} members"), format!("共 {count} 个成员"));
    (CheckResult::Passed, words)
}

/// One judgement.
struct Case<'c> {
    diagnostic: &'c Diagnostic,
    members: Members<'c>,
    parts: &'c Parts,
    policy: &'c Policy,
}

impl Case<'_> {
    fn run(&self, findings: &mut Findings) {
        let (parts, policy) = (self.parts, self.policy);
        findings.note(
            CheckName::MembersMatchManifest,
            members::check(&self.members, parts),
        );
        let event = parts.event.read();
        let mut paths = (Vec::new(), Vec::new());
        match &parts.event {
            Part::Read(signed) => paths = self.check_event(signed, findings),
            Part::Unreadable(reason) => {
                findings.note(CheckName::Signature, (CheckResult::Failed, reason.clone()));
            }
            Part::Absent => {
                let words = Text::new("the signature is missing", "签名缺失");
                findings.note(CheckName::Signature, (CheckResult::Failed, words));
            }
        }
        findings.note(CheckName::DeliverySeal, self.check_seal());
        self.check_statement(findings);
        findings.note(
            CheckName::ClockEvidence,
            clock::check(event.and_then(|event| event.stamp.as_ref())),
        );
        let paths = Paths {
            signer: &paths.0,
            unit: &paths.1,
            has_log: findings.log.is_some(),
        };
        if event.is_some() {
            let outcome = algorithms::check(parts, &paths, policy);
            findings.note(CheckName::Algorithms, outcome);
        }
    }

    /// The event signature and everything that hangs on it; returns the paths of signer and unit.
    fn check_event(
        &self,
        signed: &Signed,
        findings: &mut Findings,
    ) -> (Vec<Certificate>, Vec<Certificate>) {
        let policy = self.policy;
        let kept = signed
            .status()
            .and(self.parts.seal.read().map(Signed::status));
        let (path, unit_path) = (signed.path(policy), signed.unit_path(policy));
        for (name, outcome) in [
            (CheckName::Signature, signature::check_signature(signed)),
            (
                CheckName::TimeStamp,
                signature::check_time_stamp(signed, policy),
            ),
            (
                CheckName::TimeStampAuthority,
                signature::check_authority(signed, unit_path.as_ref(), policy),
            ),
            (
                CheckName::TimeStampStatus,
                signature::check_unit_status(signed, &kept, policy),
            ),
            (
                CheckName::SigningCertificate,
                signature::check_certificate(signed, &path, policy),
            ),
            (
                CheckName::CertificateStatus,
                signature::check_status(signed, &kept, policy),
            ),
            (CheckName::KeyUsage, signature::check_usage(signed, policy)),
        ] {
            findings.note(name, outcome);
        }
        if let Some((stamp, _, at)) = signed.proven(policy) {
            findings.when = Some(at);
            findings.accuracy_us = stamp.token.tst_info().accuracy_us;
        }
        let unit_path = unit_path.and_then(Result::ok);
        (path.unwrap_or_default(), unit_path.unwrap_or_default())
    }

    fn check_seal(&self) -> Outcome {
        let parts = self.parts;
        match (&parts.seal, &parts.seal_manifest) {
            (Part::Unreadable(reason), _) | (_, Part::Unreadable(reason)) => {
                (CheckResult::Failed, reason.clone())
            }
            (Part::Read(seal), Part::Read(_)) => {
                let event = parts.event.read();
                let kept = seal.status().and(event.map(Signed::status));
                let time = event.and_then(|event| event.proven_time(self.policy));
                seal::check(seal, &kept, time, self.policy)
            }
            _ if parts.seal.is_absent() && parts.seal_manifest.is_absent() => {
                let words = Text::new("the package is not sealed", "证据包未加封签");
                (CheckResult::NotPresent, words)
            }
            _ => {
                let words = Text::new(
                    format!("half of it is missing: {SEAL_MANIFEST} or {SEAL_SIGNATURE}"),
                    format!("封签不完整：{SEAL_MANIFEST} 或 {SEAL_SIGNATURE} 缺失"),
                );
                (CheckResult::Failed, words)
            }
        }
    }

    /// The statement, what it records, the log entry it is part of, and the receipt for it.
    fn check_statement(&self, findings: &mut Findings) {
        let (policy, event) = (self.policy, self.parts.event.read());
        let statement = match &self.parts.statement {
            Part::Read(statement) => statement,
            Part::Unreadable(reason) => {
                findings.note(CheckName::Statement, (CheckResult::Failed, reason.clone()));
                return;
            }
            Part::Absent => {
                let words = Text::new("the statement is missing", "声明缺失");
                findings.note(CheckName::Statement, (CheckResult::Failed, words));
                return;
            }
        };
        let (outcome, found) = log::check(self.diagnostic, statement, policy);
        findings.log = found;
        let when = findings.when;
        for (name, outcome) in [
            (CheckName::LogInclusion, outcome),
            (
                CheckName::Statement,
                stated::check(statement, &self.members, event, policy),
            ),
            (CheckName::Identity, stated::identity(statement)),
            (CheckName::Agreement, stated::agreement(statement)),
            (CheckName::Intent, stated::intent(statement, when, policy)),
            (CheckName::ProcessLog, stated::process_log(statement)),
            (
                CheckName::SubmitterSignature,
                submitter::check(statement, &self.members, self.parts, policy),
            ),
            (
                CheckName::Receipt,
                receipt::check(self.diagnostic, statement.evidence_number, policy),
            ),
        ] {
            findings.note(name, outcome);
        }
        findings.who = Some(who(statement, event));
        findings.statement = Some(statement.clone());
    }
}

fn who(statement: &Statement, event: Option<&Signed>) -> Who {
    let certificate = event.and_then(|event| event.data.signer_certificate().ok());
    Who {
        party: statement.submitter.party.to_string(),
        kind: statement.submitter.kind,
        name: statement.submitter.name.clone(),
        identifier: statement.submitter.identifier.clone(),
        certificate_subject: certificate.map(|c| c.subject()),
        certificate_issuer: certificate.map(|c| c.issuer()),
        certificate_serial: certificate.map(|c| c.serial_hex().to_owned()),
    }
}

/// What has been found so far.
#[derive(Default)]
struct Findings {
    checks: Vec<Check>,
    statement: Option<Statement>,
    who: Option<Who>,
    when: Option<probity_domain::Timestamp>,
    accuracy_us: Option<u64>,
    log: Option<Log>,
}

impl Findings {
    fn note(&mut self, name: CheckName, (result, reason): Outcome) {
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

    fn into_verdict(self, source: Source, policy: &Policy) -> Verdict {
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
    fn of(artifact: &probity_pki::statement::StatedArtifact) -> Self {
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
