//! One verification, front to back.

use std::io::{Read, Seek};

use probity_domain::Record;
use probity_pki::asic::{ContainerReader, Manifest};
use probity_pki::crl::Crl;
use probity_pki::package::{
    CHECKPOINT, EVENT_MANIFEST, EVENT_SIGNATURE, INCLUSION, SEAL_MANIFEST, SEAL_SIGNATURE,
    STATEMENT,
};
use probity_pki::statement::Statement;
use probity_pki::{Error, Result};

use crate::members::{self, Manifests, Members};
use crate::policy::Policy;
use crate::signature::{self, Signed};
use crate::verdict::{Check, CheckName, CheckResult, Log, Overall, Text, Verdict, What, Who};
use crate::{log, seal, stated, words};

/// Verifies a package. Always ends in a verdict: what cannot be read is a failed or undecided check.
pub fn verify_package<R: Read + Seek>(reader: R, policy: &Policy) -> Verdict {
    let mut findings = Findings::default();
    match ContainerReader::open(reader, policy.limits) {
        Ok(mut container) => {
            let count = container.members().len();
            let words = Text::new(format!("{count} members"), format!("共 {count} 个成员"));
            findings.note(CheckName::Container, (CheckResult::Passed, words));
            Examination::of(&mut container).run(policy, &mut findings);
        }
        Err(e @ Error::Io(_)) => {
            findings.note(
                CheckName::Container,
                (CheckResult::Indeterminate, Text::technical(e)),
            );
        }
        Err(e) => findings.note(
            CheckName::Container,
            (CheckResult::Failed, Text::technical(e)),
        ),
    }
    findings.into_verdict(policy)
}

/// The parts of a package, each read or the reason why not.
struct Examination {
    all: Vec<String>,
    members: Members,
    damaged: Vec<Text>,
    manifests: Manifests,
    event_manifest: Option<Vec<u8>>,
    event_signature: Option<Vec<u8>>,
    seal_manifest: Option<Vec<u8>>,
    seal_signature: Option<Vec<u8>>,
    statement: Option<Vec<u8>>,
    checkpoint: Option<Vec<u8>>,
    inclusion: Option<Vec<u8>>,
}

impl Examination {
    fn of<R: Read + Seek>(container: &mut ContainerReader<R>) -> Self {
        // A small member that cannot be read shows up as damaged when all are streamed.
        let mut read = |name: &str| {
            container
                .member(name)
                .is_some()
                .then(|| container.read(name).ok())
                .flatten()
        };
        let event_manifest = read(EVENT_MANIFEST);
        let event_signature = read(EVENT_SIGNATURE);
        let seal_manifest = read(SEAL_MANIFEST);
        let seal_signature = read(SEAL_SIGNATURE);
        let (statement, checkpoint, inclusion) =
            (read(STATEMENT), read(CHECKPOINT), read(INCLUSION));
        let mut damaged = Vec::new();
        let mut parse = |name: &str, bytes: &Option<Vec<u8>>| {
            let parsed = bytes.as_deref().map(Manifest::parse)?;
            let explain = |e: Error| damaged.push(Text::technical(format!("{name}: {e}")));
            parsed.map_err(explain).ok()
        };
        let manifests = Manifests {
            event: parse(EVENT_MANIFEST, &event_manifest),
            seal: parse(SEAL_MANIFEST, &seal_manifest),
        };
        let (members, broken) = members::measure(container, &manifests);
        damaged.extend(broken);
        let all = container
            .members()
            .iter()
            .map(|member| member.name.clone())
            .collect();
        Self {
            all,
            members,
            damaged,
            manifests,
            event_manifest,
            event_signature,
            seal_manifest,
            seal_signature,
            statement,
            checkpoint,
            inclusion,
        }
    }

    fn run(mut self, policy: &Policy, findings: &mut Findings) {
        let damaged = std::mem::take(&mut self.damaged);
        let outcome = members::check(&self.members, &self.manifests, damaged, &self.all);
        findings.note(CheckName::MembersMatchManifest, outcome);

        let mut seal = self.seal_signature.as_deref().map(signature::read);
        let sealed_crls = seal
            .iter()
            .flatten()
            .flat_map(|seal| seal.data.crls().to_vec())
            .collect();
        let signed = self.check_event(sealed_crls, policy, findings);
        self.check_seal(&mut seal, signed.as_ref(), policy, findings);
        self.check_statement(signed.as_ref(), policy, findings);
    }

    fn has(&self, name: &str) -> bool {
        self.all.iter().any(|member| member == name)
    }

    /// The event signature and everything that hangs on it.
    fn check_event(
        &self,
        mut crls: Vec<Crl>,
        policy: &Policy,
        findings: &mut Findings,
    ) -> Option<Signed> {
        let parsed = match &self.event_signature {
            Some(bytes) => signature::read(bytes).map_err(Text::technical),
            None => Err(Text::new("the signature is missing", "签名缺失")),
        };
        let mut signed = match parsed {
            Ok(signed) => signed,
            Err(words) => {
                findings.note(CheckName::Signature, (CheckResult::Failed, words));
                return None;
            }
        };
        let manifest = self.event_manifest.as_deref().unwrap_or_default();
        findings.note(
            CheckName::Signature,
            signature::check_signature(&signed, manifest),
        );
        // Lists made later know of more revocations, dated back to before the signature.
        crls.extend_from_slice(signed.data.crls());
        findings.note(
            CheckName::TimeStamp,
            signature::check_time_stamp(&mut signed, policy),
        );
        let outcome = signature::check_authority(&signed, &crls, policy);
        findings.note(CheckName::TimeStampAuthority, outcome);
        findings.note(
            CheckName::SigningCertificate,
            signature::check_certificate(&signed, policy),
        );
        findings.note(
            CheckName::CertificateStatus,
            signature::check_status(&signed, &crls, policy),
        );
        findings.note(CheckName::KeyUsage, signature::check_usage(&signed, policy));
        findings.when = signed.time;
        findings.accuracy_us = signed.accuracy_us;
        Some(signed)
    }

    fn check_seal(
        &self,
        seal: &mut Option<Result<Signed>>,
        signed: Option<&Signed>,
        policy: &Policy,
        findings: &mut Findings,
    ) {
        let outcome = match (seal, &self.seal_manifest) {
            (Some(Ok(seal)), Some(manifest)) => {
                let mut crls = seal.data.crls().to_vec();
                crls.extend(signed.iter().flat_map(|signed| signed.data.crls().to_vec()));
                seal::check(
                    seal,
                    manifest,
                    &crls,
                    signed.and_then(|signed| signed.time),
                    policy,
                )
            }
            (Some(Err(e)), _) => (CheckResult::Failed, Text::technical(e)),
            _ if self.has(SEAL_MANIFEST) || self.has(SEAL_SIGNATURE) => {
                let words = Text::new("half of it is missing", "封签不完整");
                (CheckResult::Failed, words)
            }
            _ => {
                let words = Text::new("the package is not sealed", "证据包未加封签");
                (CheckResult::Indeterminate, words)
            }
        };
        findings.note(CheckName::DeliverySeal, outcome);
    }

    /// The statement, what it records, and the log entry it is part of.
    fn check_statement(&self, signed: Option<&Signed>, policy: &Policy, findings: &mut Findings) {
        let parsed = match &self.statement {
            Some(bytes) => Statement::parse(bytes).map_err(Text::technical),
            None => Err(Text::new("the statement is missing", "声明缺失")),
        };
        let statement = match parsed {
            Ok(statement) => statement,
            Err(words) => {
                findings.note(CheckName::Statement, (CheckResult::Failed, words));
                return;
            }
        };
        findings.note(
            CheckName::Statement,
            stated::check(&statement, &self.members, signed),
        );
        findings.note(CheckName::Identity, stated::identity(&statement));
        findings.note(CheckName::Agreement, stated::agreement(&statement));
        findings.note(CheckName::Intent, stated::intent(&statement, findings.when));
        findings.note(CheckName::ProcessLog, stated::process_log(&statement));
        self.check_log(&statement, policy, findings);
        findings.who = Some(who(&statement, signed));
        findings.statement = Some(statement);
    }

    fn check_log(&self, statement: &Statement, policy: &Policy, findings: &mut Findings) {
        let (checkpoint, inclusion) = match (&self.checkpoint, &self.inclusion) {
            (Some(checkpoint), Some(inclusion)) => (checkpoint, inclusion),
            _ if self.has(CHECKPOINT) || self.has(INCLUSION) => {
                let words = Text::new("half of the proof is missing", "日志证明不完整");
                findings.note(CheckName::LogInclusion, (CheckResult::Failed, words));
                return;
            }
            _ => {
                let words = Text::new("there is no proof of the deposit", "没有存入日志的证明");
                findings.note(CheckName::LogInclusion, (CheckResult::Indeterminate, words));
                return;
            }
        };
        let record = Record {
            evidence: statement.evidence_number,
            statement: self.statement.clone().unwrap_or_default(),
            manifest: self.event_manifest.clone().unwrap_or_default(),
            signature: self.event_signature.clone().unwrap_or_default(),
        };
        let (result, words, found) = log::check(&record, checkpoint, inclusion, policy);
        findings.note(CheckName::LogInclusion, (result, words));
        findings.log = found;
    }
}

fn who(statement: &Statement, signed: Option<&Signed>) -> Who {
    let certificate = signed.and_then(|signed| signed.data.signer_certificate().ok());
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
    fn note(&mut self, name: CheckName, (result, reason): (CheckResult, Text)) {
        self.checks.push(Check {
            name,
            result,
            reason,
        });
    }

    /// Puts the checks in order. One that was not reached is undecided, never left out.
    fn into_verdict(self, policy: &Policy) -> Verdict {
        let not_reached = |name| Check {
            name,
            result: CheckResult::Indeterminate,
            reason: Text::new(
                "not reached, see the failed checks",
                "未能检查，见未通过的检查项",
            ),
        };
        let find = |name: CheckName| self.checks.iter().find(|check| check.name == name).cloned();
        let checks: Vec<Check> = CheckName::ALL
            .into_iter()
            .map(|n| find(n).unwrap_or_else(|| not_reached(n)))
            .collect();
        let not_proved = not_proved(&checks, self.statement.as_ref());
        let statement = self.statement;
        let artifacts = statement.iter().flat_map(|s| &s.artifacts);
        Verdict {
            overall: Overall::of(&checks),
            verified_at: policy.at,
            evidence_number: statement.as_ref().map(|s| s.evidence_number),
            title: statement.as_ref().map(|s| s.title.clone()),
            case: statement.as_ref().map(|s| s.case.to_string()),
            purpose: statement.as_ref().map(|s| s.purpose),
            who: self.who,
            when: self.when,
            accuracy_us: self.accuracy_us,
            what: artifacts
                .map(|a| What {
                    name: a.name.clone(),
                    media_type: a.media_type.clone(),
                    role: a.role,
                    size_bytes: a.size_bytes,
                    sha3_256: a.sha3_256,
                    sha256: a.sha256,
                })
                .collect(),
            log: self.log,
            checks,
            not_proved,
        }
    }
}

fn not_proved(checks: &[Check], statement: Option<&Statement>) -> Vec<Text> {
    let mut texts = words::never_proved();
    if statement.is_some_and(|s| s.declared_captured_at.is_some() || s.source_url.is_some()) {
        texts.push(Text::new(
            "Time and address of the capture: they are the submitter's declaration.",
            "取证时间与网址：系提交人自行申报。",
        ));
    }
    let absent = checks
        .iter()
        .filter(|check| check.result == CheckResult::NotPresent);
    texts.extend(absent.map(|check| {
        let (en, zh) = (
            words::check(check.name, words::Lang::English),
            words::check(check.name, words::Lang::Chinese),
        );
        Text::new(
            format!("{en}: {}.", check.reason.en),
            format!("{zh}：{}。", check.reason.zh),
        )
    }));
    texts
}
