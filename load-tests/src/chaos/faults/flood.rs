//! One vendor who submits far more than its part, while another goes on as before.

use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::process::Command;
use tokio::time::sleep;

use crate::Failure;
use crate::chaos::Lab;
use crate::chaos::audit::Given;
use crate::chaos::latency::Compared;
use crate::chaos::stack::text;
use crate::flood::Flooded;
use crate::generator::case;

/// As many times the captures of the first vendor, in instructions as many times as large and the rest in number.
const TIMES: f64 = 50.0;
const TIMES_LARGER: u64 = 30;

/// First nothing for the dose, to compare with; then the flood, for as long.
pub async fn of_one_vendor(lab: &Lab) -> Result<(), Failure> {
    let span = Duration::from_secs(u64::from(lab.dose));
    let enrolled = lab.stack.enrol("flood", None).await?;
    let receipts = lab.stack.path("receipts-flood.jsonl");
    let errors_before = lab.submitter.tally.errors().values().sum::<u64>();
    let from = Instant::now();
    sleep(span).await;

    let disturbed_from = Instant::now();
    lab.notes().compared = Some(Compared {
        from,
        disturbed_from,
        disturbed_to: disturbed_from + span,
    });
    let seed = lab.rate.seed ^ (1 << 32);
    let key = lab.stack.path("secret/flood-key");
    std::fs::write(&key, &enrolled.secret).map_err(Failure::new)?;
    let mut flooder = flooder(lab, seed)?;
    flooder.arg("--key-file").arg(key);
    flooder.arg("--receipts").arg(&receipts);
    let flooded = flooder.output().await.map_err(Failure::new)?;
    if !flooded.status.success() {
        return Err(Failure::new(format!("the flooder: {}", flooded.status)));
    }
    let flooded = serde_json::from_slice(&flooded.stdout).map_err(Failure::new)?;
    conclude(lab, flooded);
    lab.notes().others.push(Given {
        vendor: Arc::new(lab.stack.vendor(&enrolled.secret)?),
        case: case(seed),
        receipts,
    });

    let errors = lab.submitter.tally.errors().values().sum::<u64>();
    if errors > errors_before {
        let failed = errors - errors_before;
        lab.broken(format!("{failed} calls of the other vendor failed"));
    }
    Ok(())
}

/// The flooder's machine is not the platform's: it gets what the platform leaves of the processors here (SCHED_IDLE).
fn flooder(lab: &Lab, seed: u64) -> Result<Command, Failure> {
    let mut command = Command::new("chrt");
    command.args(["--idle", "0"]);
    command.arg(std::env::current_exe().map_err(Failure::new)?);
    let rate = &lab.rate;
    command.arg("flood");
    command.args(["--intake", &lab.stack.url("intake")?]);
    command.args(["--identity", &lab.stack.url("identity")?]);
    command.args(["--codes", &text(&lab.stack.path("codes"))]);
    command.args(["--seed", &seed.to_string()]);
    command.args([
        "--batch-size",
        &(rate.batch_size * TIMES_LARGER).to_string(),
    ]);
    command.args(["--size-bytes", &rate.size_bytes.to_string()]);
    command.args(["--per-second", &(rate.per_second * TIMES).to_string()]);
    command.args(["--seconds", &lab.dose.to_string()]);
    command.stdin(Stdio::null()).stderr(Stdio::inherit());
    command.kill_on_drop(true);
    Ok(command)
}

fn conclude(lab: &Lab, flooded: Flooded) {
    lab.submitter.tally.accepted_of_another(flooded.accepted);
    for (what, times) in flooded.counted {
        let what = format!("flooder: {what}");
        lab.notes().injected.insert(what, times);
    }
    lab.measured("flooder's calls refused", flooded.refused as f64);
    if let Some(after) = flooded.p99_to_refusal_ms {
        lab.measured("flooder's p99 to refusal, ms", after);
    }
}
