//! `probity court`: what a court's IT needs, and a reference for those who build their own.

mod acknowledge;
mod folder;
mod inbox;
mod init;
mod open;
mod pull;
mod receipt;
mod serve;
mod trust;

use clap::Subcommand;

use crate::failure::Failure;

#[derive(Debug, Subcommand)]
pub enum CourtCommand {
    /// Make a court's keys and certificates, and the profile to register.
    Init(init::Args),
    /// The reference recipient: receives pushes over HTTPS, opens, verifies, answers signed receipts.
    Serve(serve::Args),
    /// Fetch what waits, open, verify, acknowledge.
    Pull(pull::Args),
    /// Decrypt one package.
    Open(open::Args),
    /// Sign and hand in the receipt for a package that was fetched otherwise.
    Acknowledge(acknowledge::Args),
}

pub async fn run(command: CourtCommand) -> Result<(), Failure> {
    match command {
        CourtCommand::Init(args) => init::run(&args),
        CourtCommand::Serve(args) => Box::pin(serve::run(args)).await,
        CourtCommand::Pull(args) => Box::pin(pull::run(args)).await,
        CourtCommand::Open(args) => open::run(&args),
        CourtCommand::Acknowledge(args) => acknowledge::run(args).await,
    }
}
