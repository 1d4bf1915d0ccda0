//! Vendors, and intake under them: the role's own `submit` on an enrolled party's instructions, called until it accepts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use probity_domain::{
    CredentialId, EvidenceId, IdempotencyKey, IntentId, PartyId, Sha3_256, Sha256, Submission,
    TenantId,
};
use probity_intake::neighbours::Neighbours;
use probity_intake::submit::{Request, submit};
use probity_intake::verified::{Expected, Hashing};
use probity_intake::{Config, Intake, Parts};
use probity_platform::access::{Access, Caller, CallerRole};
use probity_platform::cache::Cache;
use probity_platform::ledger::Ledger;
use probity_platform::objects::Objects as _;
use probity_platform::{ErrorKind, Random, Result};
use probity_proto::http::PartyApplicationDocument;
use probity_proto::ledger::{IntentEvent, LedgerEvent, PartyEvent};
use probity_proto::stored::blob_key;
use probity_proto::subjects::SUBMITTED;
use probity_proto::v1::Submitted;
use serde_json::json;
use sha2::Digest as _;
use tokio::time::sleep;

use crate::bus::Bus;
use crate::chance::Chance;
use crate::clock::WallClock;
use crate::pki::EPOCH;
use crate::sim::{Sim, locked};
use crate::store::Store;

const TENANT: &str = "acme";
const PARTY: &str = "acme-ltd";
/// Instructions begin within this time.
const BEGIN_S: u64 = 600;

/// An instruction that its vendor will not give up.
#[derive(Clone)]
pub struct Planned {
    key: String,
    instruction: Bytes,
    intent: IntentId,
    begin: Duration,
}

/// Evidence numbers that vendors were given, by idempotency key.
#[derive(Clone, Default)]
pub struct Receipts(Arc<Mutex<BTreeMap<String, Vec<EvidenceId>>>>);

impl Receipts {
    pub fn all(&self) -> Vec<EvidenceId> {
        locked(&self.0).values().flatten().copied().collect()
    }

    pub fn keys(&self) -> usize {
        locked(&self.0).len()
    }

    fn take(&self, sim: &Sim, key: &str, submission: &Submission) {
        let numbers: Vec<_> = submission
            .accepted()
            .map(|(evidence, _)| evidence)
            .collect();
        let known = locked(&self.0)
            .entry(key.to_owned())
            .or_insert_with(|| numbers.clone())
            .clone();
        if known != numbers {
            sim.violate(format!("key {key} was given other numbers before"));
        }
    }
}

/// Enrols the party and writes down what it will submit: before anything goes wrong.
pub async fn plan(seed: u64, store: &Store, clock: &Arc<WallClock>) -> Vec<Planned> {
    let chance = Arc::new(Chance::new(seed, "vendors"));
    let random: Arc<dyn Random> = chance.clone();
    let ledger = Ledger::new(store.truth.clone(), clock.clone(), random.clone());
    let decided = PartyEvent::Decided {
        verified: true,
        method: "officer".into(),
        verifier: "officer-7".into(),
        document_sha3_256: vec!["09".repeat(32)],
        note: String::new(),
    };
    let accepted = PartyEvent::AgreementAccepted {
        agreement: "terms".into(),
        version: "1".into(),
        sha3_256: "07".repeat(32),
        channel: "api".into(),
        from_address: "192.0.2.1".into(),
    };
    record(
        &ledger,
        PARTY,
        [PartyEvent::Applied(application()), decided, accepted],
    )
    .await;
    let mut planned = Vec::new();
    for number in 0..chance.between(1, 2) {
        let mut items = Vec::new();
        for place in 0..chance.between(1, 2) {
            let text = format!("capture {number}.{place} of seed {seed}");
            items.push(upload(store, text.as_bytes()).await);
        }
        let instruction = json!({
            "format": "probity.instruction/1", "case": "(2026)X1", "automated": true, "items": items
        });
        let instruction = Bytes::from(instruction.to_string());
        let intent = IntentId::new(clock.true_time(), random.bytes());
        record(&ledger, &intent.to_string(), confirmed(&instruction)).await;
        planned.push(Planned {
            key: format!("key-{number}"),
            instruction,
            intent,
            begin: Duration::from_secs(chance.below(BEGIN_S)),
        });
    }
    planned
}

async fn record<E: LedgerEvent, const N: usize>(ledger: &Ledger, id: &str, events: [E; N]) {
    let mut history = ledger.read::<E>(id).await.unwrap();
    for event in events {
        ledger
            .append(&mut history, "role:test", "test", event)
            .await
            .unwrap();
    }
}

async fn upload(store: &Store, bytes: &[u8]) -> serde_json::Value {
    let mut hashing = Hashing::default();
    hashing.update(bytes);
    let Expected {
        size_bytes,
        digests,
    } = hashing.finish();
    let key = blob_key(&TenantId::parse(TENANT).unwrap(), &digests.sha3_256);
    store
        .truth
        .create(&key, Bytes::copy_from_slice(bytes))
        .await
        .unwrap();
    json!({
        "title": "a page", "purpose": "infringement", "source_url": "https://example.com/",
        "artifacts": [{
            "name": "page.html", "media_type": "text/html", "size_bytes": size_bytes,
            "sha3_256": digests.sha3_256.to_hex(), "sha256": digests.sha256.to_hex()
        }]
    })
}

fn application() -> PartyApplicationDocument {
    PartyApplicationDocument {
        party: PARTY.into(),
        tenant: TENANT.into(),
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

fn confirmed(instruction: &[u8]) -> [IntentEvent; 2] {
    let requested = IntentEvent::Requested {
        tenant: TENANT.into(),
        party: PARTY.into(),
        credential: "c".into(),
        instruction_sha256: Sha256(sha2::Sha256::digest(instruction).into()).to_hex(),
        summary: "s".into(),
        code_hmac: String::new(),
        channel: "smtp".into(),
        masked_destination: "a***@example.com".into(),
        expires_at: EPOCH.plus_ms(600_000).to_rfc3339(),
    };
    let confirmed = IntentEvent::Confirmed {
        from_address: "192.0.2.1".into(),
        user_agent: "t".into(),
    };
    [requested, confirmed]
}

/// What a vendor's process and the intake it talks to are made of.
pub struct Vendor {
    pub who: &'static str,
    pub sim: Arc<Sim>,
    pub store: Store,
    pub bus: Arc<Bus>,
    pub clock: Arc<WallClock>,
    pub random: Arc<Chance>,
    pub planned: Vec<Planned>,
    pub receipts: Receipts,
}

impl Vendor {
    /// Submits everything planned, each until it is accepted.
    pub async fn live(self: Arc<Self>) {
        let intake = self.intake();
        for planned in &self.planned {
            let begun = self.clock.true_time().ms_since(EPOCH);
            let left = (planned.begin.as_millis() as i64)
                .saturating_sub(begun)
                .max(0);
            sleep(Duration::from_millis(left as u64)).await;
            while !self.accepted(&intake, planned).await {
                sleep(Duration::from_secs(self.sim.chance.between(1, 60))).await;
            }
        }
    }

    async fn accepted(&self, intake: &Intake, planned: &Planned) -> bool {
        let caller = Caller {
            credential: CredentialId::new(EPOCH, [1; 10]),
            role: CallerRole::Vendor {
                tenant: TenantId::parse(TENANT).unwrap(),
                party: PartyId::parse(PARTY).unwrap(),
            },
        };
        let request = Request {
            caller: &caller,
            instruction: planned.instruction.clone(),
            key: IdempotencyKey::parse(&planned.key).unwrap(),
            intent: Some(planned.intent),
            signature: None::<Sha3_256>,
        };
        match submit(intake, request).await {
            Ok(submission) => {
                let what = format!("{} accepted as {}", planned.key, submission.id);
                self.sim.note(self.who, &what);
                self.receipts.take(&self.sim, &planned.key, &submission);
                true
            }
            Err(e) => {
                self.sim
                    .note(self.who, &format!("{} not accepted: {e}", planned.key));
                // Nothing in this world gives a vendor reason to be refused for good.
                if !e.kind.is_transient() && e.kind != ErrorKind::Conflict {
                    self.sim
                        .violate(format!("{} was refused: {e}", planned.key));
                    return true;
                }
                false
            }
        }
    }

    fn intake(&self) -> Intake {
        let truth = self.store.reached_by(&self.sim, self.who).truth;
        let random: Arc<dyn Random> = self.random.clone();
        let ledger = Ledger::new(truth.clone(), self.clock.clone(), random.clone());
        let access = Access::new(ledger.clone(), self.clock.clone(), random.clone());
        let config: Config = serde_json::from_value(json!({"listen": "127.0.0.1:0"})).unwrap();
        let told = Arc::new(Told {
            who: self.who,
            bus: self.bus.clone(),
        });
        let (cache, clock) = (Cache::disabled(), self.clock.clone());
        let parts = Parts::new(&config, truth, ledger, cache, access, clock, random, told);
        Arc::new(parts.unwrap())
    }
}

struct Told {
    who: &'static str,
    bus: Arc<Bus>,
}

#[async_trait]
impl Neighbours for Told {
    fn keep_up(&self, _: &TenantId) -> Result<()> {
        Ok(())
    }

    async fn submitted(&self, hint: &Submitted) -> Result<()> {
        let id = format!(
            "submitted:{}:{}:{}",
            hint.submission_id, hint.first_item, hint.round
        );
        self.bus.tell(self.who, &SUBMITTED, &id, hint).await
    }

    async fn locate(&self, _: &[EvidenceId]) -> Result<Vec<(EvidenceId, u64)>> {
        Err(probity_platform::Error::unavailable("nobody asks here"))
    }
}
