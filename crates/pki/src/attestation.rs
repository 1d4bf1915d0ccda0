//! Storage's attestation of how it keeps one evidence at one moment (R5), as it travels in packages.
//!
//! A C2SP signed note by the log's key, the only key that storage holds. Its text is two lines: the format's name, then
//! the document as JSON. A checkpoint's second line is a decimal number and its first the log's own name, so neither
//! can be read as the other, whatever a log is called.

use std::collections::BTreeSet;

use probity_domain::{ARTIFACTS_PER_ITEM_MAX, EvidenceId, Sha3_256, Timestamp};
use serde::{Deserialize, Serialize};
use signed_note::Note;

use crate::statement::written;
use crate::tlog::{LogKey, LogVerifier, check_note, read_note};
use crate::{Error, Result};

/// First line of the note, and the only accepted value of `format`.
pub const STORAGE_ATTESTATION_FORMAT: &str = "probity.storage-attestation/1";
/// Longest note in bytes.
pub const STORAGE_ATTESTATION_BYTES_MAX: usize = 128 * 1024;
const WHAT: &str = "storage attestation";

/// What storage found when it was asked. Whatever it did not find out is an explicit `null`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StorageAttestation {
    /// Always [`STORAGE_ATTESTATION_FORMAT`].
    pub format: String,
    #[serde(with = "written")]
    pub evidence_number: EvidenceId,
    /// By storage's own clock; the delivery seal's time-stamp is the proof that it was not later.
    #[serde(with = "written")]
    pub attested_at: Timestamp,
    pub log: AttestedLog,
    /// Overwriting and removing leave the earlier version where it is.
    pub store_keeps_versions: bool,
    /// The store enforces retention and legal holds.
    pub store_has_object_lock: bool,
    /// Class of the artifacts' retention: the first segment of their keys.
    pub retention_class: String,
    /// An authority's order holds the evidence.
    pub legal_hold: bool,
    /// Every object that holds bytes of the evidence, once.
    pub artifacts: Vec<AttestedArtifact>,
    /// `None`: no replica is configured.
    pub replica: Option<AttestedReplica>,
    /// The scrubber's last complete lap; `None` before the first.
    pub scrub: Option<AttestedLap>,
}

/// Where the evidence stands in the log, in the checkpoint that storage saw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttestedLog {
    pub origin: String,
    pub leaf_index: u64,
    pub tree_size: u64,
}

/// One object of the evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttestedArtifact {
    pub key: String,
    #[serde(with = "written")]
    pub sha3_256: Sha3_256,
    /// `None`: it is not there.
    pub size_bytes: Option<u64>,
    /// Versions and delete markers; `None` where the store keeps none.
    pub versions: Option<u64>,
    /// As many as the first writing and recorded repairs account for.
    pub versions_accounted: u64,
    pub lock_mode: AttestedLock,
    /// End of its retention.
    #[serde(with = "time_or_null")]
    pub retain_until: Option<Timestamp>,
    /// The store's own flag.
    pub legal_hold: bool,
    /// The last thing the scrubber ever found about it.
    pub finding: Option<AttestedFinding>,
}

/// How firmly the store keeps an object until its retention ends (S3 Object Lock).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttestedLock {
    None,
    Governance,
    Compliance,
}

/// A finding in the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttestedFinding {
    /// The ledger's word.
    pub what: String,
    #[serde(with = "written")]
    pub found_at: Timestamp,
    #[serde(with = "time_or_null")]
    pub repaired_at: Option<Timestamp>,
}

/// Another bucket with the same keys, at another site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttestedReplica {
    pub bucket: String,
    /// When it was asked for these artifacts and answered; `None`: it did not.
    #[serde(with = "time_or_null")]
    pub compared_at: Option<Timestamp>,
    /// How many of them it had then under the same key with the same size.
    pub copies: u64,
}

/// A lap of the scrubber, which reads everything in the store again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttestedLap {
    #[serde(with = "written")]
    pub begun_at: Timestamp,
    #[serde(with = "written")]
    pub ended_at: Timestamp,
    /// Entries of the log that were compared with its signed root.
    pub log_size: u64,
    /// In the whole store.
    pub findings_total: u64,
    /// About the artifacts above.
    pub findings_here: u64,
}

impl StorageAttestation {
    /// The document as a signed note.
    ///
    /// # Errors
    /// [`Error::Key`] when the key is another log's, [`Error::Malformed`] for what [`Self::verify`] would not read.
    pub fn sign(&self, key: &LogKey) -> Result<Vec<u8>> {
        if self.log.origin != key.name() {
            let (name, origin) = (key.name(), &self.log.origin);
            return Err(Error::Key(format!("key of {name} for log {origin}")));
        }
        self.check()?;
        let json = serde_json::to_string(self).map_err(bad)?;
        let note = key.sign_note(&format!("{STORAGE_ATTESTATION_FORMAT}\n{json}\n"))?;
        read(&note)?;
        Ok(note)
    }

    /// Reads a note and checks that one of the pinned keys, named as the log, signed it.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::Unsupported`] for another format, [`Error::Malformed`], [`Error::NotVerified`].
    pub fn verify(note: &[u8], pinned: &[LogVerifier]) -> Result<Self> {
        let (attestation, note) = read(note)?;
        check_note(WHAT, &note, &attestation.log.origin, pinned)?;
        Ok(attestation)
    }

    /// Reads a note without checking who signed it.
    ///
    /// # Errors
    /// As [`Self::verify`], but for the signature.
    pub fn parse_unverified(note: &[u8]) -> Result<Self> {
        read(note).map(|(attestation, _)| attestation)
    }

    /// Artifacts that are not as they should be: gone, more versions than are accounted for, or a finding that was
    /// not repaired.
    pub fn defects(&self) -> impl Iterator<Item = &AttestedArtifact> {
        self.artifacts.iter().filter(|artifact| {
            let open = artifact.finding.as_ref();
            artifact.size_bytes.is_none()
                || artifact.versions.unwrap_or_default() > artifact.versions_accounted
                || open.is_some_and(|finding| finding.repaired_at.is_none())
        })
    }

    fn check(&self) -> Result<()> {
        if self.format != STORAGE_ATTESTATION_FORMAT {
            let reason = format!("format {:?}", self.format);
            return Err(Error::unsupported(WHAT, reason));
        }
        if self.log.leaf_index >= self.log.tree_size {
            return Err(bad("the evidence is not in the tree"));
        }
        let keys: BTreeSet<_> = self.artifacts.iter().map(|a| &a.key).collect();
        let count = self.artifacts.len();
        if keys.len() != count || !(1..=ARTIFACTS_PER_ITEM_MAX).contains(&count) {
            return Err(bad("not 1 to 64 artifacts, each once"));
        }
        Ok(())
    }
}

fn read(note: &[u8]) -> Result<(StorageAttestation, Note)> {
    let note = read_note(WHAT, note, STORAGE_ATTESTATION_BYTES_MAX)?;
    let text = std::str::from_utf8(note.text()).map_err(bad)?;
    let (format, json) = text.split_once('\n').unwrap_or_default();
    if format != STORAGE_ATTESTATION_FORMAT {
        return Err(Error::unsupported(WHAT, format!("format {format:?}")));
    }
    let json = json.strip_suffix('\n').unwrap_or_default();
    if json.contains('\n') {
        return Err(bad("more than one line after the first"));
    }
    let attestation: StorageAttestation = serde_json::from_str(json).map_err(bad)?;
    attestation.check()?;
    Ok((attestation, note))
}

mod time_or_null {
    use probity_domain::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer};

    use super::written;

    #[derive(Deserialize)]
    struct Time(#[serde(with = "written")] Timestamp);

    pub fn serialize<S: Serializer>(time: &Option<Timestamp>, s: S) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => written::serialize(time, s),
            None => s.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Timestamp>, D::Error> {
        Ok(Option::<Time>::deserialize(d)?.map(|Time(time)| time))
    }
}

fn bad(reason: impl ToString) -> Error {
    Error::malformed(WHAT, reason)
}

#[cfg(test)]
mod tests {
    use probity_domain::SubmissionId;

    use super::*;
    use crate::tlog::{Checkpoint, Hash};

    fn attestation() -> StorageAttestation {
        let now = Timestamp::from_unix_ms(1_795_000_000_000);
        let submission = SubmissionId::new(now, [7; 10]);
        StorageAttestation {
            format: STORAGE_ATTESTATION_FORMAT.to_owned(),
            evidence_number: EvidenceId {
                submission,
                item: 3,
            },
            attested_at: now,
            log: AttestedLog {
                origin: "log.example/1".to_owned(),
                leaf_index: 4,
                tree_size: 5,
            },
            store_keeps_versions: true,
            store_has_object_lock: true,
            retention_class: "blobs".to_owned(),
            legal_hold: false,
            artifacts: vec![AttestedArtifact {
                key: "blobs/acme/09".to_owned(),
                sha3_256: Sha3_256([9; 32]),
                size_bytes: Some(7),
                versions: Some(1),
                versions_accounted: 1,
                lock_mode: AttestedLock::Compliance,
                retain_until: Some(now.plus_ms(1)),
                legal_hold: false,
                finding: None,
            }],
            replica: None,
            scrub: None,
        }
    }

    fn key() -> (LogKey, LogVerifier) {
        let key = LogKey::generate("log.example/1", &[7; 32]).unwrap();
        let pin = LogVerifier::parse(key.verifier_key()).unwrap();
        (key, pin)
    }

    #[test]
    fn signed_and_verified_and_every_byte_counts() {
        let (key, pin) = key();
        let note = attestation().sign(&key).unwrap();
        let pinned = [pin];
        let read = StorageAttestation::verify(&note, &pinned).unwrap();
        assert_eq!(read, attestation());
        for at in 0..note.len() {
            let mut changed = note.clone();
            changed[at] ^= 1;
            assert!(
                StorageAttestation::verify(&changed, &pinned).is_err(),
                "{at}"
            );
        }
        let other = LogKey::generate("log.example/1", &[8; 32]).unwrap();
        let forged = attestation().sign(&other).unwrap();
        assert!(StorageAttestation::verify(&forged, &pinned).is_err());
        assert!(StorageAttestation::parse_unverified(&forged).is_ok());
    }

    /// One key signs both, so neither may ever be taken for the other.
    #[test]
    fn it_is_no_checkpoint_and_a_checkpoint_is_none() {
        let (key, pin) = key();
        let pinned = [pin];
        let note = attestation().sign(&key).unwrap();
        assert!(Checkpoint::parse_unverified(&note).is_err());
        // Not even that of a log that is named as the format is.
        let key = LogKey::generate(STORAGE_ATTESTATION_FORMAT, &[7; 32]).unwrap();
        let checkpoint = Checkpoint {
            origin: STORAGE_ATTESTATION_FORMAT.to_owned(),
            size: 5,
            root: Hash([1; 32]),
        };
        let note = checkpoint.sign(&key).unwrap();
        assert!(StorageAttestation::parse_unverified(&note).is_err());
        assert!(StorageAttestation::verify(&note, &pinned).is_err());
    }

    #[test]
    fn what_contradicts_itself_is_not_signed() {
        let (key, _) = key();
        let mut twice = attestation();
        twice.artifacts.push(twice.artifacts[0].clone());
        let mut beyond = attestation();
        beyond.log.leaf_index = 5;
        let mut newer = attestation();
        newer.format = "probity.storage-attestation/2".to_owned();
        let mut of_another = attestation();
        of_another.log.origin = "log.example/2".to_owned();
        let none = StorageAttestation {
            artifacts: vec![],
            ..attestation()
        };
        for wrong in [twice, beyond, newer, of_another, none] {
            assert!(wrong.sign(&key).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn defects_are_told() {
        let sound = attestation();
        assert_eq!(sound.defects().count(), 0);
        let defective = |change: fn(&mut AttestedArtifact)| {
            let mut attestation = attestation();
            change(&mut attestation.artifacts[0]);
            attestation.defects().count()
        };
        let finding = AttestedFinding {
            what: "wrong".to_owned(),
            found_at: sound.attested_at,
            repaired_at: None,
        };
        assert_eq!(defective(|a| a.size_bytes = None), 1);
        assert_eq!(defective(|a| a.versions = Some(2)), 1);
        assert_eq!(defective(|a| a.versions = None), 0);
        let mut found = attestation();
        found.artifacts[0].finding = Some(finding.clone());
        assert_eq!(found.defects().count(), 1);
        let repaired_at = Some(sound.attested_at);
        found.artifacts[0].finding = Some(AttestedFinding {
            repaired_at,
            ..finding
        });
        assert_eq!(found.defects().count(), 0);
    }
}
