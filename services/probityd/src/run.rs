//! Running roles: all start together and end together.

use std::path::Path;
use std::time::Duration;

use probity_platform::config::Config;
use probity_platform::startup::{self, Context};
use probity_platform::{Error, Result, telemetry};
use tokio::task::JoinSet;
use tracing::Instrument as _;

use crate::roles::{Role, names, select};

/// From the request to stop until roles that have not ended are left behind.
const DRAIN: Duration = Duration::from_secs(28);

type Ended = (&'static str, Result<()>);

/// Runs the roles asked for until SIGTERM, or until one of them fails.
///
/// # Errors
/// Wrong configuration, before any socket opens; whatever keeps the process from starting; the first role's failure.
pub async fn run(path: &Path, asked: &[String]) -> Result<()> {
    let roles = select(asked)?;
    let config = Config::read(path, &names())?;
    for role in &roles {
        (role.check)(config.role(role.name))?;
    }
    // One role is one NATS user; several in one process are a development set-up with one user for all.
    let name = match roles.as_slice() {
        [role] => role.name,
        _ => "all",
    };
    let process = startup::start(&config, name, roles.iter().map(|r| r.name)).await?;
    let outcome = run_roles(&roles, &config, &process.context).await;
    if let Err(e) = &outcome {
        tracing::error!(error = %e, "ending");
    }
    process.finish().await;
    outcome
}

/// Starts every role and waits for all. The first to end unasked brings the others down.
async fn run_roles(roles: &[Role], config: &Config, ctx: &Context) -> Result<()> {
    let mut running = JoinSet::new();
    for role in roles {
        let serving = (role.serve)(config.role(role.name), ctx.for_role(role.name));
        let span = tracing::info_span!(target: telemetry::PROCESS, "role", role = role.name);
        let name = role.name;
        running.spawn(async move { (name, serving.await) }.instrument(span));
    }
    let mut first_failure = Ok(());
    while let Some((name, ended)) = next(&mut running, ctx).await {
        let failed = match ended {
            Err(e) => Err(Error {
                detail: format!("{name}: {}", e.detail),
                kind: e.kind,
            }),
            Ok(()) if ctx.shutdown.is_requested() => Ok(()),
            Ok(()) => Err(Error::internal(format!(
                "{name}: ended though nobody asked"
            ))),
        };
        if first_failure.is_ok() {
            first_failure = failed;
        } else if let Err(e) = failed {
            tracing::error!(error = %e, "failed as well");
        }
        ctx.shutdown.request();
    }
    first_failure
}

/// The next role to end; `None` when all have, or when the drain has taken too long.
async fn next(running: &mut JoinSet<Ended>, ctx: &Context) -> Option<Ended> {
    let drained = async {
        ctx.shutdown.requested().await;
        tokio::time::sleep(DRAIN).await;
    };
    let ended = tokio::select! {
        ended = running.join_next() => ended?,
        () = drained => {
            tracing::error!(left = running.len(), "roles have not ended in time");
            return None;
        }
    };
    Some(ended.unwrap_or_else(|e| ("a role", Err(Error::internal(format!("panicked: {e}"))))))
}
