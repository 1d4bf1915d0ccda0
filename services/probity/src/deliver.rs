//! `probity deliver`.

use std::time::Duration;

use probity_client::{EvidenceQuery, Vendor};
use probity_proto::http::{DeliveryDocument, DeliveryRequestDocument};

use crate::failure::{FAILED, Failure};
use crate::list;
use crate::profile::Profile;

/// Evidence numbers in one request.
const EVIDENCE_MAX: usize = 1_000;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The case; all its evidence of the last 31 days unless numbers are given.
    #[arg(long)]
    case: String,
    /// The recipient's id.
    #[arg(long)]
    to: String,
    /// Only these.
    numbers: Vec<String>,
    /// Waits for the receipts, at most this many seconds.
    #[arg(long, value_name = "SECONDS")]
    wait: Option<u64>,
    #[arg(long)]
    json: bool,
}

pub async fn run(profile: &str, args: Args) -> Result<u8, Failure> {
    let vendor = Profile::read(profile)?.vendor()?;
    let mut evidence = args.numbers.clone();
    if evidence.is_empty() {
        let query =
            EvidenceQuery { case: Some(args.case.clone()), from: Some(list::month_ago()), ..Default::default() };
        evidence = list::all(&vendor, query).await?.into_iter().map(|e| e.evidence).collect();
    }
    if evidence.is_empty() {
        return Err(Failure::failed(format!("case {:?} has no evidence", args.case)));
    }
    let deadline = tokio::time::Instant::now() + Duration::from_secs(args.wait.unwrap_or(0));
    let deliveries = loop {
        let deliveries = request(&vendor, &args, &evidence).await?;
        let done = deliveries.iter().all(|d| matches!(d.state.as_str(), "acknowledged" | "suspended"));
        if done || tokio::time::Instant::now() >= deadline {
            break deliveries;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    for delivery in &deliveries {
        if args.json {
            println!("{}", serde_json::to_string(delivery)?);
        } else {
            let scope = delivery.receipt_scope.as_deref().unwrap_or("");
            println!("{}  {}  {}  {scope}", delivery.delivery, delivery.evidence, delivery.state);
        }
    }
    let received = deliveries.iter().all(|d| d.state == "acknowledged");
    Ok(if args.wait.is_some() && !received { FAILED } else { 0 })
}

/// Asking again names the same deliveries, so this also asks where they stand.
async fn request(vendor: &Vendor, args: &Args, evidence: &[String]) -> Result<Vec<DeliveryDocument>, Failure> {
    let mut deliveries = Vec::new();
    for chunk in evidence.chunks(EVIDENCE_MAX) {
        let request = DeliveryRequestDocument {
            recipient: args.to.clone(),
            case: args.case.clone(),
            evidence: chunk.to_vec(),
        };
        deliveries.extend(vendor.deliver(&request).await?.deliveries);
    }
    Ok(deliveries)
}
