//! `probity fetch`.

use std::path::PathBuf;

use probity_domain::EvidenceId;

use crate::failure::Failure;
use crate::profile::Profile;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The evidence number.
    number: String,
    /// The whole package (the default).
    #[arg(long, conflicts_with = "artifact")]
    package: bool,
    /// One artifact, by its name.
    #[arg(long)]
    artifact: Option<String>,
    /// Where to save it.
    #[arg(long, short)]
    out: Option<PathBuf>,
}

pub async fn run(profile: &str, args: Args) -> Result<u8, Failure> {
    let vendor = Profile::read(profile)?.vendor()?;
    let id = EvidenceId::parse(&args.number).map_err(|e| Failure::usage(e.to_string()))?;
    let default = match &args.artifact {
        Some(name) => PathBuf::from(name.rsplit('/').next().unwrap_or(name)),
        None => PathBuf::from(format!("{id}.asice")),
    };
    let out = args.out.unwrap_or(default);
    let size_bytes = match &args.artifact {
        Some(name) => vendor.fetch_artifact(&id, name, None, &out).await?,
        None => vendor.fetch_package(&id, &out).await?,
    };
    println!("{}  {size_bytes} bytes", out.display());
    Ok(0)
}
