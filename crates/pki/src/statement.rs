//! `statement.json`: who submitted an evidence, with what will, and what it consists of.
//!
//! Made once by the signing role, covered by the event signature, kept byte for byte ever after.
//! Readers parse the bytes they were given and never write them again. What is not established is
//! an explicit `null`, never a made-up value (requirements W2, I1).

use probity_domain::{
    ARTIFACTS_PER_ITEM_MAX, Artifact, ArtifactName, ArtifactRole, CaseId, CredentialId, EvidenceId,
    IntentId, Malformed, MediaType, PartyId, Purpose, Sha3_256, Sha256, SubmissionId, TenantId,
    Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The only accepted value of `format`.
pub const STATEMENT_FORMAT: &str = "probity.statement/1";
/// Longest statement in bytes: a log entry (65,535 bytes) carries it with its manifest and signature.
pub const STATEMENT_BYTES_MAX: usize = 48 * 1024;
/// Longest free text (title, name, channel) in bytes.
const TEXT_BYTES_MAX: usize = 2_000;

/// Everything the platform states about one evidence, as signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// Always [`STATEMENT_FORMAT`].
    pub format: String,
    #[serde(with = "written")]
    pub evidence_number: EvidenceId,
    /// The instruction (batch) the evidence belongs to.
    #[serde(with = "written")]
    pub submission: SubmissionId,
    /// SHA-256 of the instruction as the submitter sent it; also a signed attribute of the signature.
    #[serde(with = "written")]
    pub instruction_sha256: Sha256,
    #[serde(with = "written")]
    pub tenant: TenantId,
    pub submitter: Submitter,
    pub acting_as: ActingAs,
    /// Accepted agreement on the electronic form (W5, I4); `None` = not established.
    pub agreement: Option<Agreement>,
    /// Confirmed intent of this instruction (I1, I2); `None` = not established.
    pub intent: Option<Intent>,
    /// The submitter's own signature on the instruction, if it made one; absent if not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub submitter_signature: Option<SubmitterSignature>,
    /// The submitter's own case reference.
    #[serde(with = "written")]
    pub case: CaseId,
    pub title: String,
    /// What the evidence is to prove (C11).
    #[serde(with = "written")]
    pub purpose: Purpose,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_url: Option<String>,
    /// Declared by the submitter, not observed by the platform.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "written_option"
    )]
    pub declared_captured_at: Option<Timestamp>,
    /// When the platform took the submission (its own clock; the time-stamp token is the proof).
    #[serde(with = "written")]
    pub received_at: Timestamp,
    pub artifacts: Vec<StatedArtifact>,
}

/// The party whose evidence this is: the subject of the event certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Submitter {
    #[serde(with = "written")]
    pub party: PartyId,
    pub kind: PartyKind,
    pub name: String,
    /// Unified social credit code, company number or the like; absent for most persons.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identifier: Option<String>,
    /// How the identity was verified (W1); `None` = not established.
    pub verification: Option<Verification>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartyKind {
    Person,
    Organization,
}

/// One decided identity verification.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verification {
    pub method: String,
    pub verifier: String,
    #[serde(with = "written")]
    pub decided_at: Timestamp,
    /// SHA3-256 of each document the decision rests on.
    #[serde(with = "written_list")]
    pub evidence_digests: Vec<Sha3_256>,
}

/// The credential that spoke, and for whom (W8).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActingAs {
    #[serde(with = "written")]
    pub credential: CredentialId,
    /// An information system programmed to act by itself, not a human at a keyboard.
    pub automated: bool,
    /// The represented party when the credential acts under a mandate.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "written_option"
    )]
    pub on_behalf_of: Option<PartyId>,
}

/// An accepted agreement on the electronic form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agreement {
    pub id: String,
    pub version: String,
    /// Of the text that was shown.
    #[serde(with = "written")]
    pub sha3_256: Sha3_256,
    #[serde(with = "written")]
    pub accepted_at: Timestamp,
    pub channel: String,
}

/// A confirmed intent: a one-time code bound to this instruction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Intent {
    #[serde(with = "written")]
    pub id: IntentId,
    /// SHA-256 of the instruction the one-time code was bound to.
    #[serde(with = "written")]
    pub instruction_sha256: Sha256,
    pub channel: String,
    pub masked_destination: String,
    #[serde(with = "written")]
    pub issued_at: Timestamp,
    #[serde(with = "written")]
    pub confirmed_at: Timestamp,
}

/// The submitter's own signature (detached CAdES) on the instruction, verified before the submission was
/// accepted; the package carries it as [`crate::package::SUBMITTER_SIGNATURE`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubmitterSignature {
    /// Of the signature's bytes.
    #[serde(with = "written")]
    pub sha3_256: Sha3_256,
    /// Of the instruction's bytes, the member [`crate::package::SUBMITTER_INSTRUCTION`].
    #[serde(with = "written")]
    pub instruction_sha3_256: Sha3_256,
    /// Subject of the signer's certificate, RFC 4514 text.
    pub signer: String,
}

impl From<&probity_domain::SubmitterSignature> for SubmitterSignature {
    fn from(signature: &probity_domain::SubmitterSignature) -> Self {
        Self {
            sha3_256: signature.sha3_256,
            instruction_sha3_256: signature.instruction_sha3_256,
            signer: signature.signer.clone(),
        }
    }
}

/// One artifact as the statement lists it; its bytes are the member `artifacts/<name>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatedArtifact {
    #[serde(with = "written")]
    pub name: ArtifactName,
    #[serde(with = "written")]
    pub media_type: MediaType,
    #[serde(with = "written")]
    pub role: ArtifactRole,
    pub size_bytes: u64,
    #[serde(with = "written")]
    pub sha3_256: Sha3_256,
    #[serde(with = "written")]
    pub sha256: Sha256,
}

impl From<&Artifact> for StatedArtifact {
    fn from(artifact: &Artifact) -> Self {
        Self {
            name: artifact.name.clone(),
            media_type: artifact.media_type.clone(),
            role: artifact.role,
            size_bytes: artifact.size_bytes,
            sha3_256: artifact.digests.sha3_256,
            sha256: artifact.digests.sha256,
        }
    }
}

impl Statement {
    /// The bytes to sign and keep.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        self.check()?;
        let bytes = serde_json::to_vec(self).map_err(|e| Error::malformed("statement", e))?;
        if bytes.len() > STATEMENT_BYTES_MAX {
            return Err(Error::TooLarge {
                what: "statement",
                limit: STATEMENT_BYTES_MAX as u64,
            });
        }
        Ok(bytes)
    }

    /// Reads a statement; unknown or repeated fields, other formats and oversize are refused.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        if bytes.len() > STATEMENT_BYTES_MAX {
            return Err(Error::TooLarge {
                what: "statement",
                limit: STATEMENT_BYTES_MAX as u64,
            });
        }
        let statement: Self =
            serde_json::from_slice(bytes).map_err(|e| Error::malformed("statement", e))?;
        statement.check()?;
        Ok(statement)
    }

    /// The artifact that records the course of the capture, if there is one (C3).
    pub fn has_process_log(&self) -> bool {
        self.artifacts
            .iter()
            .any(|a| a.role == ArtifactRole::ProcessLog)
    }

    fn check(&self) -> Result<()> {
        if self.format != STATEMENT_FORMAT {
            return Err(Error::unsupported(
                "statement",
                format!("format {:?}", self.format),
            ));
        }
        if self.evidence_number.submission != self.submission {
            return Err(Error::malformed(
                "statement",
                "evidence number is of another submission",
            ));
        }
        if self.artifacts.is_empty() || self.artifacts.len() > ARTIFACTS_PER_ITEM_MAX {
            let reason = format!("1 to {ARTIFACTS_PER_ITEM_MAX} artifacts");
            return Err(Error::malformed("statement", reason));
        }
        let mut names = std::collections::BTreeSet::new();
        if let Some(twice) = self
            .artifacts
            .iter()
            .find(|a| !names.insert(a.name.folded()))
        {
            let reason = format!("artifact {:?} stated twice", twice.name.as_str());
            return Err(Error::malformed("statement", reason));
        }
        let texts = [&self.title, &self.submitter.name]
            .into_iter()
            .chain(&self.source_url);
        let signer = self.submitter_signature.iter().map(|s| &s.signer);
        for text in texts.chain(&self.submitter.identifier).chain(signer) {
            if text.len() > TEXT_BYTES_MAX || text.chars().any(char::is_control) {
                let reason = format!("text over {TEXT_BYTES_MAX} bytes or with control characters");
                return Err(Error::malformed("statement", reason));
            }
        }
        Ok(())
    }
}

/// A domain value by its written form.
pub(crate) trait Written: Sized {
    fn write(&self) -> String;
    fn read(text: &str) -> core::result::Result<Self, Malformed>;
}

macro_rules! written {
    ($($kind:ty: $write:ident, $read:ident;)*) => {
        $(impl Written for $kind {
            fn write(&self) -> String {
                self.$write().to_owned()
            }

            fn read(text: &str) -> core::result::Result<Self, Malformed> {
                Self::$read(text)
            }
        })*
    };
}

written! {
    EvidenceId: to_string, parse;
    SubmissionId: to_string, parse;
    CredentialId: to_string, parse;
    IntentId: to_string, parse;
    TenantId: as_str, parse;
    PartyId: as_str, parse;
    CaseId: as_str, parse;
    ArtifactName: as_str, parse;
    MediaType: as_str, parse;
    Purpose: as_str, parse;
    ArtifactRole: as_str, parse;
    Sha3_256: to_hex, parse_hex;
    Sha256: to_hex, parse_hex;
    Timestamp: to_rfc3339, parse_rfc3339;
}

/// Only the one canonical writing of a value is read back: times in UTC with milliseconds, digests
/// in lower case, evidence numbers in upper case.
pub(crate) mod written {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use super::Written;

    pub fn serialize<T: Written, S: Serializer>(value: &T, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&value.write())
    }

    pub fn deserialize<'de, T: Written, D: Deserializer<'de>>(d: D) -> Result<T, D::Error> {
        let text = String::deserialize(d)?;
        let value = T::read(&text).map_err(D::Error::custom)?;
        if value.write() != text {
            return Err(D::Error::custom(format_args!(
                "{text:?} is not in its canonical form"
            )));
        }
        Ok(value)
    }
}

mod written_option {
    use serde::{Deserializer, Serializer};

    use super::Written;

    pub fn serialize<T: Written, S: Serializer>(
        value: &Option<T>,
        s: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => super::written::serialize(value, s),
            None => s.serialize_none(),
        }
    }

    pub fn deserialize<'de, T: Written, D: Deserializer<'de>>(d: D) -> Result<Option<T>, D::Error> {
        super::written::deserialize(d).map(Some)
    }
}

mod written_list {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Written;

    struct Item<T>(T);

    impl<T: Written> Serialize for Item<&T> {
        fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
            super::written::serialize(self.0, s)
        }
    }

    impl<'de, T: Written> Deserialize<'de> for Item<T> {
        fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
            super::written::deserialize(d).map(Item)
        }
    }

    pub fn serialize<T: Written, S: Serializer>(values: &[T], s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(values.iter().map(Item))
    }

    pub fn deserialize<'de, T: Written, D: Deserializer<'de>>(d: D) -> Result<Vec<T>, D::Error> {
        Ok(Vec::<Item<T>>::deserialize(d)?
            .into_iter()
            .map(|item| item.0)
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By this intake refuses what could never become a record.
    #[test]
    fn an_item_knows_what_it_takes_in_a_record() {
        let hundred = |n: u8| format!("{}{n:02}.html", "证-x".repeat(20));
        for names in [
            vec!["page.html".to_owned()],
            (0..64).map(|n| format!("{n}.html")).collect(),
            (0..40).map(hundred).collect(),
        ] {
            let artifacts = names.iter().map(|name| probity_domain::Artifact {
                name: ArtifactName::parse(name).unwrap(),
                media_type: MediaType::parse("application/octet-stream").unwrap(),
                role: ArtifactRole::Content,
                size_bytes: u64::MAX,
                digests: probity_domain::Digests {
                    sha3_256: Sha3_256([1; 32]),
                    sha256: Sha256([2; 32]),
                },
            });
            let artifacts: Vec<_> = artifacts.collect();
            let mut stated = statement();
            stated.artifacts = artifacts.iter().map(StatedArtifact::from).collect();
            let statement = stated.to_bytes().unwrap();
            let manifest = crate::package::event_manifest(&stated, &statement).unwrap();
            let purpose = stated.purpose;
            let item = probity_domain::Item::new("t".to_owned(), purpose, None, None, artifacts);
            let told = item.unwrap().record_bytes();
            let takes = statement.len() + manifest.len();
            assert!(takes <= told + 4_096, "{takes} of {told}: {}", names.len());
        }
    }

    pub(super) fn statement() -> Statement {
        let at = Timestamp::from_unix_ms(1_795_000_000_123);
        let submission = SubmissionId::new(at, [7; 10]);
        Statement {
            format: STATEMENT_FORMAT.to_owned(),
            evidence_number: EvidenceId {
                submission,
                item: 3,
            },
            submission,
            instruction_sha256: Sha256([4; 32]),
            tenant: TenantId::parse("acme").unwrap(),
            submitter: Submitter {
                party: PartyId::parse("acme-ltd").unwrap(),
                kind: PartyKind::Organization,
                name: "Acme 有限公司".to_owned(),
                identifier: Some("91110000600037341L".to_owned()),
                verification: Some(Verification {
                    method: "document_inspection".to_owned(),
                    verifier: "officer-7".to_owned(),
                    decided_at: at,
                    evidence_digests: vec![Sha3_256([9; 32])],
                }),
            },
            acting_as: ActingAs {
                credential: CredentialId::new(at, [1; 10]),
                automated: true,
                on_behalf_of: Some(PartyId::parse("client-1").unwrap()),
            },
            agreement: None,
            intent: None,
            submitter_signature: None,
            case: CaseId::parse("(2026)京0491民初12345号").unwrap(),
            title: "Shop page".to_owned(),
            purpose: Purpose::Infringement,
            source_url: Some("https://example.com/".to_owned()),
            declared_captured_at: None,
            received_at: at,
            artifacts: vec![StatedArtifact {
                name: ArtifactName::parse("page.html").unwrap(),
                media_type: MediaType::parse("text/html").unwrap(),
                role: ArtifactRole::Content,
                size_bytes: 5,
                sha3_256: Sha3_256([1; 32]),
                sha256: Sha256([2; 32]),
            }],
        }
    }

    #[test]
    fn round_trip_and_explicit_nulls() {
        let stated = statement();
        let bytes = stated.to_bytes().unwrap();
        assert_eq!(Statement::parse(&bytes).unwrap(), stated);
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.contains(r#""agreement":null,"intent":null"#), "{text}");
        assert!(text.contains(r#""received_at":"2026-11-18T"#), "{text}");
        assert!(!text.contains("submitter_signature"), "{text}");
        let signed = Statement {
            submitter_signature: Some(SubmitterSignature {
                sha3_256: Sha3_256([1; 32]),
                instruction_sha3_256: Sha3_256([2; 32]),
                signer: "CN=Acme".to_owned(),
            }),
            ..statement()
        };
        let bytes = signed.to_bytes().unwrap();
        assert_eq!(Statement::parse(&bytes).unwrap(), signed);
    }

    #[test]
    fn strangers_duplicates_and_other_spellings_are_refused() {
        let text = String::from_utf8(statement().to_bytes().unwrap()).unwrap();
        let changes = [
            ("{\"format\"", "{\"extra\":1,\"format\""),
            (
                "{\"format\"",
                "{\"format\":\"probity.statement/1\",\"format\"",
            ),
            ("probity.statement/1", "probity.statement/2"),
            ("PB1-", "pb1-"),
            (".123Z", ".123+00:00"),
            (".123Z", "Z"),
            ("\"infringement\"", "\"other\""),
            ("page.html", "../page.html"),
            (&"01".repeat(32), &"0A".repeat(32)),
            ("\"size_bytes\":5", "\"size_bytes\":-5"),
        ];
        for (from, to) in changes {
            let changed = text.replace(from, to);
            assert_ne!(changed, text, "{from}");
            assert!(
                Statement::parse(changed.as_bytes()).is_err(),
                "{from} -> {to}"
            );
        }
    }

    #[test]
    fn bounds_and_agreement_of_fields() {
        let mut twice = statement();
        twice.artifacts.push(twice.artifacts[0].clone());
        let mut stranger = statement();
        stranger.submission = SubmissionId::new(stranger.received_at, [8; 10]);
        let mut empty = statement();
        empty.artifacts.clear();
        let mut long = statement();
        long.title = "x".repeat(TEXT_BYTES_MAX + 1);
        for (why, bad) in [
            ("twice", twice),
            ("stranger", stranger),
            ("empty", empty),
            ("long", long),
        ] {
            assert!(bad.to_bytes().is_err(), "{why}");
        }
        assert!(Statement::parse(&vec![b' '; STATEMENT_BYTES_MAX + 1]).is_err());
    }
}
