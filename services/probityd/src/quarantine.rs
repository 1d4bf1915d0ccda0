//! `probityd quarantine`: accepted items that a stage refused for good, listed and let go on.

use std::path::Path;
use std::sync::Arc;

use clap::Subcommand;
use probity_domain::EvidenceId;
use probity_platform::config::Config;
use probity_platform::ledger::Ledger;
use probity_platform::objects::Objects;
use probity_platform::{Error, Result, SystemClock, SystemRandom, quarantine, startup};

use crate::ConfigFile;
use crate::commands::say;
use crate::roles::names;

#[derive(Debug, Subcommand)]
pub enum Quarantine {
    /// Lists what is held: number, since when, which role refused it, why.
    List {
        #[command(flatten)]
        file: ConfigFile,
    },
    /// Lets items go on, when the cause is removed. The platform takes them up again within a minute.
    Retry {
        #[command(flatten)]
        file: ConfigFile,
        /// Evidence numbers, or `all`.
        #[arg(required = true)]
        numbers: Vec<String>,
        /// Who decided it, for the ledger.
        #[arg(long, default_value = "operator")]
        by: String,
        /// Why it will work now, for the ledger.
        #[arg(long, default_value = "probityd quarantine retry")]
        cause: String,
    },
}

/// Lists or releases.
///
/// # Errors
/// Wrong configuration or numbers, before anything is released; those of the store.
pub async fn run(command: Quarantine) -> Result<()> {
    match command {
        Quarantine::List { file } => list(&open(&file.path)?.0).await,
        Quarantine::Retry {
            file,
            numbers,
            by,
            cause,
        } => {
            let (ledger, work) = open(&file.path)?;
            retry(&ledger, &*work, &numbers, &by, &cause).await
        }
    }
}

fn open(path: &Path) -> Result<(Ledger, Arc<dyn Objects>)> {
    let config = Config::read(path, &names())?;
    let (buckets, _) = startup::open_store(&config)?;
    let ledger = Ledger::new(buckets.truth, Arc::new(SystemClock), Arc::new(SystemRandom));
    Ok((ledger, buckets.work))
}

async fn list(ledger: &Ledger) -> Result<()> {
    let mut after = None;
    loop {
        let (page, next) = quarantine::all(ledger, after.as_deref()).await?;
        for (evidence, state) in page {
            if let Some(held) = state.held {
                let (at, stage, reason) = (held.at, held.stage, held.reason);
                say(&format!("{evidence} {at} {stage}: {reason}"))?;
            }
        }
        match next {
            Some(next) => after = Some(next),
            None => return Ok(()),
        }
    }
}

async fn retry(
    ledger: &Ledger,
    work: &dyn Objects,
    numbers: &[String],
    by: &str,
    cause: &str,
) -> Result<()> {
    let mut released = 0u64;
    if numbers == ["all"] {
        let mut after = None;
        loop {
            let (page, next) = quarantine::all(ledger, after.as_deref()).await?;
            for (evidence, _) in page {
                let was_held = probity_storage::release(ledger, work, evidence, by, cause).await?;
                released += u64::from(was_held);
            }
            match next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
    } else {
        let parsed = numbers.iter().map(|number| EvidenceId::parse(number));
        let parsed: Vec<_> = parsed
            .collect::<core::result::Result<_, _>>()
            .map_err(Error::malformed)?;
        for evidence in parsed {
            match probity_storage::release(ledger, work, evidence, by, cause).await? {
                true => released += 1,
                false => say(&format!("{evidence} is not in quarantine"))?,
            }
        }
    }
    say(&format!("{released} released"))
}
