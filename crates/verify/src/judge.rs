//! Judgement: what was measured, and a policy, make a verdict.

use std::io::{Read, Seek};

use probity_domain::Timestamp;
use probity_pki::Error;
use probity_pki::package::{SEAL_MANIFEST, SEAL_SIGNATURE};
use probity_pki::statement::Statement;

use crate::algorithms::{self, Relied};
use crate::check::{CheckName, CheckResult};
use crate::diagnostic::{Container, Diagnostic};
use crate::examine::examine;
use crate::findings::Findings;
use crate::members::{self, Members};
use crate::parts::{Part, Parts};
use crate::policy::Policy;
use crate::seal::{self, Sealed};
use crate::signature::{self, Outcome, Signed};
use crate::text::Text;
use crate::trust::Status;
use crate::verdict::{Verdict, Who};
use crate::{clock, log, receipt, stated, storage, submitter};

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
    findings.into_verdict(diagnostic, policy)
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
        let mut relied = Relied::default();
        findings.note(
            CheckName::MembersMatchManifest,
            members::check(&self.members, parts),
        );
        for manifest in [
            &parts.event_manifest,
            &parts.seal_manifest,
            &parts.submitter_manifest,
        ] {
            if let Some(manifest) = manifest.read() {
                relied.files(manifest, policy.at);
            }
        }
        let status = self.status();
        let sealed = self.check_seal(&status, findings, &mut relied);
        let event = parts.event.read();
        match &parts.event {
            Part::Read(signed) => {
                let covered_at = sealed.as_ref().and_then(|sealed| sealed.proven);
                self.check_event(signed, &status, covered_at, findings, &mut relied);
            }
            Part::Unreadable(reason) => {
                findings.note(CheckName::Signature, (CheckResult::Failed, reason.clone()));
            }
            Part::Absent => {
                let words = Text::new("the signature is missing", "签名缺失");
                findings.note(CheckName::Signature, (CheckResult::Failed, words));
            }
        }
        let made_at = sealed.and_then(|sealed| sealed.at).or(findings.when);
        self.check_statement(&status, made_at, findings, &mut relied);
        findings.note(
            CheckName::ClockEvidence,
            clock::check(event.and_then(|event| event.stamp.as_ref())),
        );
        if event.is_some() {
            let outcome = algorithms::check(&relied, policy);
            findings.note(CheckName::Algorithms, outcome);
        }
    }

    /// What is known of revocation: what the event signature keeps, which seal and log cover, and what the seal binds.
    /// Responses or lists made later know of more revocations, dated back to before the signature.
    fn status(&self) -> Status {
        let event = self.parts.event.read().map(Signed::kept);
        let seal = self.parts.seal.read().map(Signed::bound_and_unbound);
        let (bound, unbound) = seal.unwrap_or_default();
        Status {
            kept: event.unwrap_or_default().and(bound),
            beside: self.diagnostic.handed_in.clone().and(unbound),
        }
    }

    /// The event signature and everything that hangs on it. `covered_at` is when its revocation data certainly were
    /// there.
    fn check_event(
        &self,
        signed: &Signed,
        known: &Status,
        covered_at: Option<Timestamp>,
        findings: &mut Findings,
        relied: &mut Relied,
    ) {
        let policy = self.policy;
        let (path, unit_path) = (signed.path(policy), signed.unit_path(policy));
        let (status, unrevoked) = signature::check_status(signed, known, policy);
        let (unit_status, unit_unrevoked) = signature::check_unit_status(signed, known, policy);
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
            (CheckName::TimeStampStatus, unit_status),
            (
                CheckName::SigningCertificate,
                signature::check_certificate(signed, &path, policy),
            ),
            (CheckName::CertificateStatus, status),
            (CheckName::KeyUsage, signature::check_usage(signed, policy)),
        ] {
            findings.note(name, outcome);
        }
        if let Some((stamp, _, at)) = signed.proven(policy) {
            findings.when = Some(at);
            findings.accuracy_us = stamp.token.tst_info().accuracy_us;
        }
        let at = signed.judged_at(policy);
        relied.signature(signed, path.as_ref().ok(), algorithms::SIGNATURE, at);
        if let Some(stamp) = &signed.stamp {
            let unit_path = unit_path.as_ref().and_then(|path| path.as_ref().ok());
            relied.time_stamp(stamp, unit_path, policy.at);
        }
        for path in unrevoked.iter().chain(&unit_unrevoked) {
            relied.status(path, covered_at.unwrap_or(policy.at));
        }
    }

    fn check_seal(
        &self,
        status: &Status,
        findings: &mut Findings,
        relied: &mut Relied,
    ) -> Option<Sealed> {
        let parts = self.parts;
        let outcome = match (&parts.seal, &parts.seal_manifest) {
            (Part::Unreadable(reason), _) | (_, Part::Unreadable(reason)) => {
                (CheckResult::Failed, reason.clone())
            }
            (Part::Read(seal), Part::Read(_)) => {
                let event = parts.event.read();
                let time = event.and_then(|event| event.proven_time(self.policy));
                let sealed = seal::check(seal, status, time, self.policy, relied);
                findings.note(CheckName::DeliverySeal, sealed.seal.clone());
                findings.note(CheckName::SealTimeStamp, sealed.time_stamp.clone());
                return Some(sealed);
            }
            _ if parts.seal.is_absent() && parts.seal_manifest.is_absent() => {
                let words = Text::new("the package is not sealed", "证据包未加封签");
                findings.note(
                    CheckName::SealTimeStamp,
                    (CheckResult::NotPresent, words.clone()),
                );
                (CheckResult::NotPresent, words)
            }
            _ => {
                let words = Text::new(
                    format!("half of it is missing: {SEAL_MANIFEST} or {SEAL_SIGNATURE}"),
                    format!("封签不完整：{SEAL_MANIFEST} 或 {SEAL_SIGNATURE} 缺失"),
                );
                (CheckResult::Failed, words)
            }
        };
        findings.note(CheckName::DeliverySeal, outcome);
        None
    }

    /// The statement, what it records, the log entry it is part of, and the receipt for it.
    fn check_statement(
        &self,
        status: &Status,
        made_at: Option<Timestamp>,
        findings: &mut Findings,
        relied: &mut Relied,
    ) {
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
        let when = findings.when;
        let known = storage::Known {
            statement,
            log: found.as_ref(),
            when,
            made_at,
        };
        let attested = storage::check(self.diagnostic, &known, policy);
        if found.is_some() || attested.0 == CheckResult::Passed {
            relied.log(policy.at);
        }
        findings.log = found;
        let receipt = receipt::Beside {
            diagnostic: self.diagnostic,
            evidence: statement.evidence_number,
            made_at,
            status,
        };
        let handed_in = &self.diagnostic.handed_in;
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
                submitter::check(
                    statement,
                    &self.members,
                    self.parts,
                    handed_in,
                    policy,
                    relied,
                ),
            ),
            (CheckName::StorageAttestation, attested),
            (CheckName::Receipt, receipt::check(&receipt, policy, relied)),
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
