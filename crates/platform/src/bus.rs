//! Hints over JetStream and questions over request/reply.
//!
//! The bus moves work and may lose it: an acknowledgement from it is never a reason to forget
//! anything. Streams and consumers are made whenever they are found missing, so an emptied NATS is
//! an ordinary case (trap 30).

mod config;
mod connection;
mod permissions;
mod question;
mod queue;
pub(crate) mod topology;

use std::fmt;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::header::{HeaderMap, NATS_MESSAGE_ID};
use async_nats::jetstream;
use async_nats::jetstream::context::PublishErrorKind;
use prost::Message;

use probity_proto::subjects::Hint;

use crate::metrics::{BusLabel, BusMetrics, Metrics};
use crate::telemetry::{TRACEPARENT, traceparent};
use crate::{Error, Result};

use connection::Connections;

pub use config::BusConfig;
pub(crate) use connection::Connection;
pub use permissions::{BusUser, Permissions, authorization};
pub use question::Reply;
pub use queue::{Measured, Queue};

/// Messages are at most this long: the server's default `max_payload`, with room left for headers.
pub const MESSAGE_BYTES_MAX: usize = 1024 * 1024 - 16 * 1024;

/// How long a publish may take, stream creation included.
const TELL_MS: u64 = 5_000;

/// How long a short gap in the connection is waited out before the bus counts as down.
const GAP_MS: u64 = 250;

/// How long [`Bus::connect`] waits for the first connection before it goes on without.
const FIRST_CONNECTION_MS: u64 = 2_000;

/// Connected NATS: publishes hints, asks and answers questions. Cheap to clone.
#[derive(Clone)]
pub struct Bus {
    client: async_nats::Client,
    jetstream: jetstream::Context,
    connection: Connection,
    replicas: usize,
    metrics: BusMetrics,
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bus")
            .field("connected", &self.is_connected())
            .finish_non_exhaustive()
    }
}

impl Bus {
    /// Connects, and keeps trying for ever in the background. Waits two seconds for the first
    /// connection, then goes on without: roles that accept and serve need the store alone. The
    /// inbox prefix is the role's own, so that permissions keep others from reading its replies.
    ///
    /// # Errors
    /// `Malformed` when a secret or certificate cannot be read or the URL is no URL.
    pub async fn connect(config: &BusConfig, role: &str) -> Result<Self> {
        let (connections, connection) = Connections::new();
        let client = config.open(role, connections).await?;
        let jetstream = jetstream::context::ContextBuilder::new()
            .timeout(Duration::from_millis(TELL_MS))
            .ack_timeout(Duration::from_millis(TELL_MS))
            .build(client.clone());
        let bus = Self {
            client,
            jetstream,
            connection,
            replicas: config.replicas,
            metrics: Metrics::new().bus,
        };
        if !bus
            .connected_within(Duration::from_millis(FIRST_CONNECTION_MS))
            .await
        {
            tracing::warn!(url = %config.url, "no NATS yet; going on and trying in the background");
        }
        Ok(bus)
    }

    /// Counts into `metrics` from now on.
    #[must_use]
    pub fn counting_into(mut self, metrics: &Metrics) -> Self {
        self.metrics = metrics.bus.clone();
        self
    }

    /// The connection stands right now.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// The connection as it is now, to be told when it is lost and when there is another.
    pub(crate) fn connection(&self) -> Connection {
        self.connection.now()
    }

    /// Publishes a hint with trace context in its headers; `id` is the `Nats-Msg-Id`: within two
    /// minutes the same id is dropped as a duplicate, so a re-drive puts its round number in (trap
    /// 22). Makes the stream when it is missing.
    ///
    /// # Errors
    /// `Malformed` for a message over [`MESSAGE_BYTES_MAX`]; `TooMany` when the stream is full;
    /// `Unavailable` or `Timeout` otherwise, within five seconds. An error means the hint may be
    /// lost: callers whose work is durable go on.
    pub async fn tell<M: Message>(&self, hint: &Hint, id: &str, message: &M) -> Result<()> {
        self.tell_at(hint, id, message).await.map(drop)
    }

    /// The same; answers the hint's sequence in the stream.
    async fn tell_at<M: Message>(&self, hint: &Hint, id: &str, message: &M) -> Result<u64> {
        let told = self.tell_uncounted(hint, id, message).await;
        let outcome = told.as_ref().err().map_or("ok", |e| e.kind.as_str());
        self.metrics
            .told
            .get_or_create(&BusLabel {
                subject: hint.subject,
                outcome,
            })
            .inc();
        told
    }

    async fn tell_uncounted<M: Message>(&self, hint: &Hint, id: &str, message: &M) -> Result<u64> {
        let payload = encode(hint.subject, message)?;
        let mut headers = headers();
        headers.insert(NATS_MESSAGE_ID, header_value(id)?);
        self.reachable(hint.subject).await?;
        let publish = async {
            match self.publish(hint, headers.clone(), payload.clone()).await {
                Err(e) if e.kind() == PublishErrorKind::StreamNotFound => {
                    topology::ensure_stream(self, hint).await?;
                    self.publish(hint, headers, payload)
                        .await
                        .map_err(|e| publish_error(hint, &e))
                }
                told => told.map_err(|e| publish_error(hint, &e)),
            }
        };
        tokio::time::timeout(Duration::from_millis(TELL_MS), publish)
            .await
            .map_err(|_| {
                Error::unavailable(format!(
                    "{}: not acknowledged within {TELL_MS} ms",
                    hint.subject
                ))
            })?
    }

    /// One publish, and its acknowledgement: the first await only sends (async-nats), the second is
    /// the server's word.
    async fn publish(
        &self,
        hint: &Hint,
        headers: HeaderMap,
        payload: bytes::Bytes,
    ) -> core::result::Result<u64, jetstream::context::PublishError> {
        let sent = self
            .jetstream
            .publish_with_headers(hint.subject, headers, payload)
            .await?;
        sent.await.map(|acknowledged| acknowledged.sequence)
    }

    /// Waits out a short gap; then the bus is down and says so at once, so that nobody hangs on it.
    async fn reachable(&self, subject: &str) -> Result<()> {
        if self.is_connected() || self.connected_within(Duration::from_millis(GAP_MS)).await {
            return Ok(());
        }
        Err(Error::unavailable(format!(
            "{subject}: NATS is not connected"
        )))
    }

    async fn connected_within(&self, limit: Duration) -> bool {
        let connected = async {
            while !self.is_connected() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(limit, connected).await.is_ok()
    }

    /// Sends what is queued, acknowledgements above all. Bounded: two seconds.
    pub(crate) async fn flush(&self) {
        tokio::time::timeout(Duration::from_secs(2), self.client.flush())
            .await
            .ok();
    }

    pub(crate) fn jetstream(&self) -> &jetstream::Context {
        &self.jetstream
    }
}

/// Encodes within the bound.
fn encode<M: Message>(subject: &str, message: &M) -> Result<bytes::Bytes> {
    let length = message.encoded_len();
    if length > MESSAGE_BYTES_MAX {
        return Err(Error::malformed(format!(
            "{subject}: {length} bytes exceed {MESSAGE_BYTES_MAX}"
        )));
    }
    Ok(message.encode_to_vec().into())
}

/// Headers with the current trace context.
fn headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Some(context) = traceparent() {
        headers.insert(TRACEPARENT, context.as_str());
    }
    headers
}

fn header_value(text: &str) -> Result<async_nats::HeaderValue> {
    text.parse()
        .map_err(|_| Error::malformed(format!("{text:?} cannot stand in a header")))
}

fn publish_error(hint: &Hint, e: &jetstream::context::PublishError) -> Error {
    use std::error::Error as _;

    let cause = e.source().map(ToString::to_string).unwrap_or_default();
    let detail = format!("{}: {e} {cause}", hint.subject);
    match e.kind() {
        PublishErrorKind::MaxPayloadExceeded => Error::malformed(detail),
        // 10077 and its kin: "maximum messages/bytes exceeded" of a stream that discards the new.
        PublishErrorKind::Other if cause.contains("maximum") => Error::too_many(detail),
        _ => Error::unavailable(detail),
    }
}
