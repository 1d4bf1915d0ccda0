//! `probity deliver`: has a case's evidence, or some of it, delivered to a court.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use clap::Args;
use probity_client::{EvidenceQuery, Vendor};
use probity_proto::http::{DeliveryDocument, DeliveryRequestDocument};

use crate::failure::Failure;
use crate::list::{everything, month_ago};
use crate::profile::ProfileArg;

/// Most evidence numbers in one request.
const AT_ONCE: usize = 1_000;

#[derive(Args)]
pub struct Deliver {
    #[command(flatten)]
    profile: ProfileArg,
    #[arg(long)]
    case: String,
    /// The recipient's name
    #[arg(long, value_name = "RECIPIENT")]
    to: String,
    /// Evidence numbers; the whole case when left out
    numbers: Vec<String>,
    /// Waits until every delivery is in this state: prepared, entered or acknowledged
    #[arg(long, value_name = "STATE")]
    wait: Option<String>,
    /// Gives up waiting after so many seconds
    #[arg(long, default_value_t = 600, value_name = "SECONDS")]
    patience: u64,
}

impl Deliver {
    pub async fn run(mut self) -> Result<(), Failure> {
        let (_, vendor) = self.profile.vendor()?;
        if self.numbers.is_empty() {
            let query = EvidenceQuery {
                case: Some(self.case.clone()),
                from: Some(month_ago()),
                ..EvidenceQuery::default()
            };
            self.numbers = everything(&vendor, query)
                .await?
                .into_iter()
                .map(|e| e.evidence)
                .collect();
        }
        if self.numbers.is_empty() {
            return Err(Failure::new(format!("case {} has no evidence", self.case)));
        }
        for numbers in self.numbers.chunks(AT_ONCE) {
            let request = DeliveryRequestDocument {
                recipient: self.to.clone(),
                case: self.case.clone(),
                evidence: numbers.to_vec(),
            };
            vendor.deliver(&request).await?;
        }
        println!(
            "requested: {} deliveries to {}",
            self.numbers.len(),
            self.to
        );
        match self.wait.clone() {
            Some(state) => self.wait_for(&vendor, &state).await,
            None => Ok(()),
        }
    }

    async fn wait_for(&self, vendor: &Vendor, state: &str) -> Result<(), Failure> {
        let wanted = rank(state)
            .ok_or_else(|| Failure::usage("--wait takes prepared, entered or acknowledged"))?;
        let patience = Instant::now() + Duration::from_secs(self.patience);
        loop {
            let own = self.deliveries(vendor).await?;
            let counts =
                own.iter()
                    .fold(BTreeMap::new(), |mut counts: BTreeMap<&str, usize>, d| {
                        *counts.entry(d.state.as_str()).or_default() += 1;
                        counts
                    });
            let there = own
                .iter()
                .filter(|d| rank(&d.state).is_some_and(|r| r >= wanted))
                .count();
            let line = counts
                .iter()
                .map(|(state, n)| format!("{state} {n}"))
                .collect::<Vec<_>>()
                .join(", ");
            if there >= self.numbers.len() {
                println!("deliveries: {line}");
                return Ok(());
            }
            if Instant::now() > patience {
                return Err(Failure::new(format!("still waiting for {state}: {line}")));
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    async fn deliveries(&self, vendor: &Vendor) -> Result<Vec<DeliveryDocument>, Failure> {
        let (mut all, mut page) = (Vec::new(), None);
        loop {
            let answer = vendor.deliveries(&self.case, page.as_deref()).await?;
            all.extend(
                answer
                    .deliveries
                    .into_iter()
                    .filter(|d| d.recipient == self.to),
            );
            match answer.next_page {
                Some(next) => page = Some(next),
                None => return Ok(all),
            }
        }
    }
}

/// How far along a state is.
fn rank(state: &str) -> Option<u8> {
    match state {
        "prepared" | "retrying" => Some(1),
        "entered" => Some(2),
        "acknowledged" => Some(3),
        _ => None,
    }
}
