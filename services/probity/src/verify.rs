//! `probity verify`: offline, with the platform switched off.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use probity_domain::Timestamp;
use probity_pki::x509::Certificate;
use probity_verify::{Lang, Policy, Verdict, verify_package};

use crate::clock;
use crate::failure::{Failure, USAGE};
use crate::files;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The package (.asice).
    file: PathBuf,
    /// Root certificates you trust, PEM; may be given more than once. Without any the verdict is indeterminate.
    #[arg(long, value_name = "PEM", env = "PROBITY_ROOTS")]
    roots: Vec<PathBuf>,
    /// The log's verifier key, one line.
    #[arg(long, value_name = "FILE", env = "PROBITY_LOG_KEY")]
    log_key: Vec<PathBuf>,
    /// The instant of verification, RFC 3339; now when absent.
    #[arg(long)]
    at: Option<String>,
    /// The verdict as JSON, probity.verdict/1.
    #[arg(long)]
    json: bool,
    /// `en` or `zh`.
    #[arg(long, default_value = "en", value_parser = ["en", "zh"])]
    lang: String,
}

pub fn run(args: &Args) -> Result<u8, Failure> {
    let at = match &args.at {
        Some(text) => Timestamp::parse_rfc3339(text).map_err(|e| Failure::usage(format!("--at: {e}")))?,
        None => clock::now(),
    };
    let trust = Trust::read(&args.roots, &args.log_key)?;
    let verdict = trust.verify(&args.file, at)?;
    let lang = if args.lang == "zh" { Lang::Chinese } else { Lang::English };
    if args.json {
        println!("{}", verdict.to_json());
    } else {
        println!("{}", verdict.summary_text(lang));
    }
    Ok(verdict.exit_code())
}

/// Whom the reader trusts.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    pub roots: Vec<Certificate>,
    pub log_keys: Vec<String>,
}

impl Trust {
    pub fn read(roots: &[PathBuf], log_keys: &[PathBuf]) -> Result<Self, Failure> {
        let mut trust = Self::default();
        for file in roots {
            let chain = Certificate::chain_from_pem(&files::read_text(file)?)
                .map_err(|e| Failure::usage(format!("{}: {e}", file.display())))?;
            trust.roots.extend(chain);
        }
        for file in log_keys {
            trust.log_keys.push(files::read_text(file)?.trim().to_owned());
        }
        Ok(trust)
    }

    pub fn verify(&self, file: &Path, at: Timestamp) -> Result<Verdict, Failure> {
        let unreadable = |e: std::io::Error| Failure { exit: USAGE, message: format!("{}: {e}", file.display()) };
        let opened = File::open(file).map_err(unreadable)?;
        if !opened.metadata().map_err(unreadable)?.is_file() {
            return Err(Failure::usage(format!("{}: not a file", file.display())));
        }
        let policy = Policy::new(self.roots.clone(), self.log_keys.clone(), at);
        Ok(verify_package(BufReader::new(opened), &policy))
    }
}
