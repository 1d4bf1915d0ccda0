//! The checks: their names, results and the clauses they rest on.

use crate::text::Text;

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

impl CheckResult {
    /// Every result.
    pub const ALL: [Self; 4] = [
        Self::Passed,
        Self::Failed,
        Self::Indeterminate,
        Self::NotPresent,
    ];

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

/// The checks. Names stay; new ones are added.
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
    TimeStampStatus,
    Statement,
    LogInclusion,
    DeliverySeal,
    SealTimeStamp,
    Algorithms,
    Identity,
    Agreement,
    Intent,
    ProcessLog,
    SubmitterSignature,
    ClockEvidence,
    StorageAttestation,
    Receipt,
}

impl CheckName {
    /// Every check, in the order of the report.
    pub const ALL: [Self; 22] = [
        Self::Container,
        Self::MembersMatchManifest,
        Self::Signature,
        Self::SigningCertificate,
        Self::CertificateStatus,
        Self::KeyUsage,
        Self::TimeStamp,
        Self::TimeStampAuthority,
        Self::TimeStampStatus,
        Self::Statement,
        Self::LogInclusion,
        Self::DeliverySeal,
        Self::SealTimeStamp,
        Self::Algorithms,
        Self::Identity,
        Self::Agreement,
        Self::Intent,
        Self::ProcessLog,
        Self::SubmitterSignature,
        Self::ClockEvidence,
        Self::StorageAttestation,
        Self::Receipt,
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
            Self::TimeStampStatus => "time_stamp_status",
            Self::Statement => "statement",
            Self::LogInclusion => "log_inclusion",
            Self::DeliverySeal => "delivery_seal",
            Self::SealTimeStamp => "seal_time_stamp",
            Self::Algorithms => "algorithms",
            Self::Identity => "identity",
            Self::Agreement => "agreement",
            Self::Intent => "intent",
            Self::ProcessLog => "process_log",
            Self::SubmitterSignature => "submitter_signature",
            Self::ClockEvidence => "clock_evidence",
            Self::StorageAttestation => "storage_attestation",
            Self::Receipt => "receipt",
        }
    }

    /// The check of this word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|name| name.as_str() == word)
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
            Self::KeyUsage => "RFC 5280 4.2.1.3, 4.2.1.4, 4.2.1.12; EN 319 122-1 5.2.3; I5",
            Self::TimeStamp => "RFC 3161 2.4.2; EN 319 122-1 5.3; T1",
            Self::TimeStampAuthority => "RFC 3161 2.3; RFC 5280 6.1; T2, T5",
            Self::TimeStampStatus => "RFC 3161 4; RFC 5280 6.3; T5",
            Self::Statement => "probity.statement/1; R2, W1, I2",
            Self::LogInclusion => "RFC 6962 2.1.1; C2SP tlog-checkpoint",
            Self::DeliverySeal => "EN 319 162-1 4.4; EN 319 122-1 5",
            Self::SealTimeStamp => "RFC 3161 2.3, 2.4.2, 4; RFC 5280 6.1, 6.3; T1",
            Self::Algorithms => "EN 319 102-1 5.2.8; T6",
            Self::Identity => "W1, W2",
            Self::Agreement => "W5, I4",
            Self::Intent => "I1, I2",
            Self::ProcessLog => "C1, C3, C11",
            Self::SubmitterSignature => "EN 319 162-1 4.4; EN 319 122-1 5; I5",
            Self::ClockEvidence => "EN 319 421 7.7.2; T2",
            Self::StorageAttestation => "probity.storage-attestation/1; C2SP signed-note; R5",
            Self::Receipt => "probity.receipt/1; EN 319 122-1 5; P2",
        }
    }
}
