//! One start-up for every role, and one way down.
//!
//! The order is fixed: configuration is read whole before a socket opens; the store is probed
//! before anything is promised on it; NATS and Redis may be missing, because accepting and serving
//! need the store alone.

mod context;
mod shutdown;

use std::sync::Arc;
use std::time::Duration;

use crate::access::Access;
use crate::bus::Bus;
use crate::cache::Cache;
use crate::config::Config;
use crate::edge::{Readiness, listen, ops};
use crate::ledger::Ledger;
use crate::objects::{Buckets, ProbeSize, S3Config, proved};
use crate::telemetry::{self, Telemetry};
use crate::{Clock, Error, Random, Result, SystemClock, SystemRandom};

pub use context::Context;
pub use shutdown::Shutdown;

/// Between two attempts to prove the store.
const BETWEEN_PROOFS: Duration = Duration::from_secs(1);
/// What `/readyz` calls the proof.
const STORE_PROOF: &str = "store_proof";

/// A process that has started: its context, and what has to be brought down in order.
#[derive(Debug)]
pub struct Process {
    pub context: Context,
    telemetry: Option<Telemetry>,
    ops: tokio::task::JoinHandle<Result<()>>,
}

/// Opens the store and its registries alone, without bus, cache or listener: for commands that end
/// at once.
///
/// # Errors
/// `Malformed` when a key file does not read.
pub fn open_store(config: &Config) -> Result<(Buckets, Access)> {
    let random: Arc<dyn Random> = Arc::new(SystemRandom);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let buckets = config.s3.open(random.clone())?;
    let ledger = Ledger::new(buckets.truth.clone(), clock.clone(), random.clone());
    Ok((buckets, Access::new(ledger, clock, random)))
}

/// What a command works on that ends at once: no bus, no listener.
#[derive(Clone)]
pub struct Stores {
    pub buckets: Buckets,
    pub cache: Cache,
}

impl Stores {
    /// Opens both; connections are made when they are first used.
    ///
    /// # Errors
    /// `Malformed` when a key file or a URL does not read.
    pub fn open(config: &Config) -> Result<Self> {
        Ok(Self {
            buckets: config.s3.open(Arc::new(SystemRandom))?,
            cache: Cache::new(&config.redis)?,
        })
    }
}

/// Starts with a configuration read before; `name` is the process's name on the bus. The process is
/// ready when each of `roles` has said so ([`Context::started`]). Signals SIGTERM and SIGINT request
/// shutdown from here on.
///
/// # Errors
/// `Malformed` for a wrong configuration, before any socket opens; `Conflict` when the object store
/// lets several writers win one create-only PUT, `Internal` when `truth` keeps less than the
/// configuration asks for; `Unavailable` when shutdown is requested before the store was proved.
pub async fn start(
    config: &Config,
    name: &str,
    roles: impl IntoIterator<Item = &'static str>,
) -> Result<Process> {
    // Nothing below this block opens a socket before everything in it has been found right.
    config.nats.check_secrets()?;
    let random: Arc<dyn Random> = Arc::new(SystemRandom);
    let buckets = config.s3.open(random.clone())?;
    let cache = Cache::new(&config.redis)?;
    let telemetry = telemetry::start(&config.process)?;
    // Two providers are linked in; whoever uses rustls without naming one gets this one. Fails when
    // set already.
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .ok();

    let shutdown = Shutdown::on_signals()?;
    let ops_listener = listen(config.process.ops_listen).await?;
    let bus = Bus::connect(&config.nats, name).await?;
    let context = Context::new(buckets, bus, cache, shutdown);
    context.readiness.expect(STORE_PROOF);
    roles.into_iter().for_each(|r| context.readiness.expect(r));
    let ops = tokio::spawn(ops::serve(ops_listener, context.clone()));
    store_holds(&config.s3, &random, &context).await?;
    tracing::info!(process = %config.process.name, name, "started");
    Ok(Process {
        context,
        telemetry: Some(telemetry),
        ops,
    })
}

/// Proves that a conditional write has one winner, in both buckets and through whatever door, and that `truth` keeps what
/// it is told to. A store that is away or slow is not unfit: it is waited for, and the process is not
/// ready. One that fails the proof ends the process.
async fn store_holds(s3: &S3Config, random: &Arc<dyn Random>, ctx: &Context) -> Result<()> {
    let doors = s3.open_each(random)?;
    let store = s3.digest();
    let holds = async || {
        for door in &doors {
            let keeping = door.truth.keeping().await?;
            keeping.suits(&s3.truth_bucket, s3.versions_demanded, &s3.lock)?;
        }
        proved(&store, &doors, &**random, &SystemClock, ProbeSize::START).await
    };
    until_proved(holds, &ctx.readiness, &ctx.shutdown).await
}

async fn until_proved(
    mut holds: impl AsyncFnMut() -> Result<Option<String>>,
    readiness: &Readiness,
    shutdown: &Shutdown,
) -> Result<()> {
    let mut said = String::new();
    loop {
        let why = match holds().await {
            Ok(Some(proof)) => {
                tracing::info!(proof, "the object store holds its conditions");
                readiness.set(STORE_PROOF, Ok(()));
                return Ok(());
            }
            Ok(None) => Error::unavailable("another process is proving the object store"),
            Err(e) if e.kind.is_transient() => e,
            Err(e) => return Err(e),
        };
        if why.detail != said {
            tracing::warn!(error = %why, "the object store is not proved yet");
            said.clone_from(&why.detail);
        }
        readiness.set(STORE_PROOF, Err(why));
        tokio::select! {
            () = shutdown.requested() => return Err(Error::unavailable("stopped before the object store was proved")),
            () = tokio::time::sleep(BETWEEN_PROOFS) => {}
        }
    }
}

impl Process {
    /// Ends what the roles do not: the ops listener and telemetry. Call when all roles have
    /// returned.
    pub async fn finish(mut self) {
        self.context.shutdown.request();
        self.context.bus.flush().await;
        self.context.ended.request();
        if tokio::time::timeout(Duration::from_secs(5), &mut self.ops)
            .await
            .is_err()
        {
            self.ops.abort();
        }
        if let Some(telemetry) = self.telemetry.take() {
            tokio::task::spawn_blocking(move || telemetry.shutdown())
                .await
                .ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[tokio::test]
    async fn a_slow_store_is_waited_for_and_an_unfit_one_is_not() {
        let shutdown = Shutdown::new();
        let readiness = Readiness::new(shutdown.clone());
        readiness.expect(STORE_PROOF);
        let mut asked = 0;
        let slow_then_fit = async || {
            asked += 1;
            match asked {
                1 => Err(Error::timeout("no answer to all races in 5 s")),
                _ => {
                    let why = readiness.missing();
                    assert!(why[STORE_PROOF].contains("all races"), "{why:?}");
                    Ok(Some("proof".to_owned()))
                }
            }
        };
        let proved = until_proved(slow_then_fit, &readiness, &shutdown).await;
        proved.unwrap();
        assert!(readiness.is_ready());

        let two_winners = async || Err(Error::conflict("had 2 winners of 8"));
        let unfit = until_proved(two_winners, &readiness, &shutdown).await;
        assert_eq!(unfit.unwrap_err().kind, ErrorKind::Conflict);

        shutdown.request();
        let anothers_turn = async || Ok(None);
        let stopped = until_proved(anothers_turn, &readiness, &shutdown).await;
        assert_eq!(stopped.unwrap_err().kind, ErrorKind::Unavailable);
    }
}
