//! Commands that end at once.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

use probity_platform::access::CallerRole;
use probity_platform::bus::{BusUser, authorization};
use probity_platform::config::{Config, parse_section};
use probity_platform::objects::{ProbeSize, Verdict, examine_store};
use probity_platform::startup::{self, Stores};
use probity_platform::{Error, Result, SystemClock, SystemRandom};
use probity_storage::{CarriedOut, Custody, Order};
use serde::Serialize;

use crate::roles::{ROLES, Role, RoleCommand, names};

/// Parses the file and the section of every role in it.
///
/// # Errors
/// `Malformed`, saying what is wrong.
pub fn check_config(path: &Path) -> Result<()> {
    let config = Config::read(path, &names())?;
    config.nats.check()?;
    for role in ROLES
        .iter()
        .filter(|role| config.roles.contains_key(role.name))
    {
        (role.check)(config.role(role.name))?;
    }
    let present: Vec<_> = config.roles.keys().map(String::as_str).collect();
    say(&format!(
        "{}: well-formed; roles: {}",
        path.display(),
        present.join(", ")
    ))
}

/// Makes missing buckets.
///
/// # Errors
/// Wrong configuration, or the store's refusal.
pub async fn prepare_store(path: &Path) -> Result<()> {
    let config = Config::read(path, &names())?;
    config.s3.ensure_buckets(Arc::new(SystemRandom)).await?;
    say("buckets stand")
}

/// Examines the store and prints the verdict.
///
/// # Errors
/// Wrong configuration; `Conflict` when the store is unfit, `Unavailable` when it did not answer.
pub async fn probe_store(path: &Path, report_to: Option<&Path>, small: bool) -> Result<()> {
    let config = Config::read(path, &names())?;
    let size = if small {
        // Nobody waits for an operator's own examination, so it may take its time.
        ProbeSize {
            time_max: ProbeSize::FULL.time_max,
            ..ProbeSize::START
        }
    } else {
        ProbeSize::FULL
    };
    let report = examine_store(&config.s3, Arc::new(SystemRandom), &SystemClock, size).await?;
    file_report(&report, report_to)?;
    say(&report.to_string())?;
    match report.verdict {
        Verdict::Fit => Ok(()),
        Verdict::Unfit => Err(Error::conflict("this store is unfit for evidence")),
        Verdict::Undecided => Err(Error::unavailable("the store did not answer")),
    }
}

/// One lap of the scrubber.
///
/// # Errors
/// Wrong configuration; `Conflict` when something is not as it was written; those of the store.
pub async fn scrub(path: &Path, report_to: Option<&Path>) -> Result<()> {
    let config = Config::read(path, &names())?;
    let section = parse_section("storage", config.role("storage"))?;
    let report = probity_storage::scrub_once(section, Stores::open(&config)?.buckets).await?;
    file_report(&report, report_to)?;
    say(&report.to_string())?;
    match report.findings_total {
        0 => Ok(()),
        found => Err(Error::conflict(format!("{found} findings"))),
    }
}

/// The words of `custody`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Ordered {
    Hold,
    Lift,
    Delete,
    Show,
}

/// Carries out an order on one evidence, or shows what was ordered.
///
/// # Errors
/// Wrong configuration; those of [`Custody::carry_out`].
pub async fn custody(
    path: &Path,
    what: Ordered,
    evidence: &str,
    by: &probity_storage::Authority,
) -> Result<()> {
    let config = Config::read(path, &names())?;
    let buckets = Stores::open(&config)?.buckets;
    let custody = Custody::new(&buckets, Arc::new(SystemClock), Arc::new(SystemRandom));
    let evidence = probity_storage::evidence(evidence)?;
    let what = match what {
        Ordered::Hold => Order::Hold,
        Ordered::Lift => Order::Lift,
        Ordered::Delete => Order::Delete,
        Ordered::Show => return say(&custody.show(evidence).await?),
    };
    let tell = |text: &str| eprintln!("{text}");
    let done = custody.carry_out(evidence, what, by, &tell).await?;
    let order = &by.order;
    say(&match done {
        CarriedOut::Held => format!("{evidence} is held by order {order}"),
        CarriedOut::Lifted => format!("{evidence} is no longer held by order {order}"),
        CarriedOut::Deleted(objects) => format!(
            "{objects} objects of {evidence} are deleted by order {order}; its entry in the log stays"
        ),
        CarriedOut::KeptFor(other) => format!(
            "{evidence} is deleted by order {order}, and nothing is removed: {other}, accepted meanwhile, has some of the same bytes; give the order again when that is deleted"
        ),
    })
}

fn file_report(report: &impl Serialize, path: Option<&Path>) -> Result<()> {
    let Some(path) = path else { return Ok(()) };
    let json = serde_json::to_vec_pretty(report).map_err(Error::internal)?;
    std::fs::write(path, json).map_err(|e| Error::malformed(format!("{}: {e}", path.display())))
}

/// Issues a credential of a role that nobody else could issue yet.
///
/// # Errors
/// `Malformed` for another role's word, wrong configuration, or the store's refusal.
pub async fn bootstrap_officer(path: &Path, role: &str) -> Result<()> {
    let role = CallerRole::parse(role, None, None, None)?;
    let config = Config::read(path, &names())?;
    let (_, access) = startup::open_store(&config)?;
    let (id, secret) = access
        .issue(role, "bootstrap", "the platform's first credential")
        .await?;
    eprintln!("credential {id}; the next line is its secret and is not kept anywhere:");
    say(secret.expose())
}

/// Runs a role's own command.
///
/// # Errors
/// Wrong configuration; whatever the command fails with.
pub async fn of_role(role: Role, command: &RoleCommand, path: &Path) -> Result<()> {
    let config = Config::read(path, &names())?;
    let section = config.role(role.name);
    say(&(command.run)(section, Stores::open(&config)?).await?)
}

/// Prints the `authorization` block that gives every role what the table of subjects says and nothing else.
///
/// # Errors
/// `Malformed`, naming the role's file that is missing or no NKey.
pub fn nats_permissions(seeds: &Path, make: bool) -> Result<()> {
    let user = |role: &'static str| {
        let path = seeds.join(format!("nats-{role}"));
        if make && !path.exists() {
            make_seed(role, &path)?;
        }
        BusUser::read(role, &path)
    };
    let users: Vec<_> = names().into_iter().map(user).collect::<Result<_>>()?;
    say(authorization(&users).trim_end())
}

fn make_seed(role: &str, path: &Path) -> Result<()> {
    let (_, seed) = BusUser::make(role, &SystemRandom)?;
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(seed.expose().as_bytes()));
    written.map_err(|e| Error::malformed(format!("{}: {e}", path.display())))
}

/// Prints the table of roles.
///
/// # Errors
/// `Internal` when standard output is closed.
pub fn list_roles() -> Result<()> {
    ROLES
        .iter()
        .try_for_each(|role| say(&format!("{:<13} {}", role.name, role.does)))
}

pub fn say(line: &str) -> Result<()> {
    writeln!(std::io::stdout(), "{line}")
        .map_err(|e| Error::internal(format!("standard output: {e}")))
}
