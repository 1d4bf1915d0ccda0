//! A platform in memory with one piece of deposited evidence and two courts.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use probity_delivery::HttpsPush;
use probity_delivery::answer::Answer;
use probity_delivery::courier::{Bounds, Courier, Parts};
use probity_delivery::delivery::Delivery;
use probity_delivery::endpoint::Endpoint;
use probity_delivery::ports::{Hints, Parcel, Prove, Push};
use probity_delivery::recipient;
use probity_delivery::seal::Seal;
use probity_domain::{
    CredentialId, DeliveryId, EvidenceId, IdempotencyKey, Item, ItemOutcome, Malformed, PartyId,
    Record, Sha256, Submission, SubmissionDraft, TenantId, Timestamp,
};
use probity_pki::crl::{Crl, build_crl};
use probity_pki::envelope::CONTENT_BYTES_USUAL;
use probity_pki::keys::MemoryKey;
use probity_pki::package::{self, Inclusion};
use probity_pki::statement::StatedArtifact;
use probity_platform::access::{Access, Caller, CallerRole};
use probity_platform::clock::ManualClock;
use probity_platform::ledger::Ledger;
use probity_platform::objects::{Buckets, ByteStream, MemoryObjects, Objects};
use probity_platform::{Clock as _, Error, Result, SystemRandom};
use probity_proto::http::{DeliveryRequestDocument, RecipientDocument};
use probity_proto::ledger::{ByteRange, DeliveryEvent};
use probity_proto::stored::{blob_key, submission_key, write_submission};
use probity_proto::v1::Proof;

pub use crate::court::{Court, certificate, court, other_curve, sign_with};
use crate::fixture::{self, HOUR_MS, NOW};
use crate::seal::Stamps;

/// What the court's system does with a push: gets the bytes, gives the answer.
pub type Behaviour = Box<dyn Fn(&Parcel, &[u8]) -> Answer + Send + Sync>;

#[derive(Default)]
pub struct Outside {
    pub proof: Mutex<Option<Proof>>,
    /// Storage does not answer without one.
    pub attestation: Mutex<Option<Bytes>>,
    pub hints: Mutex<Vec<DeliveryId>>,
    /// Of them those about a delivery whose taker is gone.
    pub told_again: Mutex<Vec<DeliveryId>>,
    /// Without a bus hints fail.
    pub bus: Mutex<bool>,
    /// It takes hints and never answers.
    pub bus_hangs: Mutex<bool>,
    pub behaviour: Mutex<Option<Behaviour>>,
    /// Bytes of every push, in order.
    pub pushed: Mutex<Vec<Vec<u8>>>,
    /// Recipients that never answer.
    pub hangs: Mutex<Vec<String>>,
    /// Recipients whose push panics.
    pub panics: Mutex<Vec<String>>,
    /// Pushes go out over real TLS instead.
    pub https: Mutex<Option<Arc<HttpsPush>>>,
}

#[async_trait]
impl Prove for Outside {
    async fn prove(&self, _: &EvidenceId) -> Result<Option<Proof>> {
        Ok(self.proof.lock().unwrap().clone())
    }

    async fn attest(&self, _: &EvidenceId) -> Result<Bytes> {
        let note = self.attestation.lock().unwrap().clone();
        note.ok_or_else(|| Error::unavailable("storage does not answer"))
    }
}

#[async_trait]
impl Hints for Outside {
    async fn due(&self, id: DeliveryId, _: usize, again: i64) -> Result<()> {
        if !*self.bus.lock().unwrap() {
            return Err(Error::unavailable("no bus"));
        }
        self.hints.lock().unwrap().push(id);
        if again > 0 {
            self.told_again.lock().unwrap().push(id);
        }
        if *self.bus_hangs.lock().unwrap() {
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

#[async_trait]
impl Push for Outside {
    async fn push(&self, to: &Endpoint, tls_ca: Option<&str>, mut parcel: Parcel) -> Answer {
        let https = self.https.lock().unwrap().clone();
        if let Some(https) = https {
            return https.push(to, tls_ca, parcel).await;
        }
        let panics = self.panics.lock().unwrap().contains(&parcel.recipient);
        assert!(!panics, "as asked");
        if self.hangs.lock().unwrap().contains(&parcel.recipient) {
            std::future::pending::<()>().await;
        }
        let body = std::mem::replace(&mut parcel.body, Box::pin(futures::stream::empty()));
        let bytes = match collect(body).await {
            Ok(bytes) => bytes,
            Err(e) => return Answer::Failed(e.detail),
        };
        assert_eq!(bytes.len() as u64, parcel.size_bytes);
        let answer = match &*self.behaviour.lock().unwrap() {
            Some(behaviour) => behaviour(&parcel, &bytes),
            None => Answer::TimedOut,
        };
        self.pushed.lock().unwrap().push(bytes);
        answer
    }

    fn time_max(&self, _: u64) -> Duration {
        Duration::from_secs(30)
    }
}

pub async fn collect(body: ByteStream) -> Result<Vec<u8>> {
    body.try_fold(Vec::new(), |mut all, piece| async move {
        all.extend_from_slice(&piece);
        Ok(all)
    })
    .await
}

pub struct Platform {
    pub evidence_world: fixture::World,
    pub truth: Arc<dyn Objects>,
    pub work: Arc<dyn Objects>,
    pub clock: Arc<ManualClock>,
    pub ledger: Ledger,
    pub outside: Arc<Outside>,
    pub courier: Arc<Courier>,
    pub evidence: EvidenceId,
    /// Pushed to.
    pub beijing: Court,
    /// Pulls.
    pub hangzhou: Court,
}

pub const ENDPOINT: &str = "https://court.example/in";

impl Platform {
    /// With the fixture's artifacts, deposited.
    pub async fn new() -> Self {
        let scenario = fixture::World::new().scenario();
        Self::with_artifacts(scenario.artifacts).await
    }

    pub async fn with_artifacts(artifacts: fixture::Members) -> Self {
        Self::in_memory(artifacts).await.0
    }

    /// With one short artifact, on a store whose `truth` can be troubled.
    pub async fn troubled() -> (Self, Arc<MemoryObjects>) {
        let artifacts = vec![("a.txt".to_owned(), b"bytes".to_vec())];
        Self::in_memory(artifacts).await
    }

    async fn in_memory(artifacts: fixture::Members) -> (Self, Arc<MemoryObjects>) {
        let truth = Arc::new(MemoryObjects::new());
        let buckets = Buckets {
            truth: truth.clone(),
            work: Arc::new(MemoryObjects::new()),
        };
        (Self::on(buckets, artifacts).await, truth)
    }

    pub async fn on(buckets: Buckets, artifacts: fixture::Members) -> Self {
        Self::in_pieces(CONTENT_BYTES_USUAL, buckets, artifacts).await
    }

    /// With packages of several envelopes, so much in each.
    pub async fn in_pieces(
        piece_bytes: u64,
        buckets: Buckets,
        artifacts: fixture::Members,
    ) -> Self {
        let evidence_world = fixture::World::new();
        let Buckets { truth, work } = buckets;
        let clock = Arc::new(ManualClock::at(NOW.plus_ms(600_000)));
        let ledger = Ledger::new(truth.clone(), clock.clone(), Arc::new(SystemRandom));
        let outside = Arc::new(Outside::default());
        *outside.bus.lock().unwrap() = true;

        let mut scenario = evidence_world.scenario();
        scenario.statement = fixture::statement(evidence_world.submission, &artifacts);
        scenario.artifacts = artifacts;
        *outside.proof.lock().unwrap() = Some(proof(&evidence_world, &scenario));
        let attested = fixture::attestation(&scenario.statement, 271, 300);
        let note = attested.sign(&evidence_world.log).unwrap();
        *outside.attestation.lock().unwrap() = Some(note.into());
        let tenant = scenario.statement.tenant.clone();
        for (artifact, (_, bytes)) in scenario.statement.artifacts.iter().zip(&scenario.artifacts) {
            let key = blob_key(&tenant, &artifact.sha3_256);
            truth
                .create(&key, Bytes::from(bytes.clone()))
                .await
                .unwrap();
        }
        let submission = submission(&evidence_world, &scenario.statement.artifacts, "acme");
        let key = submission_key(submission.id);
        truth
            .create(&key, write_submission(&submission).into())
            .await
            .unwrap();
        truth
            .create(
                "repository/crl/issuing/000000000001.crl",
                crl(&evidence_world.issuing).into(),
            )
            .await
            .unwrap();

        let courier = courier(
            &evidence_world,
            &truth,
            &work,
            &clock,
            &ledger,
            &outside,
            piece_bytes,
        );
        let platform = Self {
            evidence: scenario.statement.evidence_number,
            evidence_world,
            truth,
            work,
            clock,
            ledger,
            outside,
            courier,
            beijing: court("beijing"),
            hangzhou: court("hangzhou"),
        };
        platform
            .profile(
                &platform.beijing,
                &platform.beijing.document(Some(ENDPOINT)),
            )
            .await
            .unwrap();
        platform
            .profile(&platform.hangzhou, &platform.hangzhou.document(None))
            .await
            .unwrap();
        platform
    }

    /// The process again after a crash: the same stores, nothing in memory.
    pub fn restarted(&self) -> Arc<Courier> {
        courier(
            &self.evidence_world,
            &self.truth,
            &self.work,
            &self.clock,
            &self.ledger,
            &self.outside,
            self.courier.envelope_content_bytes,
        )
    }

    pub async fn profile(&self, court: &Court, document: &RecipientDocument) -> Result<()> {
        recipient::put(
            &self.ledger,
            &*self.clock,
            &caller(CallerRole::Operator),
            &court.id,
            document,
        )
        .await
    }

    pub async fn request(&self, court: &Court) -> Delivery {
        let asked = self
            .courier
            .request(&tenant("acme"), "credential:v", &self.asked(court))
            .await;
        asked.unwrap().remove(0)
    }

    pub fn asked(&self, court: &Court) -> DeliveryRequestDocument {
        DeliveryRequestDocument {
            recipient: court.id.to_string(),
            case: "(2026)京0491民初12345号".to_owned(),
            evidence: vec![self.evidence.to_string()],
        }
    }

    /// Asked for and prepared; for pull.
    pub async fn prepared(&self) -> Delivery {
        let id = self.request(&self.hangzhou).await.id;
        self.courier.deliver(id).await.unwrap();
        self.courier.delivery(id).await.unwrap()
    }

    /// The whole package, given to the court that pulls.
    pub async fn fetch(&self, id: DeliveryId, legal_basis: &str) -> ByteStream {
        let caller = self.hangzhou.caller();
        let fetch = self.courier.fetch(&caller, id, Some(legal_basis)).await;
        self.courier.give(fetch.unwrap(), None).await.unwrap()
    }

    pub fn court_answers(
        &self,
        behaviour: impl Fn(&Parcel, &[u8]) -> Answer + Send + Sync + 'static,
    ) {
        *self.outside.behaviour.lock().unwrap() = Some(Box::new(behaviour));
    }

    pub fn pushes(&self) -> usize {
        self.outside.pushed.lock().unwrap().len()
    }

    pub async fn events(&self, id: DeliveryId) -> Vec<DeliveryEvent> {
        let history = self
            .ledger
            .read::<DeliveryEvent>(&id.to_string())
            .await
            .unwrap();
        history.events.into_iter().map(|e| e.event).collect()
    }

    /// Some of the package's bytes, given to the court that pulls.
    pub async fn fetch_range(&self, id: DeliveryId, first: u64, last: u64) -> ByteStream {
        let caller = self.hangzhou.caller();
        let fetch = self.courier.fetch(&caller, id, Some("case 1")).await;
        let range = Some(ByteRange { first, last });
        self.courier.give(fetch.unwrap(), range).await.unwrap()
    }

    /// What the court that pulls is told when it asks for the package.
    pub async fn fetch_fails(&self, court: &Court, id: DeliveryId) -> Error {
        let caller = court.caller();
        match self.courier.fetch(&caller, id, Some("case 1")).await {
            Ok(fetch) => self.courier.give(fetch, None).await.err().unwrap(),
            Err(e) => e,
        }
    }

    /// The delivery's package as it lies in the store.
    pub async fn package_bytes(&self, delivery: &Delivery) -> Vec<u8> {
        let object = &delivery.package().unwrap().object;
        self.work
            .get(object, u64::MAX)
            .await
            .unwrap()
            .unwrap()
            .bytes
            .to_vec()
    }

    pub fn access(&self) -> Access {
        Access::new(
            self.ledger.clone(),
            self.clock.clone(),
            Arc::new(SystemRandom),
        )
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

fn courier(
    world: &fixture::World,
    truth: &Arc<dyn Objects>,
    work: &Arc<dyn Objects>,
    clock: &Arc<ManualClock>,
    ledger: &Ledger,
    outside: &Arc<Outside>,
    piece_bytes: u64,
) -> Arc<Courier> {
    let key = MemoryKey::from_pkcs8_der(&world.seal.key.to_pkcs8_der().unwrap()).unwrap();
    let seal = Seal::new(
        Box::new(key),
        world.seal.certificate.clone(),
        vec![world.issuing.certificate.clone()],
        vec![Crl::from_der(&crl(&world.root)).unwrap()],
        truth.clone(),
    )
    .stamped_by(Arc::new(Stamps::new(&world.tsa, clock.clone())));
    let parts = Parts {
        buckets: Buckets {
            truth: truth.clone(),
            work: work.clone(),
        },
        ledger: ledger.clone(),
        clock: clock.clone(),
        random: Arc::new(SystemRandom),
        seal,
        prove: outside.clone(),
        hints: outside.clone(),
        push: outside.clone(),
    };
    Arc::new(Courier::new(
        parts,
        Bounds {
            deliveries: 8,
            per_recipient: 2,
            envelope_content_bytes: piece_bytes,
        },
    ))
}

fn crl(issuer: &fixture::Holder) -> Vec<u8> {
    build_crl(
        &issuer.certificate,
        &issuer.key,
        1,
        NOW.plus_ms(-HOUR_MS),
        NOW.plus_ms(HOUR_MS),
        &[],
    )
    .unwrap()
}

pub fn proof(world: &fixture::World, scenario: &fixture::Scenario) -> Proof {
    let members = world.members(scenario);
    let member = |name: &str| members.iter().find(|(n, _)| n == name).unwrap().1.clone();
    let record = Record {
        evidence: scenario.statement.evidence_number,
        statement: member(package::STATEMENT),
        manifest: member(package::EVENT_MANIFEST),
        signature: member(package::EVENT_SIGNATURE),
    };
    let inclusion = Inclusion::parse(&member(package::INCLUSION)).unwrap();
    Proof {
        record: record.encode().unwrap().into(),
        leaf_index: inclusion.leaf_index,
        tree_size: inclusion.tree_size,
        hashes: inclusion
            .hashes
            .iter()
            .map(|h| Bytes::copy_from_slice(&h.0))
            .collect(),
        checkpoint: member(package::CHECKPOINT).into(),
    }
}

/// Three refused lines, then the evidence: its place is 3.
fn submission(world: &fixture::World, artifacts: &[StatedArtifact], owner: &str) -> Submission {
    let artifacts = artifacts.iter().map(|a| probity_domain::Artifact {
        name: a.name.clone(),
        media_type: a.media_type.clone(),
        role: a.role,
        size_bytes: a.size_bytes,
        digests: probity_domain::Digests {
            sha3_256: a.sha3_256,
            sha256: a.sha256,
        },
    });
    let item = Item::new(
        "Shop page".into(),
        probity_domain::Purpose::Infringement,
        None,
        None,
        artifacts.collect(),
    );
    let refused = ItemOutcome::Refused(Malformed::new("title", "empty"));
    Submission::new(SubmissionDraft {
        id: world.submission,
        tenant: tenant(owner),
        party: PartyId::parse("acme-ltd").unwrap(),
        credential: CredentialId::new(NOW, [1; 10]),
        on_behalf_of: None,
        automated: false,
        case: probity_domain::CaseId::parse("c").unwrap(),
        intent: None,
        idempotency_key: IdempotencyKey::parse("k").unwrap(),
        instruction_sha256: Sha256([4; 32]),
        submitter_signature: None,
        received_at: NOW,
        items: vec![
            refused.clone(),
            refused.clone(),
            refused,
            ItemOutcome::Accepted(item.unwrap()),
        ],
    })
    .unwrap()
}

pub fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).unwrap()
}

pub fn caller(role: CallerRole) -> Caller {
    Caller {
        credential: CredentialId::new(NOW, [9; 10]),
        role,
    }
}

pub fn answer(status: u16, body: &impl serde::Serialize) -> Answer {
    Answer::Response {
        status,
        retry_after_ms: None,
        body: serde_json::to_vec(body).unwrap().into(),
    }
}

/// Reads a stream to its end, or only its first piece.
pub async fn first_piece(mut body: ByteStream) -> Bytes {
    body.next().await.unwrap().unwrap()
}
