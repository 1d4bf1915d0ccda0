//! `probity-load`: the open-model generator and the floor it is measured against.
//!
//! `run` plans batches at a fixed rate and measures every latency from the *planned* start, so that a stall of the
//! platform shows in the figures instead of slowing the generator down. `floor` does only the unavoidable work for the
//! same captures against the same store. Both print one JSON object; `infra/bench.sh` runs them side by side. `signers`
//! measures the places a key may be in, `chaos` is the fault laboratory, `flood` the vendor of its F17 who brings too much.

mod captures;
mod chaos;
mod flood;
mod floor;
mod generator;
mod holder;
mod report;
mod signers;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};
use probity_platform::SystemRandom;
use probity_platform::objects::{Buckets, S3Config};

/// Anything that ends a run: one sentence.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Failure(String);

impl Failure {
    /// From anything that can say what went wrong.
    pub fn new(reason: impl std::fmt::Display) -> Self {
        Self(reason.to_string())
    }
}

#[derive(Parser)]
#[command(about = "Load for Probity, measured from planned start, beside the floor")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Submits batches at a planned rate and waits until the log holds all of them.
    Run(generator::Plan),
    /// Does only the unavoidable work for the same captures.
    Floor(FloorArgs),
    /// Submits far more than a vendor's part for a while, coming back when told to.
    Flood(flood::FloodArgs),
    /// Signatures per second of each kind of key, beside OpenSSL's.
    Signers(signers::SignersArgs),
    /// Injects one kind of fault while a vendor submits, and seeks everything accepted in the store.
    Chaos(chaos::ChaosArgs),
}

#[derive(Args)]
struct FloorArgs {
    #[command(flatten)]
    captures: CaptureArgs,
    /// A role's configuration file: its [s3] section names the store.
    #[arg(long)]
    config: PathBuf,
    /// Objects written at once.
    #[arg(long, default_value_t = 16)]
    in_flight: usize,
}

/// As whom a load is submitted, and where.
#[derive(Args, Clone)]
pub struct VendorArgs {
    #[arg(long)]
    pub intake: String,
    #[arg(long)]
    pub identity: String,
    /// File with the vendor's credential.
    #[arg(long)]
    pub key_file: PathBuf,
    /// Folder the file channel writes one-time codes to.
    #[arg(long)]
    pub codes: PathBuf,
}

/// Which captures: the same for every command.
#[derive(Args, Clone)]
pub struct CaptureArgs {
    /// Makes the captures different from those of any other seed.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    #[arg(long, default_value_t = 4)]
    pub batches: u64,
    /// Captures in one batch.
    #[arg(long, default_value_t = 1_000)]
    pub batch_size: u64,
    /// Bytes of one capture.
    #[arg(long, default_value_t = 65_536)]
    pub size_bytes: usize,
}

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Run(plan) => generator::run(plan).await,
        Command::Floor(args) => run_floor(args).await,
        Command::Flood(args) => flood::run(args).await,
        Command::Signers(args) => signers::run(&args),
        Command::Chaos(args) => chaos::run(args).await,
    };
    match outcome {
        // A row of a table is text; everything else is an object.
        Ok(serde_json::Value::String(row)) => {
            print!("{row}");
            ExitCode::SUCCESS
        }
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(e) => {
            eprintln!("probity-load: {e}");
            ExitCode::FAILURE
        }
    }
}

/// The store that a role's configuration file names.
fn open_store(config: &Path) -> Result<Buckets, Failure> {
    let text = std::fs::read_to_string(config).map_err(Failure::new)?;
    let mut file: toml::Table = text.parse().map_err(Failure::new)?;
    let section = file
        .remove("s3")
        .ok_or_else(|| Failure::new("no [s3] section"))?;
    let config: S3Config = section.try_into().map_err(Failure::new)?;
    config.open(Arc::new(SystemRandom)).map_err(Failure::new)
}

async fn run_floor(args: FloorArgs) -> Result<serde_json::Value, Failure> {
    let store = open_store(&args.config)?.work;
    let done = floor::run(store, &args.captures, args.in_flight).await?;
    Ok(serde_json::json!({
        "what": "floor",
        "captures": done.captures,
        "seconds": done.elapsed.as_secs_f64(),
        "per_second": done.per_second(),
    }))
}
