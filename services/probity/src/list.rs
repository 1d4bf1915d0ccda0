//! `probity list`.

use probity_client::{EvidenceQuery, Vendor};
use probity_proto::http::EvidenceStatusDocument;

use crate::clock;
use crate::failure::Failure;
use crate::profile::Profile;

/// The platform answers at most this much time at once.
const SPAN_MS: i64 = 31 * 86_400_000;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[arg(long)]
    case: Option<String>,
    /// `accepted` or `deposited`.
    #[arg(long)]
    state: Option<String>,
    #[arg(long)]
    submission: Option<String>,
    /// RFC 3339; 31 days ago when absent.
    #[arg(long)]
    from: Option<String>,
    /// RFC 3339; now when absent.
    #[arg(long)]
    until: Option<String>,
    #[arg(long)]
    json: bool,
}

pub async fn run(profile: &str, args: Args) -> Result<u8, Failure> {
    let vendor = Profile::read(profile)?.vendor()?;
    let query = EvidenceQuery {
        case: args.case,
        state: args.state,
        submission: args.submission,
        from: Some(args.from.unwrap_or_else(month_ago)),
        until: args.until,
        page: None,
    };
    for status in all(&vendor, query).await? {
        if args.json {
            println!("{}", serde_json::to_string(&status)?);
        } else {
            println!("{}  {:<9}  {}  {}  {}", status.evidence, status.state, status.received_at, status.case, status.title);
        }
    }
    Ok(0)
}

pub fn month_ago() -> String {
    clock::now().plus_ms(-SPAN_MS + 60_000).to_rfc3339()
}

/// Every page of a listing.
pub async fn all(vendor: &Vendor, mut query: EvidenceQuery) -> Result<Vec<EvidenceStatusDocument>, Failure> {
    let mut found = Vec::new();
    loop {
        let page = vendor.list(&query).await?;
        found.extend(page.evidence);
        if page.next_page.is_none() {
            return Ok(found);
        }
        query.page = page.next_page;
    }
}
