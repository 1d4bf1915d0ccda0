//! `probityd audit`: the store proved again, by somebody who trusts nothing but the pinned keys.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use probity_platform::config::{Config, parse_section};
use probity_platform::{Error, Result, SystemClock, keys, startup};
use probity_storage::{AuditReport, AuditScope};

use crate::commands::say;
use crate::roles::names;

/// Findings.
const FINDINGS: u8 = 1;
/// The audit did not come to its end.
const UNREADABLE: u8 = 3;

/// What `audit` takes besides the configuration.
#[derive(Debug, clap::Args)]
pub struct AuditArguments {
    /// JSON lines with the evidence numbers a caller was given, as `probity submit --out` writes them; each has to be
    /// deposited. May be given more than once.
    #[arg(long, value_name = "FILE")]
    receipts: Vec<PathBuf>,
    /// Writes the report as JSON.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Does not read the artifacts' bytes.
    #[arg(long)]
    no_blobs: bool,
    /// Items of submissions younger than this many seconds are open, not lost.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    open: u32,
    /// The log's public key; `storage.log_verifier_file` when it is not given.
    #[arg(long, value_name = "FILE")]
    log_key: Option<PathBuf>,
    /// Roots, PEM; `storage.roots_file` when it is not given.
    #[arg(long, value_name = "FILE")]
    roots: Option<PathBuf>,
}

/// Audits, prints the report, and answers 0 when all is as it has to be, 1 with findings, 3 when the audit did not
/// come to its end.
pub async fn audit(path: &Path, arguments: AuditArguments) -> ExitCode {
    match run(path, arguments).await {
        Ok(report) if report.clean => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(FINDINGS),
        Err(e) => {
            eprintln!("probityd: {e}");
            ExitCode::from(UNREADABLE)
        }
    }
}

async fn run(path: &Path, arguments: AuditArguments) -> Result<AuditReport> {
    let config = Config::read(path, &names())?;
    let (log_key, roots) = match (arguments.log_key, arguments.roots) {
        // With both at hand the role's own section is not needed.
        (Some(log_key), Some(roots)) => (log_key, roots),
        (log_key, roots) => {
            let section: probity_storage::Config =
                parse_section("storage", config.role("storage"))?;
            let log_key = log_key.or(section.log_verifier_file).ok_or_else(|| {
                Error::malformed("neither --log-key nor storage.log_verifier_file is given")
            })?;
            (log_key, roots.unwrap_or(section.roots_file))
        }
    };
    let (buckets, _) = startup::open_store(&config)?;
    let scope = AuditScope {
        buckets,
        log_key: keys::read_log_verifier(&log_key)?,
        roots: keys::read_certificates(&roots)?.into(),
        clock: Arc::new(SystemClock),
        open_s: arguments.open,
        blobs: !arguments.no_blobs,
        receipts: arguments.receipts,
    };
    let report = probity_storage::audit(scope).await?;
    if let Some(file) = &arguments.report {
        let written = std::fs::write(file, report.to_json() + "\n");
        written.map_err(|e| Error::malformed(format!("{}: {e}", file.display())))?;
    }
    say(&report.to_text())?;
    Ok(report)
}
