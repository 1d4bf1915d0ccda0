//! `probity status` and `probity list`.

use clap::Args;
use probity_client::{EvidenceQuery, Vendor};
use probity_domain::EvidenceId;
use probity_proto::http::EvidenceStatusDocument;

use crate::failure::Failure;
use crate::now::now;
use crate::profile::ProfileArg;

#[derive(Args)]
pub struct Status {
    #[command(flatten)]
    profile: ProfileArg,
    /// Evidence numbers
    #[arg(required = true)]
    numbers: Vec<String>,
    /// One JSON document a line
    #[arg(long)]
    json: bool,
}

impl Status {
    pub async fn run(self) -> Result<(), Failure> {
        let (_, vendor) = self.profile.vendor()?;
        for number in &self.numbers {
            let id =
                EvidenceId::parse(number).map_err(|e| Failure::usage(format!("{number}: {e}")))?;
            print_line(&vendor.status(&id).await?, self.json)?;
        }
        Ok(())
    }
}

#[derive(Args)]
pub struct List {
    #[command(flatten)]
    profile: ProfileArg,
    #[arg(long)]
    case: Option<String>,
    /// accepted, deposited or quarantined
    #[arg(long)]
    state: Option<String>,
    /// Only one submission's evidence
    #[arg(long)]
    submission: Option<String>,
    /// One JSON document a line
    #[arg(long)]
    json: bool,
}

impl List {
    pub async fn run(self) -> Result<(), Failure> {
        let (_, vendor) = self.profile.vendor()?;
        let query = EvidenceQuery {
            case: self.case,
            state: self.state,
            submission: self.submission,
            from: Some(month_ago()),
            ..EvidenceQuery::default()
        };
        for evidence in everything(&vendor, query).await? {
            print_line(&evidence, self.json)?;
        }
        Ok(())
    }
}

/// Intake answers at most 31 days at once, and without a beginning only the last one.
pub fn month_ago() -> String {
    now().plus_ms(-31 * 86_400_000 + 60_000).to_rfc3339()
}

/// Every page of a question.
pub async fn everything(
    vendor: &Vendor,
    mut query: EvidenceQuery,
) -> Result<Vec<EvidenceStatusDocument>, Failure> {
    let mut all = Vec::new();
    loop {
        let page = vendor.list(&query).await?;
        all.extend(page.evidence);
        match page.next_page {
            Some(next) => query.page = Some(next),
            None => return Ok(all),
        }
    }
}

fn print_line(e: &EvidenceStatusDocument, json: bool) -> Result<(), Failure> {
    if json {
        println!("{}", serde_json::to_string(e).map_err(Failure::new)?);
    } else {
        let leaf = e
            .leaf_index
            .map_or_else(|| "-".to_owned(), |n| n.to_string());
        println!(
            "{}  {:<9}  leaf {leaf:<8}  {}  {}  {}",
            e.evidence, e.state, e.received_at, e.case, e.title
        );
    }
    Ok(())
}
