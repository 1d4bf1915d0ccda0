//! Streams and consumers, made whenever they are found missing. Servers drop fields they do not
//! know and answer OK, so what comes back is compared with what was asked.

use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, Consumer, DeliverPolicy, pull};
use async_nats::jetstream::context::CreateStreamErrorKind;
use async_nats::jetstream::stream::{
    self, ConsumerError, ConsumerErrorKind, DiscardPolicy, RetentionPolicy, StorageType,
};

use probity_proto::subjects::Hint;

use super::{Bus, MESSAGE_BYTES_MAX};
use crate::{Error, Result};

/// A stream holds this much before it refuses more (discard new: the refusal is back-pressure).
const STREAM_BYTES_MAX: i64 = 1024 * 1024 * 1024;

/// A hint nobody took for this long is gone; the reconciler has long hinted again.
const HINT_AGE_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// Deduplication is an optimisation (trap 23): no longer than the server's default.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);

/// Never changed between versions: changing it on a live work queue has left queues stuck (trap
/// 26).
const ACK_PENDING_MAX: i64 = 20_000;

/// "stream name already in use with a different configuration".
const STREAM_NAME_IN_USE: u64 = 10058;

/// A consumer of that name stands in the way: with settings that cannot be changed (10012), or with
/// state that cannot be read (10104).
const CONSUMER_IN_THE_WAY: [u64; 2] = [10012, 10104];

fn stream_config(hint: &Hint, replicas: usize) -> stream::Config {
    stream::Config {
        name: hint.stream.to_owned(),
        subjects: vec![hint.subject.to_owned()],
        retention: RetentionPolicy::WorkQueue,
        discard: DiscardPolicy::New,
        storage: StorageType::File,
        max_bytes: STREAM_BYTES_MAX,
        max_age: HINT_AGE_MAX,
        max_messages: -1,
        max_messages_per_subject: -1,
        max_consumers: -1,
        max_message_size: i32::try_from(MESSAGE_BYTES_MAX).unwrap_or(i32::MAX),
        duplicate_window: DUPLICATE_WINDOW,
        num_replicas: replicas,
        ..Default::default()
    }
}

/// Makes the stream of a hint, or brings an existing one to these settings; answers the sequence of its newest hint.
pub(crate) async fn ensure_stream(bus: &Bus, hint: &Hint) -> Result<u64> {
    let asked = stream_config(hint, bus.replicas);
    let got = match bus.jetstream().create_stream(asked.clone()).await {
        Ok(stream) => stream.cached_info().clone(),
        Err(e) => match e.kind() {
            CreateStreamErrorKind::JetStream(e) if e.error_code().0 == STREAM_NAME_IN_USE => {
                let updated = bus.jetstream().update_stream(asked.clone()).await;
                updated.map_err(|e| Error::unavailable(format!("stream {}: {e}", hint.stream)))?
            }
            _ => return Err(Error::unavailable(format!("stream {}: {e}", hint.stream))),
        },
    };
    differences(&asked, &got.config).map_or(Ok(got.state.last_sequence), |what| {
        Err(Error::conflict(format!(
            "stream {}: the server did not take {what}",
            hint.stream
        )))
    })
}

/// The settings that matter and came back otherwise.
fn differences(asked: &stream::Config, got: &stream::Config) -> Option<String> {
    let held = [
        ("subjects", asked.subjects == got.subjects),
        ("retention", asked.retention == got.retention),
        ("discard", asked.discard == got.discard),
        ("storage", asked.storage == got.storage),
        ("max_bytes", asked.max_bytes == got.max_bytes),
        ("max_age", asked.max_age == got.max_age),
        (
            "max_msg_size",
            asked.max_message_size == got.max_message_size,
        ),
        (
            "duplicate_window",
            asked.duplicate_window == got.duplicate_window,
        ),
        ("num_replicas", asked.num_replicas == got.num_replicas),
    ];
    let lost: Vec<_> = held
        .iter()
        .filter(|(_, held)| !held)
        .map(|(name, _)| *name)
        .collect();
    (!lost.is_empty()).then(|| lost.join(", "))
}

fn consumer_config(hint: &Hint, ack_wait: Duration, replicas: usize) -> pull::Config {
    pull::Config {
        durable_name: Some(hint.consumer.to_owned()),
        deliver_policy: DeliverPolicy::All,
        ack_policy: AckPolicy::Explicit,
        ack_wait,
        // The stage counts deliveries and parks by itself: the server would leave the message in
        // the stream, invisible (trap 25).
        max_deliver: -1,
        max_ack_pending: ACK_PENDING_MAX,
        max_waiting: 512,
        filter_subject: hint.subject.to_owned(),
        num_replicas: replicas,
        ..Default::default()
    }
}

/// Makes stream and consumer of a hint, or brings existing ones to these settings (trap 36).
pub(crate) async fn ensure_consumer(
    bus: &Bus,
    hint: &Hint,
    ack_wait: Duration,
) -> Result<Consumer<pull::Config>> {
    ensure_stream(bus, hint).await?;
    let asked = consumer_config(hint, ack_wait, bus.replicas);
    let mut made = make_somewhere(bus, hint, &asked).await;
    if let Err(e) = &made
        && is_in_the_way(e)
    {
        tracing::warn!(consumer = hint.consumer, error = %e, "making the consumer anew");
        delete_consumer(bus, hint).await;
        made = make_somewhere(bus, hint, &asked).await;
    }
    let consumer =
        made.map_err(|e| Error::unavailable(format!("consumer {}: {e}", hint.consumer)))?;
    let got = &consumer.cached_info().config;
    let held = got.ack_wait == asked.ack_wait
        && got.max_ack_pending == asked.max_ack_pending
        && got.ack_policy == asked.ack_policy
        && got.filter_subject == asked.filter_subject;
    if !held {
        return Err(Error::conflict(format!(
            "consumer {}: the server did not take its settings",
            hint.consumer
        )));
    }
    Ok(consumer)
}

/// With its state on disk, where every version of this platform makes it, or else in memory: nats-server keeps no checksum of
/// the file, and where a flipped bit made it unreadable no consumer of that name can be made on disk ever again. What the
/// state says, which hints are under way, costs a second delivery when it is lost.
async fn make_somewhere(
    bus: &Bus,
    hint: &Hint,
    asked: &pull::Config,
) -> core::result::Result<Consumer<pull::Config>, ConsumerError> {
    let make = |memory_storage| {
        let config = pull::Config {
            memory_storage,
            ..asked.clone()
        };
        bus.jetstream()
            .create_consumer_on_stream(config, hint.stream)
    };
    match make(false).await {
        Err(e) if is_in_the_way(&e) => make(true).await,
        made => made,
    }
}

fn is_in_the_way(e: &ConsumerError) -> bool {
    match e.kind() {
        ConsumerErrorKind::JetStream(e) => CONSUMER_IN_THE_WAY.contains(&e.error_code().0),
        _ => false,
    }
}

/// Deletes a consumer, to be made again. What was under way comes a second time; what cannot be
/// deleted is met again by whoever makes it.
pub(crate) async fn delete_consumer(bus: &Bus, hint: &Hint) {
    let deleted = bus
        .jetstream()
        .delete_consumer_from_stream(hint.consumer, hint.stream)
        .await;
    if let Err(e) = deleted {
        tracing::debug!(consumer = hint.consumer, error = %e, "not deleted");
    }
}

#[cfg(test)]
mod tests {
    use probity_proto::subjects::SUBMITTED;

    use super::*;

    #[test]
    fn dropped_settings_are_seen() {
        let asked = stream_config(&SUBMITTED, 1);
        assert_eq!(differences(&asked, &asked.clone()), None);
        let mut got = asked.clone();
        got.max_age = Duration::ZERO;
        got.discard = DiscardPolicy::Old;
        assert_eq!(differences(&asked, &got).unwrap(), "discard, max_age");
    }
}
