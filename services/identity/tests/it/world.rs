//! One identity role on a store in memory, a clock that tests move and codes in a directory.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::ConnectInfo;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use probity_domain::Timestamp;
use probity_identity::{Config, Identity, router};
use probity_platform::access::{Access, CallerRole};
use probity_platform::clock::ManualClock;
use probity_platform::ledger::Ledger;
use probity_platform::objects::MemoryObjects;
use probity_platform::{Random, SystemRandom};
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt as _;

pub struct World {
    pub clock: Arc<ManualClock>,
    pub ledger: Ledger,
    pub officer: String,
    pub identity: Identity,
    router: axum::Router,
    dir: TempDir,
}

pub const TEXT: &str =
    "Both sides agree that records in electronic form are good evidence. 双方同意电子形式。";

impl World {
    pub async fn start() -> Self {
        let dir = TempDir::new().unwrap();
        let key = dir.path().join("key");
        std::fs::write(&key, "k".repeat(32)).unwrap();
        let config: Config = serde_json::from_value(json!({
            "listen": "127.0.0.1:0",
            "code_key_file": key,
            "channel": {"kind": "file", "dir": dir.path().join("codes")},
            "sandbox_provider": true,
            "trusted_proxies": ["10.0.0.1"],
        }))
        .unwrap();
        let clock = Arc::new(ManualClock::at(Timestamp::from_unix_ms(1_795_000_000_000)));
        let random: Arc<dyn Random> = Arc::new(SystemRandom);
        let ledger = Ledger::new(
            Arc::new(MemoryObjects::new()),
            clock.clone(),
            random.clone(),
        );
        let access = Access::new(ledger.clone(), clock.clone(), random.clone());
        let identity = Identity::new(
            &config,
            ledger.clone(),
            access.clone(),
            clock.clone(),
            random,
        )
        .unwrap();
        let (_, officer) = access
            .issue(CallerRole::Officer, "test", "test")
            .await
            .unwrap();
        let router = router(identity.clone());
        Self {
            clock,
            ledger,
            officer: officer.expose().to_owned(),
            identity,
            router,
            dir,
        }
    }

    pub fn router(&self) -> axum::Router {
        self.router.clone()
    }

    pub async fn call(
        &self,
        method: Method,
        path: &str,
        secret: Option<&str>,
        body: &Value,
    ) -> (StatusCode, Value) {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/json");
        if let Some(secret) = secret {
            request = request.header("authorization", format!("Bearer {secret}"));
        }
        request = request
            .header("user-agent", "test/1")
            .header("x-forwarded-for", "192.0.2.44, 198.51.100.9");
        let body = if body.is_null() {
            Body::empty()
        } else {
            Body::from(body.to_string())
        };
        let mut request = request.body(body).unwrap();
        request
            .extensions_mut()
            .insert(ConnectInfo(SocketAddr::from(([10, 0, 0, 1], 5))));
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (
            status,
            serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        )
    }

    pub async fn post(&self, path: &str, secret: &str, body: Value) -> (StatusCode, Value) {
        self.call(Method::POST, path, Some(secret), &body).await
    }

    pub async fn get(&self, path: &str, secret: &str) -> (StatusCode, Value) {
        self.call(Method::GET, path, Some(secret), &Value::Null)
            .await
    }

    pub fn application(party: &str, tenant: &str) -> Value {
        json!({
            "party": party, "tenant": tenant, "kind": "organization", "name": "Acme Ltd", "identifier": "91110000",
            "country": "CN", "email": "legal@acme.example", "legal_representative": "Li", "handler": "Wang",
            "declared_true": true
        })
    }

    /// A verified party's credential.
    pub async fn vendor(&self, party: &str, tenant: &str) -> String {
        let application = Self::application(party, tenant);
        assert_eq!(
            self.call(Method::POST, "/v1/parties", None, &application)
                .await
                .0,
            200
        );
        let seen = json!({"verified": true, "method": "officer", "document_sha3_256": [], "note": "licence seen"});
        let decision = format!("/v1/parties/{party}/decision");
        assert_eq!(self.post(&decision, &self.officer, seen).await.0, 200);
        self.credential(party, tenant).await.1["secret"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    pub async fn credential(&self, party: &str, tenant: &str) -> (StatusCode, Value) {
        let request = json!({"role": "vendor", "tenant": tenant, "party": party});
        self.post("/v1/credentials", &self.officer, request).await
    }

    /// Publishes the agreement and lets the party accept it.
    pub async fn agree(&self, party: &str, secret: &str) {
        let agreement = json!({"agreement": "electronic-form", "version": "2026.1", "text": TEXT});
        let (status, published) = self.post("/v1/agreements", &self.officer, agreement).await;
        assert_eq!(status, 200);
        let acceptance = json!({
            "agreement": "electronic-form", "version": "2026.1", "sha3_256": published["sha3_256"]
        });
        let path = format!("/v1/parties/{party}/acceptances");
        assert_eq!(self.post(&path, secret, acceptance).await.0, 200);
    }

    /// Asks for a code; answers intent and code.
    pub async fn intent(&self, secret: &str, instruction_sha256: &str) -> (String, String) {
        let request =
            json!({"instruction_sha256": instruction_sha256, "summary": "submit 2 captures"});
        let (status, requested) = self.post("/v1/intents", secret, request).await;
        assert_eq!(status, 200, "{requested}");
        assert_eq!(requested["masked_destination"], "l***@acme.example");
        let intent = requested["intent"].as_str().unwrap().to_owned();
        let file = self.dir.path().join("codes").join(format!("{intent}.json"));
        let sent: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        (intent, sent["code"].as_str().unwrap().to_owned())
    }

    pub async fn confirm(
        &self,
        secret: &str,
        intent: &str,
        code: &str,
        sha256: &str,
    ) -> (StatusCode, Value) {
        let body = json!({"code": code, "instruction_sha256": sha256});
        self.post(&format!("/v1/intents/{intent}/confirm"), secret, body)
            .await
    }
}

/// A code that is not this one.
pub fn other_than(code: &str) -> String {
    let last = if code.ends_with('0') { '1' } else { '0' };
    format!("{}{last}", &code[..7])
}
