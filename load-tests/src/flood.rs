//! A vendor who submits far more than its part: plans instructions at a fixed rate, and comes back when it is told to.
//!
//! A program of its own, so that the laboratory can give its machine's work less of the processors than the platform's.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use clap::Args;
use futures::future::try_join_all;
use probity_client::DigestedFile;
use probity_proto::http::{
    IntentConfirmDocument, IntentRequestDocument, IntentRequestedDocument, SubmittedDocument,
};
use reqwest::{RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until};

use crate::captures::digested;
use crate::generator::{code_of, prepare_instruction, write_receipts};
use crate::report::p99;
use crate::{CaptureArgs, Failure, VendorArgs};

const UPLOADS_AT_ONCE: usize = 8;
/// Instructions under way; the flooder has not more machines than that, and leaves out what is planned beyond it.
const AT_ONCE_MAX: usize = 32;
/// Where an answer asks for no other patience.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
const CALL_MAX: Duration = Duration::from_secs(60);

#[derive(Args)]
pub struct FloodArgs {
    /// `batches` counts for nothing here: instructions are planned until the time is over.
    #[command(flatten)]
    captures: CaptureArgs,
    #[command(flatten)]
    vendor: VendorArgs,
    /// Captures planned per second.
    #[arg(long)]
    per_second: f64,
    /// How long.
    #[arg(long)]
    seconds: u64,
    /// Gets one line of JSON for each number given, with its time.
    #[arg(long)]
    receipts: PathBuf,
}

/// What the flooder saw.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Flooded {
    pub accepted: u64,
    /// Answers by kind, captures planned, not begun and accepted, and calls given up.
    pub counted: BTreeMap<String, u64>,
    /// Refusals with 429 or 503.
    pub refused: u64,
    /// How long they took; absent where nothing was refused.
    pub p99_to_refusal_ms: Option<f64>,
}

/// Floods; answers [`Flooded`].
pub async fn run(args: FloodArgs) -> Result<serde_json::Value, Failure> {
    let secret = std::fs::read_to_string(&args.vendor.key_file).map_err(Failure::new)?;
    let flood = Arc::new(Flood {
        http: reqwest::Client::new(),
        secret: secret.trim().to_owned(),
        folder: tempfile::tempdir().map_err(Failure::new)?,
        ends: Instant::now() + Duration::from_secs(args.seconds),
        receipts: Mutex::new(File::create(&args.receipts).map_err(Failure::new)?),
        seen: Mutex::default(),
        args,
    });
    flood.clone().submit_all().await?;
    let mut seen = flood.seen();
    let took = std::mem::take(&mut seen.refused_after);
    let flooded = Flooded {
        accepted: seen.accepted,
        counted: std::mem::take(&mut seen.counted),
        refused: took.len() as u64,
        p99_to_refusal_ms: p99(took).map(|after| after.as_secs_f64() * 1e3),
    };
    serde_json::to_value(flooded).map_err(Failure::new)
}

struct Flood {
    http: reqwest::Client,
    secret: String,
    folder: tempfile::TempDir,
    ends: Instant,
    receipts: Mutex<File>,
    seen: Mutex<Seen>,
    args: FloodArgs,
}

#[derive(Default)]
struct Seen {
    accepted: u64,
    counted: BTreeMap<String, u64>,
    /// How long each refusal with 429 or 503 took.
    refused_after: Vec<Duration>,
}

/// Until when a call is made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Again {
    UntilTheEnd,
    /// What may have been accepted must be known to have been.
    UntilAnswered,
}

impl Flood {
    /// Instructions begin when planned, whatever became of the ones before; answers when each is accepted or given up.
    async fn submit_all(self: Arc<Self>) -> Result<(), Failure> {
        let instruction_size = self.args.captures.batch_size;
        let every = instruction_size as f64 / self.args.per_second;
        let began = Instant::now();
        let mut instructions = JoinSet::new();
        for number in 0.. {
            let planned = began + Duration::from_secs_f64(number as f64 * every);
            if planned >= self.ends {
                break;
            }
            sleep_until(planned.into()).await;
            self.count("captures planned", instruction_size);
            while let Some(done) = instructions.try_join_next() {
                done.map_err(Failure::new)??;
            }
            if instructions.len() >= AT_ONCE_MAX {
                self.count("captures not begun", instruction_size);
                continue;
            }
            instructions.spawn(self.clone().submit(planned, number));
        }
        while let Some(done) = instructions.join_next().await {
            done.map_err(Failure::new)??;
        }
        Ok(())
    }

    async fn submit(self: Arc<Self>, planned: Instant, number: u64) -> Result<(), Failure> {
        let (folder, captures) = (self.folder.path(), &self.args.captures);
        let (batch, instruction) = prepare_instruction(folder, captures, planned, number).await?;
        let Some(intent) = self.intent(&instruction).await? else {
            return Ok(());
        };
        for files in batch.files.chunks(UPLOADS_AT_ONCE) {
            let uploads: Vec<_> = files.iter().map(|file| self.upload(file)).collect();
            let uploaded = try_join_all(uploads).await?;
            if uploaded.contains(&false) {
                return Ok(());
            }
        }
        let key = format!("flood-{}-{number}", captures.seed);
        let asked = || {
            self.http
                .post(format!("{}/v1/submissions", self.args.vendor.intake))
                .header("content-type", "application/json")
                .header("idempotency-key", &key)
                .header("probity-intent", &intent)
                .body(instruction.clone())
        };
        let Some(answer) = self.call("submit", Again::UntilAnswered, asked).await else {
            return Ok(());
        };
        let answer: SubmittedDocument = document(answer).await?;
        let numbers: Vec<String> = answer
            .items
            .into_iter()
            .filter_map(|i| i.evidence)
            .collect();
        write_receipts(&self.receipts, &numbers)?;
        self.count("captures accepted", numbers.len() as u64);
        self.seen().accepted += numbers.len() as u64;
        Ok(())
    }

    /// `None` if the flood ended meanwhile, as below.
    async fn intent(&self, instruction: &[u8]) -> Result<Option<String>, Failure> {
        let instruction_sha256 = digested(instruction.to_vec().into()).sha256;
        let wanted = IntentRequestDocument {
            instruction_sha256: instruction_sha256.clone(),
            summary: "flood".to_owned(),
        };
        let intents = format!("{}/v1/intents", self.args.vendor.identity);
        let asked = || self.http.post(&intents).json(&wanted);
        let Some(answer) = self.call("intent", Again::UntilTheEnd, asked).await else {
            return Ok(None);
        };
        let requested: IntentRequestedDocument = document(answer).await?;
        let confirmation = IntentConfirmDocument {
            code: code_of(&self.args.vendor.codes, &requested.intent)?,
            instruction_sha256,
        };
        let confirm = format!("{intents}/{}/confirm", requested.intent);
        let asked = || self.http.post(&confirm).json(&confirmation);
        let confirmed = self.call("intent", Again::UntilTheEnd, asked).await;
        Ok(confirmed.map(|_| requested.intent))
    }

    async fn upload(&self, file: &DigestedFile) -> Result<bool, Failure> {
        let bytes = std::fs::read(&file.path).map_err(Failure::new)?;
        std::fs::remove_file(&file.path).map_err(Failure::new)?;
        let url = format!(
            "{}/v1/blobs/{}",
            self.args.vendor.intake,
            file.digests.sha3_256.to_hex()
        );
        let asked = || {
            self.http
                .put(&url)
                .header("content-type", "application/octet-stream")
                .header("probity-sha256", file.digests.sha256.to_hex())
                .body(bytes.clone())
        };
        let uploaded = self.call("upload", Again::UntilTheEnd, asked).await;
        Ok(uploaded.is_some())
    }

    /// Makes a call, again and again where it was refused for lack of room; `None` when that is given up, or what came back
    /// will not change.
    async fn call(
        &self,
        what: &str,
        again: Again,
        asked: impl Fn() -> RequestBuilder,
    ) -> Option<Response> {
        loop {
            let began = Instant::now();
            let sent = asked().bearer_auth(&self.secret).timeout(CALL_MAX).send();
            let mut patience = AGAIN_AFTER;
            match sent.await {
                Ok(answer) if answer.status().is_success() => return Some(answer),
                Ok(answer) => {
                    let status = answer.status();
                    self.count(&format!("{what} answered {}", status.as_u16()), 1);
                    let is_full = [
                        StatusCode::TOO_MANY_REQUESTS,
                        StatusCode::SERVICE_UNAVAILABLE,
                    ]
                    .contains(&status);
                    if is_full {
                        self.seen().refused_after.push(began.elapsed());
                    } else if status.is_client_error() {
                        return None;
                    }
                    let asks = answer.headers().get("retry-after");
                    let seconds = asks.and_then(|value| value.to_str().ok()?.parse().ok());
                    patience = seconds.map_or(patience, Duration::from_secs);
                }
                Err(_) => self.count(&format!("{what} without an answer"), 1),
            }
            if again == Again::UntilTheEnd && Instant::now() + patience >= self.ends {
                self.count("given up", 1);
                return None;
            }
            sleep(patience).await;
        }
    }

    fn count(&self, what: &str, by: u64) {
        *self.seen().counted.entry(what.to_owned()).or_default() += by;
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn document<T: DeserializeOwned>(answer: Response) -> Result<T, Failure> {
    answer.json().await.map_err(Failure::new)
}
