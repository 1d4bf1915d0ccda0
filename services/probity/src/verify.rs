//! `probity verify`: offline, check by check.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use probity_domain::Timestamp;
use probity_pki::x509::Certificate;
use probity_verify::{Lang, Policy, render, verify_package};

use crate::failure::{Failure, at};
use crate::now::now;

#[derive(Args)]
pub struct Verify {
    /// The package (.asice)
    file: PathBuf,
    /// PEM file with the root certificates that are trusted
    #[arg(long, env = "PROBITY_ROOTS", value_name = "FILE")]
    roots: PathBuf,
    /// File with the log's public key (`name+id+key`); may be repeated
    #[arg(long = "log-key", env = "PROBITY_LOG_KEY", value_name = "FILE")]
    log_keys: Vec<PathBuf>,
    /// Verifies as of this time (RFC 3339) instead of now
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// The verdict as JSON (probity.verdict/1)
    #[arg(long, conflicts_with = "summary")]
    json: bool,
    /// One page in this language instead of check by check
    #[arg(long, value_enum)]
    summary: Option<Language>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Language {
    En,
    Zh,
}

impl Verify {
    pub fn run(self) -> Result<ExitCode, Failure> {
        let pem = std::fs::read_to_string(&self.roots).map_err(at(&self.roots))?;
        let roots = Certificate::chain_from_pem(&pem)
            .map_err(|e| Failure::usage(format!("{}: {e}", self.roots.display())))?;
        let log_key = |path: &PathBuf| {
            std::fs::read_to_string(path)
                .map(|k| k.trim().to_owned())
                .map_err(at(path))
        };
        let log_keys = self
            .log_keys
            .iter()
            .map(log_key)
            .collect::<Result<_, _>>()?;
        let when = match &self.at {
            Some(text) => Timestamp::parse_rfc3339(text).map_err(Failure::usage)?,
            None => now(),
        };
        let file = File::open(&self.file).map_err(at(&self.file))?;
        let verdict = verify_package(BufReader::new(file), &Policy::new(roots, log_keys, when));
        let text = match (self.json, self.summary) {
            (true, _) => verdict.to_json(),
            (false, Some(Language::En)) => verdict.summary_text(Lang::English),
            (false, Some(Language::Zh)) => verdict.summary_text(Lang::Chinese),
            (false, None) => render(&verdict),
        };
        println!("{text}");
        Ok(ExitCode::from(verdict.exit_code()))
    }
}
