//! Whether the connection stands, for whoever waits for an answer that dies with it.

use std::future::pending;

use async_nats::Event;
use tokio::sync::watch;

/// How often the connection was made and lost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    made: u64,
    lost: u64,
}

/// Told by the client what becomes of its connection.
pub(super) struct Connections(watch::Sender<Counts>);

impl Connections {
    pub(super) fn new() -> (Self, Connection) {
        let (sender, known) = watch::channel(Counts::default());
        let since = Counts::default();
        (Self(sender), Connection { known, since })
    }

    pub(super) fn note(&self, event: &Event) {
        self.0.send_if_modified(|counts| match event {
            Event::Connected => {
                counts.made += 1;
                true
            }
            Event::Disconnected => {
                counts.lost += 1;
                true
            }
            _ => false,
        });
    }
}

/// The connection as it was when this was taken ([`super::Bus::connection`]). The client drops what it is told when it is very
/// busy, so whoever waits here has a limit of its own.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    known: watch::Receiver<Counts>,
    since: Counts,
}

impl Connection {
    pub(super) fn now(&self) -> Self {
        let since = *self.known.borrow();
        Self {
            known: self.known.clone(),
            since,
        }
    }

    /// Comes back when it is lost: what was asked for over it gets no answer any more.
    pub(crate) async fn lost(&mut self) {
        let before = self.since.lost;
        self.until(|counts| counts.lost > before).await;
    }

    /// Comes back when there is a new one.
    pub(crate) async fn made(&mut self) {
        let before = self.since.made;
        self.until(|counts| counts.made > before).await;
    }

    async fn until(&mut self, is_it: impl FnMut(&Counts) -> bool) {
        if self.known.wait_for(is_it).await.is_err() {
            // The client is gone, and nothing of it will ever come.
            pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures::poll;

    use super::*;

    #[tokio::test]
    async fn what_was_before_does_not_count() {
        let (told, connection) = Connections::new();
        told.note(&Event::Connected);
        told.note(&Event::Disconnected);
        let mut first = connection.now();
        let mut lost = pin!(first.lost());
        assert!(poll!(&mut lost).is_pending());
        told.note(&Event::Connected);
        assert!(poll!(&mut lost).is_pending());
        let mut second = connection.now();
        told.note(&Event::LameDuckMode);
        assert!(poll!(pin!(second.made())).is_pending());
        told.note(&Event::Disconnected);
        assert!(poll!(&mut lost).is_ready());
        second.lost().await;
        told.note(&Event::Connected);
        second.made().await;
        drop(told);
        assert!(poll!(pin!(connection.now().made())).is_pending());
    }
}
