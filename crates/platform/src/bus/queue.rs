//! How full a stream of hints is, so that whoever fills it stops in time.
//!
//! A stage looks at the queue after it and takes no more work while that is full; so a queue that nobody empties fills
//! the one before it, and in the end the first one, at which intake refuses. What counts is what was *measured*: while
//! the bus is away nothing is known, and nothing is refused for it, because accepting needs the store alone.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use probity_proto::subjects::Hint;
use prost::Message;

use super::Bus;
use crate::startup::Shutdown;
use crate::{Error, ErrorKind, Result};

/// How often it is measured.
const MEASURE: Duration = Duration::from_millis(500);
/// A measurement is believed this long: then the bus is away, and nothing is known.
const BELIEVED: Duration = Duration::from_secs(10);
/// Of the bytes a stream may hold, this part may be used before it counts as full: the rest is for what is on its way.
const BYTES_USED_MAX: (u64, u64) = (3, 4);

/// A stream of hints and how full it was when last looked at. Cheap to clone; all clones see the same.
#[derive(Clone)]
pub struct Queue {
    bus: Bus,
    hint: Hint,
    messages_max: u64,
    bytes_max: u64,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    measured: Option<Measured>,
    /// When the stream itself said that it is full, unless it was looked at since.
    refused_at: Option<Instant>,
}

/// What a look at the stream found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measured {
    /// Hints waiting or in work.
    pub messages: u64,
    pub bytes: u64,
    /// What the stream takes before it refuses.
    pub bytes_max: Option<u64>,
    /// Sequence of the oldest hint that is still there: all before it are done with.
    pub first_sequence: u64,
    at: Instant,
}

impl Queue {
    /// Full when it holds `messages_max` hints, or three quarters of the bytes that the stream may hold.
    #[must_use]
    pub fn new(bus: Bus, hint: Hint, messages_max: u64) -> Self {
        Self {
            bus,
            hint,
            messages_max,
            bytes_max: u64::MAX,
            state: Arc::default(),
        }
    }

    /// Full with so many bytes, too.
    #[must_use]
    pub fn of_bytes(self, bytes_max: u64) -> Self {
        Self { bytes_max, ..self }
    }

    /// Whether more may be put in.
    ///
    /// # Errors
    /// `TooMany` while it is full.
    pub fn check(&self) -> Result<()> {
        let subject = self.hint.subject;
        let refused_at = self.state().refused_at;
        if refused_at.is_some_and(|at| at.elapsed() < BELIEVED) {
            return Err(Error::too_many(format!("{subject} takes no more hints")));
        }
        let Some(Measured {
            messages,
            bytes,
            bytes_max,
            ..
        }) = self.measured()
        else {
            return Ok(());
        };
        if messages >= self.messages_max {
            return Err(Error::too_many(format!(
                "{subject}: {messages} hints wait, of {} at most",
                self.messages_max
            )));
        }
        let (part, whole) = BYTES_USED_MAX;
        let usable = bytes_max.map_or(u64::MAX, |most| most / whole * part);
        let most = self.bytes_max.min(usable);
        if bytes >= most {
            return Err(Error::too_many(format!(
                "{subject}: {bytes} bytes wait, of {most} at most"
            )));
        }
        Ok(())
    }

    /// What is known of it now.
    #[must_use]
    pub fn measured(&self) -> Option<Measured> {
        let measured = self.state().measured;
        measured.filter(|m| m.at.elapsed() < BELIEVED)
    }

    /// Tells a hint, as [`Bus::tell`] does; answers its sequence in the stream. When the stream refuses it, the queue
    /// counts as full until it is measured again.
    ///
    /// # Errors
    /// Those of [`Bus::tell`].
    pub async fn tell<M: Message>(&self, id: &str, message: &M) -> Result<u64> {
        let told = self.bus.tell_at(&self.hint, id, message).await;
        if told.as_ref().is_err_and(|e| e.kind == ErrorKind::TooMany) {
            self.state().refused_at = Some(Instant::now());
        }
        told
    }

    /// Measures, again and again until shutdown.
    ///
    /// # Errors
    /// None; a task among those of a role.
    pub async fn watch(&self, shutdown: Shutdown) -> Result<()> {
        let mut was_full = false;
        while !shutdown.is_requested() {
            self.measure().await;
            let full = self.check();
            match &full {
                Err(e) if !was_full => tracing::warn!(error = %e, "a queue is full"),
                Ok(()) if was_full => {
                    tracing::info!(subject = self.hint.subject, "the queue has room again");
                }
                _ => {}
            }
            was_full = full.is_err();
            tokio::select! {
                () = shutdown.requested() => {}
                () = tokio::time::sleep(MEASURE) => {}
            }
        }
        Ok(())
    }

    /// Looks at the stream once. What cannot be seen leaves what was known to age.
    pub async fn measure(&self) {
        let at = Instant::now();
        if !self.bus.is_connected() {
            return;
        }
        // A stream that is not there yet is empty, but the next hint makes it: no need to tell the two apart.
        let Ok(stream) = self.bus.jetstream().get_stream(self.hint.stream).await else {
            return;
        };
        let info = stream.cached_info();
        let measured = Measured {
            messages: info.state.messages,
            bytes: info.state.bytes,
            bytes_max: u64::try_from(info.config.max_bytes).ok(),
            first_sequence: info.state.first_sequence,
            at,
        };
        *self.state() = State {
            measured: Some(measured),
            refused_at: None,
        };
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
