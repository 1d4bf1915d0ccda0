//! `probity status`.

use std::time::Duration;

use probity_client::Vendor;
use probity_domain::EvidenceId;

use crate::failure::{FAILED, Failure};
use crate::profile::Profile;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Evidence numbers, or one submission id.
    #[arg(required = true)]
    numbers: Vec<String>,
    /// Waits until all are deposited, at most this many seconds.
    #[arg(long, value_name = "SECONDS")]
    wait: Option<u64>,
    /// Machine-readable.
    #[arg(long)]
    json: bool,
}

/// Number, state, what else is to say.
type Line = (String, String, String);

pub async fn run(profile: &str, args: Args) -> Result<u8, Failure> {
    let vendor = Profile::read(profile)?.vendor()?;
    let deadline = args.wait.map(|s| tokio::time::Instant::now() + Duration::from_secs(s));
    let lines = loop {
        let lines = look(&vendor, &args.numbers).await?;
        let done = lines.iter().all(|(_, state, _)| state != "accepted");
        match deadline {
            Some(deadline) if !done && tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            _ => break lines,
        }
    };
    for (number, state, rest) in &lines {
        if args.json {
            println!("{}", serde_json::json!({ "evidence": number, "state": state, "note": rest }));
        } else {
            println!("{number}  {state:<9}  {rest}");
        }
    }
    let waiting = lines.iter().any(|(_, state, _)| state == "accepted");
    Ok(if args.wait.is_some() && waiting { FAILED } else { 0 })
}

async fn look(vendor: &Vendor, numbers: &[String]) -> Result<Vec<Line>, Failure> {
    let mut lines = Vec::new();
    for number in numbers {
        match EvidenceId::parse(number) {
            Ok(id) => {
                let status = vendor.status(&id).await?;
                let leaf = status.leaf_index.map(|i| format!("#{i}  ")).unwrap_or_default();
                lines.push((status.evidence, status.state, format!("{leaf}{}", status.title)));
            }
            Err(_) => {
                let submission = vendor.submission(number).await?;
                lines.extend(submission.items.into_iter().map(|item| {
                    let name = item.evidence.unwrap_or_else(|| format!("line {}", item.place));
                    (name, item.state, item.reason.unwrap_or_default())
                }));
            }
        }
    }
    Ok(lines)
}
