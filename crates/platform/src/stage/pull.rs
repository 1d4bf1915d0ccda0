//! Fetching: what is there at once, else a wait for one message. No message is ever held that
//! nobody works on.

use std::convert::Infallible;
use std::fmt;
use std::time::Duration;

use async_nats::jetstream::consumer::{Consumer, PullConsumer, pull};
use async_nats::jetstream::{AckKind, Message};
use futures::StreamExt as _;

use probity_proto::subjects::Hint;

use super::StageConfig;
use crate::bus::{Bus, Connection, topology};
use crate::metrics::StageLabel;
use crate::startup::{Context, Shutdown};
use crate::{Error, Result};

/// Silence for so much longer than a request waits means that the server forgot it: asked again, and the consumer made
/// sure of (trap 37).
const SILENCE: Duration = Duration::from_secs(2);

/// Requests for what is there are answered at once.
const FETCH: Duration = Duration::from_secs(5);

/// How often the backlog is looked at.
const WATCH: Duration = Duration::from_secs(15);

/// What a pull brought.
pub(super) enum Pulled {
    Messages(Vec<Message>),
    /// Nothing came within the wait; all is well.
    Nothing,
    /// Stream and consumer were made sure of; pull again.
    Ensured,
}

/// Pulls for one worker.
pub(super) struct Puller {
    bus: Bus,
    hint: Hint,
    config: StageConfig,
    consumer: Option<PullConsumer>,
}

impl Puller {
    pub(super) fn new(bus: Bus, hint: Hint, config: StageConfig) -> Self {
        Self {
            bus,
            hint,
            config,
            consumer: None,
        }
    }

    /// Up to `max` messages. Any error makes stream and consumer be made sure of before the
    /// next pull: after NATS was emptied there is no other sign than failing pulls.
    /// Waits for none that is not there yet once shutdown is requested; what is on its way is received, since it would be
    /// nobody's until its time to be acknowledged is over.
    pub(super) async fn pull(&mut self, max: usize, shutdown: &Shutdown) -> Result<Pulled> {
        if !self.bus.is_connected() {
            self.consumer = None;
            return Err(Error::unavailable("NATS is not connected"));
        }
        let mut connection = self.bus.connection();
        let Some(consumer) = &self.consumer else {
            let ensured = tokio::select! {
                ensured = topology::ensure_consumer(&self.bus, &self.hint, self.config.ack_wait) => ensured?,
                () = connection.lost() => return Err(lost()),
                () = shutdown.requested() => return Ok(Pulled::Nothing),
            };
            self.consumer = Some(ensured);
            return Ok(Pulled::Ensured);
        };
        let mut pull = Pull {
            consumer,
            connection,
            shutdown,
        };
        let pulled = pull.messages(max, self.config.pull_wait).await;
        if pulled.is_err() {
            self.consumer = None;
        }
        pulled
    }
}

/// A request dies with the connection it was made over, whatever time it was given: nobody waits for what cannot come.
struct Pull<'c> {
    consumer: &'c PullConsumer,
    connection: Connection,
    shutdown: &'c Shutdown,
}

impl Pull<'_> {
    async fn messages(&mut self, max: usize, wait: Duration) -> Result<Pulled> {
        let at_once = self.fetch(max).await?;
        if !at_once.is_empty() {
            return Ok(Pulled::Messages(at_once));
        }
        let mut messages = self.wait(wait).await?;
        if messages.is_empty() {
            return Ok(Pulled::Nothing);
        }
        // A first message is seldom the only one: a submission's hints come together.
        if max > 1 {
            match self.fetch(max - 1).await {
                Ok(more) => messages.extend(more),
                Err(e) => tracing::debug!(error = %e, "working on the first message alone"),
            }
        }
        Ok(Pulled::Messages(messages))
    }

    /// What is there now, at most `max`.
    async fn fetch(&mut self, max: usize) -> Result<Vec<Message>> {
        let batch = self.consumer.fetch().max_messages(max).messages();
        taken(batch, &mut self.connection, FETCH).await
    }

    /// One message, or none within this time.
    async fn wait(&mut self, wait: Duration) -> Result<Vec<Message>> {
        // async-nats ends a batch with heartbeats too early, so silence is judged by time.
        let batch = self.consumer.batch().max_messages(1).expires(wait);
        let limit = wait.saturating_add(SILENCE);
        tokio::select! {
            biased;
            messages = taken(batch.messages(), &mut self.connection, limit) => messages,
            () = self.shutdown.requested() => Ok(Vec::new()),
        }
    }
}

/// What a batch brings. What came is worked on, though the rest failed: the next pull meets the failure again, and a
/// message that was received and not settled would be a failed delivery.
async fn taken<E: fmt::Display>(
    batch: impl Future<Output = core::result::Result<pull::Batch, E>>,
    connection: &mut Connection,
    limit: Duration,
) -> Result<Vec<Message>> {
    let mut messages = Vec::new();
    let receive = async {
        let mut batch = batch.await.map_err(|e| failed(&e))?;
        while let Some(message) = batch.next().await {
            messages.push(message.map_err(|e| failed(&e))?);
        }
        Ok(())
    };
    let ended = tokio::select! {
        // What has come before the connection was lost is taken first.
        biased;
        ended = tokio::time::timeout(limit, receive) => {
            ended.unwrap_or_else(|_| Err(failed(&"the server is silent")))
        }
        () = connection.lost() => Err(lost()),
    };
    match ended {
        Err(e) if messages.is_empty() => Err(e),
        _ => Ok(messages),
    }
}

fn failed(e: &dyn fmt::Display) -> Error {
    Error::unavailable(format!("pull: {e}"))
}

fn lost() -> Error {
    failed(&"the connection to NATS was lost")
}

/// Gives a message back at once.
pub(super) async fn hand_back(message: &Message) {
    settle(message, AckKind::Nak(None)).await;
}

/// Sends what is to become of a message. Losing it costs a second delivery, no more.
pub(super) async fn settle(message: &Message, kind: AckKind) {
    if let Err(e) = message.ack_with(kind).await {
        tracing::debug!(error = %e, "a message could not be settled; it will come again");
    }
}

/// Looks at the backlog for the gauge, and repairs what the pulls cannot see: a consumer with work that nobody is given
/// (trap 37) is deleted and made anew, and so is one that has given out what its stream never had. The latter's stream lost hints
/// with a damaged file; what comes next would have numbers that this consumer is past.
pub(super) async fn watch(ctx: &Context, hint: Hint, config: StageConfig) -> Infallible {
    let label = StageLabel {
        subject: hint.subject,
    };
    let mut stuck_since: Option<(u64, tokio::time::Instant)> = None;
    let mut was_ahead = false;
    loop {
        tokio::time::sleep(WATCH).await;
        let Ok(mut consumer) = consumer(&ctx.bus, &hint).await else {
            continue;
        };
        let Ok(info) = consumer.info().await else {
            continue;
        };
        let waiting = info
            .num_pending
            .saturating_add(u64::try_from(info.num_ack_pending).unwrap_or(0));
        ctx.metrics
            .stage
            .pending
            .get_or_create(&label)
            .set(i64::try_from(waiting).unwrap_or(i64::MAX));
        let delivered = info.delivered.consumer_sequence;
        let idle = info.num_pending > 0 && info.num_ack_pending == 0 && info.num_waiting > 0;
        stuck_since = match stuck_since {
            Some((seen, since)) if idle && seen == delivered => Some((seen, since)),
            _ if idle => Some((delivered, tokio::time::Instant::now())),
            _ => None,
        };
        let stuck = stuck_since.is_some_and(|(_, since)| since.elapsed() >= 3 * WATCH);
        // In a cluster one answer may be older than the other, but not twice.
        let newest = topology::ensure_stream(&ctx.bus, &hint).await;
        let ahead = newest.is_ok_and(|newest| info.delivered.stream_sequence > newest);
        if stuck || (ahead && was_ahead) {
            tracing::warn!(
                subject = hint.subject,
                waiting,
                "consumer delivers nothing; making it anew"
            );
            topology::delete_consumer(&ctx.bus, &hint).await;
            topology::ensure_consumer(&ctx.bus, &hint, config.ack_wait)
                .await
                .ok();
            stuck_since = None;
        }
        was_ahead = ahead;
    }
}

async fn consumer(bus: &Bus, hint: &Hint) -> Result<Consumer<pull::Config>> {
    let found = bus
        .jetstream()
        .get_consumer_from_stream(hint.consumer, hint.stream)
        .await;
    found.map_err(|e| Error::unavailable(format!("consumer {}: {e}", hint.consumer)))
}
