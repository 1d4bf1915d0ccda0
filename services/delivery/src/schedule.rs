//! What drives deliveries: hints and the agenda; what both forgot, [`crate::rescan`] finds.
//!
//! A hint, or a plan that came due, puts a delivery into its recipient's lane; a lane's turn makes it one task. Plans
//! are told over the bus again when they come due, so that of several processes that planned the same delivery one
//! takes it (the hint's id drops the others); without a bus each process goes on by itself. So does the process that
//! took a delivery and could not finish it: it waits for the deposit, or for what failed to come back.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _, stream};
use probity_domain::{DeliveryId, EvidenceId, RecipientId, Timestamp};
use probity_platform::ledger::event_time;
use probity_platform::startup::Shutdown;
use probity_platform::{Error, Result};
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use crate::courier::Courier;
use crate::deliver::Next;
use crate::delivery::{Delivery, Due};
use crate::recipient;

/// How often plans are looked at, unless something makes one due at once.
const TICK: Duration = Duration::from_millis(500);
/// Plans taken at one tick.
const DUE_AT_ONCE_MAX: usize = 512;
/// A delivery that was told is looked at again after this, on top of what a push may take: the hint or the process
/// that took it may be lost. Longer than the bus remembers hint ids.
const TOLD_MS: i64 = 150_000;
/// What whoever took a delivery may need beside the push.
const TAKEN_MS: i64 = 5_000;
/// While evidence is not deposited and no hint says it is.
const DEPOSIT_MS: i64 = 5_000;
/// After a failure of our own: store, storage, ledger.
const TROUBLE_MS: i64 = 15_000;
const READS_AT_ONCE: usize = 16;
/// How long deliveries under way may take at shutdown; a push cut off is pushed again later.
const DRAIN: Duration = Duration::from_secs(20);

impl Courier {
    /// A hint came: queues the delivery, or finds that nothing is to do.
    ///
    /// # Errors
    /// `NotFound` for an unknown delivery; those of the ledger.
    pub async fn take(&self, id: DeliveryId) -> Result<()> {
        let delivery = self.delivery(id).await?;
        self.enter_lane(&delivery);
        Ok(())
    }

    /// Evidence was deposited: whoever waited for it here is due now.
    pub fn deposited(&self, evidence: &EvidenceId) {
        let now = self.clock.now();
        let mut agenda = self.agenda();
        for id in agenda.deposited(evidence) {
            agenda.plan_here(id, now);
            self.planned.notify_one();
        }
    }

    /// Nothing is queued or under way in this process.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.lanes().is_idle()
    }

    /// Tells that a delivery is due; without a bus it is worked on here. Planned again for the case that it is lost.
    pub(crate) async fn tell_due(&self, delivery: &Delivery) {
        let now = self.clock.now();
        let look_again = now.plus_ms(TOLD_MS + self.push_ms(delivery));
        self.agenda().plan(delivery.id, look_again);
        let round = delivery.history.events.len();
        // The same for every process that tells it now.
        let waited_ms = now.unix_ms() - self.stands_since(delivery).unix_ms();
        let again = waited_ms.max(0) / (self.push_ms(delivery) + TAKEN_MS);
        if let Err(e) = self.hints.due(delivery.id, round, again).await {
            tracing::debug!(delivery = %delivery.id, error = %e, "not told; worked on here");
            self.enter_lane(delivery);
        }
    }

    fn push_ms(&self, delivery: &Delivery) -> i64 {
        let size_bytes = delivery.package().map_or(0, |p| p.size_bytes);
        let longest = self.push.time_max(size_bytes).as_millis();
        i64::try_from(longest).unwrap_or(i64::MAX / 2)
    }

    /// Since when somebody should be at it.
    fn stands_since(&self, delivery: &Delivery) -> Timestamp {
        if let Due::At(at) = delivery.due(true) {
            return at;
        }
        let last = delivery.history.events.last();
        let since = last.and_then(|event| event_time(event).ok());
        since.unwrap_or_else(|| self.clock.now())
    }

    /// When nobody can be at it any more, unless it waits for its turn: the process that took it may be gone, and what
    /// goes on at another one is not to be pushed twice.
    pub(crate) fn let_go_at(&self, delivery: &Delivery) -> Timestamp {
        let longest = self.push_ms(delivery) + TAKEN_MS;
        self.stands_since(delivery).plus_ms(longest)
    }

    fn enter_lane(&self, delivery: &Delivery) {
        if self.lanes().enter(&delivery.recipient, delivery.id) {
            self.wake.notify_one();
        }
    }

    /// Works through the lanes until shutdown.
    pub async fn work(self: &Arc<Self>, shutdown: &Shutdown) {
        let running = TaskTracker::new();
        while !shutdown.is_requested() {
            for (recipient, id) in self.lanes().start(self.places.available_permits()) {
                let courier = self.clone();
                // Cannot fail: no more were started than there are places, and the semaphore is never closed.
                let Ok(place) = self.places.clone().try_acquire_owned() else {
                    break;
                };
                running.spawn(async move {
                    courier.one(&recipient, id).await;
                    drop(place);
                    courier.wake.notify_one();
                });
            }
            tokio::select! {
                () = shutdown.requested() => break,
                () = self.wake.notified() => {}
            }
        }
        running.close();
        if tokio::time::timeout(DRAIN, running.wait()).await.is_err() {
            tracing::warn!(
                left = running.len(),
                "deliveries were under way at shutdown; they are pushed again later"
            );
        }
    }

    async fn one(&self, recipient: &RecipientId, id: DeliveryId) {
        let span = tracing::info_span!(
            parent: None,
            "deliver",
            probity.delivery = %id,
            probity.evidence = tracing::field::Empty,
            probity.submission = tracing::field::Empty,
        );
        self.lanes().cause(id).link(&span);
        // A panic must not keep its place in the lane: a recipient has few, and would soon have none.
        let delivering = AssertUnwindSafe(self.deliver(id).instrument(span.clone()));
        let next = delivering.catch_unwind().await;
        let next = next.unwrap_or_else(|_| Err(Error::internal("the delivery panicked")));
        let _entered = span.entered();
        self.lanes().leave(recipient, id);
        let now = self.clock.now();
        match next {
            Ok(Next::Quiet) => self.agenda().forget(id),
            Ok(Next::At(at)) => {
                let mut agenda = self.agenda();
                agenda.went_on(id);
                agenda.plan(id, at);
            }
            Ok(Next::AwaitDeposit(evidence)) => {
                let mut agenda = self.agenda();
                agenda.went_on(id);
                agenda.wait_for(evidence, id);
                agenda.plan_here(id, now.plus_ms(DEPOSIT_MS));
            }
            Err(e) => {
                tracing::warn!(delivery = %id, error = %e, "delivery could not go on");
                let first_ms = match e.kind.is_transient() {
                    true => TROUBLE_MS,
                    false => 20 * TROUBLE_MS,
                };
                self.agenda().plan_after_failure(id, now, first_ms);
            }
        }
    }

    /// Tells what came due, tick by tick, until shutdown.
    pub async fn tick(self: &Arc<Self>, shutdown: &Shutdown) {
        while !shutdown.is_requested() {
            let due = self.agenda().take_due(self.clock.now(), DUE_AT_ONCE_MAX);
            let told = stream::iter(due).for_each_concurrent(READS_AT_ONCE, |(id, cause)| {
                let span = tracing::info_span!(parent: None, "due", probity.delivery = %id);
                if let Some(cause) = &cause {
                    cause.link(&span);
                }
                self.on_time(id, cause.is_some()).instrument(span)
            });
            // A store or a bus that hangs holds up no shutdown: what is not told now is found again by the next process.
            tokio::select! {
                () = shutdown.requested() => break,
                () = told => {}
            }
            tokio::select! {
                () = shutdown.requested() => break,
                () = self.planned.notified() => {}
                () = tokio::time::sleep(TICK) => {}
            }
        }
    }

    /// A plan came due: what it was for may have changed meanwhile.
    async fn on_time(&self, id: DeliveryId, here: bool) {
        let answered = self.unrecorded().of(id);
        match self.look(id).await {
            // What is due is to record what the court said, wherever the delivery stands.
            Ok(Some((delivery, _))) if answered.is_some() => self.enter_lane(&delivery),
            Ok(Some((_, Due::At(at)))) if at > self.clock.now() => self.agenda().plan(id, at),
            Ok(None | Some((_, Due::Nothing))) => self.agenda().forget(id),
            Ok(Some((delivery, _))) if here => self.enter_lane(&delivery),
            Ok(Some((delivery, _))) => self.tell_due(&delivery).await,
            Err(e) => {
                tracing::warn!(delivery = %id, error = %e, "delivery could not be looked at");
                let again = self.clock.now().plus_ms(TROUBLE_MS);
                let mut agenda = self.agenda();
                if here {
                    agenda.plan_here(id, again);
                } else {
                    agenda.plan(id, again);
                }
            }
        }
    }

    /// A delivery and when it is due; none when nobody asked for it.
    async fn look(&self, id: DeliveryId) -> Result<Option<(Delivery, Due)>> {
        let Some(delivery) = self.find(id).await? else {
            return Ok(None);
        };
        let recipient = recipient::read(&self.ledger, &delivery.recipient).await?;
        let due = delivery.due(recipient.profile.is_pushed());
        Ok(Some((delivery, due)))
    }
}
