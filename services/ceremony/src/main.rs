//! `probity-ceremony`: makes an operator's root, its subordinate certificates and all long-lived keys,
//! offline and once, and keeps a signed record of having done so.
//!
//! It links the formats crate and nothing of the platform. Run it on a machine without a network;
//! carry each role's folder to that role and the folder `root` to a safe.

mod check;
mod error;
mod folder;
mod layout;
mod make;
mod record;
mod renew;
mod revoke;
mod settings;

use std::io::Write;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Parser, Subcommand};
use probity_domain::Timestamp;

use crate::error::{Error, Result};

#[derive(Parser)]
#[command(
    name = "probity-ceremony",
    version,
    about = "Offline key ceremony of a Probity operator"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make all keys and certificates of a new operator
    Make(settings::Make),
    /// Check everything a ceremony left behind
    Verify(settings::Verify),
    /// Write the root's next revocation list, optionally revoking a certificate the root issued
    Crl(settings::Crl),
    /// Write the OCSP responder's next certificate, signed by the issuing CA
    Ocsp(settings::Ocsp),
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            // Nothing is left to do if even this cannot be written.
            let _ = writeln!(std::io::stderr(), "probity-ceremony: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<ExitCode> {
    let now = now()?;
    let mut out = std::io::stdout().lock();
    match arguments.command {
        Command::Make(settings) => make::make(&settings, now, &mut out)?,
        Command::Crl(settings) => revoke::next_list(&settings, now, &mut out)?,
        Command::Ocsp(settings) => renew::ocsp(&settings, now, &mut out)?,
        Command::Verify(settings) => {
            if !check::check(&settings, now, &mut out)? {
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place where this program reads the clock"
)]
fn now() -> Result<Timestamp> {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_err(|_| Error::Refused("the clock shows a year before 1970".to_owned()))?;
    Ok(Timestamp::from_unix_ms(
        i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX),
    ))
}
