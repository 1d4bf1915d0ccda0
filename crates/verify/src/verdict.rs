//! The verdict and its parts.

use probity_domain::{
    ArtifactName, ArtifactRole, EvidenceId, MediaType, Purpose, Sha3_256, Sha256, Timestamp,
};
use probity_pki::statement::PartyKind;

use crate::check::{Check, CheckName};
use crate::text::Text;

/// What verification found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub overall: Overall,
    /// What was in front of the verifier.
    pub source: Source,
    /// The instant of verification.
    pub verified_at: Timestamp,
    /// The policy it was judged by.
    pub policy: PolicyName,
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
    /// Revocation data that were handed in beside the package and considered.
    pub handed_in: HandedIn,
    /// Every check, always all of them, in a fixed order.
    pub checks: Vec<Check>,
    /// What must be known before this can be valid: one line per necessary check that was not decided.
    pub missing: Vec<Missing>,
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

/// What a verdict rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The package itself was read.
    Package,
    /// Diagnostic data made earlier: digests and layout were not measured again.
    Diagnostic,
}

/// Which policy, so that a verdict can be repeated (L15).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyName {
    pub name: String,
    pub version: String,
    /// Of the policy's document as [`crate::Policy::to_json`] writes it.
    pub sha256: Sha256,
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

/// How much was handed in beside the package about revocation. It can only add revocations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HandedIn {
    pub revocation_lists: usize,
    pub ocsp_responses: usize,
}

/// A necessary check that was not decided, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    pub check: CheckName,
    pub reason: Text,
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
    /// Every word.
    pub const ALL: [Self; 3] = [Self::Valid, Self::Invalid, Self::Indeterminate];

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

impl Source {
    /// Every word.
    pub const ALL: [Self; 2] = [Self::Package, Self::Diagnostic];

    /// The word in the schema.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Package => "package",
            Self::Diagnostic => "diagnostic",
        }
    }
}
