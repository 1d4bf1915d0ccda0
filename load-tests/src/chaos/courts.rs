//! Two courts beside the vendor: what is delivered to them, how often, and whether the ledger has their receipts (P6).

mod orders;
mod watch;

use std::sync::Arc;
use std::time::{Duration, Instant};

use probity_platform::ledger::Ledger;
use probity_platform::{SystemClock, SystemRandom};
use probity_proto::ledger::DeliveryEvent;
use serde::Serialize;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{sleep, timeout};

use crate::{Failure, open_store};

use self::orders::Orders;
use self::watch::Watch;
use super::calls::Call;
use super::load::Submitter;
use super::stack::{Court, PULLS, Stack};

const ASK_EVERY: Duration = Duration::from_secs(1);

/// The courts, and the vendor's orders to them.
pub struct Courts {
    orders: Arc<Orders>,
    ordering: JoinHandle<Result<(), Failure>>,
    pushed: Arc<Watch>,
    pulls: Arc<Watch>,
    /// Open while the run lasts.
    _pushed_to: Court,
    pub that_pulls: Court,
}

/// What became of the orders.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Deliveries {
    pub ordered: u64,
    /// Of them with one receipt in the ledger, and that one which the court gave.
    pub receipted: u64,
    /// Without any.
    pub not_receipted: u64,
    /// With more than one, or one that the court did not give.
    pub wrongly_receipted: u64,
    /// Packages that came whole to the court that is pushed to, and those among them that had come before.
    pub pushes: u64,
    pub pushes_repeated: u64,
    pub pushes_broken_off: u64,
    /// Packages that the other court fetched whole, and those among them that it had.
    pub fetched: u64,
    pub fetched_again: u64,
    /// Packages with other bytes than their digest says, at either.
    pub wrong_bytes: u64,
    /// Packages that a court took for new ones again.
    pub visible_again: u64,
    /// Calls between courts and delivery, either way, that were not answered with success.
    pub failed_calls: u64,
    /// After the last fault, until all of them had receipts.
    pub all_receipted_s: Option<f64>,
}

impl Courts {
    /// Opens both and begins to order. Must run in a `LocalSet`.
    pub async fn start(
        stack: &Stack,
        submitter: Arc<Submitter>,
        captures: u64,
    ) -> Result<Self, Failure> {
        let (pushed, pulls) = (Arc::new(Watch::default()), Arc::new(Watch::default()));
        let (own_pushed, own_pulls) = (pushed.clone(), pulls.clone());
        let pushed_to = stack.court_pushed_to(Arc::new(move |exchange| own_pushed.push(exchange)));
        let pushed_to = pushed_to.await?;
        let that_pulls = stack.court_that_pulls(Arc::new(move |exchange| own_pulls.pull(exchange)));
        let orders = Arc::new(Orders::new(submitter, captures));
        Ok(Self {
            that_pulls: that_pulls.await?,
            ordering: spawn_local(orders.clone().run()),
            orders,
            pushed,
            pulls,
            _pushed_to: pushed_to,
        })
    }

    /// Calls of the court that pulls.
    pub fn calls(&self) -> Vec<Call> {
        self.pulls.seen().calls
    }

    /// Packages that wait for the court that pulls.
    pub async fn waiting(&self, submitter: &Submitter) -> Result<usize, Failure> {
        let all = submitter.deliveries().await?;
        let waits = all
            .iter()
            .filter(|d| d.recipient == PULLS && d.state == "prepared");
        Ok(waits.count())
    }

    /// Everything that may be ordered is; waits until the vendor sees a receipt for each, or until `bound`. Answers when.
    pub async fn settle(
        &mut self,
        submitter: &Submitter,
        bound: Instant,
    ) -> Result<Option<Instant>, Failure> {
        self.orders.enough();
        let left = bound.saturating_duration_since(Instant::now());
        let Ok(ordered) = timeout(left, &mut self.ordering).await else {
            self.ordering.abort();
            return Ok(None);
        };
        ordered.map_err(Failure::new)??;
        let ordered = self.orders.ordered().len();
        while Instant::now() < bound {
            let all = submitter.deliveries().await.unwrap_or_default();
            let receipted = all
                .iter()
                .filter(|delivery| delivery.state == "acknowledged");
            if receipted.count() >= ordered {
                return Ok(Some(Instant::now()));
            }
            sleep(ASK_EVERY).await;
        }
        Ok(None)
    }

    /// What the gates have seen, compared with what the ledger says.
    pub async fn examine(&self, stack: &Stack) -> Result<Deliveries, Failure> {
        let (pushed, pulled) = (self.pushed.seen(), self.pulls.seen());
        let (pushes, pushes_repeated) = pushed.times();
        let (fetched, fetched_again) = pulled.times();
        let mut found = Deliveries {
            pushes,
            pushes_repeated,
            pushes_broken_off: pushed.broken_off,
            fetched,
            fetched_again,
            wrong_bytes: pushed.wrong + pulled.wrong,
            visible_again: pushed.visible_again() + pulled.visible_again(),
            failed_calls: pushed.failed_calls() + pulled.failed_calls(),
            ..Deliveries::default()
        };
        let truth = open_store(&stack.config("storage"))?.truth;
        let ledger = Ledger::new(truth, Arc::new(SystemClock), Arc::new(SystemRandom));
        for (delivery, recipient) in self.orders.ordered() {
            let court = if recipient == PULLS { &pulled } else { &pushed };
            let handed = court.packages.get(&delivery).cloned().unwrap_or_default();
            let history = ledger.read::<DeliveryEvent>(&delivery).await;
            let history = history.map_err(Failure::new)?;
            let receipts = history.facts().filter_map(|event| match event {
                DeliveryEvent::Acknowledged {
                    receipt, signature, ..
                } => Some((receipt.clone(), signature.clone())),
                _ => None,
            });
            found.ordered += 1;
            match receipts.collect::<Vec<_>>().as_slice() {
                [] => found.not_receipted += 1,
                [only] if handed.receipts.contains(only) => found.receipted += 1,
                _ => found.wrongly_receipted += 1,
            }
        }
        Ok(found)
    }
}

impl Deliveries {
    /// One sentence for each promise that does not hold, whatever was done to the platform.
    pub fn broken(&self) -> Vec<String> {
        let counted = [
            (self.not_receipted, "ordered and not receipted"),
            (
                self.wrongly_receipted,
                "deliveries without the one receipt that the court gave",
            ),
            (
                self.wrong_bytes,
                "packages with other bytes than their digest says",
            ),
            (
                self.visible_again,
                "packages that a court took for new ones again",
            ),
        ];
        let mut broken = some(&counted);
        if self.ordered == 0 {
            broken.push("nothing was ordered".to_owned());
        }
        broken
    }

    /// What nothing gives a reason for in a run without faults.
    pub fn inexact(&self) -> Vec<String> {
        some(&[
            (self.pushes_repeated, "packages pushed again"),
            (self.pushes_broken_off, "pushes broken off"),
            (self.fetched_again, "packages fetched again"),
            (
                self.failed_calls,
                "calls between courts and delivery failed",
            ),
        ])
    }
}

fn some(counted: &[(u64, &str)]) -> Vec<String> {
    let some = counted.iter().filter(|(number, _)| *number > 0);
    some.map(|(number, what)| format!("{number} {what}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_wrong_thing_is_broken() {
        let clean = Deliveries {
            ordered: 2,
            receipted: 2,
            pushes: 1,
            fetched: 1,
            ..Deliveries::default()
        };
        assert!(clean.broken().is_empty() && clean.inexact().is_empty());
        let breaks: [fn(&mut Deliveries); 5] = [
            |found| found.ordered = 0,
            |found| found.not_receipted = 1,
            |found| found.wrongly_receipted = 1,
            |found| found.wrong_bytes = 1,
            |found| found.visible_again = 1,
        ];
        for breaks in breaks {
            let mut found = clean.clone();
            breaks(&mut found);
            assert_eq!((found.broken().len(), found.inexact().len()), (1, 0));
        }
        let again: [fn(&mut Deliveries); 4] = [
            |found| found.failed_calls = 1,
            |found| found.pushes_repeated = 1,
            |found| found.pushes_broken_off = 1,
            |found| found.fetched_again = 1,
        ];
        for again in again {
            let mut found = clean.clone();
            again(&mut found);
            assert_eq!((found.broken().len(), found.inexact().len()), (0, 1));
        }
    }
}
