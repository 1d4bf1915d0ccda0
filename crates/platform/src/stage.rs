//! What wakes a stage, acknowledges, retries, parks, traces and measures it — written once.
//!
//! A stage is one async function over a batch of messages. This runner pulls hints from the stage's
//! durable consumer, keeps them alive while the function works, and does with each what the
//! function said. It makes stream and consumer whenever they are missing, so NATS may be emptied
//! under it. Delivery is at least once: stages are idempotent.

mod batch;
mod pull;

use std::sync::Arc;
use std::time::Duration;

use prost::Message;

use probity_proto::subjects::Hint;

use crate::metrics::StageLabel;
use crate::startup::Context;
use crate::{Error, Result};

use batch::Work;
use pull::{Pulled, Puller};

/// Deliveries after which a message that still fails is parked.
pub const DELIVERIES_MAX: i64 = 10;

/// After this many deliveries a message is handled alone, so that one that crashes the worker takes
/// no other along.
const DELIVERIES_TOGETHER_MAX: i64 = 3;

/// How long work in flight may take at shutdown before it is handed back.
const DRAIN: Duration = Duration::from_secs(25);

/// Pause between attempts while NATS is unreachable or refuses: grows up to five seconds, plus
/// jitter.
const PAUSE_MS: (u64, u64) = (100, 5_000);

/// How a stage takes its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StageConfig {
    /// Messages handed to the function at once, 1 to 256.
    pub batch_max: usize,
    /// Batches worked on at once by this process, 1 to 64. No more is fetched than these take (trap
    /// 35).
    pub concurrency: usize,
    /// Silence after which NATS gives a message to another process. The runner reports progress at
    /// a third of it.
    pub ack_wait: Duration,
    /// A batch that takes longer is cut off and tried again.
    pub batch_time_max: Duration,
}

impl Default for StageConfig {
    fn default() -> Self {
        Self {
            batch_max: 64,
            concurrency: 2,
            ack_wait: Duration::from_secs(30),
            batch_time_max: Duration::from_secs(120),
        }
    }
}

/// What became of one message.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// The work is done, or was done before.
    Done,
    /// Later may be better; after [`DELIVERIES_MAX`] deliveries it is parked.
    Retry(Error),
    /// Trying again cannot help. The message leaves the bus; the reconciler finds the work again.
    Park(Error),
}

impl From<Result<()>> for Outcome {
    /// Transient kinds retry, as does `internal`; what the message itself brings about parks.
    fn from(result: Result<()>) -> Self {
        match result {
            Ok(()) => Self::Done,
            Err(e) if e.kind.is_transient() || e.kind == crate::ErrorKind::Internal => {
                Self::Retry(e)
            }
            Err(e) => Self::Park(e),
        }
    }
}

/// Runs a stage until shutdown: `handler` gets at most `batch_max` messages and answers one outcome
/// for each, in order.
///
/// At shutdown nothing more is fetched, batches in flight have 25 s, and what is not finished then
/// is handed back.
///
/// # Errors
/// `Malformed` for a configuration outside its bounds. Nothing the bus does ends a stage.
pub async fn run<M, F, Fut>(
    ctx: &Context,
    hint: &Hint,
    config: StageConfig,
    handler: F,
) -> Result<()>
where
    M: Message + Default + Clone + 'static,
    F: Fn(Vec<M>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Vec<Outcome>> + Send + 'static,
{
    if !(1..=256).contains(&config.batch_max) || !(1..=64).contains(&config.concurrency) {
        return Err(Error::malformed(format!(
            "stage {}: batch_max is 1 to 256, concurrency 1 to 64",
            hint.subject
        )));
    }
    let work = Arc::new(Work::<M, F>::new(ctx.clone(), *hint, config, handler));
    let workers = (0..config.concurrency).map(|_| worker(ctx.clone(), *hint, config, work.clone()));
    let watch = pull::watch(ctx, *hint, config);
    let drained = async {
        futures::future::join_all(workers).await;
    };
    tokio::pin!(drained);
    tokio::select! {
        () = &mut drained => {}
        never = watch => match never {},
    }
    ctx.bus.flush().await;
    tracing::info!(subject = hint.subject, "stage stopped");
    Ok(())
}

/// Fetches a batch, works on it, settles it, again and again.
async fn worker<M, F, Fut>(ctx: Context, hint: Hint, config: StageConfig, work: Arc<Work<M, F>>)
where
    M: Message + Default + Clone + 'static,
    F: Fn(Vec<M>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Vec<Outcome>> + Send + 'static,
{
    let mut puller = Puller::new(ctx.bus.clone(), hint, config);
    let mut failures: u32 = 0;
    while !ctx.shutdown.is_requested() {
        let pulled = tokio::select! {
            biased;
            () = ctx.shutdown.requested() => break,
            pulled = puller.pull() => pulled,
        };
        match pulled {
            Ok(Pulled::Messages(messages)) => {
                failures = 0;
                work.batch(messages).await;
            }
            Ok(Pulled::Nothing) => failures = 0,
            Ok(Pulled::Ensured) => {
                ctx.metrics
                    .stage
                    .consumer_ensured
                    .get_or_create(&StageLabel {
                        subject: hint.subject,
                    })
                    .inc();
            }
            Err(e) => {
                // Said once per gap, not once per attempt.
                if failures == 0 {
                    tracing::warn!(subject = hint.subject, error = %e, "stage cannot fetch");
                }
                failures = failures.saturating_add(1);
                let pause = pause(failures, &*ctx.random);
                tokio::select! {
                    () = ctx.shutdown.requested() => break,
                    () = tokio::time::sleep(pause) => {}
                }
            }
        }
    }
}

/// Doubling pause with jitter, so that a fleet does not come back in one instant.
fn pause(failures: u32, random: &dyn crate::Random) -> Duration {
    let (least, most) = PAUSE_MS;
    let base = least.saturating_mul(1 << failures.min(10)).min(most);
    let [jitter] = random.bytes::<1>();
    Duration::from_millis(base / 2 + base * u64::from(jitter) / 510)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemRandom;

    #[test]
    fn pause_grows_and_is_bounded() {
        for failures in 0..100 {
            let pause = pause(failures, &SystemRandom);
            assert!(
                pause >= Duration::from_millis(50) && pause <= Duration::from_millis(5_000),
                "{pause:?}"
            );
        }
    }

    #[test]
    fn kinds_become_outcomes() {
        assert!(matches!(Outcome::from(Ok(())), Outcome::Done));
        assert!(matches!(
            Outcome::from(Err(Error::unavailable("x"))),
            Outcome::Retry(_)
        ));
        assert!(matches!(
            Outcome::from(Err(Error::internal("x"))),
            Outcome::Retry(_)
        ));
        assert!(matches!(
            Outcome::from(Err(Error::malformed("x"))),
            Outcome::Park(_)
        ));
    }
}
