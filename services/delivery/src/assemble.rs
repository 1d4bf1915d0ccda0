//! A package's members, but for the artifacts' bytes: from the log's proof to the seal.

use bytes::Bytes;
use probity_domain::{EvidenceId, Record, Sha3_256, TenantId, Timestamp};
use probity_pki::attestation::StorageAttestation;
use probity_pki::cms::SignedData;
use probity_pki::package::{
    CERTIFICATE, CHECKPOINT, EVENT_MANIFEST, EVENT_SIGNATURE, FIXED_MEMBERS, INCLUSION, Inclusion,
    SEAL_MANIFEST, SEAL_SIGNATURE, STATEMENT, STORAGE_ATTESTATION, SUBMITTER_INSTRUCTION,
    SUBMITTER_MANIFEST, SUBMITTER_MEMBERS, SUBMITTER_SIGNATURE, SealedMember, seal_manifest,
};
use probity_pki::statement::{StatedArtifact, Statement};
use probity_pki::tlog::{Checkpoint, Hash, check_inclusion, leaf_hash};
use probity_platform::objects::Objects;
use probity_platform::{Error, Result};
use probity_proto::v1::Proof;

use crate::error::kept;
use crate::page::{CertificateFacts, Facts, LogFacts, certificate};
use crate::seal::Seal;
use crate::submitter::SubmitterMembers;

/// A piece of evidence as the log proves it.
pub struct Evidence {
    pub statement: Statement,
    record: Record,
    record_leaf: Hash,
    signature: SignedData,
    inclusion: Inclusion,
    checkpoint: Checkpoint,
    note: Bytes,
    /// Storage's attestation, a signed note.
    attestation: Bytes,
    submitter: Option<SubmitterMembers>,
}

/// Every member of a package; the artifacts by name and digest.
#[derive(Debug, Clone)]
pub struct Sealed {
    pub tenant: TenantId,
    /// In the order they are written, before the artifacts.
    pub fixed: Vec<(String, Bytes)>,
    /// The instruction that the submitter signed, written after them.
    pub instruction: Option<Sha3_256>,
    pub artifacts: Vec<StatedArtifact>,
    /// The seal's own two, written last.
    pub seal: [(String, Bytes); 2],
    pub sealed_at: Timestamp,
}

impl Evidence {
    /// Parses a proof and storage's attestation, and checks that both are of this evidence and the proof holds: what
    /// goes out must verify.
    ///
    /// # Errors
    /// `Internal` when they are not: storage verified before it deposited.
    pub fn of(evidence: &EvidenceId, proof: &Proof, attestation: Bytes) -> Result<Self> {
        let wrong = |reason: &str| Error::internal(format!("proof of {evidence}: {reason}"));
        let record = Record::decode(&proof.record).map_err(|e| wrong(&e.to_string()))?;
        if record.evidence != *evidence {
            return Err(wrong("it is for other evidence"));
        }
        let statement = Statement::parse(&record.statement).map_err(kept)?;
        if statement.evidence_number != *evidence {
            return Err(wrong("its statement is for other evidence"));
        }
        let hash = |bytes: &Bytes| Some(Hash(<[u8; 32]>::try_from(bytes.as_ref()).ok()?));
        let hashes = proof
            .hashes
            .iter()
            .map(hash)
            .collect::<Option<_>>()
            .ok_or_else(|| wrong("a hash is not 32 bytes"))?;
        let evidence_read = Self {
            statement,
            record_leaf: leaf_hash(&proof.record),
            signature: SignedData::from_der(&record.signature).map_err(kept)?,
            record,
            inclusion: Inclusion {
                leaf_index: proof.leaf_index,
                tree_size: proof.tree_size,
                hashes,
            },
            checkpoint: Checkpoint::parse_unverified(&proof.checkpoint).map_err(kept)?,
            note: proof.checkpoint.clone(),
            attestation,
            submitter: None,
        };
        evidence_read.check()?;
        evidence_read.check_attestation()?;
        Ok(evidence_read)
    }

    /// That the attestation is of this evidence, in the entry that was proved.
    fn check_attestation(&self) -> Result<()> {
        let attestation = StorageAttestation::parse_unverified(&self.attestation).map_err(kept)?;
        let (log, number) = (&attestation.log, attestation.evidence_number);
        let entry = (log.origin.as_str(), log.leaf_index);
        let proved = (self.checkpoint.origin.as_str(), self.inclusion.leaf_index);
        if number != self.statement.evidence_number || entry != proved {
            return Err(Error::internal(format!(
                "storage attested {number}, entry {} of {}, instead of the evidence",
                log.leaf_index, log.origin
            )));
        }
        Ok(())
    }

    /// Reads what belongs to the submitter's own signature, if it made one.
    ///
    /// # Errors
    /// Those of [`SubmitterMembers::read`].
    pub async fn read_submitter(&mut self, truth: &dyn Objects) -> Result<()> {
        self.submitter = SubmitterMembers::read(&self.statement, truth).await?;
        Ok(())
    }

    fn check(&self) -> Result<()> {
        let (inclusion, checkpoint) = (&self.inclusion, &self.checkpoint);
        if inclusion.tree_size != checkpoint.size {
            return Err(Error::internal(
                "proof and checkpoint are of different trees",
            ));
        }
        check_inclusion(
            &inclusion.hashes,
            checkpoint.size,
            checkpoint.root,
            inclusion.leaf_index,
            self.record_leaf,
        )
        .map_err(kept)
    }

    /// Writes the readable certificate and seals everything.
    ///
    /// # Errors
    /// Those of [`Seal::sign`]; `Internal` when the signature holds no time-stamp.
    pub async fn seal(&self, seal: &Seal, at: Timestamp) -> Result<Sealed> {
        let page = certificate(&self.facts(seal, at)?);
        let inclusion = self.inclusion.to_bytes().map_err(kept)?;
        let bytes_of = |name: &str| match name {
            STATEMENT => Bytes::copy_from_slice(&self.record.statement),
            EVENT_MANIFEST => Bytes::copy_from_slice(&self.record.manifest),
            EVENT_SIGNATURE => Bytes::copy_from_slice(&self.record.signature),
            CHECKPOINT => self.note.clone(),
            INCLUSION => Bytes::copy_from_slice(&inclusion),
            STORAGE_ATTESTATION => self.attestation.clone(),
            CERTIFICATE => Bytes::copy_from_slice(page.as_bytes()),
            _ => Bytes::new(),
        };
        let mut fixed: Vec<_> = FIXED_MEMBERS
            .iter()
            .map(|(name, media)| ((*name).to_owned(), *media, bytes_of(name)))
            .collect();
        let mut members = Vec::new();
        for (name, media) in SUBMITTER_MEMBERS {
            let Some(submitter) = &self.submitter else {
                break;
            };
            match name {
                SUBMITTER_MANIFEST => {
                    fixed.push((name.to_owned(), media, submitter.manifest.clone()));
                }
                SUBMITTER_SIGNATURE => {
                    fixed.push((name.to_owned(), media, submitter.signature.clone()));
                }
                _ => members.push(SealedMember {
                    name: SUBMITTER_INSTRUCTION.to_owned(),
                    media_type: media.to_owned(),
                    sha3_256: submitter.instruction_sha3_256,
                }),
            }
        }
        let in_memory = fixed.iter();
        members.extend(in_memory.map(|(name, media, bytes)| SealedMember::of(name, media, bytes)));
        let artifacts = self.statement.artifacts.iter();
        members
            .extend(artifacts.map(|a| SealedMember::artifact(&a.name, &a.media_type, a.sha3_256)));
        let manifest = seal_manifest(&members).map_err(kept)?;
        let signature = seal.sign(&manifest, at).await?;
        Ok(Sealed {
            tenant: self.statement.tenant.clone(),
            fixed: fixed
                .into_iter()
                .map(|(name, _, bytes)| (name, bytes))
                .collect(),
            instruction: self.submitter.as_ref().map(|s| s.instruction_sha3_256),
            artifacts: self.statement.artifacts.clone(),
            seal: [
                (SEAL_MANIFEST.to_owned(), manifest.into()),
                (SEAL_SIGNATURE.to_owned(), signature.into()),
            ],
            sealed_at: at,
        })
    }

    fn facts(&self, seal: &Seal, at: Timestamp) -> Result<Facts<'_>> {
        let token = self.signature.time_stamp_token().map_err(kept)?;
        let token =
            token.ok_or_else(|| Error::internal("the event signature has no time-stamp"))?;
        let info = token.tst_info();
        let unit = token
            .certificates()
            .iter()
            .find(|c| c.is_time_stamping_unit());
        let signer = self.signature.signer_certificate().map_err(kept)?;
        Ok(Facts {
            statement: &self.statement,
            signer: CertificateFacts {
                subject: signer.subject(),
                issuer: signer.issuer(),
                serial: signer.serial_hex().to_owned(),
                not_before: signer.not_before(),
                not_after: signer.not_after(),
            },
            stamped_at: info.gen_time,
            time_stamp_unit: unit.map(|c| c.subject()).unwrap_or_default(),
            time_stamp_serial: hex::encode(&info.serial),
            accuracy_us: info.accuracy_us,
            log: LogFacts {
                origin: self.checkpoint.origin.clone(),
                leaf_index: self.inclusion.leaf_index,
                tree_size: self.checkpoint.size,
            },
            institution: seal.certificate().subject(),
            sealed_at: at,
        })
    }
}
