//! The wish to stop, seen by everything that runs.

use tokio_util::sync::CancellationToken;

use crate::{Error, Result};

/// Requested once, never taken back. Cheap to clone; all clones see the same.
#[derive(Debug, Clone, Default)]
pub struct Shutdown(CancellationToken);

impl Shutdown {
    /// Not requested until [`Shutdown::request`].
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Requested by SIGTERM or SIGINT. A second signal ends the process at once.
    ///
    /// # Errors
    /// `Internal` when the signals cannot be listened to.
    pub fn on_signals() -> Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};

        let listen = |kind| signal(kind).map_err(|e| Error::internal(format!("signals: {e}")));
        let mut terminate = listen(SignalKind::terminate())?;
        let mut interrupt = listen(SignalKind::interrupt())?;
        let shutdown = Self::new();
        let requested = shutdown.clone();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                if requested.is_requested() {
                    tracing::warn!("second signal: ending without draining");
                    std::process::exit(130);
                }
                tracing::info!("shutdown requested");
                requested.request();
            }
        });
        Ok(shutdown)
    }

    /// Asks everything to stop.
    pub fn request(&self) {
        self.0.cancel();
    }

    /// Somebody asked.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Returns when somebody asks; at once when somebody has.
    pub async fn requested(&self) {
        self.0.cancelled().await;
    }
}
