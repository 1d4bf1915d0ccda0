//! What a verdict depends on besides the package: whom the verifier trusts, what it asks for, as of when.

mod document;

use std::collections::{BTreeMap, BTreeSet};

use probity_domain::{Purpose, Timestamp};
use probity_pki::asic::Limits;
use probity_pki::x509::Certificate;

use crate::check::CheckName;

pub use document::POLICY_FORMAT;

/// A policy and the instant of verification.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Printed with every verdict.
    pub name: String,
    pub version: String,
    /// Root certificates the verifier pinned.
    pub roots: Vec<Certificate>,
    /// Roots of time-stamping units; if there is none, `roots` are.
    pub tsa_roots: Vec<Certificate>,
    /// Roots of certificates with which submitters sign for themselves.
    pub submitter_roots: Vec<Certificate>,
    /// Roots of certificates with which recipients (courts) sign receipts.
    pub recipient_roots: Vec<Certificate>,
    /// The signing certificates of recipients, by their identifiers in receipts.
    pub recipients: BTreeMap<String, Vec<Certificate>>,
    /// Public keys of logs the verifier pinned, `name+id+key`.
    pub log_verifier_keys: Vec<String>,
    /// Every algorithm that is accepted, and until when.
    pub algorithms: Vec<Accepted>,
    pub required: Required,
    /// Differences between clocks that are let pass, in milliseconds.
    pub clock_tolerance_ms: i64,
    pub limits: Limits,
    /// The instant of verification; no part of the policy's document. Signatures are judged at the time
    /// their time-stamp proves; this instant refuses what claims to come from the future, and ends
    /// algorithms.
    pub at: Timestamp,
}

/// One accepted algorithm, by the names of [`probity_pki::algorithm`] and
/// [`probity_pki::digest::HashAlgorithm::name`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    pub name: String,
    /// Relied on up to then; `None` = no end is known.
    pub until: Option<Timestamp>,
}

/// Which checks must be passed before evidence is valid. [`ALWAYS`] must be, whatever a policy says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Required {
    pub always: BTreeSet<CheckName>,
    /// In addition, by what the evidence is to prove (C11).
    pub by_purpose: BTreeMap<&'static str, BTreeSet<CheckName>>,
}

/// Without these nothing is known about a package. A policy asks for more, never for less.
pub const ALWAYS: [CheckName; 9] = [
    CheckName::Container,
    CheckName::MembersMatchManifest,
    CheckName::Signature,
    CheckName::SigningCertificate,
    CheckName::KeyUsage,
    CheckName::TimeStamp,
    CheckName::TimeStampAuthority,
    CheckName::Statement,
    CheckName::Algorithms,
];

/// What the default policy asks of every piece of evidence.
const ASKED_OF_ALL: [CheckName; 5] = [
    CheckName::CertificateStatus,
    CheckName::TimeStampStatus,
    CheckName::LogInclusion,
    CheckName::DeliverySeal,
    CheckName::SealTimeStamp,
];

/// Evidence against somebody else needs the course of the capture and a will behind it (C3, C11, I1).
const ASKED_OF_INFRINGEMENT: [CheckName; 2] = [CheckName::ProcessLog, CheckName::Intent];

/// 112 bits of strength are acceptable through 2030 (NIST SP 800-57 part 1 rev. 5, table 4); for more
/// strength no end is known.
const STRENGTH_112_UNTIL_UNIX_MS: i64 = 1_924_991_999_000;
const DEFAULT_ALGORITHMS: [(&str, Option<i64>); 13] = [
    ("P-384", None),
    ("P-256", None),
    ("Ed25519", None),
    ("RSA-8192", None),
    ("RSA-4096", None),
    ("RSA-3072", None),
    ("RSA-2048", Some(STRENGTH_112_UNTIL_UNIX_MS)),
    ("SHA-256", None),
    ("SHA-384", None),
    ("SHA-512", None),
    ("SHA3-256", None),
    ("SHA3-384", None),
    ("SHA3-512", None),
];

impl Policy {
    /// The default policy with these roots and logs.
    #[must_use]
    pub fn new(roots: Vec<Certificate>, log_verifier_keys: Vec<String>, at: Timestamp) -> Self {
        let infringement = ASKED_OF_INFRINGEMENT.into_iter().collect();
        Self {
            name: "probity-default".to_owned(),
            version: "1".to_owned(),
            roots,
            tsa_roots: Vec::new(),
            submitter_roots: Vec::new(),
            recipient_roots: Vec::new(),
            recipients: BTreeMap::new(),
            log_verifier_keys,
            algorithms: DEFAULT_ALGORITHMS
                .into_iter()
                .map(|(name, until)| Accepted {
                    name: name.to_owned(),
                    until: until.map(Timestamp::from_unix_ms),
                })
                .collect(),
            required: Required {
                always: ALWAYS.into_iter().chain(ASKED_OF_ALL).collect(),
                by_purpose: [(Purpose::Infringement.as_str(), infringement)].into(),
            },
            clock_tolerance_ms: 60_000,
            limits: Limits::default(),
            at,
        }
    }

    /// Roots that time-stamping units may lead to.
    #[must_use]
    pub fn time_stamp_roots(&self) -> &[Certificate] {
        if self.tsa_roots.is_empty() {
            &self.roots
        } else {
            &self.tsa_roots
        }
    }

    /// Nothing may claim to be later than this.
    #[must_use]
    pub const fn latest(&self) -> Timestamp {
        self.at.plus_ms(self.clock_tolerance_ms)
    }

    /// `None` if the algorithm is not accepted, else until when.
    #[must_use]
    pub fn accepted(&self, algorithm: &str) -> Option<Option<Timestamp>> {
        let mut accepted = self.algorithms.iter();
        accepted
            .find(|accepted| accepted.name == algorithm)
            .map(|accepted| accepted.until)
    }

    /// Whether evidence for this purpose is valid only if the check is passed.
    #[must_use]
    pub fn requires(&self, check: CheckName, purpose: Option<Purpose>) -> bool {
        let by_purpose = purpose.and_then(|p| self.required.by_purpose.get(p.as_str()));
        ALWAYS.contains(&check)
            || self.required.always.contains(&check)
            || by_purpose.is_some_and(|checks| checks.contains(&check))
    }
}
