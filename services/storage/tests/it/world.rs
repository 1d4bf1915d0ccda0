//! A verified party with an accepted agreement, a confirmed intent, and submissions.

use std::sync::Arc;

use probity_domain::{
    Artifact, ArtifactName, ArtifactRole, CaseId, CredentialId, Digests, EvidenceId,
    IdempotencyKey, IntentId, Item, ItemOutcome, Malformed, MediaType, PartyId, Purpose, Sha3_256,
    Sha256, Submission, SubmissionDraft, SubmissionId, TenantId,
};
use probity_platform::clock::ManualClock;
use probity_platform::ledger::{Appended, Ledger};
use probity_platform::objects::{MemoryObjects, Objects as _};
use probity_platform::{Clock as _, SystemRandom};
use probity_proto::http::PartyApplicationDocument;
use probity_proto::ledger::{IntentEvent, LedgerEvent, PartyEvent};
use probity_proto::stored::{blob_key, submission_key, write_submission};
use sha2::Digest as _;

use crate::pki::NOW;

pub struct World {
    pub truth: Arc<MemoryObjects>,
    pub clock: Arc<ManualClock>,
    pub ledger: Ledger,
}

impl World {
    pub async fn new() -> Self {
        let truth = Arc::new(MemoryObjects::new());
        let clock = Arc::new(ManualClock::at(NOW));
        let ledger = Ledger::new(truth.clone(), clock.clone(), Arc::new(SystemRandom));
        let world = Self {
            truth,
            clock,
            ledger,
        };
        world
            .record("acme-ltd", PartyEvent::Applied(application()))
            .await;
        let decided = PartyEvent::Decided {
            verified: true,
            method: "officer".into(),
            verifier: "officer-7".into(),
            document_sha3_256: vec!["09".repeat(32)],
            note: String::new(),
        };
        world.record("acme-ltd", decided).await;
        let accepted = PartyEvent::AgreementAccepted {
            agreement: "terms".into(),
            version: "1".into(),
            sha3_256: "07".repeat(32),
            channel: "api".into(),
            from_address: "127.0.0.1".into(),
        };
        world.record("acme-ltd", accepted).await;
        world
    }

    pub async fn record<E: LedgerEvent>(&self, id: &str, event: E) {
        let mut history = self.ledger.read::<E>(id).await.unwrap();
        let appended = self
            .ledger
            .append(&mut history, "role:test", "test", event)
            .await
            .unwrap();
        assert_eq!(appended, Appended::Appended);
    }

    /// Accepts an instruction of `items` captures, the one at place 1 refused.
    pub async fn submit(&self, seed: u8, items: u32) -> Submission {
        let now = self.clock.now();
        let instruction_sha256 = Sha256([seed; 32]);
        let intent = IntentId::new(now, [seed; 10]);
        let requested = IntentEvent::Requested {
            tenant: "acme".into(),
            party: "acme-ltd".into(),
            credential: "c".into(),
            instruction_sha256: instruction_sha256.to_hex(),
            summary: "s".into(),
            code_hmac: String::new(),
            channel: "smtp".into(),
            masked_destination: "a***@example.com".into(),
            expires_at: now.to_rfc3339(),
        };
        self.record(&intent.to_string(), requested).await;
        let confirmed = IntentEvent::Confirmed {
            from_address: "127.0.0.1".into(),
            user_agent: "t".into(),
        };
        self.record(&intent.to_string(), confirmed).await;
        let line = |place| match place {
            1 => ItemOutcome::Refused(Malformed::new("title", "empty")),
            place => ItemOutcome::Accepted(item(place)),
        };
        let submission = Submission::new(SubmissionDraft {
            id: SubmissionId::new(now, [seed; 10]),
            tenant: TenantId::parse("acme").unwrap(),
            party: PartyId::parse("acme-ltd").unwrap(),
            credential: CredentialId::new(now, [1; 10]),
            on_behalf_of: None,
            automated: true,
            case: CaseId::parse("(2026)京0491民初12345号").unwrap(),
            intent: Some(intent),
            idempotency_key: IdempotencyKey::parse("k").unwrap(),
            instruction_sha256,
            submitter_signature: None,
            received_at: now,
            items: (0..items).map(line).collect(),
        })
        .unwrap();
        for (_, item) in submission.accepted() {
            for artifact in item.artifacts() {
                let key = blob_key(&submission.tenant, &artifact.digests.sha3_256);
                let bytes = content(artifact.role, item.title());
                self.truth.create(&key, bytes.into()).await.unwrap();
            }
        }
        let bytes = write_submission(&submission);
        self.truth
            .create(&submission_key(submission.id), bytes.into())
            .await
            .unwrap();
        submission
    }
}

pub fn application() -> PartyApplicationDocument {
    PartyApplicationDocument {
        party: "acme-ltd".into(),
        tenant: "acme".into(),
        kind: "organization".into(),
        name: "Acme 有限公司".into(),
        identifier: "91110000600037341L".into(),
        country: "CN".into(),
        email: "a@example.com".into(),
        legal_representative: Some("L".into()),
        handler: Some("H".into()),
        declared_true: true,
    }
}

/// The bytes of an artifact.
fn content(role: ArtifactRole, title: &str) -> String {
    format!("{role:?} of {title}")
}

fn item(place: u32) -> Item {
    let title = format!("Shop page {place}");
    let artifact = |name: &str, role| {
        let bytes = content(role, &title);
        Artifact {
            name: ArtifactName::parse(name).unwrap(),
            media_type: MediaType::parse("text/html").unwrap(),
            role,
            size_bytes: bytes.len() as u64,
            digests: Digests {
                sha3_256: Sha3_256(sha3::Sha3_256::digest(&bytes).into()),
                sha256: Sha256(sha2::Sha256::digest(&bytes).into()),
            },
        }
    };
    let artifacts = vec![
        artifact("截图 1.html", ArtifactRole::Content),
        artifact("log.jsonl", ArtifactRole::ProcessLog),
    ];
    let url = Some("https://example.com/?a=<b>&c".to_owned());
    Item::new(title, Purpose::Infringement, url, Some(NOW), artifacts).unwrap()
}

pub fn number(submission: &Submission, item: u32) -> EvidenceId {
    EvidenceId {
        submission: submission.id,
        item,
    }
}
