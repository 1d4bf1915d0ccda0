//! Wiring.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRef;
use probity_domain::{Sha3_256, TenantId};
use probity_pki::x509::Certificate;
use probity_platform::access::Access;
use probity_platform::cache::Cache;
use probity_platform::edge::{self, Held, Limits, Quota, Room};
use probity_platform::ledger::Ledger;
use probity_platform::objects::Objects;
use probity_platform::startup::Context;
use probity_platform::{Clock, Random, Result, keys};
use tokio::time::Instant;

use crate::backlog::Backlog;
use crate::blobs::Blobs;
use crate::neighbours::{Neighbours, OverBus};
use crate::removals::Removals;
use crate::standing::Standings;
use crate::turns::{Place, Turns};
use crate::{Config, VendorEdge, http};

/// Calls answered at once that bring something; fewer than an edge answers at all, so that others can be told to wait.
const CALLS_MAX: u64 = 384;
/// Thousands of small artifacts that no process remembers are looked up in it; what takes longer to read again goes on
/// without a request.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(120);

/// What a vendor did not bring in the last seconds it may bring at once.
const QUOTA_SECONDS: u32 = 5;
/// Of one tenant may wait to be written; the next is told at once. No fewer than one vendor's program uploads at once.
const WRITES_WAITING_MAX: usize = 64;
const QUOTA_PERIOD: Duration = Duration::from_secs(QUOTA_SECONDS as u64);
const MEBIBYTE: u64 = 1024 * 1024;

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
    removals: Removals,
    pub(crate) standings: Standings,
    pub(crate) blob_bytes_max: u64,
    pub(crate) require_intent: bool,
    pub(crate) submitter_roots: Arc<[Certificate]>,
    calls: Room,
    memory: Room,
    writes: Turns,
    uploads: Option<Quota>,
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
            removals: Removals::default(),
            standings: Standings::default(),
            blob_bytes_max: config.blob_bytes_max,
            require_intent: config.require_intent,
            submitter_roots: submitter_roots.into(),
            calls: Room::new("too many calls are under way", CALLS_MAX),
            memory: Room::new("too much is being taken in", config.inflight_bytes_max),
            writes: Turns::new("uploads", config.store_writes_max, WRITES_WAITING_MAX),
            uploads: config
                .uploads_per_second_max
                .map(|most| Quota::new(most.saturating_mul(QUOTA_SECONDS), QUOTA_PERIOD)),
        })
    }

    /// Lets a call in that brings something, until the answer is given.
    ///
    /// # Errors
    /// `TooMany` or `Unavailable` when there is no room within a twentieth of a second.
    pub async fn enter(&self, tenant: &TenantId) -> Result<Held> {
        self.calls.take(tenant, 1).await
    }

    /// The same for one that brings an instruction: those behind intake have to keep up as well.
    ///
    /// # Errors
    /// As [`Parts::enter`].
    pub async fn enter_with_instruction(&self, tenant: &TenantId) -> Result<Held> {
        self.neighbours.keep_up(tenant)?;
        self.enter(tenant).await
    }

    /// Lets `bytes` of memory in, until the permit is dropped.
    ///
    /// # Errors
    /// `TooMany` or `Unavailable` when there is no room within a twentieth of a second.
    pub async fn admit(&self, tenant: &TenantId, bytes: u64) -> Result<Held> {
        self.memory.take(tenant, bytes).await
    }

    /// Counts an upload of so many bytes.
    ///
    /// # Errors
    /// `TooMany` when the tenant brought more than its quota already.
    pub fn count_upload(&self, tenant: &TenantId, bytes: u64) -> Result<()> {
        match &self.uploads {
            Some(quota) => quota.spend(tenant.as_str(), mebibytes(bytes)),
            None => Ok(()),
        }
    }

    /// Takes back an upload that was counted and not even tried.
    pub fn uncount_upload(&self, tenant: &TenantId, bytes: u64) {
        if let Some(quota) = &self.uploads {
            quota.give_back(tenant.as_str(), mebibytes(bytes));
        }
    }

    /// Passes bytes that no order is removing; answers from when on what is seen of them may be relied on.
    ///
    /// # Errors
    /// Those of [`Removals::check`].
    pub async fn may_rely_on(
        &self,
        tenant: &TenantId,
        digests: impl IntoIterator<Item = Sha3_256>,
    ) -> Result<Instant> {
        let (ledger, now) = (&self.ledger, self.clock.now());
        self.removals.check(ledger, now, tenant, digests).await
    }

    /// A place among those that write to the store.
    ///
    /// # Errors
    /// Those of [`Turns::place`].
    pub fn write_place(&self, tenant: &TenantId) -> Result<Place> {
        self.writes.place(tenant)
    }
}

fn mebibytes(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(MEBIBYTE)).unwrap_or(u32::MAX)
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
    config.check()?;
    let backlog = Backlog::new(
        ctx.bus.clone(),
        config.backlog_max,
        config.backlog_tenant_max,
    );
    let backlog = Arc::new(backlog);
    let neighbours = OverBus {
        bus: ctx.bus.clone(),
        backlog: backlog.clone(),
    };
    let intake: Intake = Arc::new(Parts::new(
        &config,
        ctx.buckets.truth.clone(),
        ctx.ledger.clone(),
        ctx.cache.clone(),
        ctx.access.clone(),
        ctx.clock.clone(),
        ctx.random.clone(),
        Arc::new(neighbours),
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
    let watch = backlog.queue().watch(ctx.shutdown.clone());
    match grpc_listener {
        None => tokio::try_join!(http, watch).map(drop),
        Some(listener) => {
            let routes = VendorEdge::new(intake).into_routes();
            let grpc = edge::serve_grpc_on(listener, routes, &ctx, "intake-grpc", limits);
            tokio::try_join!(http, grpc, watch).map(drop)
        }
    }
}
