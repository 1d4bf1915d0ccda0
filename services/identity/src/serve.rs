//! Wiring.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::FromRef;
use probity_platform::access::{Access, Caller, CallerRole};
use probity_platform::edge::{self, Held, Limits, Room};
use probity_platform::ledger::Ledger;
use probity_platform::startup::Context;
use probity_platform::{Clock, Random, Result};

use crate::channel::CodeChannel;
use crate::code::Codes;
use crate::provider::{Sandbox, VerificationProvider};
use crate::throttle::Throttle;
use crate::{Config, channel, http};

/// Calls about intents answered at once; each is a few requests to the store.
const CALLS_MAX: u64 = 64;

/// What the verbs work with. Cheap to clone.
#[derive(Clone)]
pub struct Identity {
    pub(crate) ledger: Ledger,
    pub(crate) access: Access,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) codes: Codes,
    pub(crate) channel: Arc<dyn CodeChannel>,
    pub(crate) provider: Option<Arc<dyn VerificationProvider>>,
    pub(crate) code_ttl_ms: i64,
    pub(crate) attempts_max: u32,
    pub(crate) applications: Arc<Throttle>,
    pub(crate) intents: Arc<Throttle>,
    pub(crate) trusted_proxies: Arc<[IpAddr]>,
    calls: Room,
}

impl Identity {
    /// From settings and the platform's parts.
    ///
    /// # Errors
    /// `Malformed` for a key or channel that cannot be used.
    pub fn new(
        config: &Config,
        ledger: Ledger,
        access: Access,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Self> {
        let provider = config
            .sandbox_provider
            .then(|| Arc::new(Sandbox) as Arc<dyn VerificationProvider>);
        if provider.is_some() {
            tracing::warn!("the sandbox provider is on: identities decided by it are not verified");
        }
        Ok(Self {
            ledger,
            access,
            clock,
            random,
            codes: Codes::from_file(&config.code_key_file)?,
            channel: channel::open(&config.channel)?,
            provider,
            code_ttl_ms: i64::from(config.code_ttl_s) * 1_000,
            attempts_max: config.attempts_max,
            applications: Arc::new(Throttle::new(config.applications_per_minute_max)),
            intents: Arc::new(Throttle::new(config.intents_per_minute_max)),
            trusted_proxies: config.trusted_proxies.clone().into(),
            calls: Room::new("too many calls about intents are under way", CALLS_MAX),
        })
    }

    /// Lets a vendor's call about an intent in: who floods leaves room for others, and a store that became slow is not given
    /// more and more to do for callers that have given up.
    ///
    /// # Errors
    /// `TooMany` when the tenant itself has too many under way, `Unavailable` when all together have.
    pub async fn enter(&self, caller: &Caller) -> Result<Option<Held>> {
        match &caller.role {
            CallerRole::Vendor { tenant, .. } => self.calls.take(tenant, 1).await.map(Some),
            _ => Ok(None),
        }
    }
}

impl FromRef<Identity> for Access {
    fn from_ref(identity: &Identity) -> Self {
        identity.access.clone()
    }
}

/// Serves until shutdown is requested and what is in flight is answered.
///
/// # Errors
/// `Malformed` for settings that cannot work, `Unavailable` when the address is taken.
pub async fn serve(config: Config, ctx: Context) -> Result<()> {
    config.check()?;
    let identity = Identity::new(
        &config,
        ctx.ledger.clone(),
        ctx.access.clone(),
        ctx.clock.clone(),
        ctx.random.clone(),
    )?;
    let listener = edge::listen(config.listen).await?;
    ctx.started();
    let router = http::router(identity);
    edge::serve_http_on(listener, router, &ctx, "identity", Limits::default()).await
}
