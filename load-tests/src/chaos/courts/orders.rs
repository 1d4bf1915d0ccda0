//! What the vendor orders: a part of what was accepted to each court, as soon as it is accepted.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use probity_proto::http::{DeliveriesDocument, DeliveryRequestDocument};
use tokio::time::sleep;

use crate::Failure;
use crate::chaos::load::{AGAIN_AFTER, Submitter};
use crate::chaos::stack::{PULLS, PUSHED};

/// One capture in so many goes to each court, and no more than so many in a run.
const ONE_IN: u64 = 10;
const ORDERED_MAX: u64 = 100;
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The vendor's orders, and the deliveries that came of them.
pub struct Orders {
    submitter: Arc<Submitter>,
    one_in: u64,
    /// Recipient by delivery.
    ordered: Mutex<BTreeMap<String, &'static str>>,
    all_accepted: AtomicBool,
}

impl Orders {
    /// Spread over `captures`, as many as are planned.
    pub fn new(submitter: Arc<Submitter>, captures: u64) -> Self {
        Self {
            submitter,
            one_in: ONE_IN.max(captures.div_ceil(ORDERED_MAX)),
            ordered: Mutex::default(),
            all_accepted: AtomicBool::new(false),
        }
    }

    /// No more will be accepted.
    pub fn enough(&self) {
        self.all_accepted.store(true, Ordering::SeqCst);
    }

    /// Recipient by delivery.
    pub fn ordered(&self) -> BTreeMap<String, &'static str> {
        let ordered = self.ordered.lock();
        ordered.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Orders until [`Self::enough`] was said and everything is ordered. Must run in a `LocalSet`, as the vendor does.
    pub async fn run(self: Arc<Self>) -> Result<(), Failure> {
        let (mut batches, mut captures) = (0, 0);
        loop {
            let is_last = self.all_accepted.load(Ordering::SeqCst);
            let accepted = self.submitter.tally.batches_after(batches);
            batches += accepted.len();
            let (mut to_push, mut to_pull) = (Vec::new(), Vec::new());
            for number in accepted.into_iter().flat_map(|batch| batch.numbers) {
                match (captures < self.one_in * ORDERED_MAX, captures % self.one_in) {
                    (true, 0) => to_push.push(number),
                    (true, place) if place == self.one_in / 2 => to_pull.push(number),
                    _ => {}
                }
                captures += 1;
            }
            self.order(PUSHED, to_push).await?;
            self.order(PULLS, to_pull).await?;
            if is_last {
                return Ok(());
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Asks until it is answered: asking again names the same deliveries.
    async fn order(&self, recipient: &'static str, evidence: Vec<String>) -> Result<(), Failure> {
        if evidence.is_empty() {
            return Ok(());
        }
        let request = DeliveryRequestDocument {
            recipient: recipient.to_owned(),
            case: self.submitter.case(),
            evidence,
        };
        loop {
            match self.submitter.order(&request).await {
                Ok(answer) => return self.keep(recipient, &request, answer),
                Err(e) => eprintln!("chaos: an order will be repeated: {e}"),
            }
            sleep(AGAIN_AFTER).await;
        }
    }

    fn keep(
        &self,
        recipient: &'static str,
        request: &DeliveryRequestDocument,
        answer: DeliveriesDocument,
    ) -> Result<(), Failure> {
        let named = answer.deliveries.iter().map(|delivery| &delivery.evidence);
        if !named.eq(&request.evidence) {
            return Err(Failure::new("an order was answered with other evidence"));
        }
        let made = answer.deliveries.into_iter();
        let mut ordered = self.ordered.lock().unwrap_or_else(PoisonError::into_inner);
        ordered.extend(made.map(|delivery| (delivery.delivery, recipient)));
        Ok(())
    }
}
