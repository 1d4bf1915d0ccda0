//! probityd: every role of the platform in one executable, any of them in one process.
//!
//! `run <role>… --config FILE` · `run all` · `audit` · `quarantine` · `check-config` · `prepare-store` · `probe-store` ·
//! `scrub` · `bootstrap-officer` ·
//! `nats-permissions` · `roles`, and the commands that roles offer ([`roles`]).

mod audit;
mod commands;
mod quarantine;
mod roles;
mod run;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args as _, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

/// The server of an electronic-evidence platform.
#[derive(Debug, Parser)]
#[command(name = "probityd", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs roles until SIGTERM, then drains; a role that fails brings the whole process down.
    Run {
        /// Names of roles, or `all`.
        #[arg(required = true)]
        roles: Vec<String>,
        #[command(flatten)]
        file: ConfigFile,
    },
    /// Parses a configuration, every section of it, and opens nothing.
    CheckConfig {
        #[command(flatten)]
        file: ConfigFile,
    },
    /// Makes the buckets where they are missing. For development: in production the store's keeper makes them.
    PrepareStore {
        #[command(flatten)]
        file: ConfigFile,
    },
    /// Races writers through every endpoint of the store, asks how `truth` keeps, and prints a verdict to be filed.
    /// Ends with 0 for a fit store, 1 for an unfit one, 3 for one that did not answer.
    ProbeStore {
        #[command(flatten)]
        file: ConfigFile,
        /// Writes the report as JSON as well.
        #[arg(long, value_name = "FILE")]
        report: Option<PathBuf>,
        /// Races as every start does, not the large number.
        #[arg(long)]
        small: bool,
    },
    /// Reads everything in `truth` again and says what is not as it was written; one lap, now, beside running
    /// processes. Ends with 0 when all is well, 1 with findings, 3 when the store could not be read.
    Scrub {
        #[command(flatten)]
        file: ConfigFile,
        /// One lap and no more: the only way there is.
        #[arg(long)]
        once: bool,
        /// Writes the report as JSON as well.
        #[arg(long, value_name = "FILE")]
        report: Option<PathBuf>,
    },
    /// Writes a credential to the ledger and prints its secret, once: the first officer cannot be let in by another.
    BootstrapOfficer {
        #[command(flatten)]
        file: ConfigFile,
        /// What the credential is for: `officer`, `operator` or `auditor`.
        #[arg(long, default_value = "officer")]
        role: String,
    },
    /// Prints nats-server's `authorization { … }`: one user for each role, permitted what the table of subjects says.
    NatsPermissions {
        /// Folder with one file `nats-<role>` for each role: its NKey seed, or its public key where the seed lies
        /// elsewhere.
        #[arg(long, value_name = "DIR")]
        seeds: PathBuf,
        /// Makes the seeds that are missing, readable by this user alone.
        #[arg(long)]
        make: bool,
    },
    /// Proves the whole store again: log, records, submissions, artifacts. Needs the two buckets and the public keys
    /// alone. Exit code 0 when all is as it has to be, 1 with findings, 3 when it could not be read to the end.
    Audit {
        #[command(flatten)]
        file: ConfigFile,
        #[command(flatten)]
        arguments: audit::AuditArguments,
    },
    /// Accepted items that a stage refused for good: lists them, lets them go on.
    Quarantine {
        #[command(subcommand)]
        command: quarantine::Quarantine,
    },
    /// Lists the roles.
    Roles,
}

#[derive(Debug, clap::Args)]
struct ConfigFile {
    /// The process's configuration, TOML.
    #[arg(long = "config", value_name = "FILE", env = "PROBITY_CONFIG")]
    path: PathBuf,
}

/// The command line: what is above, and a word for each command of a role.
fn command_line() -> clap::Command {
    let offered = roles::ROLES.iter().flat_map(|role| role.commands);
    offered.fold(Arguments::command(), |line, command| {
        let word = clap::Command::new(command.name).about(command.does);
        line.subcommand(ConfigFile::augment_args(word))
    })
}

#[tokio::main]
async fn main() -> ExitCode {
    let matches = command_line().get_matches();
    let ended = match matches
        .subcommand()
        .map(|(word, rest)| (roles::command(word), rest))
    {
        Some((Some((role, command)), rest)) => match ConfigFile::from_arg_matches(rest) {
            Ok(file) => commands::of_role(role, command, &file.path)
                .await
                .map(|()| ExitCode::SUCCESS),
            Err(e) => e.exit(),
        },
        _ => match Arguments::from_arg_matches(&matches) {
            Ok(arguments) => run(arguments.command).await,
            Err(e) => e.exit(),
        },
    };
    match ended {
        Ok(code) => code,
        Err(e) => {
            eprintln!("probityd: {e}");
            // 1: an answer that is bad news; 3: no answer.
            ExitCode::from(if e.kind.is_transient() { 3 } else { 1 })
        }
    }
}

async fn run(command: Command) -> probity_platform::Result<ExitCode> {
    let ended = match command {
        Command::Audit { file, arguments } => {
            return Ok(audit::audit(&file.path, arguments).await);
        }
        Command::Run { roles, file } => run::run(&file.path, &roles).await,
        Command::CheckConfig { file } => commands::check_config(&file.path),
        Command::PrepareStore { file } => commands::prepare_store(&file.path).await,
        Command::ProbeStore {
            file,
            report,
            small,
        } => commands::probe_store(&file.path, report.as_deref(), small).await,
        Command::Scrub { file, report, .. } => commands::scrub(&file.path, report.as_deref()).await,
        Command::BootstrapOfficer { file, role } => {
            commands::bootstrap_officer(&file.path, &role).await
        }
        Command::NatsPermissions { seeds, make } => commands::nats_permissions(&seeds, make),
        Command::Quarantine { command } => quarantine::run(command).await,
        Command::Roles => commands::list_roles(),
    };
    ended.map(|()| ExitCode::SUCCESS)
}
