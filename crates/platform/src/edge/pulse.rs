//! Ends what is sent to somebody who does not read: the place that a response holds must not depend on its being taken.
//!
//! hyper asks a body for its next frame only while there is room for it on the way, so a timer within the body would
//! not run. It runs beside the future that does the sending instead, which is one for each HTTP/1 connection and one for
//! each HTTP/2 stream. Dropping that closes the connection or resets the stream, and with it goes all it holds. So goes a
//! connection on which no request ever begins.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

tokio::task_local! {
    static PULSE: Pulse;
}

/// When something was last taken of the response that this connection or stream sends. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Pulse(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// `None` while a request is being answered: that has a limit of its own.
    last: Mutex<Option<Instant>>,
    begun: Notify,
}

impl Pulse {
    /// That of the connection or stream which the caller is polled by, where from now on nothing is being sent.
    pub(super) fn at_rest() -> Option<Self> {
        let pulse = PULSE.try_with(Self::clone).ok()?;
        pulse.rest();
        Some(pulse)
    }

    fn rest(&self) {
        *self.0.last.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Something is being sent, and was taken just now.
    pub(super) fn beat(&self) {
        let mut last = self.0.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.replace(Instant::now()).is_none() {
            self.0.begun.notify_one();
        }
    }

    async fn stopped(&self, stall_max: Duration) {
        loop {
            let last = *self.0.last.lock().unwrap_or_else(PoisonError::into_inner);
            match last {
                None => self.0.begun.notified().await,
                Some(at) if at.elapsed() >= stall_max => return,
                Some(at) => tokio::time::sleep_until(at + stall_max).await,
            }
        }
    }
}

/// Runs what answers and sends, whose pulse this is; `None` when for `stall_max` nothing of the response was taken.
pub(super) async fn while_it_moves<F: Future>(
    pulse: Pulse,
    stall_max: Duration,
    sending: F,
) -> Option<F::Output> {
    let sending = PULSE.scope(pulse.clone(), sending);
    tokio::select! {
        biased;
        sent = sending => Some(sent),
        () = pulse.stopped(stall_max) => None,
    }
}

/// Runs the HTTP/2 streams of a connection, each while it moves. The connection itself then needs no request of its own.
#[derive(Clone)]
pub(super) struct Streams {
    pub(super) connection: Pulse,
    pub(super) stall_max: Duration,
}

impl<F> hyper::rt::Executor<F> for Streams
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, stream: F) {
        self.connection.rest();
        let stream = while_it_moves(Pulse::default(), self.stall_max, stream);
        tokio::spawn(async move {
            if stream.await.is_none() {
                tracing::info!("a stream was reset: its reader stands still");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::time::sleep;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn slow_readers_are_read_to_and_dead_ones_are_not() {
        let slow = async {
            let pulse = Pulse::at_rest().unwrap();
            for _ in 0..100 {
                pulse.beat();
                sleep(MINUTE - Duration::from_secs(1)).await;
            }
        };
        assert!(
            while_it_moves(Pulse::default(), MINUTE, slow)
                .await
                .is_some()
        );
        let dead = async {
            Pulse::at_rest().unwrap().beat();
            pending::<()>().await;
        };
        assert!(
            while_it_moves(Pulse::default(), MINUTE, dead)
                .await
                .is_none()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn while_a_request_is_answered_nothing_has_to_move() {
        let answers = async {
            for _ in 0..3 {
                let pulse = Pulse::at_rest().unwrap();
                sleep(10 * MINUTE).await;
                pulse.beat();
            }
        };
        assert!(
            while_it_moves(Pulse::default(), MINUTE, answers)
                .await
                .is_some()
        );
    }
}
