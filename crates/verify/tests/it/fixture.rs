//! Real packages, made from a small public key infrastructure and log of their own.

use std::io::Cursor;

use probity_domain::{
    ArtifactName, ArtifactRole, CaseId, CredentialId, EvidenceId, IntentId, MediaType, PartyId,
    Purpose, Record, Sha3_256, Sha256, SubmissionId, TenantId, Timestamp,
};
use probity_pki::asic::{ContainerWriter, Packing};
use probity_pki::attestation::{
    AttestedArtifact, AttestedLap, AttestedLock, AttestedLog, AttestedReplica,
    STORAGE_ATTESTATION_FORMAT, StorageAttestation,
};
use probity_pki::cms::{
    CommitmentType, SignRequest, SignedData, add_signature_time_stamp, sign_detached, sign_manifest,
};
use probity_pki::crl::{Crl, RevokedEntry, build_crl};
use probity_pki::digest::HashAlgorithm;
use probity_pki::keys::{MemoryKey, Signer};
use probity_pki::oid;
use probity_pki::package::{self, Inclusion, SealedMember};
use probity_pki::statement::{
    ActingAs, Agreement, Intent, PartyKind, STATEMENT_FORMAT, StatedArtifact, Statement, Submitter,
    Verification,
};
use probity_pki::tlog::{
    Checkpoint, EMPTY_ROOT, LogKey, Tiles, append, leaf_hash, prove_inclusion,
};
use probity_pki::tsp::{Imprint, TimeStampAuthority, TimeStampReq};
use probity_pki::x509::{
    Addresses, Certificate, CertificateTemplate, Profile, Subject, sign_certificate,
};
use probity_verify::{Check, CheckName, CheckResult, Policy, Verdict, verify_package};

pub const NOW: Timestamp = Timestamp::from_unix_ms(1_795_000_000_000);
pub const HOUR_MS: i64 = 3_600_000;
pub const NAME: &str = "Acme 有限公司";

/// Names and bytes in the order of the container.
pub type Members = Vec<(String, Vec<u8>)>;

pub struct Holder {
    pub key: MemoryKey,
    pub certificate: Certificate,
}

/// Everything a deposit needs; its roots and log key are what a verifier pins.
pub struct World {
    pub root: Holder,
    pub issuing: Holder,
    pub tsa: Holder,
    pub seal: Holder,
    pub log: LogKey,
    pub submission: SubmissionId,
}

/// What may differ from package to package.
pub struct Scenario {
    pub statement: Statement,
    pub artifacts: Members,
    /// Subject of the event certificate.
    pub certified_name: String,
    /// Of a person; else an organization is certified.
    pub certified_party: Option<String>,
    pub certified_instruction: String,
    pub event_profile: Profile,
    pub signed_instruction: [u8; 32],
    pub signing_time: Timestamp,
    /// No time-stamp if `None`.
    pub gen_time: Option<Timestamp>,
    /// Serial the issuing CA's list revokes at a time: the event certificate's is [`EVENT_SERIAL`].
    pub revoked: Vec<RevokedEntry>,
    pub crl_next_update: Timestamp,
    pub sealed: bool,
    pub sealed_at: Timestamp,
    /// Whether the seal has a time-stamp, of that time.
    pub seal_stamped: bool,
    pub logged: bool,
    /// Whether storage attested, which the seal alone covers.
    pub attested: bool,
}

pub const EVENT_SERIAL: [u8; 16] = [0x44; 16];
pub const SEAL_SERIAL: [u8; 16] = [0x45; 16];

impl World {
    pub fn new() -> Self {
        Self::with_keys(&mut || MemoryKey::generate().unwrap())
    }

    /// With the same keys, packages of two processes verify under each other's policy.
    pub fn with_keys(next: &mut dyn FnMut() -> MemoryKey) -> Self {
        let root = issue(
            next(),
            Profile::RootCa,
            Subject::new("Root"),
            &[0x41; 16],
            None,
            None,
        );
        let issuing = issue(
            next(),
            Profile::IssuingCa,
            Subject::new("Issuing"),
            &[0x42; 16],
            Some(&root),
            None,
        );
        let tsa = issue(
            next(),
            Profile::Tsa,
            Subject::new("TSA"),
            &[0x43; 16],
            Some(&root),
            None,
        );
        let seal = issue(
            next(),
            Profile::Seal,
            Subject::new("Delivery"),
            &SEAL_SERIAL,
            Some(&issuing),
            None,
        );
        let log = LogKey::generate("log.example/1", &[5; 32]).unwrap();
        let submission = SubmissionId::new(NOW, [7; 10]);
        Self {
            root,
            issuing,
            tsa,
            seal,
            log,
            submission,
        }
    }

    pub fn policy(&self) -> Policy {
        let keys = vec![self.log.verifier_key().to_owned()];
        Policy::new(
            vec![self.root.certificate.clone()],
            keys,
            NOW.plus_ms(HOUR_MS),
        )
    }

    /// Evidence of an infringement, with everything recorded.
    pub fn scenario(&self) -> Scenario {
        let artifacts = vec![
            (
                "page.html".to_owned(),
                b"<html>infringing</html>".repeat(50),
            ),
            (
                "截图 1.png".to_owned(),
                (0..200_000u32).map(|i| (i * 7) as u8).collect(),
            ),
            ("log.jsonl".to_owned(), b"{}".to_vec()),
        ];
        Scenario {
            statement: statement(self.submission, &artifacts),
            artifacts,
            certified_name: NAME.to_owned(),
            certified_party: None,
            certified_instruction: self.submission.to_string(),
            event_profile: Profile::Event,
            signed_instruction: [4; 32],
            signing_time: NOW,
            gen_time: Some(NOW.plus_ms(1_000)),
            revoked: Vec::new(),
            crl_next_update: NOW.plus_ms(HOUR_MS),
            sealed: true,
            sealed_at: NOW.plus_ms(600_000),
            seal_stamped: true,
            logged: true,
            attested: true,
        }
    }

    pub fn crls(&self, scenario: &Scenario) -> Vec<Crl> {
        let make = |issuer: &Holder, revoked: &[RevokedEntry]| {
            // No list knows what comes after it.
            let made = NOW.plus_ms(-HOUR_MS);
            let this = revoked.iter().map(|e| e.at).fold(made, Timestamp::max);
            let next = scenario.crl_next_update;
            let der = build_crl(&issuer.certificate, &issuer.key, 3, this, next, revoked).unwrap();
            Crl::from_der(&der).unwrap()
        };
        vec![
            make(&self.issuing, &scenario.revoked),
            make(&self.root, &[]),
        ]
    }

    pub fn token(&self, signature: &[u8], gen_time: Timestamp) -> Vec<u8> {
        let authority = TimeStampAuthority {
            certificate: self.tsa.certificate.clone(),
            chain: Vec::new(),
            policy: oid::POLICY_TIME_STAMP,
            accuracy_ms: 1_000,
        };
        let imprint = Imprint::of(HashAlgorithm::Sha3_256, signature);
        let request = TimeStampReq::make(imprint, Some(&[9; 8]), true, None).unwrap();
        authority
            .token(&request, &self.tsa.key, gen_time, &[1, 2, 3])
            .unwrap()
    }

    /// CAdES-T over a manifest by a fresh event key.
    pub fn event_signature(&self, scenario: &Scenario, manifest: &[u8]) -> Vec<u8> {
        let name = &scenario.certified_name;
        let party = scenario.certified_party.clone();
        let is_organization = party.is_none();
        let identifier = "NTRCN-91110000600037341L".to_owned();
        let subject = Subject {
            organization: is_organization.then(|| name.clone()),
            organization_identifier: is_organization.then_some(identifier),
            country: Some("CN".to_owned()),
            serial_number: party,
            ..Subject::new(name.clone())
        };
        let instruction = Some(scenario.certified_instruction.clone());
        let instruction = instruction.filter(|_| scenario.event_profile == Profile::Event);
        let issuing = Some(&self.issuing);
        let event = certified(
            scenario.event_profile,
            subject,
            &EVENT_SERIAL,
            issuing,
            instruction,
        );
        let request = SignRequest {
            content: manifest,
            signer: &event.certificate,
            extra_certificates: std::slice::from_ref(&self.issuing.certificate),
            crls: &self.crls(scenario),
            signing_time: scenario.signing_time,
            commitment: CommitmentType::ProofOfApproval,
            instruction_digest: Some(scenario.signed_instruction),
        };
        // What is no manifest, a forger signs without lint.
        let cms = sign_manifest(&request, &[], &event.key);
        let cms = cms.unwrap_or_else(|_| sign_detached(&request, &event.key).unwrap());
        match scenario.gen_time {
            Some(gen_time) => self.stamped(&cms, gen_time),
            None => cms,
        }
    }

    /// CAdES-B becomes CAdES-T.
    pub fn stamped(&self, cms: &[u8], gen_time: Timestamp) -> Vec<u8> {
        let signed = SignedData::from_der(cms).unwrap();
        add_signature_time_stamp(cms, &self.token(signed.signature_value(), gen_time)).unwrap()
    }

    /// All members but the media type, in order.
    pub fn members(&self, scenario: &Scenario) -> Members {
        let statement = scenario.statement.to_bytes().unwrap();
        let manifest = package::event_manifest(&scenario.statement, &statement).unwrap();
        let signature = self.event_signature(scenario, &manifest);
        let mut members = vec![
            (package::STATEMENT.to_owned(), statement.clone()),
            (package::EVENT_MANIFEST.to_owned(), manifest.clone()),
            (package::EVENT_SIGNATURE.to_owned(), signature.clone()),
        ];
        if scenario.sealed {
            // Nothing but the seal covers it.
            members.push((
                package::CERTIFICATE.to_owned(),
                b"<html>certificate</html>".to_vec(),
            ));
        }
        if scenario.logged {
            let evidence = scenario.statement.evidence_number;
            let record = Record {
                evidence,
                statement,
                manifest,
                signature,
            };
            let (checkpoint, inclusion) = self.deposit(&record.encode().unwrap());
            members.push((package::CHECKPOINT.to_owned(), checkpoint));
            members.push((package::INCLUSION.to_owned(), inclusion));
            if scenario.sealed && scenario.attested {
                let mut note = attestation(&scenario.statement, 271, 300);
                note.attested_at = scenario.gen_time.unwrap_or(scenario.signing_time);
                let note = note.sign(&self.log).unwrap();
                members.push((package::STORAGE_ATTESTATION.to_owned(), note));
            }
        }
        let artifacts = scenario.artifacts.iter();
        members.extend(artifacts.map(|(name, bytes)| (format!("artifacts/{name}"), bytes.clone())));
        if scenario.sealed {
            self.seal(scenario, &mut members);
        }
        members
    }

    /// Puts the entry into a log of a few others.
    fn deposit(&self, entry: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let mut leaves: Vec<_> = (0..300u32).map(|n| leaf_hash(&n.to_be_bytes())).collect();
        leaves[271] = leaf_hash(entry);
        let growth = append(0, EMPTY_ROOT, &Tiles::default(), &leaves).unwrap();
        let mut tiles = Tiles::default();
        for (tile, bytes) in growth.tiles {
            tiles.insert(tile, bytes).unwrap();
        }
        let hashes = prove_inclusion(271, growth.size, growth.root, &tiles).unwrap();
        let inclusion = Inclusion {
            leaf_index: 271,
            tree_size: growth.size,
            hashes,
        };
        let (origin, size) = (self.log.name().to_owned(), growth.size);
        let checkpoint = Checkpoint {
            origin,
            size,
            root: growth.root,
        };
        (
            checkpoint.sign(&self.log).unwrap(),
            inclusion.to_bytes().unwrap(),
        )
    }

    /// Seals members as they are.
    pub fn seal(&self, scenario: &Scenario, members: &mut Members) {
        self.seal_with(scenario, members, &[]);
    }

    /// Seals members as they are, and others that are not in memory.
    pub fn seal_with(&self, scenario: &Scenario, members: &mut Members, others: &[SealedMember]) {
        let of = |(name, bytes): &(String, Vec<u8>)| {
            SealedMember::of(name, "application/octet-stream", bytes)
        };
        let listed: Vec<_> = members
            .iter()
            .map(of)
            .chain(others.iter().cloned())
            .collect();
        let manifest = package::seal_manifest(&listed).unwrap();
        let request = SignRequest {
            content: &manifest,
            signer: &self.seal.certificate,
            extra_certificates: std::slice::from_ref(&self.issuing.certificate),
            crls: &self.crls(scenario),
            signing_time: scenario.sealed_at,
            commitment: CommitmentType::ProofOfDelivery,
            instruction_digest: None,
        };
        let mut signature = sign_manifest(&request, &[], &self.seal.key).unwrap();
        if scenario.seal_stamped {
            signature = self.stamped(&signature, scenario.sealed_at);
        }
        members.push((package::SEAL_MANIFEST.to_owned(), manifest));
        members.push((package::SEAL_SIGNATURE.to_owned(), signature));
    }

    pub fn verify(&self, members: &[(String, Vec<u8>)]) -> Verdict {
        verify_package(Cursor::new(container(members)), &self.policy())
    }

    pub fn verify_scenario(&self, scenario: &Scenario) -> Verdict {
        self.verify(&self.members(scenario))
    }
}

pub fn container(members: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut writer = ContainerWriter::new(Vec::new(), NOW).unwrap();
    for (name, bytes) in members {
        let size = Some(bytes.len() as u64);
        writer
            .add_reader(name, size, Packing::Deflated, &mut Cursor::new(bytes))
            .unwrap();
    }
    writer.finish().unwrap()
}

pub fn statement(submission: SubmissionId, artifacts: &[(String, Vec<u8>)]) -> Statement {
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
            name: NAME.to_owned(),
            identifier: Some("91110000600037341L".to_owned()),
            verification: Some(Verification {
                method: "document_inspection".to_owned(),
                verifier: "officer-7".to_owned(),
                decided_at: NOW.plus_ms(-HOUR_MS),
                evidence_digests: vec![Sha3_256([9; 32])],
            }),
        },
        acting_as: ActingAs {
            credential: CredentialId::new(NOW, [1; 10]),
            automated: true,
            on_behalf_of: None,
        },
        agreement: Some(Agreement {
            id: "terms".to_owned(),
            version: "3".to_owned(),
            sha3_256: Sha3_256([8; 32]),
            accepted_at: NOW.plus_ms(-HOUR_MS),
            channel: "web".to_owned(),
        }),
        intent: Some(Intent {
            id: IntentId::new(NOW, [2; 10]),
            instruction_sha256: Sha256([4; 32]),
            channel: "email".to_owned(),
            masked_destination: "l***@acme.example".to_owned(),
            issued_at: NOW.plus_ms(-120_000),
            confirmed_at: NOW.plus_ms(-60_000),
        }),
        submitter_signature: None,
        case: CaseId::parse("(2026)京0491民初12345号").unwrap(),
        title: "Shop page".to_owned(),
        purpose: Purpose::Infringement,
        source_url: Some("https://shop.example/".to_owned()),
        declared_captured_at: Some(NOW.plus_ms(-HOUR_MS)),
        received_at: NOW,
        artifacts: artifacts
            .iter()
            .map(|(name, bytes)| stated(name, bytes))
            .collect(),
    }
}

/// What storage attests of sound evidence, a minute after it was stamped.
pub fn attestation(statement: &Statement, leaf_index: u64, tree_size: u64) -> StorageAttestation {
    let at = NOW.plus_ms(61_000);
    let artifacts = statement.artifacts.iter().map(|artifact| AttestedArtifact {
        key: format!("blobs/{}/{}", statement.tenant, artifact.sha3_256),
        sha3_256: artifact.sha3_256,
        size_bytes: Some(artifact.size_bytes),
        versions: Some(1),
        versions_accounted: 1,
        lock_mode: AttestedLock::Compliance,
        retain_until: Some(NOW.plus_ms(HOUR_MS)),
        legal_hold: false,
        finding: None,
    });
    let artifacts: Vec<_> = artifacts.collect();
    StorageAttestation {
        format: STORAGE_ATTESTATION_FORMAT.to_owned(),
        evidence_number: statement.evidence_number,
        attested_at: at,
        log: AttestedLog {
            origin: "log.example/1".to_owned(),
            leaf_index,
            tree_size,
        },
        store_keeps_versions: true,
        store_has_object_lock: true,
        retention_class: "blobs".to_owned(),
        legal_hold: false,
        replica: Some(AttestedReplica {
            bucket: "truth-copy".to_owned(),
            compared_at: Some(at),
            copies: artifacts.len() as u64,
        }),
        artifacts,
        scrub: Some(AttestedLap {
            begun_at: NOW.plus_ms(-HOUR_MS),
            ended_at: NOW.plus_ms(-1_000),
            log_size: 200,
            findings_total: 0,
            findings_here: 0,
        }),
    }
}

pub fn stated(name: &str, bytes: &[u8]) -> StatedArtifact {
    let digest = |algorithm: HashAlgorithm| algorithm.digest(bytes).try_into().unwrap();
    StatedArtifact {
        name: ArtifactName::parse(name).unwrap(),
        media_type: MediaType::parse("application/octet-stream").unwrap(),
        role: match name {
            "log.jsonl" => ArtifactRole::ProcessLog,
            _ => ArtifactRole::Content,
        },
        size_bytes: bytes.len() as u64,
        sha3_256: Sha3_256(digest(HashAlgorithm::Sha3_256)),
        sha256: Sha256(digest(HashAlgorithm::Sha256)),
    }
}

/// A certificate for a fresh key.
pub fn certified(
    profile: Profile,
    subject: Subject,
    serial: &[u8],
    issuer: Option<&Holder>,
    instruction: Option<String>,
) -> Holder {
    let key = MemoryKey::generate().unwrap();
    issue(key, profile, subject, serial, issuer, instruction)
}

pub fn issue(
    key: MemoryKey,
    profile: Profile,
    subject: Subject,
    serial: &[u8],
    issuer: Option<&Holder>,
    instruction: Option<String>,
) -> Holder {
    let template = CertificateTemplate {
        profile,
        serial,
        subject,
        spki_der: key.public_key_der(),
        not_before: NOW.plus_ms(-HOUR_MS),
        not_after: NOW.plus_ms(24 * HOUR_MS),
        issuer: issuer.map(|holder| &holder.certificate),
        addresses: Addresses {
            crl: issuer.map(|_| "http://repository.example/ca.crl".to_owned()),
            ..Addresses::default()
        },
        reliance_limit: None,
        instruction,
    };
    let to_be_signed = template.to_be_signed().unwrap();
    let signer = issuer.map_or(&key, |holder| &holder.key);
    let certificate = sign_certificate(&to_be_signed, signer).unwrap();
    Holder { key, certificate }
}

pub fn result(verdict: &Verdict, name: CheckName) -> CheckResult {
    check(verdict, name).result
}

pub fn check(verdict: &Verdict, name: CheckName) -> &Check {
    verdict.check(name).unwrap()
}

/// The checks that failed.
pub fn failed(verdict: &Verdict) -> Vec<CheckName> {
    let failed = verdict
        .checks
        .iter()
        .filter(|check| check.result == CheckResult::Failed);
    failed.map(|check| check.name).collect()
}

pub fn change(members: &mut [(String, Vec<u8>)], name: &str, change: impl FnOnce(&mut Vec<u8>)) {
    change(
        &mut members
            .iter_mut()
            .find(|(member, _)| member == name)
            .unwrap()
            .1,
    );
}

/// Checkpoint and proof of another entry.
pub fn proof_of_another(world: &World) -> (Vec<u8>, Vec<u8>) {
    world.deposit(b"another record")
}
