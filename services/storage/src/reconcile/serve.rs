//! Wiring.

use std::sync::Arc;
use std::time::Duration;

use probity_platform::metrics::Gauge;
use probity_platform::startup::Context;
use probity_proto::subjects::SUBMITTED;

use super::Reconciler;
use crate::Config;
use crate::log::Log;
use crate::serve::pause;

/// Reconciles from period to period until shutdown, and sends what there is to be hinted.
pub(crate) async fn serve(config: Config, ctx: Context, log: Arc<Log>, held: Gauge) {
    let (truth, work) = (ctx.buckets.truth.clone(), ctx.buckets.work.clone());
    let after_s = config.reconcile_after_s;
    let (ledger, clock) = (ctx.ledger.clone(), ctx.clock.clone());
    let mut reconciler = Reconciler::new(truth, work, ledger, log, clock, after_s);
    let period = Duration::from_secs(config.reconcile_period_s.max(1).into());
    loop {
        pause(&ctx.shutdown, period).await;
        if ctx.shutdown.is_requested() {
            return;
        }
        match reconciler.round().await {
            Ok(redrives) => {
                held.set(i64::try_from(reconciler.quarantined()).unwrap_or(i64::MAX));
                let mut redrives = redrives.iter();
                for redrive in redrives.by_ref() {
                    let told = ctx.bus.tell(&SUBMITTED, &redrive.message_id, &redrive.hint);
                    if let Err(e) = told.await {
                        tracing::warn!(error = %e, "a hint could not be sent again");
                        reconciler.unsent(redrive);
                        break;
                    }
                }
                redrives.for_each(|redrive| reconciler.unsent(redrive));
            }
            Err(e) => tracing::warn!(error = %e, "reconciling"),
        }
    }
}
