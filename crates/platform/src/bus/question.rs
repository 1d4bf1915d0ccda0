//! Asking and answering between roles: request/reply, protobuf, each bounded by a deadline that
//! travels along.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{FutureExt as _, StreamExt as _};
use prost::Message;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use probity_proto::subjects::Ask;
use probity_proto::v1::{
    AttestReply, IssueEventCertificateReply, LocateReply, ProveReply, Refusal, StampReply,
    attest_reply, issue_event_certificate_reply, locate_reply, prove_reply, stamp_reply,
};

use super::{Bus, encode, headers};
use crate::metrics::{BusLabel, BusMetrics};
use crate::startup::Shutdown;
use crate::telemetry::{TRACEPARENT, continue_trace};
use crate::{Error, ErrorKind, Result};

/// Carries how long the asker waits, in milliseconds.
const PATIENCE_MS: &str = "probity-patience-ms";

/// Questions one process answers at a time, per subject; more are refused at once.
const ANSWERS_AT_ONCE_MAX: usize = 64;

/// Nobody may ask for more time than this.
const PATIENCE_MAX: Duration = Duration::from_secs(30);

/// How long answers under way may take at shutdown.
const DRAIN: Duration = Duration::from_secs(25);

/// A reply that is either a value or a [`Refusal`].
pub trait Reply: Message + Default + 'static {
    /// A reply that says no.
    fn refused(refusal: Refusal) -> Self;
    /// The refusal, when it is one.
    fn refusal(&self) -> Option<&Refusal>;
}

macro_rules! replies {
    ($($reply:ty => $outcome:path),*) => {
        $(
            impl Reply for $reply {
                fn refused(refusal: Refusal) -> Self {
                    use $outcome as Outcome;
                    Self { outcome: Some(Outcome::Refusal(refusal)) }
                }

                fn refusal(&self) -> Option<&Refusal> {
                    use $outcome as Outcome;
                    match &self.outcome {
                        Some(Outcome::Refusal(refusal)) => Some(refusal),
                        _ => None,
                    }
                }
            }
        )*
    };
}

replies!(
    IssueEventCertificateReply => issue_event_certificate_reply::Outcome,
    StampReply => stamp_reply::Outcome,
    ProveReply => prove_reply::Outcome,
    AttestReply => attest_reply::Outcome,
    LocateReply => locate_reply::Outcome
);

impl Bus {
    /// Asks a question and waits for the answer, at most `deadline`. A refusal comes back as the
    /// error it carries.
    ///
    /// # Errors
    /// `Unavailable` when nobody answers the subject, `Timeout` after the deadline, `Malformed` for
    /// a question over
    /// [`super::MESSAGE_BYTES_MAX`], and whatever kind a refusal names.
    pub async fn ask<Q: Message, A: Reply>(
        &self,
        ask: &Ask,
        question: &Q,
        deadline: Duration,
    ) -> Result<A> {
        let since = Instant::now();
        let span = tracing::info_span!("ask", otel.kind = "client", subject = ask.subject);
        let answer = self
            .ask_uncounted(ask, question, deadline.min(PATIENCE_MAX))
            .instrument(span)
            .await;
        let outcome = answer.as_ref().err().map_or("ok", |e| e.kind.as_str());
        let label = BusLabel {
            subject: ask.subject,
            outcome,
        };
        self.metrics.asked.get_or_create(&label).inc();
        self.metrics
            .ask_seconds
            .get_or_create(&label)
            .observe(since.elapsed().as_secs_f64());
        answer
    }

    async fn ask_uncounted<Q: Message, A: Reply>(
        &self,
        ask: &Ask,
        question: &Q,
        deadline: Duration,
    ) -> Result<A> {
        use async_nats::client::RequestErrorKind;

        let subject = ask.subject;
        let mut headers = headers();
        headers.insert(PATIENCE_MS, deadline.as_millis().to_string().as_str());
        let request = async_nats::Request::new()
            .payload(encode(subject, question)?)
            .headers(headers)
            .timeout(Some(deadline));
        self.reachable(subject).await?;
        let sent = tokio::time::timeout(deadline, self.client.send_request(subject, request)).await;
        let reply = match sent {
            Ok(Ok(reply)) => reply,
            Ok(Err(e)) if e.kind() == RequestErrorKind::NoResponders => {
                return Err(Error::unavailable(format!(
                    "{subject}: {} is not there",
                    ask.answered_by
                )));
            }
            Ok(Err(e)) if e.kind() != RequestErrorKind::TimedOut => {
                return Err(Error::unavailable(format!("{subject}: {e}")));
            }
            _ => {
                return Err(Error::timeout(format!(
                    "{subject}: no answer within {} ms",
                    deadline.as_millis()
                )));
            }
        };
        let answer = A::decode(reply.payload)
            .map_err(|e| Error::internal(format!("{subject}: the answer does not decode: {e}")))?;
        match answer.refusal() {
            Some(refusal) => Err(Error {
                kind: ErrorKind::from_word(&refusal.kind),
                detail: refusal.detail.clone(),
            }),
            None => Ok(answer),
        }
    }

    /// Answers questions until `shutdown`, then finishes those under way. Processes of one role
    /// share the questions (queue group). An error becomes a [`Refusal`], a panic one of kind
    /// `internal`; a question whose asker has stopped waiting is dropped.
    ///
    /// # Errors
    /// `Unavailable` when the subscription ends although no shutdown was asked for.
    pub async fn answer<Q, A, F, Fut>(
        &self,
        ask: &Ask,
        shutdown: Shutdown,
        handler: F,
    ) -> Result<()>
    where
        Q: Message + Default + 'static,
        A: Reply,
        F: Fn(Q) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<A>> + Send + 'static,
    {
        let ended = |e: &dyn std::fmt::Display| Error::unavailable(format!("{}: {e}", ask.subject));
        let subscribed = self
            .client
            .queue_subscribe(ask.subject, ask.answered_by.to_owned())
            .await;
        let mut questions = subscribed.map_err(|e| ended(&e))?;
        // The call above only queues the subscription (trap 34). async-nats repeats it after every
        // reconnect.
        self.flush().await;
        let answerer = Arc::new(Answerer {
            client: self.client.clone(),
            metrics: self.metrics.clone(),
            subject: ask.subject,
            handler,
        });
        let permits = Arc::new(Semaphore::new(ANSWERS_AT_ONCE_MAX));
        let running = TaskTracker::new();
        let outcome = loop {
            let question = tokio::select! {
                biased;
                () = shutdown.requested() => break Ok(()),
                question = questions.next() => question,
            };
            let Some(question) = question else {
                break Err(ended(&"the subscription ended"));
            };
            let answerer = answerer.clone();
            match permits.clone().try_acquire_owned() {
                Ok(permit) => running.spawn(async move {
                    answerer.answer::<Q, A, Fut>(question).await;
                    drop(permit);
                }),
                Err(_) => running.spawn(async move {
                    let busy = Error::too_many(format!(
                        "{ANSWERS_AT_ONCE_MAX} questions are being answered"
                    ));
                    answerer.reply::<A>(question.reply, Err(busy)).await;
                }),
            };
        };
        questions.unsubscribe().await.ok();
        running.close();
        if tokio::time::timeout(DRAIN, running.wait()).await.is_err() {
            tracing::warn!(
                subject = ask.subject,
                "answers were still under way at shutdown"
            );
        }
        self.flush().await;
        outcome
    }
}

struct Answerer<F> {
    client: async_nats::Client,
    metrics: BusMetrics,
    subject: &'static str,
    handler: F,
}

impl<F> Answerer<F> {
    async fn answer<Q, A, Fut>(&self, question: async_nats::Message)
    where
        Q: Message + Default,
        A: Reply,
        F: Fn(Q) -> Fut + Send + Sync,
        Fut: Future<Output = Result<A>> + Send,
    {
        let header = |name: &str| {
            question
                .headers
                .as_ref()
                .and_then(|h| h.get(name))
                .map(|v| v.as_str())
        };
        let span = tracing::info_span!("answer", otel.kind = "server", subject = self.subject);
        continue_trace(&span, header(TRACEPARENT));
        let patience = header(PATIENCE_MS)
            .and_then(|ms| ms.parse().ok())
            .map_or(PATIENCE_MAX, Duration::from_millis);
        let answer = match Q::decode(question.payload) {
            Err(e) => Err(Error::malformed(format!(
                "{}: the question does not decode: {e}",
                self.subject
            ))),
            // Called inside the future, so that a panic before the first await is caught as well.
            Ok(question) => {
                let handled =
                    AssertUnwindSafe(async { (self.handler)(question).await }).catch_unwind();
                match tokio::time::timeout(
                    patience.min(PATIENCE_MAX),
                    handled.instrument(span.clone()),
                )
                .await
                {
                    Ok(Ok(answer)) => answer,
                    Ok(Err(_panic)) => Err(Error::internal(format!(
                        "{}: answering panicked",
                        self.subject
                    ))),
                    Err(_) => Err(Error::timeout(format!(
                        "{}: the asker has stopped waiting",
                        self.subject
                    ))),
                }
            }
        };
        self.reply(question.reply, answer).instrument(span).await;
    }

    async fn reply<A: Reply>(&self, to: Option<async_nats::Subject>, answer: Result<A>) {
        let outcome = answer.as_ref().err().map_or("ok", |e| e.kind.as_str());
        self.metrics
            .answered
            .get_or_create(&BusLabel {
                subject: self.subject,
                outcome,
            })
            .inc();
        if let Err(e) = &answer
            && matches!(e.kind, ErrorKind::Internal | ErrorKind::UnknownOutcome)
        {
            tracing::error!(subject = self.subject, error = %e, "question failed");
        }
        let Some(to) = to else { return };
        let payload = answer
            .and_then(|a| encode(self.subject, &a))
            .unwrap_or_else(|e| {
                // A refusal carries a kind and a sentence: far below the bound.
                A::refused(Refusal {
                    kind: e.kind.as_str().to_owned(),
                    detail: e.detail,
                })
                .encode_to_vec()
                .into()
            });
        if let Err(e) = self.client.publish(to, payload).await {
            tracing::warn!(subject = self.subject, error = %e, "an answer could not be sent");
        }
    }
}
