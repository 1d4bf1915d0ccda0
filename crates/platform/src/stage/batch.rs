//! One batch: decode, keep alive, call the function, settle each message as it said.

use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_nats::jetstream::{AckKind, Message as Delivery};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prost::Message;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tracing::Instrument as _;

use probity_proto::subjects::Hint;

use super::pull::{hand_back, settle};
use super::{About, Call, DRAIN, End, Fate, HOLD, Outcome, StageConfig, Turn};
use crate::metrics::{StageLabel, StageMetrics};
use crate::quarantine;
use crate::startup::Context;
use crate::telemetry::{TRACEPARENT, link_trace};

/// Pause between two words on work whose time has not come.
const EARLY_SAID: Duration = Duration::from_secs(60);

/// A stage's function and what the runner needs around it.
pub(super) struct Work<M, F> {
    ctx: Context,
    hint: Hint,
    config: StageConfig,
    handler: F,
    /// When it was last said that there is work whose time has not come.
    early_said: Mutex<Option<Instant>>,
    message: PhantomData<fn(M)>,
}

/// A message with its place on the bus.
pub(super) struct Job<M> {
    pub delivery: Delivery,
    pub message: M,
    delivered: i64,
}

impl<M> Job<M> {
    pub(super) fn has_failed(&self) -> bool {
        Turn::of(self.delivered) != Turn::Together
    }
}

impl<M, F, Fut> Work<M, F>
where
    M: Message + About + Default + Clone + 'static,
    F: Fn(Vec<M>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Vec<Outcome>> + Send + 'static,
{
    pub(super) fn new(ctx: Context, hint: Hint, config: StageConfig, handler: F) -> Self {
        Self {
            ctx,
            hint,
            config,
            handler,
            early_said: Mutex::default(),
            message: PhantomData,
        }
    }

    /// Works on what was pulled.
    pub(super) async fn batch(&self, deliveries: Vec<Delivery>) {
        let mut jobs = Vec::with_capacity(deliveries.len());
        for delivery in deliveries {
            jobs.extend(self.admit(delivery).await);
        }
        self.jobs(jobs).await;
    }

    /// Works on these: together, but for messages that have failed before, which go one by one, in another order each
    /// time: what kills this process takes along what waits behind it.
    pub(super) async fn jobs(&self, jobs: Vec<Job<M>>) {
        let (mut alone, together): (Vec<_>, Vec<_>) = jobs.into_iter().partition(Job::has_failed);
        alone.sort_by_cached_key(|_| self.ctx.random.bytes::<8>());
        let batches = std::iter::once(together)
            .filter(|b| !b.is_empty())
            .chain(alone.into_iter().map(|job| vec![job]));
        let mut waiting: Vec<_> = batches.collect();
        waiting.reverse();
        let mut progress = self.progress().await;
        while let Some(batch) = waiting.pop() {
            if self.ctx.shutdown.is_requested() {
                for job in &batch {
                    hand_back(&job.delivery).await;
                }
                continue;
            }
            self.work(batch, &waiting, &mut progress).await;
        }
    }

    /// When to report progress. One for all that is pulled together: what is done in many short steps, or waits while others
    /// are, takes as long as what is done in one.
    async fn progress(&self) -> Interval {
        let mut progress = interval(self.config.ack_wait / 3);
        progress.set_missed_tick_behavior(MissedTickBehavior::Delay);
        progress.tick().await;
        progress
    }

    /// Decodes one delivery; settles at once what cannot be worked on.
    pub(super) async fn admit(&self, delivery: Delivery) -> Option<Job<M>> {
        self.count(|m| &m.received);
        let delivered = delivery.info().map_or(1, |i| i.delivered);
        match M::decode(delivery.payload.clone()) {
            Ok(message) => {
                let job = Job {
                    delivery,
                    delivered,
                    message,
                };
                if Turn::of(delivered) == Turn::Never {
                    self.settle(&job, End::Never).await;
                    return None;
                }
                Some(job)
            }
            Err(e) => {
                tracing::error!(subject = self.hint.subject, error = %e, "a hint does not decode");
                self.count(|m| &m.undecodable);
                settle(&delivery, AckKind::Term).await;
                None
            }
        }
    }

    async fn work(&self, jobs: Vec<Job<M>>, waiting: &[Vec<Job<M>>], progress: &mut Interval) {
        let span = tracing::info_span!(
            "stage",
            otel.name = %format!("process {}", self.hint.subject),
            otel.kind = "consumer",
            messaging.system = "nats",
            messaging.operation.type = "process",
            messaging.destination.name = self.hint.subject,
            messaging.batch.message_count = jobs.len(),
        );
        for job in &jobs {
            let header = job
                .delivery
                .headers
                .as_ref()
                .and_then(|h| h.get(TRACEPARENT));
            link_trace(&span, header.map(|v| v.as_str()));
        }
        self.until_settled(jobs, waiting, progress)
            .instrument(span)
            .await;
    }

    /// Works on the jobs, and again on those that are held, until each is settled. A held one is not handed back: NATS
    /// would count that as a delivery, and ten of them park it.
    async fn until_settled(
        &self,
        mut jobs: Vec<Job<M>>,
        waiting: &[Vec<Job<M>>],
        progress: &mut Interval,
    ) {
        let mut was_held = false;
        while !jobs.is_empty() {
            let since = Instant::now();
            let ends = self.ends(&jobs, waiting, progress).await;
            let label = StageLabel {
                subject: self.hint.subject,
            };
            self.ctx
                .metrics
                .stage
                .batch_seconds
                .get_or_create(&label)
                .observe(since.elapsed().as_secs_f64());
            let mut held = Vec::new();
            for (job, end) in jobs.into_iter().zip(ends) {
                match end {
                    End::Said(Outcome::Hold(error)) => {
                        self.count(|m| &m.held);
                        if !was_held {
                            tracing::warn!(subject = self.hint.subject, %error, "held back");
                            was_held = true;
                        }
                        held.push(job);
                    }
                    end => {
                        let all = std::iter::once(&job).chain(waiting.iter().flatten());
                        self.alive(all, progress, self.settle(&job, end)).await;
                    }
                }
            }
            jobs = held;
            if !jobs.is_empty() {
                let all = jobs.iter().chain(waiting.iter().flatten());
                self.alive(all, progress, self.pause()).await;
                if self.ctx.shutdown.is_requested() {
                    for job in &jobs {
                        hand_back(&job.delivery).await;
                    }
                    return;
                }
            }
        }
    }

    async fn pause(&self) {
        tokio::select! {
            () = self.ctx.shutdown.requested() => {}
            () = tokio::time::sleep(HOLD) => {}
        }
    }

    /// How the work on each job ended.
    async fn ends(
        &self,
        jobs: &[Job<M>],
        waiting: &[Vec<Job<M>>],
        progress: &mut Interval,
    ) -> Vec<End> {
        let all = jobs.iter().chain(waiting.iter().flatten());
        let messages = jobs.iter().map(|job| job.message.clone()).collect();
        let together = self.call(messages, all.clone(), progress).await;
        if let Some(ends) = together.ends(jobs.len()) {
            return ends;
        }
        let mut ends = Vec::with_capacity(jobs.len());
        for job in jobs {
            let alone = vec![job.message.clone()];
            let alone = self.call(alone, all.clone(), progress).await;
            ends.extend(alone.ends(1).into_iter().flatten());
        }
        ends
    }

    /// Calls the function in a task of its own, so that a panic ends there, and reports progress
    /// meanwhile.
    async fn call<'a>(
        &self,
        messages: Vec<M>,
        jobs: impl Iterator<Item = &'a Job<M>> + Clone,
        progress: &mut Interval,
    ) -> Call {
        // A function may panic before it gives its future as well.
        let Ok(called) = catch_unwind(AssertUnwindSafe(|| (self.handler)(messages))) else {
            self.count(|m| &m.panicked);
            return Call::Panicked;
        };
        let mut task = tokio::spawn(called.in_current_span());
        let drained = async {
            self.ctx.shutdown.requested().await;
            tokio::time::sleep(DRAIN).await;
        };
        let ended = async {
            tokio::select! {
                ended = &mut task => match ended {
                    Ok(outcomes) => Call::Answered(outcomes),
                    Err(_) => {
                        self.count(|m| &m.panicked);
                        Call::Panicked
                    }
                },
                () = tokio::time::sleep(self.config.batch_time_max) => {
                    task.abort();
                    Call::CutOff(self.config.batch_time_max)
                }
                () = drained => {
                    task.abort();
                    Call::Stopped
                }
            }
        };
        self.alive(jobs, progress, ended).await
    }

    /// Reports progress on the jobs while something else goes on, so that NATS gives them to nobody else.
    async fn alive<'a, T>(
        &self,
        jobs: impl Iterator<Item = &'a Job<M>> + Clone,
        progress: &mut Interval,
        work: impl Future<Output = T>,
    ) -> T {
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                _ = progress.tick() => {
                    for job in jobs.clone() {
                        settle(&job.delivery, AckKind::Progress).await;
                    }
                }
            }
        }
    }

    async fn settle(&self, job: &Job<M>, end: End) {
        let (subject, delivered) = (self.hint.subject, job.delivered);
        let poison = end.poison(delivered, job.message.single());
        let kind = match end.fate(delivered, self.config.pause) {
            Fate::Done => {
                self.count(|m| &m.done);
                AckKind::Ack
            }
            // Never comes here: held jobs are not settled.
            Fate::Hold(_) => return,
            Fate::Early(error) => {
                self.count(|m| &m.early);
                if self.early_is_news() {
                    tracing::warn!(subject, %error, "left until its time has come, and others with it");
                }
                AckKind::Ack
            }
            Fate::Again(error, pause) => {
                self.count(|m| &m.retried);
                tracing::warn!(subject, delivered, %error, "will be tried again");
                AckKind::Nak(Some(pause))
            }
            Fate::Park(error) => {
                self.count(|m| &m.parked);
                tracing::error!(subject, delivered, %error, "parked");
                AckKind::Term
            }
        };
        if let Some((evidence, reason)) = poison {
            quarantine::hold(&self.ctx.ledger, self.hint.consumer, evidence, reason).await;
        }
        settle(&job.delivery, kind).await;
    }

    /// Said once in a while, not for each of thousands.
    fn early_is_news(&self) -> bool {
        let mut said = self
            .early_said
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let is_news = said.is_none_or(|at| at.elapsed() > EARLY_SAID);
        if is_news {
            *said = Some(Instant::now());
        }
        is_news
    }

    fn count(&self, which: impl Fn(&StageMetrics) -> &Family<StageLabel, Counter>) {
        which(&self.ctx.metrics.stage)
            .get_or_create(&StageLabel {
                subject: self.hint.subject,
            })
            .inc();
    }
}
