//! One vendor who submits far more than its part, while another goes on as before.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use probity_client::DigestedFile;
use probity_proto::http::{
    IntentConfirmDocument, IntentRequestDocument, IntentRequestedDocument, SubmittedDocument,
};
use reqwest::{RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until};

use crate::captures::digested;
use crate::chaos::Lab;
use crate::chaos::audit::Given;
use crate::chaos::latency::{Compared, p99};
use crate::chaos::load::{Tally, write_receipts};
use crate::generator::{case, code_of, prepare_instruction};
use crate::{CaptureArgs, Failure};

/// As many times the captures of the first vendor, in instructions as many times as large and the rest in number.
const TIMES: f64 = 50.0;
const TIMES_LARGER: u64 = 30;
const UPLOADS_AT_ONCE: usize = 8;
/// Instructions under way; the flooder has not more machines than that, and leaves out what is planned beyond it.
const AT_ONCE_MAX: usize = 32;
/// Where an answer asks for no other patience.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
const CALL_MAX: Duration = Duration::from_secs(60);

/// First nothing for the dose, to compare with; then the flood, for as long.
pub async fn of_one_vendor(lab: &Lab) -> Result<(), Failure> {
    let span = Duration::from_secs(u64::from(lab.dose));
    let enrolled = lab.stack.enrol("flood", None).await?;
    let receipts = lab.stack.path("receipts-flood.jsonl");
    let errors_before = lab.submitter.tally.errors().values().sum::<u64>();
    let from = Instant::now();
    sleep(span).await;

    let disturbed_from = Instant::now();
    let disturbed_to = disturbed_from + span;
    lab.notes().compared = Some(Compared {
        from,
        disturbed_from,
        disturbed_to,
    });
    let captures = CaptureArgs {
        seed: lab.rate.seed ^ (1 << 32),
        batches: 0,
        batch_size: lab.rate.batch_size * TIMES_LARGER,
        size_bytes: lab.rate.size_bytes,
    };
    let flood = Arc::new(Flood {
        http: reqwest::Client::new(),
        intake: lab.stack.url("intake")?,
        identity: lab.stack.url("identity")?,
        secret: enrolled.secret.clone(),
        codes: lab.stack.path("codes"),
        folder: tempfile::tempdir().map_err(Failure::new)?,
        ends: disturbed_to,
        receipts: Mutex::new(File::create(&receipts).map_err(Failure::new)?),
        tally: lab.submitter.tally.clone(),
        seen: Mutex::default(),
        captures,
    });
    lab.notes().others.push(Given {
        vendor: Arc::new(lab.stack.vendor(&enrolled.secret)?),
        case: case(flood.captures.seed),
        receipts,
    });
    flood.clone().run(lab.rate.per_second * TIMES).await?;
    conclude(lab, &flood);

    let errors = lab.submitter.tally.errors().values().sum::<u64>();
    if errors > errors_before {
        let failed = errors - errors_before;
        lab.broken(format!("{failed} calls of the other vendor failed"));
    }
    Ok(())
}

fn conclude(lab: &Lab, flood: &Flood) {
    let seen = flood.seen();
    for (what, times) in &seen.counted {
        let what = format!("flooder: {what}");
        lab.notes().injected.insert(what, *times);
    }
    lab.measured("flooder's calls refused", seen.refused_after.len() as f64);
    if let Some(after) = p99(seen.refused_after.clone()) {
        lab.measured("flooder's p99 to refusal, ms", after.as_secs_f64() * 1e3);
    }
}

struct Flood {
    http: reqwest::Client,
    intake: String,
    identity: String,
    secret: String,
    codes: PathBuf,
    captures: CaptureArgs,
    folder: tempfile::TempDir,
    ends: Instant,
    receipts: Mutex<File>,
    tally: Arc<Tally>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
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
    async fn run(self: Arc<Self>, captures_per_second: f64) -> Result<(), Failure> {
        let every = self.captures.batch_size as f64 / captures_per_second;
        let began = Instant::now();
        let mut instructions = JoinSet::new();
        for number in 0.. {
            let planned = began + Duration::from_secs_f64(number as f64 * every);
            if planned >= self.ends {
                break;
            }
            sleep_until(planned.into()).await;
            self.count("captures planned", self.captures.batch_size);
            while let Some(done) = instructions.try_join_next() {
                done.map_err(Failure::new)??;
            }
            if instructions.len() >= AT_ONCE_MAX {
                self.count("captures not begun", self.captures.batch_size);
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
        let (folder, captures) = (self.folder.path(), &self.captures);
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
        let key = format!("flood-{}-{number}", self.captures.seed);
        let asked = || {
            self.http
                .post(format!("{}/v1/submissions", self.intake))
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
        self.tally.accepted_of_another(numbers.len() as u64);
        Ok(())
    }

    /// `None` if the flood ended meanwhile, as below.
    async fn intent(&self, instruction: &[u8]) -> Result<Option<String>, Failure> {
        let instruction_sha256 = digested(instruction.to_vec().into()).sha256;
        let wanted = IntentRequestDocument {
            instruction_sha256: instruction_sha256.clone(),
            summary: "flood".to_owned(),
        };
        let intents = format!("{}/v1/intents", self.identity);
        let asked = || self.http.post(&intents).json(&wanted);
        let Some(answer) = self.call("intent", Again::UntilTheEnd, asked).await else {
            return Ok(None);
        };
        let requested: IntentRequestedDocument = document(answer).await?;
        let confirmation = IntentConfirmDocument {
            code: code_of(&self.codes, &requested.intent)?,
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
            self.intake,
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
