//! One intake role on a store in memory, with a clock that tests move and neighbours that tests silence.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use probity_domain::{EvidenceId, IntentId, PartyId, Sha256, TenantId, Timestamp};
use probity_intake::neighbours::Neighbours;
use probity_intake::verified::{Expected, Hashing};
use probity_intake::{Config, Intake, Parts, router};
use probity_platform::access::{Access, CallerRole};
use probity_platform::cache::Cache;
use probity_platform::clock::ManualClock;
use probity_platform::ledger::{History, Ledger};
use probity_platform::objects::MemoryObjects;
use probity_platform::{Error, Random, Result, SystemRandom};
use probity_proto::http::PartyApplicationDocument;
use probity_proto::ledger::{IntentEvent, LedgerEvent, PartyEvent};
use probity_proto::v1::Submitted;
use serde_json::{Value, json};
use sha2::Digest as _;
use tower::ServiceExt as _;

#[derive(Default)]
pub struct FakeNeighbours {
    pub hints: Mutex<Vec<Submitted>>,
    pub deposited: Mutex<HashMap<EvidenceId, u64>>,
    pub down: AtomicBool,
    /// Signing is behind.
    pub behind: AtomicBool,
}

#[async_trait::async_trait]
impl Neighbours for FakeNeighbours {
    fn keep_up(&self, _: &TenantId) -> Result<()> {
        match self.behind.load(Ordering::SeqCst) {
            true => Err(Error::unavailable("signing is behind")),
            false => Ok(()),
        }
    }

    async fn submitted(&self, hint: &Submitted) -> Result<()> {
        self.up()?;
        self.hints.lock().unwrap().push(hint.clone());
        Ok(())
    }

    async fn locate(&self, evidence: &[EvidenceId]) -> Result<Vec<(EvidenceId, u64)>> {
        self.up()?;
        let deposited = self.deposited.lock().unwrap();
        Ok(evidence
            .iter()
            .filter_map(|id| Some((*id, *deposited.get(id)?)))
            .collect())
    }
}

impl FakeNeighbours {
    fn up(&self) -> Result<()> {
        if self.down.load(Ordering::SeqCst) {
            Err(Error::unavailable("down"))
        } else {
            Ok(())
        }
    }
}

pub struct World {
    pub truth: Arc<MemoryObjects>,
    pub clock: Arc<ManualClock>,
    pub ledger: Ledger,
    pub access: Access,
    pub neighbours: Arc<FakeNeighbours>,
    pub intake: Intake,
    /// A verified party's credential that has agreed to the electronic form.
    pub vendor: String,
    router: axum::Router,
}

impl World {
    pub async fn start() -> Self {
        Self::start_with(json!({"blob_bytes_max": 20_000_000})).await
    }

    pub async fn start_with(settings: Value) -> Self {
        let neighbours = Arc::new(FakeNeighbours::default());
        let mut world = Self::start_among(settings, Cache::disabled(), neighbours.clone()).await;
        world.neighbours = neighbours;
        world
    }

    /// With a Redis and neighbours of the test's own.
    pub async fn start_among(
        mut settings: Value,
        cache: Cache,
        neighbours: Arc<dyn Neighbours>,
    ) -> Self {
        settings["listen"] = json!("127.0.0.1:0");
        let config: Config = serde_json::from_value(settings).unwrap();
        let truth = Arc::new(MemoryObjects::new());
        let clock = Arc::new(ManualClock::at(Timestamp::from_unix_ms(1_795_000_000_000)));
        let random: Arc<dyn Random> = Arc::new(SystemRandom);
        let ledger = Ledger::new(truth.clone(), clock.clone(), random.clone());
        let access = Access::new(ledger.clone(), clock.clone(), random.clone());
        let intake = intake(&config, &truth, &ledger, &access, &clock, cache, neighbours);
        let router = router(intake.clone());
        let mut world = Self {
            truth,
            clock,
            ledger,
            access,
            neighbours: Arc::default(),
            intake,
            vendor: String::new(),
            router,
        };
        world.enrol("acme-legal", "acme", true).await;
        world.vendor = world.credential("acme-legal", "acme").await;
        world
    }

    /// The same store, as a process sees it that has just started.
    pub fn restart(&mut self) {
        let config = serde_json::from_value(json!({"listen": "127.0.0.1:0"})).unwrap();
        self.intake = intake(
            &config,
            &self.truth,
            &self.ledger,
            &self.access,
            &self.clock,
            Cache::disabled(),
            self.neighbours.clone(),
        );
        self.router = router(self.intake.clone());
    }

    pub async fn enrol(&self, party: &str, tenant: &str, agreed: bool) {
        let application = PartyApplicationDocument {
            party: party.into(),
            tenant: tenant.into(),
            kind: "person".into(),
            name: party.into(),
            identifier: "1".into(),
            country: "SG".into(),
            email: "a@example.com".into(),
            legal_representative: None,
            handler: None,
            declared_true: true,
        };
        let decided = PartyEvent::Decided {
            verified: true,
            method: "officer".into(),
            verifier: "v".into(),
            document_sha3_256: vec![],
            note: "seen".into(),
        };
        let mut events = vec![PartyEvent::Applied(application), decided];
        if agreed {
            events.push(PartyEvent::AgreementAccepted {
                agreement: "electronic-form".into(),
                version: "1".into(),
                sha3_256: "ab".repeat(32),
                channel: "https".into(),
                from_address: "192.0.2.1".into(),
            });
        }
        self.append(party, events).await;
    }

    pub async fn append<E: LedgerEvent>(&self, id: &str, events: Vec<E>) {
        let mut history: History<E> = self.ledger.read(id).await.unwrap();
        for event in events {
            self.ledger
                .append(&mut history, "test", "test", event)
                .await
                .unwrap();
        }
    }

    pub async fn credential(&self, party: &str, tenant: &str) -> String {
        let role = CallerRole::Vendor {
            tenant: TenantId::parse(tenant).unwrap(),
            party: PartyId::parse(party).unwrap(),
        };
        self.access
            .issue(role, "test", "test")
            .await
            .unwrap()
            .1
            .expose()
            .to_owned()
    }

    /// A confirmed intent for these bytes.
    pub async fn intent(&self, instruction: &[u8]) -> String {
        let id = self.unconfirmed_intent(instruction).await;
        let confirmed = IntentEvent::Confirmed {
            from_address: "192.0.2.1".into(),
            user_agent: "test".into(),
        };
        self.append(&id, vec![confirmed]).await;
        id
    }

    pub async fn unconfirmed_intent(&self, instruction: &[u8]) -> String {
        let id = IntentId::new(Timestamp::from_unix_ms(1), SystemRandom.ten()).to_string();
        let requested = IntentEvent::Requested {
            tenant: "acme".into(),
            party: "acme-legal".into(),
            credential: "c".into(),
            instruction_sha256: Sha256(sha2::Sha256::digest(instruction).into()).to_hex(),
            summary: "s".into(),
            code_hmac: "h".into(),
            channel: "file".into(),
            masked_destination: "a***@example.com".into(),
            expires_at: Timestamp::from_unix_ms(1_795_000_600_000).to_rfc3339(),
        };
        self.append(&id, vec![requested]).await;
        id
    }

    pub async fn send(&self, request: Request<Body>) -> (StatusCode, HeaderMap, Bytes) {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let bytes = body
            .collect()
            .await
            .map(|b| b.to_bytes())
            .unwrap_or_default();
        (head.status, head.headers, bytes)
    }

    pub async fn get(&self, path: &str) -> (StatusCode, Value) {
        self.get_as(path, &self.vendor).await
    }

    pub async fn get_as(&self, path: &str, secret: &str) -> (StatusCode, Value) {
        let (status, _, bytes) = self
            .send(
                request(Method::GET, path, secret)
                    .body(Body::empty())
                    .unwrap(),
            )
            .await;
        (
            status,
            serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        )
    }

    /// Uploads as announced by `announced`, which may lie.
    pub async fn put(&self, announced: Expected, bytes: &[u8]) -> (StatusCode, Value) {
        let path = format!("/v1/blobs/{}", announced.digests.sha3_256);
        let request = request(Method::PUT, &path, &self.vendor)
            .header("probity-sha256", announced.digests.sha256.to_hex())
            .header("content-length", announced.size_bytes)
            .body(Body::from(bytes.to_vec()))
            .unwrap();
        let (status, _, bytes) = self.send(request).await;
        (
            status,
            serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        )
    }

    pub async fn upload(&self, bytes: &[u8]) -> Value {
        let announced = digest(bytes);
        assert_eq!(self.put(announced, bytes).await.0, 201);
        artifact("page.html", announced)
    }

    pub async fn submit(
        &self,
        instruction: &[u8],
        key: &str,
        intent: Option<&str>,
    ) -> (StatusCode, Value) {
        self.submit_as(&self.vendor, instruction, key, intent).await
    }

    pub async fn submit_as(
        &self,
        secret: &str,
        instruction: &[u8],
        key: &str,
        intent: Option<&str>,
    ) -> (StatusCode, Value) {
        let mut request =
            request(Method::POST, "/v1/submissions", secret).header("idempotency-key", key);
        if let Some(intent) = intent {
            request = request.header("probity-intent", intent);
        }
        let (status, _, bytes) = self
            .send(request.body(Body::from(instruction.to_vec())).unwrap())
            .await;
        (
            status,
            serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        )
    }

    /// Uploads, confirms and submits captures of these texts; answers their numbers.
    pub async fn deposit(&self, case: &str, key: &str, texts: &[&str]) -> Vec<String> {
        let mut items = Vec::new();
        for text in texts {
            items.push(item(vec![self.upload(text.as_bytes()).await]));
        }
        let instruction = instruction(case, items);
        let intent = self.intent(&instruction).await;
        let (status, submitted) = self.submit(&instruction, key, Some(&intent)).await;
        assert_eq!(status, 200, "{submitted}");
        numbers(&submitted)
    }
}

trait Ten {
    fn ten(&self) -> [u8; 10];
}

impl Ten for SystemRandom {
    fn ten(&self) -> [u8; 10] {
        let random: &dyn Random = self;
        random.bytes()
    }
}

fn intake(
    config: &Config,
    truth: &Arc<MemoryObjects>,
    ledger: &Ledger,
    access: &Access,
    clock: &Arc<ManualClock>,
    cache: Cache,
    neighbours: Arc<dyn Neighbours>,
) -> Intake {
    let parts = Parts::new(
        config,
        truth.clone(),
        ledger.clone(),
        cache,
        access.clone(),
        clock.clone(),
        Arc::new(SystemRandom),
        neighbours,
    );
    Arc::new(parts.unwrap())
}

pub fn request(method: Method, path: &str, secret: &str) -> http::request::Builder {
    Request::builder()
        .method(method)
        .uri(path)
        .header("authorization", format!("Bearer {secret}"))
}

pub fn digest(bytes: &[u8]) -> Expected {
    let mut hashing = Hashing::default();
    hashing.update(bytes);
    hashing.finish()
}

pub fn artifact(name: &str, of: Expected) -> Value {
    json!({
        "name": name, "media_type": "text/html", "size_bytes": of.size_bytes,
        "sha3_256": of.digests.sha3_256.to_hex(), "sha256": of.digests.sha256.to_hex()
    })
}

pub fn item(artifacts: Vec<Value>) -> Value {
    json!({"title": "a page", "purpose": "infringement", "source_url": "https://example.com/", "artifacts": artifacts})
}

pub fn instruction(case: &str, items: Vec<Value>) -> Vec<u8> {
    json!({"format": "probity.instruction/1", "case": case, "automated": true, "items": items})
        .to_string()
        .into_bytes()
}

pub fn numbers(submitted: &Value) -> Vec<String> {
    let items = submitted["items"].as_array().unwrap();
    items
        .iter()
        .filter_map(|i| i["evidence"].as_str().map(str::to_owned))
        .collect()
}
