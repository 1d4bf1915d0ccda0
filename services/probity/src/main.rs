//! `probity`: the command line of vendors, courts, and whoever checks a package.
//!
//! Exit codes: 0 done, or the package is valid; 1 failed, or the package is invalid; 2 the package can be neither
//! called valid nor invalid; 3 wrong usage or unreadable input.

mod clock;
mod court;
mod deliver;
mod enroll;
mod failure;
mod fetch;
mod files;
mod list;
mod profile;
mod status;
mod submit;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use failure::{Failure, USAGE};

/// Electronic evidence: submit, follow, deliver, receive, verify.
#[derive(Debug, Parser)]
#[command(name = "probity", version, about)]
struct Cli {
    /// Profile: a name below ~/.config/probity, or a file.
    #[arg(long, global = true, default_value = "default", env = "PROBITY_PROFILE")]
    profile: String,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Become a party: apply, get a credential, accept the agreement, write the profile.
    Enroll(enroll::Args),
    /// Submit captures: files, folders, folders of folders. Interrupted, run it again.
    Submit(submit::Args),
    /// Where evidence stands.
    Status(status::Args),
    /// List evidence.
    List(list::Args),
    /// Save a package or one artifact.
    Fetch(fetch::Args),
    /// Deliver a case's evidence to a court.
    Deliver(deliver::Args),
    /// Verify a package, offline. Exit code 0 valid, 1 invalid, 2 indeterminate, 3 unreadable or wrong usage.
    Verify(verify::Args),
    /// What courts do: receive, fetch, open, acknowledge.
    #[command(subcommand)]
    Court(court::Verb),
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            // Help and version come as errors too.
            let code = if e.use_stderr() { USAGE } else { 0 };
            let _ = e.print();
            return ExitCode::from(code);
        }
    };
    match run(cli) {
        Ok(code) => ExitCode::from(code),
        Err(Failure { exit, message }) => {
            eprintln!("probity: {message}");
            ExitCode::from(exit)
        }
    }
}

fn run(cli: Cli) -> Result<u8, Failure> {
    // Verifying needs nothing but the file.
    if let Verb::Verify(args) = &cli.verb {
        return verify::run(args);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match cli.verb {
            Verb::Enroll(args) => enroll::run(&cli.profile, args).await,
            Verb::Submit(args) => Box::pin(submit::run(&cli.profile, args)).await,
            Verb::Status(args) => status::run(&cli.profile, args).await,
            Verb::List(args) => list::run(&cli.profile, args).await,
            Verb::Fetch(args) => fetch::run(&cli.profile, args).await,
            Verb::Deliver(args) => deliver::run(&cli.profile, args).await,
            Verb::Verify(args) => verify::run(&args),
            Verb::Court(verb) => Box::pin(court::run(verb)).await,
        }
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
