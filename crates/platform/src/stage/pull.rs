//! Fetching: what is there at once, else a wait for one message. No message is ever held that
//! nobody works on.

use std::convert::Infallible;
use std::time::Duration;

use async_nats::jetstream::consumer::{Consumer, PullConsumer, pull};
use async_nats::jetstream::{AckKind, Message};
use futures::StreamExt as _;

use probity_proto::subjects::Hint;

use super::StageConfig;
use crate::bus::{Bus, topology};
use crate::metrics::StageLabel;
use crate::startup::Context;
use crate::{Error, Result};

/// How long one request waits at the server for a message.
const WAIT: Duration = Duration::from_secs(5);

/// Beyond that, silence means the server forgot the request: asked again, and the consumer made
/// sure of (trap 37).
const SILENCE: Duration = Duration::from_secs(7);

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
    pub(super) async fn pull(&mut self, max: usize) -> Result<Pulled> {
        if !self.bus.is_connected() {
            self.consumer = None;
            return Err(Error::unavailable("NATS is not connected"));
        }
        let Some(consumer) = &self.consumer else {
            let ensured =
                topology::ensure_consumer(&self.bus, &self.hint, self.config.ack_wait).await?;
            self.consumer = Some(ensured);
            return Ok(Pulled::Ensured);
        };
        let pulled = pull_from(consumer, max).await;
        if pulled.is_err() {
            self.consumer = None;
        }
        pulled
    }
}

async fn pull_from(consumer: &PullConsumer, batch_max: usize) -> Result<Pulled> {
    let failed = |e: &dyn std::fmt::Display| Error::unavailable(format!("pull: {e}"));
    let at_once = fetch(consumer, batch_max).await?;
    if !at_once.is_empty() {
        return Ok(Pulled::Messages(at_once));
    }
    // async-nats ends a batch with heartbeats too early, so silence is judged here, by time.
    let first = tokio::time::timeout(SILENCE, async {
        let mut batch = consumer
            .batch()
            .max_messages(1)
            .expires(WAIT)
            .messages()
            .await
            .map_err(|e| failed(&e))?;
        batch.next().await.transpose().map_err(|e| failed(&e))
    });
    let Some(first) = first.await.map_err(|_| failed(&"the server is silent"))?? else {
        return Ok(Pulled::Nothing);
    };
    // A first message is seldom the only one: a submission's hints come together.
    let mut messages = vec![first];
    if batch_max > 1 {
        match fetch(consumer, batch_max - 1).await {
            Ok(more) => messages.extend(more),
            Err(e) => tracing::debug!(error = %e, "working on the first message alone"),
        }
    }
    Ok(Pulled::Messages(messages))
}

/// What is there now, at most `max`.
async fn fetch(consumer: &PullConsumer, max: usize) -> Result<Vec<Message>> {
    let failed = |e: &dyn std::fmt::Display| Error::unavailable(format!("fetch: {e}"));
    let deadline = tokio::time::Instant::now() + FETCH;
    let started = tokio::time::timeout_at(deadline, consumer.fetch().max_messages(max).messages());
    let mut batch = started
        .await
        .map_err(|_| failed(&"the server is silent"))?
        .map_err(|e| failed(&e))?;
    let mut messages = Vec::new();
    loop {
        match tokio::time::timeout_at(deadline, batch.next()).await {
            Ok(Some(Ok(message))) => messages.push(message),
            Ok(None) => return Ok(messages),
            // What came is worked on; the next pull meets the failure again.
            Ok(Some(Err(_))) | Err(_) if !messages.is_empty() => return Ok(messages),
            Ok(Some(Err(e))) => return Err(failed(&e)),
            Err(_) => return Err(failed(&"the server is silent")),
        }
    }
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
