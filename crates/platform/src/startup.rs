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
use crate::edge::{listen, ops};
use crate::ledger::Ledger;
use crate::objects::{Buckets, S3Config, proved};
use crate::telemetry::{self, Telemetry};
use crate::{Clock, Error, Random, Result, SystemClock, SystemRandom};

pub use context::Context;
pub use shutdown::Shutdown;

/// How long a start waits for an object store that does not answer.
const STORE_WAIT: Duration = Duration::from_secs(60);

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
/// `Malformed` for a wrong configuration, before any socket opens; `Internal` when the object store
/// lets several writers win one create-only PUT, or when `truth` keeps less than the configuration
/// asks for; `Unavailable` when it does not answer for a minute.
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
    store_holds(&config.s3, &random, &shutdown).await?;
    let bus = Bus::connect(&config.nats, name).await?;
    let context = Context::new(buckets, bus, cache, shutdown);
    roles.into_iter().for_each(|r| context.readiness.expect(r));
    let ops = tokio::spawn(ops::serve(ops_listener, context.clone()));
    tracing::info!(process = %config.process.name, name, "started");
    Ok(Process {
        context,
        telemetry: Some(telemetry),
        ops,
    })
}

/// Proves that a create-only PUT has one winner, through whatever door, and that `truth` keeps what
/// it is told to. The store is waited for; one that fails the proof is not.
async fn store_holds(s3: &S3Config, random: &Arc<dyn Random>, shutdown: &Shutdown) -> Result<()> {
    let deadline = tokio::time::Instant::now() + STORE_WAIT;
    let doors = s3.open_each(random)?;
    let work: Vec<_> = doors.iter().map(|door| door.work.clone()).collect();
    loop {
        let holds = async {
            for door in &doors {
                let keeping = door.truth.keeping().await?;
                keeping.suits(&s3.truth_bucket, s3.versions_demanded, &s3.lock)?;
            }
            proved(&work, &**random, &SystemClock).await
        };
        match holds.await {
            Ok(Some(proof)) => {
                tracing::info!(proof, "the object store holds its conditions");
                return Ok(());
            }
            Ok(None) if tokio::time::Instant::now() >= deadline => {
                return Err(Error::unavailable(
                    "another process has been proving the object store for a minute",
                ));
            }
            Ok(None) => tracing::info!("another process is proving the object store"),
            Err(e) if !e.kind.is_transient() || tokio::time::Instant::now() >= deadline => {
                return Err(e);
            }
            Err(e) => tracing::warn!(error = %e, "no object store yet"),
        }
        tokio::select! {
            () = shutdown.requested() => return Err(Error::unavailable("stopped before the object store answered")),
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
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
