//! `probity fetch`: one artifact, or the whole package in plaintext.

use std::path::PathBuf;

use clap::Args;
use probity_domain::EvidenceId;

use crate::failure::Failure;
use crate::profile::ProfileArg;

#[derive(Args)]
pub struct Fetch {
    #[command(flatten)]
    profile: ProfileArg,
    /// Evidence number
    number: String,
    /// Saves this artifact instead of the package
    #[arg(long, value_name = "NAME")]
    artifact: Option<String>,
    /// Where it goes; `<number>.asice` or the artifact's own last name otherwise
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Fetch {
    pub async fn run(self) -> Result<(), Failure> {
        let (_, vendor) = self.profile.vendor()?;
        let id = EvidenceId::parse(&self.number).map_err(Failure::usage)?;
        let usual = match &self.artifact {
            Some(name) => name.rsplit('/').next().unwrap_or(name).to_owned(),
            None => format!("{id}.asice"),
        };
        let out = self.out.unwrap_or_else(|| PathBuf::from(usual));
        let size_bytes = match &self.artifact {
            Some(name) => vendor.fetch_artifact(&id, name, None, &out).await?,
            None => vendor.fetch_package(&id, &out).await?,
        };
        println!("{} ({size_bytes} bytes)", out.display());
        Ok(())
    }
}
