//! Wiring.

use std::sync::Arc;
use std::time::Duration;

use probity_platform::bus::Queue;
use probity_platform::metrics::{Gauge, Metrics};
use probity_platform::startup::Context;
use probity_proto::subjects::SUBMITTED;

use super::{Reconciler, Redrive};
use crate::Config;
use crate::log::Log;
use crate::serve::{pause, until};

/// Hints that wait for signing beyond which none is added: as many as intake lets in, so that neither of the two has to
/// wait until the other is done. What is missing is then most likely among those that wait.
const HINTS_WAITING_MAX: u64 = 10_000;

/// Hints sent before the queue is looked at again.
const SENT_PER_LOOK: usize = 100;

/// What an operator sees of what waits.
#[derive(Clone)]
pub(crate) struct Gauges {
    /// Items in quarantine.
    held: Gauge,
    /// Submissions whose time has not come.
    ahead: Gauge,
    /// Submissions that are remembered with the mark.
    stuck: Gauge,
}

impl Gauges {
    pub(crate) fn registered(metrics: &Metrics) -> Self {
        let gauge = |name, help| metrics.register(name, help, Gauge::default());
        Self {
            held: gauge(
                "storage_quarantined",
                "Accepted items that a stage has refused for good",
            ),
            ahead: gauge(
                "storage_ahead",
                "Submissions that wait for their time: the clock that accepted them was ahead",
            ),
            stuck: gauge(
                "storage_stuck",
                "Submissions hinted in vain or not read for hours, without those in quarantine; 10,000 are remembered at most",
            ),
        }
    }

    fn show(&self, reconciler: &Reconciler) {
        let size = |count| i64::try_from(count).unwrap_or(i64::MAX);
        self.held.set(size(reconciler.quarantined()));
        self.stuck.set(size(reconciler.stuck.len()));
        let (waiting, before) = (size(reconciler.ahead().len()), self.ahead.get());
        self.ahead.set(waiting);
        match reconciler.ahead().last() {
            Some(last) if before == 0 => {
                let until = last.at().to_rfc3339();
                tracing::warn!(
                    waiting,
                    until,
                    "submissions lie in the future: the clock that accepted them was ahead"
                );
            }
            None if before > 0 => tracing::info!("no submission lies in the future any more"),
            _ => {}
        }
    }
}

/// Reconciles from period to period until shutdown, and sends what there is to be hinted.
pub(crate) async fn serve(config: Config, ctx: Context, log: Arc<Log>, gauges: Gauges) {
    let (truth, work) = (ctx.buckets.truth.clone(), ctx.buckets.work.clone());
    let after_s = config.reconcile_after_s;
    let (ledger, clock) = (ctx.ledger.clone(), ctx.clock.clone());
    let mut reconciler = Reconciler::new(truth, work, ledger, log, clock, after_s);
    let period = Duration::from_secs(config.reconcile_period_s.max(1).into());
    let queue = Queue::new(ctx.bus.clone(), SUBMITTED, HINTS_WAITING_MAX);
    loop {
        pause(&ctx.shutdown, period).await;
        let round = async {
            let redrives = reconciler.round().await;
            gauges.show(&reconciler);
            match redrives {
                Ok(redrives) => reconciler.send(&redrives, &queue).await,
                Err(e) => tracing::warn!(error = %e, "reconciling"),
            }
        };
        // A round may be ten thousand reads of a slow store, and may be cut off anywhere: whoever comes next finds it all.
        if until(&ctx.shutdown, round).await.is_none() {
            return;
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
