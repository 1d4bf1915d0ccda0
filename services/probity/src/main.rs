//! `probity`: the command line of vendors, registration officers, courts, and everybody who checks evidence.

mod codes;
mod court;
mod deliver;
mod enroll;
mod failure;
mod fetch;
mod files;
mod list;
mod now;
mod officer;
mod profile;
mod submit;
mod verify;

/// Packages, as the verifier's own tests make them.
#[cfg(test)]
#[expect(
    dead_code,
    reason = "made for the verifier's tests; these need a part of it"
)]
#[path = "../../../crates/verify/tests/it/fixture.rs"]
mod fixture;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::failure::Failure;

/// Electronic evidence: submit it, deliver it, verify it.
///
/// Exit codes: 0 done or valid, 1 failed or invalid, 2 indeterminate, 3 wrong use or unreadable input.
#[derive(Parser)]
#[command(name = "probity", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Become a party: apply, be verified, accept the agreement, get a credential
    Enroll(Box<enroll::Enroll>),
    /// Submit captures as one instruction; run again to resume
    Submit(submit::Submit),
    /// Where pieces of evidence stand
    Status(list::Status),
    /// List evidence by case and state
    List(list::List),
    /// Save an artifact or the package of one piece of evidence
    Fetch(fetch::Fetch),
    /// Have evidence delivered to a court
    Deliver(deliver::Deliver),
    Verify(Box<verify::Verify>),
    Policy(verify::PrintPolicy),
    /// What a registration officer or operator does
    #[command(subcommand)]
    Officer(officer::OfficerCommand),
    /// What a court does: the reference recipient
    #[command(subcommand)]
    Court(court::CourtCommand),
}

#[tokio::main]
async fn main() -> ExitCode {
    let wants_document = wants_document();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            let _ = e.print();
            if e.use_stderr() && wants_document {
                print_error(&e.to_string());
            }
            return ExitCode::from(if e.use_stderr() { 3 } else { 0 });
        }
    };
    match run(cli.command).await {
        Ok(code) => code,
        Err(e) => {
            eprintln!("probity: {e}");
            if wants_document {
                print_error(&e.sentence);
            }
            ExitCode::from(e.exit_code)
        }
    }
}

/// Whether a program reads this: `verify --json` answers with a document even where arguments are wrong.
fn wants_document() -> bool {
    let mut arguments = std::env::args_os().skip(1);
    arguments.next().is_some_and(|command| command == "verify")
        && arguments.any(|argument| argument == "--json")
}

/// `probity.error/1`: there is no verdict.
fn print_error(reason: &str) {
    let document = serde_json::json!({ "format": "probity.error/1", "error": reason.trim() });
    println!("{document:#}");
}

async fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Enroll(enroll) => enroll.run().await?,
        Command::Submit(submit) => submit.run().await?,
        Command::Status(status) => status.run().await?,
        Command::List(list) => list.run().await?,
        Command::Fetch(fetch) => fetch.run().await?,
        Command::Deliver(deliver) => deliver.run().await?,
        Command::Verify(verify) => return verify.run(),
        Command::Policy(policy) => policy.run()?,
        Command::Officer(officer) => officer::run(officer).await?,
        Command::Court(court) => court::run(court).await?,
    }
    Ok(ExitCode::SUCCESS)
}
