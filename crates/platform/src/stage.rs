//! What wakes a stage, acknowledges, retries, parks, traces and measures it — written once.
//!
//! A stage is one async function over a batch of messages. This runner pulls hints from the stage's
//! durable consumer, keeps them alive while the function works, and does with each what the
//! function said. It makes stream and consumer whenever they are missing, so NATS may be emptied
//! under it. Delivery is at least once: stages are idempotent.

mod about;
mod batch;
mod early;
mod fair;
mod outcome;
mod pull;
mod rules;

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::{AckKind, Message as Delivery};
use prost::Message;

use probity_proto::subjects::Hint;

use crate::metrics::StageLabel;
use crate::startup::Context;
use crate::{Error, Result};

use batch::{Job, Work};
use fair::Window;
use pull::{Pulled, Puller, hand_back, settle};

pub use about::{About, Single};
pub use early::{AHEAD_MS_MAX, is_early, not_early};
pub use outcome::Outcome;
pub use rules::{Call, DELIVERIES_MAX, End, Fate, HOLD, Turn};

/// How long work in flight may take at shutdown before it is handed back.
const DRAIN: Duration = Duration::from_secs(25);

/// Pause between attempts while NATS is unreachable or refuses: grows up to five seconds, plus
/// jitter.
const PAUSE_MS: (u64, u64) = (100, 5_000);

/// Messages taken ahead for fair order.
const WINDOW_MAX: usize = 4_096;

/// Messages fetched in one go.
const TAKEN_AT_ONCE_MAX: usize = 256;

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
    /// How long one request waits at the server for a message.
    pub pull_wait: Duration,
    /// Pause after a message has failed for the first time; it doubles with each failure, up to 60 times this.
    pub pause: Duration,
}

impl Default for StageConfig {
    fn default() -> Self {
        Self {
            batch_max: 64,
            concurrency: 2,
            ack_wait: Duration::from_secs(30),
            batch_time_max: Duration::from_secs(120),
            pull_wait: Duration::from_secs(5),
            pause: Duration::from_secs(1),
        }
    }
}

impl StageConfig {
    /// # Errors
    /// `Malformed` for numbers outside their bounds.
    pub fn check(&self, subject: &str) -> Result<()> {
        if (1..=256).contains(&self.batch_max) && (1..=64).contains(&self.concurrency) {
            return Ok(());
        }
        Err(Error::malformed(format!(
            "stage {subject}: batch_max is 1 to 256, concurrency 1 to 64"
        )))
    }
}

/// What a thread for long work comes to. A panic there is a panic here, so that the runner sees it.
///
/// # Errors
/// `Unavailable` when the process ends before the work does.
pub async fn joined<T>(work: tokio::task::JoinHandle<T>) -> Result<T> {
    work.await.map_err(|e| match e.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(e) => Error::unavailable(e),
    })
}

/// Runs a stage until shutdown: `handler` gets at most `batch_max` messages and answers one outcome
/// for each, in order.
///
/// A message on which the function panics, or never ends, fails alone; what speaks of a single item and does so round
/// after round ends in quarantine ([`End::poison`]). What has failed before is worked on in another order each time: what
/// kills the process takes along only what it has not got to yet.
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
    M: Message + About + Default + Clone + 'static,
    F: Fn(Vec<M>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Vec<Outcome>> + Send + 'static,
{
    config.check(hint.subject)?;
    let work = Arc::new(Work::<M, F>::new(ctx.clone(), *hint, config, handler));
    let workers = (0..config.concurrency).map(|_| worker(ctx.clone(), *hint, config, work.clone()));
    let workers = futures::future::join_all(workers);
    watched(ctx, hint, config, workers).await;
    Ok(())
}

/// Runs a stage in fair order: up to `window` messages (1 to 4,096) are taken ahead, and those of each lane have their
/// turn, one after the other.
///
/// # Errors
/// As [`run`].
pub async fn run_fair<M, F, Fut>(
    ctx: &Context,
    hint: &Hint,
    config: StageConfig,
    window: usize,
    lane: impl Fn(&M) -> String + Send + Sync,
    handler: F,
) -> Result<()>
where
    M: Message + About + Default + Clone + 'static,
    F: Fn(Vec<M>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Vec<Outcome>> + Send + 'static,
{
    config.check(hint.subject)?;
    if !(1..=WINDOW_MAX).contains(&window) {
        return Err(Error::malformed(format!(
            "stage {}: window is 1 to {WINDOW_MAX}",
            hint.subject
        )));
    }
    let work = Arc::new(Work::<M, F>::new(ctx.clone(), *hint, config, handler));
    let ahead = Window::new(window);
    let workers = (0..config.concurrency).map(|_| async {
        while !ctx.shutdown.is_requested() {
            let jobs = ahead.take(config.batch_max);
            if jobs.is_empty() {
                tokio::select! {
                    () = ctx.shutdown.requested() => {}
                    () = ahead.filled.notified() => {}
                }
            } else {
                work.jobs(jobs).await;
            }
        }
    });
    let workers = async {
        tokio::join!(
            futures::future::join_all(workers),
            fill(ctx, *hint, config, &work, &ahead, lane),
            keep_alive(ctx, config, &ahead),
        );
        for job in ahead.take(usize::MAX) {
            hand_back(&job.delivery).await;
        }
    };
    Box::pin(watched(ctx, hint, config, workers)).await;
    Ok(())
}

/// Waits for a stage's workers to end.
async fn watched<T>(
    ctx: &Context,
    hint: &Hint,
    config: StageConfig,
    workers: impl Future<Output = T>,
) {
    let watch = pull::watch(ctx, *hint, config);
    tokio::select! {
        _ = workers => {}
        never = watch => match never {},
    }
    ctx.bus.flush().await;
    tracing::info!(subject = hint.subject, "stage stopped");
}

/// Takes ahead as long as there is room.
async fn fill<M, F, Fut>(
    ctx: &Context,
    hint: Hint,
    config: StageConfig,
    work: &Work<M, F>,
    ahead: &Window<Job<M>>,
    lane: impl Fn(&M) -> String,
) where
    M: Message + About + Default + Clone + 'static,
    F: Fn(Vec<M>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Vec<Outcome>> + Send + 'static,
{
    let mut source = Source::new(ctx.clone(), hint, config);
    while !ctx.shutdown.is_requested() {
        let room = ahead.room().min(TAKEN_AT_ONCE_MAX);
        if room == 0 {
            tokio::select! {
                () = ctx.shutdown.requested() => {}
                () = ahead.emptied.notified() => {}
            }
            continue;
        }
        for delivery in source.next(room).await {
            if let Some(job) = work.admit(delivery).await {
                let first = job.has_failed() && ctx.random.bytes::<1>() < [128];
                ahead.put(lane(&job.message), job, first);
            }
        }
    }
}

/// NATS gives what is taken ahead to nobody else.
async fn keep_alive<M>(ctx: &Context, config: StageConfig, ahead: &Window<Job<M>>) {
    while !ctx.shutdown.is_requested() {
        tokio::select! {
            () = ctx.shutdown.requested() => {}
            () = tokio::time::sleep(config.ack_wait / 3) => {}
        }
        for delivery in ahead.each(|job| job.delivery.clone()) {
            settle(&delivery, AckKind::Progress).await;
        }
    }
}

/// Fetches a batch, works on it, settles it, again and again.
async fn worker<M, F, Fut>(ctx: Context, hint: Hint, config: StageConfig, work: Arc<Work<M, F>>)
where
    M: Message + About + Default + Clone + 'static,
    F: Fn(Vec<M>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Vec<Outcome>> + Send + 'static,
{
    let mut source = Source::new(ctx.clone(), hint, config);
    while !ctx.shutdown.is_requested() {
        let messages = source.next(config.batch_max).await;
        if !messages.is_empty() {
            work.batch(messages).await;
        }
    }
}

/// Pulls, and comes through whatever the bus does meanwhile.
struct Source {
    ctx: Context,
    hint: Hint,
    puller: Puller,
    /// Since a pull failed, until a server gives something, or nothing, again.
    cut_off: bool,
    /// Failures in a row since there was a new connection.
    tries: u32,
}

impl Source {
    fn new(ctx: Context, hint: Hint, config: StageConfig) -> Self {
        Self {
            puller: Puller::new(ctx.bus.clone(), hint, config),
            ctx,
            hint,
            cut_off: false,
            tries: 0,
        }
    }

    /// Up to `max` messages; none after a wait, a failure and its pause, or a shutdown.
    async fn next(&mut self, max: usize) -> Vec<Delivery> {
        let mut connection = self.ctx.bus.connection();
        let shutdown = &self.ctx.shutdown;
        let pulled = self.puller.pull(max, shutdown).await;
        let subject = self.hint.subject;
        match pulled {
            Ok(Pulled::Messages(messages)) if shutdown.is_requested() => {
                for message in &messages {
                    hand_back(message).await;
                }
            }
            Ok(Pulled::Messages(messages)) => {
                self.reached();
                return messages;
            }
            Ok(Pulled::Nothing) => self.reached(),
            Ok(Pulled::Ensured) => {
                let ensured = &self.ctx.metrics.stage.consumer_ensured;
                ensured.get_or_create(&StageLabel { subject }).inc();
            }
            Err(e) => {
                // Said once per gap, not once per attempt.
                if !self.cut_off {
                    tracing::warn!(subject, error = %e, "stage cannot fetch");
                }
                self.cut_off = true;
                self.note(Err(e));
                self.tries = self.tries.saturating_add(1);
                let pause = pause(self.tries, &*self.ctx.random);
                tokio::select! {
                    () = self.ctx.shutdown.requested() => {}
                    () = tokio::time::sleep(pause) => {}
                    // The client paces itself while the server is away.
                    () = connection.made() => self.tries = 0,
                }
            }
        }
        Vec::new()
    }

    fn reached(&mut self) {
        if self.cut_off {
            (self.cut_off, self.tries) = (false, 0);
            self.note(Ok(()));
        }
    }

    /// For `/readyz` and the metrics: whether the stage gets its hints.
    fn note(&self, state: Result<()>) {
        let subject = self.hint.subject;
        let cut_off = &self.ctx.metrics.stage.cut_off;
        let is_cut_off = i64::from(state.is_err());
        cut_off
            .get_or_create(&StageLabel { subject })
            .set(is_cut_off);
        self.ctx.readiness.set_stage(subject, state);
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
}
