//! Wiring.

use std::sync::Arc;
use std::time::Duration;

use probity_platform::bus::Queue;
use probity_platform::metrics::Gauge;
use probity_platform::startup::Context;
use probity_proto::subjects::SUBMITTED;

use super::{Reconciler, Redrive};
use crate::Config;
use crate::log::Log;
use crate::serve::pause;

/// Hints that wait for signing beyond which none is added: as many as intake lets in, so that neither of the two has to
/// wait until the other is done. What is missing is then most likely among those that wait.
const HINTS_WAITING_MAX: u64 = 10_000;

/// Hints sent before the queue is looked at again.
const SENT_PER_LOOK: usize = 100;

/// Reconciles from period to period until shutdown, and sends what there is to be hinted.
pub(crate) async fn serve(config: Config, ctx: Context, log: Arc<Log>, held: Gauge) {
    let (truth, work) = (ctx.buckets.truth.clone(), ctx.buckets.work.clone());
    let after_s = config.reconcile_after_s;
    let (ledger, clock) = (ctx.ledger.clone(), ctx.clock.clone());
    let mut reconciler = Reconciler::new(truth, work, ledger, log, clock, after_s);
    let period = Duration::from_secs(config.reconcile_period_s.max(1).into());
    let queue = Queue::new(ctx.bus.clone(), SUBMITTED, HINTS_WAITING_MAX);
    loop {
        pause(&ctx.shutdown, period).await;
        if ctx.shutdown.is_requested() {
            return;
        }
        match reconciler.round().await {
            Ok(redrives) => {
                held.set(i64::try_from(reconciler.quarantined()).unwrap_or(i64::MAX));
                reconciler.send(&redrives, &queue).await;
            }
            Err(e) => tracing::warn!(error = %e, "reconciling"),
        }
    }
}

impl Reconciler {
    /// Sends a round's hints as long as the queue takes them; the rest are due again in the next round.
    pub async fn send(&mut self, redrives: &[Redrive], queue: &Queue) {
        let mut left = redrives.chunks(SENT_PER_LOOK);
        for chunk in left.by_ref() {
            if let Some(unsent) = send(chunk, queue).await {
                unsent.iter().for_each(|redrive| self.unsent(redrive));
                break;
            }
        }
        left.flatten().for_each(|redrive| self.unsent(redrive));
    }
}

/// Looks how full the queue is and sends; answers what it does not take.
async fn send<'a>(redrives: &'a [Redrive], queue: &Queue) -> Option<&'a [Redrive]> {
    queue.measure().await;
    for (sent, redrive) in redrives.iter().enumerate() {
        let told = match queue.check() {
            Ok(()) => queue.tell(&redrive.message_id, &redrive.hint).await,
            Err(full) => Err(full),
        };
        if let Err(e) = told {
            tracing::warn!(error = %e, "hints could not be sent again");
            return redrives.get(sent..);
        }
    }
    None
}
