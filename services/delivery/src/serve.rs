//! Wiring.

use std::sync::Arc;
use std::time::Duration;

use probity_domain::{DeliveryId, EvidenceId};
use probity_platform::edge::{self, Limits};
use probity_platform::keys::watch_validity;
use probity_platform::stage::{self, Outcome, StageConfig};
use probity_platform::startup::Context;
use probity_platform::{Error, ErrorKind, Result};
use probity_proto::subjects::{DELIVERY_DUE, DEPOSITED};
use probity_proto::v1::{DeliveryDue, Deposited};

use crate::Config;
use crate::courier::{Bounds, Courier, Parts};
use crate::http::{Edge, router};
use crate::push::HttpsPush;
use crate::seal::Seal;

/// Runs the role until shutdown.
///
/// # Errors
/// `Malformed` for wrong configuration or key files, before a socket opens; `Conflict` for an address in use.
pub async fn serve(config: Config, ctx: Context) -> Result<()> {
    config.check()?;
    let identity = config
        .tls_identity_file
        .as_ref()
        .map(|file| file.read())
        .transpose()?;
    let parts = Parts {
        buckets: ctx.buckets.clone(),
        ledger: ctx.ledger.clone(),
        clock: ctx.clock.clone(),
        random: ctx.random.clone(),
        seal: Seal::open(&config, ctx.buckets.truth.clone())?.stamped_by(Arc::new(ctx.bus.clone())),
        prove: Arc::new(ctx.bus.clone()),
        hints: Arc::new(ctx.bus.clone()),
        push: Arc::new(HttpsPush::new(
            config.push_timeout(),
            identity.as_ref().map(|s| s.expose()),
        )?),
    };
    let bounds = Bounds {
        deliveries: config.push_concurrency,
        per_recipient: config.push_concurrency_per_recipient,
        envelope_content_bytes: config.envelope_content_bytes,
    };
    let validities = parts.seal.validities();
    let courier = Arc::new(Courier::new(parts, bounds));
    let at_edge = Edge {
        courier: courier.clone(),
        access: ctx.access.clone(),
    };
    let routes = at_edge.clone().into_grpc_routes();
    let limits = Limits::default();
    let listener = edge::listen(config.listen).await?;
    let grpc_listener = edge::listen(config.grpc_listen).await?;
    let validity = watch_validity(&ctx, validities);
    ctx.started();
    let driven = async {
        tokio::join!(
            courier.work(&ctx.shutdown),
            courier.tick(&ctx.shutdown),
            courier.rescan(&ctx.shutdown)
        );
        Ok(())
    };
    tokio::try_join!(
        edge::serve_http_on(listener, router(at_edge), &ctx, "delivery", limits),
        edge::serve_grpc_on(grpc_listener, routes, &ctx, "delivery-grpc", limits),
        take_due(courier.clone(), &ctx),
        take_deposited(courier.clone(), &ctx),
        driven,
        validity,
    )?;
    Ok(())
}

/// Hints are settled at once: what they started is found again in the ledger, so none has to stay on the bus while
/// a court takes its time.
const HINTS: StageConfig = StageConfig {
    batch_max: 64,
    concurrency: 1,
    ack_wait: Duration::from_secs(30),
    batch_time_max: Duration::from_secs(60),
    pull_wait: Duration::from_secs(5),
    pause: Duration::from_secs(1),
};

async fn take_due(courier: Arc<Courier>, ctx: &Context) -> Result<()> {
    let handler = move |hints: Vec<DeliveryDue>| {
        let courier = courier.clone();
        async move {
            let taken = hints
                .into_iter()
                .map(|hint| take_one(courier.clone(), hint));
            futures::future::join_all(taken).await
        }
    };
    stage::run(ctx, &DELIVERY_DUE, HINTS, handler).await
}

async fn take_one(courier: Arc<Courier>, hint: DeliveryDue) -> Outcome {
    let taken = match DeliveryId::parse(&hint.delivery_id) {
        Ok(id) => courier.take(id).await,
        Err(e) => Err(Error::from(e)),
    };
    match taken {
        // A hint about a delivery that this store has never seen cannot become true later.
        Err(e) if e.kind == ErrorKind::NotFound => Outcome::Park(e),
        other => Outcome::from(other),
    }
}

async fn take_deposited(courier: Arc<Courier>, ctx: &Context) -> Result<()> {
    let handler = move |hints: Vec<Deposited>| {
        let courier = courier.clone();
        async move {
            for deposited in hints.iter().flat_map(|hint| &hint.evidence) {
                if let Ok(evidence) = EvidenceId::parse(&deposited.evidence_number) {
                    courier.deposited(&evidence);
                }
            }
            hints.iter().map(|_| Outcome::Done).collect()
        }
    };
    stage::run(ctx, &DEPOSITED, HINTS, handler).await
}
