//! Wiring.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRef;
use probity_pki::x509::Certificate;
use probity_platform::access::Access;
use probity_platform::cache::Cache;
use probity_platform::edge::{self, Limits};
use probity_platform::ledger::Ledger;
use probity_platform::objects::Objects;
use probity_platform::startup::Context;
use probity_platform::{Clock, Error, Random, Result, keys};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::blobs::Blobs;
use crate::neighbours::Neighbours;
use crate::standing::Standings;
use crate::{Config, VendorEdge, http};

/// Memory is admitted in pieces of this size.
const ADMITTED_BYTES: u64 = 1024;
/// How long a body waits to be let in before its sender is told to come back.
const ADMISSION: Duration = Duration::from_millis(100);
/// Hashing bytes that no process remembers can take long.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(120);

/// What the verbs work with. Cheap to clone.
pub type Intake = Arc<Parts>;

/// The parts of [`Intake`].
pub struct Parts {
    pub(crate) truth: Arc<dyn Objects>,
    pub(crate) ledger: Ledger,
    pub(crate) cache: Cache,
    pub(crate) access: Access,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) neighbours: Arc<dyn Neighbours>,
    pub(crate) blobs: Blobs,
    pub(crate) standings: Standings,
    pub(crate) blob_bytes_max: u64,
    pub(crate) require_intent: bool,
    pub(crate) submitter_roots: Arc<[Certificate]>,
    admission: Arc<Semaphore>,
}

impl Parts {
    /// From settings and the platform's parts.
    ///
    /// # Errors
    /// `Malformed` for settings under which nothing could be taken in, and for a file of roots that does not read.
    #[expect(
        clippy::too_many_arguments,
        reason = "the one place where the parts come together"
    )]
    pub fn new(
        config: &Config,
        truth: Arc<dyn Objects>,
        ledger: Ledger,
        cache: Cache,
        access: Access,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        neighbours: Arc<dyn Neighbours>,
    ) -> Result<Self> {
        config.check()?;
        let pieces =
            usize::try_from(config.inflight_bytes_max / ADMITTED_BYTES).map_err(Error::internal)?;
        let submitter_roots = match &config.submitter_roots_file {
            Some(file) => keys::read_certificates(file)?,
            None => Vec::new(),
        };
        Ok(Self {
            blobs: Blobs::new(truth.clone(), cache.clone()),
            truth,
            ledger,
            cache,
            access,
            clock,
            random,
            neighbours,
            standings: Standings::default(),
            blob_bytes_max: config.blob_bytes_max,
            require_intent: config.require_intent,
            submitter_roots: submitter_roots.into(),
            admission: Arc::new(Semaphore::new(pieces)),
        })
    }

    /// Lets `bytes` of memory in, until the permit is dropped.
    ///
    /// # Errors
    /// `Unavailable` when there is no room within a tenth of a second.
    pub async fn admit(&self, bytes: u64) -> Result<OwnedSemaphorePermit> {
        let pieces = u32::try_from(bytes.div_ceil(ADMITTED_BYTES)).map_err(Error::internal)?;
        let full = || Error::unavailable("too much is being taken in; try again later");
        tokio::time::timeout(ADMISSION, self.admission.clone().acquire_many_owned(pieces))
            .await
            .map_err(|_| full())?
            .map_err(|_| full())
    }
}

/// Router state.
#[derive(Clone)]
pub(crate) struct Shared(pub(crate) Intake);

impl FromRef<Shared> for Access {
    fn from_ref(shared: &Shared) -> Self {
        shared.0.access.clone()
    }
}

/// Serves until shutdown is requested and what is in flight is answered.
///
/// # Errors
/// `Malformed` for settings that cannot work, `Conflict` when an address is taken.
pub async fn serve(config: Config, ctx: Context) -> Result<()> {
    let intake: Intake = Arc::new(Parts::new(
        &config,
        ctx.buckets.truth.clone(),
        ctx.ledger.clone(),
        ctx.cache.clone(),
        ctx.access.clone(),
        ctx.clock.clone(),
        ctx.random.clone(),
        Arc::new(ctx.bus.clone()),
    )?);
    let limits = Limits {
        answer_time_max: ANSWER_TIME_MAX,
        ..Limits::default()
    };
    let listener = edge::listen(config.listen).await?;
    let grpc_listener = match config.grpc_listen {
        Some(addr) => Some(edge::listen(addr).await?),
        None => None,
    };
    ctx.started();
    let router = http::router(intake.clone());
    let http = edge::serve_http_on(listener, router, &ctx, "intake", limits);
    match grpc_listener {
        None => http.await,
        Some(listener) => {
            let routes = VendorEdge::new(intake).into_routes();
            let grpc = edge::serve_grpc_on(listener, routes, &ctx, "intake-grpc", limits);
            tokio::try_join!(http, grpc).map(drop)
        }
    }
}
