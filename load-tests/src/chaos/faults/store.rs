//! The object store through a proxy that breaks things, out of reach, and changed by an administrator.

use std::time::{Duration, Instant};

use bytes::Bytes;
use probity_client::ProblemKind;
use probity_domain::EvidenceId;
use probity_testkit::http_proxy::Action;
use tokio::time::{sleep, timeout};

use crate::Failure;
use crate::captures::{capture_bytes, digested};
use crate::chaos::Lab;
use crate::chaos::audit::{curl, elements};
use crate::chaos::stack::{Build, text};
use crate::generator::ARTIFACT;

const LATE: Duration = Duration::from_secs(3);
const SLOW_CLOSE: Duration = Duration::from_secs(1);
/// A vendor asks so often while the store is away.
const ASK_EVERY: Duration = Duration::from_secs(1);
const ASK_MAX: Duration = Duration::from_secs(30);
/// Within this all that was accepted has been read.
const READ_MAX: Duration = Duration::from_secs(120);
const REFUSED: &str = "upload answered 503 with Retry-After";
const OTHER: &str = "not what was submitted";

pub async fn misbehaves(lab: &Lab) -> Result<(), Failure> {
    let rule = |chance, _: &str, _: &str| match chance {
        0..15 => Action::DropRequest,
        15..45 => Action::SlowClose(SLOW_CLOSE),
        45..55 => Action::Answer(503, "SlowDown"),
        55..60 => Action::Answer(429, "TooManyRequests"),
        60..95 => Action::Late(LATE),
        _ => Action::Pass,
    };
    while_it_lasts(lab, rule).await
}

/// And lists without what the last seconds brought.
pub async fn loses_answers(lab: &Lab) -> Result<(), Failure> {
    let rule = |chance, method: &str, target: &str| match (method, chance) {
        ("PUT", 0..10) => Action::DropResponse,
        ("PUT", 10..15) => Action::Answer(409, "ConditionalRequestConflict"),
        ("POST", 0..10) if target.contains("uploadId") => Action::DropResponse,
        ("PUT", 15..18) => Action::CutResponse,
        ("GET", _) if target.contains("list-type=2") => Action::Edit,
        _ => Action::Pass,
    };
    while_it_lasts(lab, rule).await
}

async fn while_it_lasts(
    lab: &Lab,
    rule: impl Fn(u32, &str, &str) -> Action + Send + Sync + 'static,
) -> Result<(), Failure> {
    lab.stack.store.set(rule);
    sleep(Duration::from_secs(u64::from(lab.dose))).await;
    lab.stack.store.calm();
    Ok(())
}

/// While the store is away, a stranger to the load asks to upload: it must be refused cleanly, each time.
pub async fn out_of_reach(lab: &Lab) -> Result<(), Failure> {
    lab.stack.store.set(|_, _, _| Action::DropRequest);
    let began = Instant::now();
    let mut asked = 0u64;
    while began.elapsed() < Duration::from_secs(u64::from(lab.dose)) {
        asked += 1;
        let answer = upload_answer(lab, asked).await?;
        lab.did(&answer);
        if answer != REFUSED {
            lab.broken(answer);
        }
        sleep(ASK_EVERY).await;
    }
    lab.stack.store.calm();
    Ok(())
}

/// Uploads bytes that nobody has, and says in one phrase what came back.
async fn upload_answer(lab: &Lab, number: u64) -> Result<String, Failure> {
    let capture = digested(capture_bytes(lab.rate.seed ^ u64::MAX, number, 100));
    let url = format!("{}/v1/blobs/{}", lab.stack.url("intake")?, capture.sha3_256);
    let request = reqwest::Client::new()
        .put(url)
        .bearer_auth(&lab.stack.enrolled.secret)
        .header("content-type", "application/octet-stream")
        .header("probity-sha256", capture.sha256)
        .body(capture.bytes);
    Ok(match timeout(ASK_MAX, request.send()).await {
        Err(_) => "upload without an answer for 30 s".to_owned(),
        Ok(Err(_)) => "upload whose connection broke".to_owned(),
        Ok(Ok(answer)) => {
            let after = answer.headers().contains_key("retry-after");
            let word = if after { "with" } else { "without" };
            format!(
                "upload answered {} {word} Retry-After",
                answer.status().as_u16()
            )
        }
    })
}

/// Uploaded blobs get other bytes under their old name, as only an administrator can do it. Whoever reads them is to be
/// refused, a lap of the scrubber to name each, and so is the audit at the end.
pub async fn replaced_objects(lab: &Lab) -> Result<(), Failure> {
    lab.progress
        .reaches(lab.rate.count / 2, Duration::from_secs(600))
        .await?;
    let page = curl(
        &lab.stack,
        &["-X", "GET"],
        "probity-truth?list-type=2&max-keys=100&prefix=blobs%2F",
    )
    .await?;
    let keys = elements(&page, "Key");
    let digest = digested(Bytes::from_static(OTHER.as_bytes())).sha256;
    // MinIO signs over it, and curl does not send it by itself.
    let digest = format!("x-amz-content-sha256: {digest}");
    for key in keys.into_iter().take(lab.dose as usize) {
        let arguments = ["-X", "PUT", "-H", &digest, "--data-binary", OTHER];
        curl(&lab.stack, &arguments, &format!("probity-truth/{key}")).await?;
        lab.did("object replaced");
        lab.replaced(key);
    }
    let replaced = lab.notes().replaced.clone();
    readers_are_refused(lab, replaced.len()).await?;
    scrubber_names(lab, &replaced).await
}

/// Reads what was accepted, as its vendor does, until as many as were replaced have been refused; everything else must come.
async fn readers_are_refused(lab: &Lab, replaced: usize) -> Result<(), Failure> {
    let vendor = lab.stack.vendor(&lab.stack.enrolled.secret)?.asking_once();
    let to = lab.stack.path("read.bin");
    let (began, mut read, mut refused) = (Instant::now(), 0, 0);
    while refused < replaced && began.elapsed() < READ_MAX {
        let batches = lab.submitter.tally.batches_after(read);
        read += batches.len();
        for number in batches.iter().flat_map(|batch| &batch.numbers) {
            let id = EvidenceId::parse(number).map_err(Failure::new)?;
            match vendor.fetch_artifact(&id, ARTIFACT, None, &to).await {
                Ok(_) => lab.count("artifact read"),
                Err(e) if e.kind() == Some(ProblemKind::Internal) => {
                    refused += 1;
                    lab.did("artifact refused");
                }
                Err(e) => lab.broken(format!("{number} is not read: {e}")),
            }
        }
        sleep(ASK_EVERY).await;
    }
    if refused != replaced {
        lab.broken(format!(
            "{replaced} artifacts were replaced, {refused} refused to who read them"
        ));
    }
    Ok(())
}

async fn scrubber_names(lab: &Lab, replaced: &[String]) -> Result<(), Failure> {
    let report = lab.stack.path("scrub.json");
    let (config, to) = (text(&lab.stack.config("storage")), text(&report));
    let arguments = ["scrub", "--once", "--config", &config, "--report", &to];
    let probityd = lab.stack.probityd(Build::New)?;
    let ended = lab.stack.ended(&probityd, &arguments).await?;
    lab.did("lap of the scrubber");
    let said = std::fs::read_to_string(report).unwrap_or_default();
    let unnamed = replaced.iter().filter(|key| !said.contains(*key)).count();
    if ended.status.code() != Some(1) || unnamed > 0 {
        lab.broken(format!(
            "the scrubber ended with {:?} and does not name {unnamed} replaced objects",
            ended.status.code()
        ));
    }
    Ok(())
}
