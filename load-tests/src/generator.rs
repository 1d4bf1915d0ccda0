//! The open-model generator: batches start when planned, whether or not earlier ones are done.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::Args;
use futures::{StreamExt as _, TryStreamExt as _};
use probity_client::{DigestedFile, Endpoints, ProblemKind, Secret, Vendor, digest_file};
use probity_domain::EvidenceId;
use probity_platform::{Clock as _, SystemClock};
use probity_proto::http::{
    ArtifactDocument, INSTRUCTION_FORMAT, InstructionDocument, IntentConfirmDocument,
    IntentRequestDocument, ItemDocument,
};
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;

use crate::captures::capture_bytes;
use crate::report::Latencies;
use crate::{CaptureArgs, Failure, VendorArgs};

/// Name of each capture's only artifact.
pub(crate) const ARTIFACT: &str = "capture.bin";

/// How often a batch's status is asked for: what a latency to deposit is exact to.
const STATUS_EVERY: Duration = Duration::from_millis(50);

/// How long the log may stand still before the run is given up.
const STALL_MAX: Duration = Duration::from_secs(120);

#[derive(Args, Clone)]
pub struct Plan {
    #[command(flatten)]
    captures: CaptureArgs,
    #[command(flatten)]
    vendor: VendorArgs,
    /// Base URL of the log, whose size says how much is deposited.
    #[arg(long)]
    log: String,
    /// Batches per second; 0 plans all of them at once.
    #[arg(long, default_value_t = 0.0)]
    rate: f64,
    /// Uploads in flight over all batches.
    #[arg(long, default_value_t = 16)]
    in_flight: usize,
    /// More than can be done: an instruction that is refused is counted, with the time to its refusal, and not repeated.
    #[arg(long)]
    overload: bool,
}

/// One batch on its way: when it was planned, its files, its number in the run.
pub(crate) struct Batch {
    pub planned: Instant,
    pub files: Vec<DigestedFile>,
    pub number: u64,
}

/// How long the refusals of a run took, instruction by instruction.
#[derive(Default)]
struct Refused(Mutex<Vec<Duration>>);

struct Accepted {
    latency: Duration,
    planned: Instant,
    last: EvidenceId,
    items: u64,
}

/// Runs the plan; answers the report.
pub async fn run(plan: Plan) -> Result<serde_json::Value, Failure> {
    let key = std::fs::read_to_string(&plan.vendor.key_file).map_err(Failure::new)?;
    let endpoints = Endpoints {
        intake: plan.vendor.intake.clone(),
        identity: plan.vendor.identity.clone(),
        delivery: plan.vendor.intake.clone(),
    };
    let vendor = Arc::new(Vendor::new(&endpoints, &Secret::new(&key), None).map_err(Failure::new)?);
    let folder = tempfile::tempdir().map_err(Failure::new)?;
    let files = prepare(folder.path(), &plan.captures).await?;
    let before = log_size(&plan.log).await?;
    let uploads = Arc::new(Semaphore::new(plan.in_flight));
    let refused = Arc::new(Refused::default());

    let started = Instant::now();
    let batches = plan.captures.batches;
    let submitted = futures::stream::iter(files.into_iter().zip(0u64..))
        .map(|(files, number)| {
            let offset = if plan.rate > 0.0 {
                number as f64 / plan.rate
            } else {
                0.0
            };
            let batch = Batch {
                planned: started + Duration::from_secs_f64(offset),
                files,
                number,
            };
            let (vendor, uploads) = (vendor.clone(), uploads.clone());
            one_batch(vendor, uploads, plan.clone(), batch, refused.clone())
        })
        // Open model: every batch is in flight from its planned start on.
        .buffer_unordered(usize::try_from(batches).unwrap_or(usize::MAX));
    let deposits = submitted
        .try_filter_map(async |accepted| Ok(accepted))
        .map_ok(|accepted| deposited(vendor.clone(), accepted, plan.overload))
        .try_buffer_unordered(usize::try_from(batches).unwrap_or(usize::MAX));
    let done: Vec<(Accepted, Option<Duration>)> = deposits.try_collect().await?;
    let accepted: u64 = done.iter().map(|(a, _)| a.items).sum();
    wait_for_log(&plan.log, before + accepted).await?;
    let elapsed = started.elapsed();

    let [
        mut to_accepted,
        mut to_deposited,
        mut between,
        mut to_refused,
    ] = [
        Latencies::new()?,
        Latencies::new()?,
        Latencies::new()?,
        Latencies::new()?,
    ];
    let times = refused.0.lock().unwrap_or_else(PoisonError::into_inner);
    times.iter().for_each(|time| to_refused.add(*time));
    for (accepted, deposited) in &done {
        to_accepted.add(accepted.latency);
        if let Some(deposited) = deposited {
            to_deposited.add(*deposited);
            between.add(deposited.saturating_sub(accepted.latency));
        }
    }
    Ok(serde_json::json!({
        "what": "run",
        "captures": accepted,
        "seconds": elapsed.as_secs_f64(),
        "per_second": accepted as f64 / elapsed.as_secs_f64(),
        "planned_to_accepted_per_batch": to_accepted.to_json(),
        "planned_to_deposited_per_batch": to_deposited.to_json(),
        "accepted_to_deposited_per_batch": between.to_json(),
        "planned_per_second": plan.rate * plan.captures.batch_size as f64,
        "batches": batches,
        "request_to_refused_per_batch": to_refused.to_json(),
    }))
}

/// Writes every capture to a file and hashes it: what a vendor's machine has done before it submits.
async fn prepare(folder: &Path, captures: &CaptureArgs) -> Result<Vec<Vec<DigestedFile>>, Failure> {
    let mut batches = Vec::new();
    for batch in 0..captures.batches {
        batches.push(prepare_batch(folder, captures, batch).await?);
    }
    Ok(batches)
}

/// The same for one batch.
pub(crate) async fn prepare_batch(
    folder: &Path,
    captures: &CaptureArgs,
    batch: u64,
) -> Result<Vec<DigestedFile>, Failure> {
    let mut files = Vec::new();
    for place in 0..captures.batch_size {
        let n = batch * captures.batch_size + place;
        let path = folder.join(format!("{n}.bin"));
        std::fs::write(&path, capture_bytes(captures.seed, n, captures.size_bytes))
            .map_err(Failure::new)?;
        files.push(digest_file(&path).await.map_err(Failure::new)?);
    }
    Ok(files)
}

async fn one_batch(
    vendor: Arc<Vendor>,
    uploads: Arc<Semaphore>,
    plan: Plan,
    batch: Batch,
    refused: Arc<Refused>,
) -> Result<Option<Accepted>, Failure> {
    tokio::time::sleep_until(batch.planned.into()).await;
    let instruction = instruction(&plan.captures, &batch)?;
    let intent = confirmed_intent(&vendor, &plan.vendor.codes, &instruction).await?;
    futures::stream::iter(batch.files.iter())
        .map(|file| {
            let (vendor, uploads) = (vendor.clone(), uploads.clone());
            async move {
                let _permit = uploads.acquire().await.map_err(Failure::new)?;
                vendor.put_blob(file, |_| {}).await.map_err(Failure::new)
            }
        })
        .buffer_unordered(plan.in_flight)
        .try_for_each(|_| async { Ok(()) })
        .await?;
    let key = format!("load-{}-{}", plan.captures.seed, batch.number);
    let submit = async |vendor: &Vendor| vendor.submit(&instruction, &key, Some(&intent)).await;
    let answer = if plan.overload {
        let asked = Instant::now();
        let answer = submit(&Vendor::clone(&vendor).asking_once()).await;
        let kind = answer.as_ref().err().and_then(probity_client::Error::kind);
        if let Some(ProblemKind::TooMany | ProblemKind::Unavailable) = kind {
            let mut times = refused.0.lock().unwrap_or_else(PoisonError::into_inner);
            times.push(asked.elapsed());
            return Ok(None);
        }
        answer
    } else {
        submit(&vendor).await
    };
    let answer = answer.map_err(Failure::new)?;
    let refused = answer.items.iter().find(|i| i.evidence.is_none());
    if let Some(item) = refused {
        return Err(Failure::new(format!(
            "item {} refused: {:?}",
            item.place, item.reason
        )));
    }
    let last = answer
        .items
        .last()
        .and_then(|i| i.evidence.as_deref())
        .unwrap_or_default();
    Ok(Some(Accepted {
        latency: batch.planned.elapsed(),
        planned: batch.planned,
        last: EvidenceId::parse(last).map_err(Failure::new)?,
        items: answer.items.len() as u64,
    }))
}

/// The case of all captures of a seed.
pub(crate) fn case(seed: u64) -> String {
    format!("load-{seed}")
}

/// Writes the captures of a batch into `folder`; the batch, and the instruction for it.
pub(crate) async fn prepare_instruction(
    folder: &Path,
    captures: &CaptureArgs,
    planned: Instant,
    number: u64,
) -> Result<(Batch, Vec<u8>), Failure> {
    let files = prepare_batch(folder, captures, number).await?;
    let batch = Batch {
        planned,
        files,
        number,
    };
    let instruction = instruction(captures, &batch)?;
    Ok((batch, instruction))
}

pub(crate) fn instruction(captures: &CaptureArgs, batch: &Batch) -> Result<Vec<u8>, Failure> {
    let items = batch.files.iter().zip(0u64..).map(|(file, place)| {
        serde_json::to_value(ItemDocument {
            title: format!("load {} {}", batch.number, place),
            purpose: "neutral".to_owned(),
            source_url: None,
            captured_at: None,
            artifacts: vec![ArtifactDocument {
                name: ARTIFACT.to_owned(),
                media_type: "application/octet-stream".to_owned(),
                role: "content".to_owned(),
                size_bytes: file.size_bytes,
                sha3_256: file.digests.sha3_256.to_hex(),
                sha256: file.digests.sha256.to_hex(),
            }],
        })
    });
    let document = InstructionDocument {
        format: INSTRUCTION_FORMAT.to_owned(),
        case: case(captures.seed),
        automated: true,
        on_behalf_of: None,
        items: items.collect::<Result<_, _>>().map_err(Failure::new)?,
    };
    serde_json::to_vec(&document).map_err(Failure::new)
}

/// Asks for a one-time code, reads it from the file channel and confirms the instruction with it.
pub(crate) async fn confirmed_intent(
    vendor: &Vendor,
    codes: &Path,
    instruction: &[u8],
) -> Result<String, Failure> {
    let instruction_sha256 = probity_domain::Sha256(Sha256::digest(instruction).into()).to_hex();
    let request = IntentRequestDocument {
        instruction_sha256: instruction_sha256.clone(),
        summary: "load".to_owned(),
    };
    let requested = vendor
        .request_intent(&request)
        .await
        .map_err(Failure::new)?;
    let confirmation = IntentConfirmDocument {
        code: code_of(codes, &requested.intent)?,
        instruction_sha256,
    };
    vendor
        .confirm_intent(&requested.intent, &confirmation)
        .await
        .map_err(Failure::new)?;
    Ok(requested.intent)
}

/// The one-time code of an intent, as the file channel keeps it.
pub(crate) fn code_of(codes: &Path, intent: &str) -> Result<String, Failure> {
    let message = std::fs::read(codes.join(format!("{intent}.json"))).map_err(Failure::new)?;
    let message: serde_json::Value = serde_json::from_slice(&message).map_err(Failure::new)?;
    let code = message.get("code").and_then(|code| code.as_str());
    let code = code.ok_or_else(|| Failure::new("no code in the file channel's message"))?;
    Ok(code.to_owned())
}

/// One line of JSON for each number, with the time it was given.
pub(crate) fn write_receipts(file: &Mutex<File>, numbers: &[String]) -> Result<(), Failure> {
    let at = SystemClock.now().to_rfc3339();
    let lines: String = numbers
        .iter()
        .map(|number| {
            format!(
                "{}\n",
                serde_json::json!({"evidence": number, "accepted_at": at})
            )
        })
        .collect();
    let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
    file.write_all(lines.as_bytes()).map_err(Failure::new)
}

/// Waits until the batch's last item is deposited; answers the latency from planned start. Under overload only the log
/// is waited for: hundreds of batches that ask twenty times a second would be another load.
async fn deposited(
    vendor: Arc<Vendor>,
    accepted: Accepted,
    overload: bool,
) -> Result<(Accepted, Option<Duration>), Failure> {
    if overload {
        return Ok((accepted, None));
    }
    let patience = Instant::now() + STALL_MAX;
    loop {
        let status = vendor.status(&accepted.last).await.map_err(Failure::new)?;
        if status.state == "deposited" {
            let latency = accepted.planned.elapsed();
            return Ok((accepted, Some(latency)));
        }
        if Instant::now() > patience {
            return Err(Failure::new(format!(
                "{} is not deposited after {STALL_MAX:?}",
                accepted.last
            )));
        }
        tokio::time::sleep(STATUS_EVERY).await;
    }
}

async fn wait_for_log(log: &str, size: u64) -> Result<(), Failure> {
    let mut seen = (0, Instant::now());
    loop {
        let now = log_size(log).await?;
        if now >= size {
            return Ok(());
        }
        if now > seen.0 {
            seen = (now, Instant::now());
        } else if seen.1.elapsed() > STALL_MAX {
            return Err(Failure::new(format!("the log stands at {now} of {size}")));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Tree size in the log's checkpoint; 0 while there is none.
pub(crate) async fn log_size(log: &str) -> Result<u64, Failure> {
    let url = format!("{log}/checkpoint");
    let answer = reqwest::get(&url).await.map_err(Failure::new)?;
    if answer.status() == reqwest::StatusCode::NOT_FOUND {
        return Ok(0);
    }
    let text = answer
        .error_for_status()
        .map_err(Failure::new)?
        .text()
        .await
        .map_err(Failure::new)?;
    let size = text.lines().nth(1).and_then(|line| line.parse().ok());
    size.ok_or_else(|| Failure::new(format!("{url}: no tree size in the checkpoint")))
}
