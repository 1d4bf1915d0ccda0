//! The verdict and its parts.

use probity_domain::{
    ArtifactName, ArtifactRole, EvidenceId, MediaType, Purpose, Sha3_256, Sha256, Timestamp,
};
use probity_pki::statement::PartyKind;

use crate::words::Lang;

/// What verification found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub overall: Overall,
    /// The instant of verification.
    pub verified_at: Timestamp,
    /// As stated; believe it only if `overall` is valid. So for all fields below.
    pub evidence_number: Option<EvidenceId>,
    pub title: Option<String>,
    pub case: Option<String>,
    pub purpose: Option<Purpose>,
    pub who: Option<Who>,
    /// genTime of the time-stamp: the evidence existed then.
    pub when: Option<Timestamp>,
    /// Accuracy the time-stamp claims, in microseconds.
    pub accuracy_us: Option<u64>,
    pub what: Vec<What>,
    pub log: Option<Log>,
    /// Every check, always all of them, in a fixed order.
    pub checks: Vec<Check>,
    /// What nobody may conclude from this package.
    pub not_proved: Vec<Text>,
}

/// The verdict in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overall {
    /// Everything that must hold does.
    Valid,
    /// Something is wrong.
    Invalid,
    /// Nothing is wrong, but something that must be known is not.
    Indeterminate,
}

/// The party that submitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    pub party: String,
    pub kind: PartyKind,
    pub name: String,
    pub identifier: Option<String>,
    /// Subject of the signing certificate, RFC 4514.
    pub certificate_subject: Option<String>,
    pub certificate_issuer: Option<String>,
    /// Lower-case hexadecimal.
    pub certificate_serial: Option<String>,
}

/// One artifact as stated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct What {
    pub name: ArtifactName,
    pub media_type: MediaType,
    pub role: ArtifactRole,
    pub size_bytes: u64,
    pub sha3_256: Sha3_256,
    pub sha256: Sha256,
}

/// Where in which log the evidence stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    pub origin: String,
    pub leaf_index: u64,
    pub tree_size: u64,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    pub name: CheckName,
    pub result: CheckResult,
    pub reason: Text,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckResult {
    Passed,
    Failed,
    /// Could not be decided.
    Indeterminate,
    /// What it would check is not in the package, and need not be.
    NotPresent,
}

/// The checks, in the order of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CheckName {
    Container,
    MembersMatchManifest,
    Signature,
    SigningCertificate,
    CertificateStatus,
    KeyUsage,
    TimeStamp,
    TimeStampAuthority,
    Statement,
    LogInclusion,
    DeliverySeal,
    Identity,
    Agreement,
    Intent,
    ProcessLog,
}

/// The same words in English and Chinese.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    pub en: String,
    pub zh: String,
}

impl Text {
    pub fn new(en: impl Into<String>, zh: impl Into<String>) -> Self {
        Self {
            en: en.into(),
            zh: zh.into(),
        }
    }

    /// Something a library said, in its own words.
    pub(crate) fn technical(reason: impl ToString) -> Self {
        let reason = reason.to_string();
        Self {
            zh: format!("技术原因：{reason}"),
            en: reason,
        }
    }

    #[must_use]
    pub fn get(&self, lang: Lang) -> &str {
        match lang {
            Lang::English => &self.en,
            Lang::Chinese => &self.zh,
        }
    }
}

impl Verdict {
    /// The check of this name.
    #[must_use]
    pub fn check(&self, name: CheckName) -> Option<&Check> {
        self.checks.iter().find(|check| check.name == name)
    }

    /// Exit code of a command that printed this: 0 valid, 1 invalid, 2 indeterminate. 3 is for what
    /// has no verdict at all, an unreadable file or wrong usage.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self.overall {
            Overall::Valid => 0,
            Overall::Invalid => 1,
            Overall::Indeterminate => 2,
        }
    }
}

impl Overall {
    pub(crate) fn of(checks: &[Check]) -> Self {
        let any = |result| checks.iter().any(|check| check.result == result);
        if any(CheckResult::Failed) {
            Self::Invalid
        } else if any(CheckResult::Indeterminate) || checks.is_empty() {
            Self::Indeterminate
        } else {
            Self::Valid
        }
    }

    /// The word in the schema.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Invalid => "invalid",
            Self::Indeterminate => "indeterminate",
        }
    }
}

impl CheckResult {
    /// The word in the schema.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Indeterminate => "indeterminate",
            Self::NotPresent => "not_present",
        }
    }
}

impl CheckName {
    /// Every check, in order.
    pub const ALL: [Self; 15] = [
        Self::Container,
        Self::MembersMatchManifest,
        Self::Signature,
        Self::SigningCertificate,
        Self::CertificateStatus,
        Self::KeyUsage,
        Self::TimeStamp,
        Self::TimeStampAuthority,
        Self::Statement,
        Self::LogInclusion,
        Self::DeliverySeal,
        Self::Identity,
        Self::Agreement,
        Self::Intent,
        Self::ProcessLog,
    ];

    /// The word in the schema.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::MembersMatchManifest => "members_match_manifest",
            Self::Signature => "signature",
            Self::SigningCertificate => "signing_certificate",
            Self::CertificateStatus => "certificate_status",
            Self::KeyUsage => "key_usage",
            Self::TimeStamp => "time_stamp",
            Self::TimeStampAuthority => "time_stamp_authority",
            Self::Statement => "statement",
            Self::LogInclusion => "log_inclusion",
            Self::DeliverySeal => "delivery_seal",
            Self::Identity => "identity",
            Self::Agreement => "agreement",
            Self::Intent => "intent",
            Self::ProcessLog => "process_log",
        }
    }

    /// What the check rests on: clauses of standards, and the platform's requirements.
    #[must_use]
    pub const fn clause(self) -> &'static str {
        match self {
            Self::Container => "EN 319 162-1 4.4, annex A",
            Self::MembersMatchManifest => "EN 319 162-1 4.4.3.2, annex A.4; R2",
            Self::Signature => "RFC 5652 5.6; EN 319 122-1 5.2",
            Self::SigningCertificate => "RFC 5280 6.1; T5",
            Self::CertificateStatus => "RFC 5280 6.3; T5, L7",
            Self::KeyUsage => "RFC 5280 4.2.1.3, 4.2.1.12; EN 319 122-1 5.2.3; I5",
            Self::TimeStamp => "RFC 3161 2.4.2; EN 319 122-1 5.3; T1",
            Self::TimeStampAuthority => "RFC 3161 2.3; RFC 5280 6.1; T2, T5",
            Self::Statement => "probity.statement/1; R2, W1, I2",
            Self::LogInclusion => "RFC 6962 2.1.1; C2SP tlog-checkpoint",
            Self::DeliverySeal => "EN 319 162-1 4.4; EN 319 122-1 5",
            Self::Identity => "W1, W2",
            Self::Agreement => "W5, I4",
            Self::Intent => "I1, I2",
            Self::ProcessLog => "C1, C3, C11",
        }
    }
}
