//! `probity court open`.

use std::path::PathBuf;

use super::folder::{At, Folder};
use super::inbox;
use crate::failure::Failure;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The encrypted package (.p7m).
    file: PathBuf,
    #[command(flatten)]
    at: At,
    /// Where to save the package (.asice).
    #[arg(long, short)]
    out: Option<PathBuf>,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let out = args
        .out
        .clone()
        .unwrap_or_else(|| args.file.with_extension("asice"));
    let digest = inbox::open(&Folder::new(&args.at), &args.file, &out)?;
    println!("{}  SHA3-256 {digest}", out.display());
    Ok(())
}
