//! A look through the orders: finds what hints and plans forgot, after a restart everything that is due.
//!
//! What it costs is bounded. Orders of the last two weeks are read, and of their deliveries those that are not planned
//! and not known to need nothing. A delivery that is still due four days after its order (its evidence is in
//! quarantine, its recipient suspended, it was suspended and is taken up again) gets a place on the shelf of late
//! ones, which is listed however old its orders are. That costs one small object for each such delivery, once;
//! looking through every order ever given, or a list that is rewritten whenever something becomes due, costs all others.
//! What a recipient was to fetch and a changed profile makes due is found for two weeks.
//!
//! Nothing that does not read keeps the rest from being found: it is logged, and told when all was looked at.

use std::collections::{HashMap, HashSet};
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, stream};
use probity_domain::{DeliveryId, DeliveryState, RecipientId, Timestamp};
use probity_platform::startup::Shutdown;
use probity_platform::{Error, Result};
use probity_proto::ledger::RecipientEvent;

use crate::courier::Courier;
use crate::delivery::{Delivery, Due};
use crate::orders::{OrderDocument, Ordered};
use crate::recipient::{self, Recipient};

/// How often the orders are looked through.
const RESCAN: Duration = Duration::from_secs(300);
/// After one that something kept from being complete and that may be over soon.
const RESCAN_AGAIN: Duration = Duration::from_secs(10);
const DAY_MS: i64 = 86_400_000;
/// How old orders are that are still looked at.
const WINDOW_MS: i64 = 14 * DAY_MS;
/// How old an order is when what is due of it is late: the retry schedule takes 75 hours. What is left of the window is
/// how long every process may be away.
const LATE_MS: i64 = 4 * DAY_MS;
/// How long a suspended delivery is not looked at.
const SUSPENDED_MS: i64 = 3_600_000;
/// Deliveries remembered as needing nothing.
const QUIET_MAX: usize = 1_000_000;
const RECIPIENTS_PAGE: usize = 1_000;
const READS_AT_ONCE: usize = 16;

/// What a process remembers from one look to the next.
#[derive(Debug, Default)]
pub struct Quiet {
    still: HashMap<DeliveryId, Still>,
    /// On the shelf of late ones.
    late: HashSet<DeliveryId>,
}

/// Why, and until when, nothing is due of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Still {
    ForGood,
    /// While the recipient's profile is this one.
    Profile(usize),
    /// Another process may be asked to take it up again, and be gone before it tells anybody.
    Until(Timestamp),
}

impl Quiet {
    /// Nothing is due of it.
    fn holds(&self, id: DeliveryId, recipient: &Recipient, now: Timestamp) -> bool {
        match self.still.get(&id) {
            None => false,
            Some(Still::ForGood) => true,
            Some(Still::Profile(version)) => *version == recipient.version,
            Some(Still::Until(until)) => now < *until,
        }
    }

    /// Nothing is due of it as it was read now.
    fn note(&mut self, delivery: &Delivery, recipient: &Recipient, now: Timestamp) {
        let still = match delivery.state {
            _ if delivery.has_arrived() => Still::ForGood,
            DeliveryState::Suspended { .. } => Still::Until(now.plus_ms(SUSPENDED_MS)),
            _ => Still::Profile(recipient.version),
        };
        self.still.insert(delivery.id, still);
    }

    /// How many need nothing, as far as is known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.still.len()
    }

    /// None is known to need nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.still.is_empty()
    }
}

/// What went wrong in a look through the orders, which goes on nevertheless.
#[derive(Debug, Default)]
pub(crate) struct Trouble(Option<Error>);

impl Trouble {
    /// Logs it. The first is told at the end, or the first that may be over soon.
    pub(crate) fn note(&mut self, what: impl Display, error: Error) {
        let soon = error.kind.is_transient();
        match soon {
            true => tracing::warn!(%what, %error, "could not be looked at"),
            false => tracing::error!(%what, %error, "does not read; passed over"),
        }
        let told = |had: &Error| had.kind.is_transient() || !soon;
        if !self.0.as_ref().is_some_and(told) {
            self.0 = Some(error);
        }
    }

    fn end<T>(self, found: T) -> Result<T> {
        self.0.map_or(Ok(found), Err)
    }
}

impl Courier {
    /// Looks through the orders at the start and every few minutes, until shutdown.
    pub async fn rescan(self: &Arc<Self>, shutdown: &Shutdown) {
        let mut quiet = Quiet::default();
        while !shutdown.is_requested() {
            let looked = tokio::select! {
                () = shutdown.requested() => break,
                looked = self.rescan_once(&mut quiet) => looked,
            };
            let wait = match looked {
                Ok(found) => {
                    tracing::debug!(found, "orders looked through");
                    RESCAN
                }
                Err(error) => {
                    tracing::warn!(%error, "not all orders could be looked through");
                    match error.kind.is_transient() {
                        true => RESCAN_AGAIN,
                        false => RESCAN,
                    }
                }
            };
            tokio::select! {
                () = shutdown.requested() => break,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Plans every open delivery that is not planned; answers how many. `quiet` remembers those that need nothing.
    ///
    /// # Errors
    /// The first thing that did not read or that the store did not give, after all others were looked at.
    pub async fn rescan_once(&self, quiet: &mut Quiet) -> Result<usize> {
        if quiet.still.len().max(quiet.late.len()) > QUIET_MAX {
            *quiet = Quiet::default();
        }
        let (mut found, mut trouble) = (0, Trouble::default());
        let mut after: Option<String> = None;
        loop {
            let recipients = self
                .ledger
                .ids::<RecipientEvent>(after.as_deref(), RECIPIENTS_PAGE)
                .await?;
            for id in &recipients {
                match self.profile(id).await {
                    Ok(recipient) => {
                        found += self.rescan_for(&recipient, quiet, &mut trouble).await;
                    }
                    Err(e) => trouble.note(format_args!("recipient {id}"), e),
                }
            }
            match recipients.last() {
                Some(last) if recipients.len() == RECIPIENTS_PAGE => after = Some(last.clone()),
                _ => return trouble.end(found),
            }
        }
    }

    async fn profile(&self, id: &str) -> Result<Recipient> {
        let id = RecipientId::parse(id).map_err(Error::internal)?;
        recipient::read(&self.ledger, &id).await
    }

    async fn rescan_for(
        &self,
        recipient: &Recipient,
        quiet: &mut Quiet,
        trouble: &mut Trouble,
    ) -> usize {
        let now = self.clock.now();
        let since = now.plus_ms(-WINDOW_MS);
        let mut ordered = self.ordered_since(&recipient.id, since, trouble).await;
        let late = self.late_ones(&recipient.id, trouble).await;
        quiet.late.extend(&late);
        ordered.extend(late.into_iter().map(|delivery| Ordered {
            delivery,
            at: delivery.at(),
        }));
        ordered.sort_unstable_by_key(|one| one.delivery);
        ordered.dedup_by_key(|one| one.delivery);
        {
            let agenda = self.agenda();
            ordered.retain(|one| {
                let to_shelve = is_late(one.at, now) && !quiet.late.contains(&one.delivery);
                let planned = agenda.holds(one.delivery) && !to_shelve;
                !planned && !quiet.holds(one.delivery, recipient, now)
            });
        }
        let look = ordered.into_iter().map(|one| async move {
            let id = one.delivery;
            (id, self.find(id).await)
        });
        let mut looked = stream::iter(look).buffer_unordered(READS_AT_ONCE);
        let mut found = 0;
        while let Some((id, read)) = looked.next().await {
            match read {
                Ok(Some(delivery)) => match delivery.due(recipient.profile.is_pushed()) {
                    Due::Nothing => quiet.note(&delivery, recipient, now),
                    due => {
                        found += usize::from(self.plan_found(&delivery, due));
                        match self.shelve_if_late(&delivery).await {
                            Ok(true) => drop(quiet.late.insert(id)),
                            Ok(false) => {}
                            Err(e) => trouble.note(format_args!("late delivery {id}"), e),
                        }
                    }
                },
                // Its request is not finished: looked at again.
                Ok(None) => {}
                Err(e) => trouble.note(format_args!("delivery {id}"), e),
            }
        }
        found
    }

    /// Plans it, unless it is planned.
    fn plan_found(&self, delivery: &Delivery, due: Due) -> bool {
        let at = match due {
            Due::At(at) => at,
            Due::Now | Due::Nothing => self.let_go_at(delivery).max(self.clock.now()),
        };
        let mut agenda = self.agenda();
        let is_new = !agenda.holds(delivery.id);
        if is_new {
            agenda.plan(delivery.id, at);
        }
        is_new
    }

    /// Puts a delivery that is due, or about to be, on the shelf of late ones, where its order is old; tells whether.
    pub(crate) async fn shelve_if_late(&self, delivery: &Delivery) -> Result<bool> {
        let order = DeliveryId::parse(&delivery.order).map_err(Error::internal)?;
        let late = is_late(order.at(), self.clock.now());
        if late {
            OrderDocument::new(
                order,
                &delivery.recipient,
                &delivery.tenant,
                &delivery.case,
                &[(delivery.id, delivery.evidence)],
            )
            .shelve_late(&*self.buckets.truth)
            .await?;
        }
        Ok(late)
    }
}

fn is_late(ordered_at: Timestamp, now: Timestamp) -> bool {
    now.ms_since(ordered_at) > LATE_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_over_soon_is_told_before_what_is_not() {
        let mut trouble = Trouble::default();
        for error in [
            Error::internal("a"),
            Error::internal("b"),
            Error::unavailable("c"),
            Error::timeout("d"),
        ] {
            trouble.note("something", error);
        }
        assert_eq!(trouble.end(()).unwrap_err().detail, "c");
        let mut trouble = Trouble::default();
        trouble.note("something", Error::internal("a"));
        trouble.note("something", Error::internal("b"));
        assert_eq!(trouble.end(()).unwrap_err().detail, "a");
        assert_eq!(Trouble::default().end(3).unwrap(), 3);
    }
}
