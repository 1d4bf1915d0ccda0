//! `deliver`: brings one delivery as far as it can be brought now. Called twice, it does nothing twice that is done.

use probity_domain::{DeliveryId, DeliveryState, EvidenceId, RetrySchedule, Timestamp};
use probity_platform::{Error, ErrorKind, Result, telemetry};
use probity_proto::http::SignedReceiptDocument;
use probity_proto::ledger::DeliveryEvent;

use crate::acknowledge::Way;
use crate::answer::{Verdict, judge};
use crate::answered::Answered;
use crate::checked::{Wrong, checked};
use crate::courier::{ACTOR, Courier};
use crate::delivery::{Delivery, Due};
use crate::ports::Parcel;
use crate::receipt::SignedReceipt;
use crate::recipient::{self, Channel, Recipient};

/// While a recipient is suspended, its deliveries are looked at this often.
const SUSPENDED_MS: i64 = 600_000;

/// When to look again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Something has to come from outside first.
    Quiet,
    At(Timestamp),
    /// The evidence is not deposited yet.
    AwaitDeposit(EvidenceId),
}

impl Courier {
    /// Prepares the package if there is none, pushes it if that is due, and records how that ended.
    ///
    /// # Errors
    /// `NotFound` for an unknown delivery; those of storage, the store and the ledger.
    pub async fn deliver(&self, id: DeliveryId) -> Result<Next> {
        let mut delivery = self.delivery(id).await?;
        tracing::Span::current()
            .record(
                "probity.evidence",
                tracing::field::display(&delivery.evidence),
            )
            .record(
                "probity.submission",
                telemetry::submission(&delivery.evidence.submission.to_string()),
            );
        let answered = self.unrecorded().of(id);
        if let Some(answered) = answered {
            let recipient = recipient::read(&self.ledger, &delivery.recipient).await?;
            return self.settle(&delivery, &recipient, answered).await;
        }
        let over = delivery.state.is_terminal();
        // The recipient may ask for its package wherever the delivery stands, if ever there was one.
        if over && (delivery.package().is_none() || self.has_package(&delivery).await?) {
            return Ok(Next::Quiet);
        }
        let recipient = recipient::read(&self.ledger, &delivery.recipient).await?;
        if recipient.suspended.is_some() {
            return Ok(match over {
                true => Next::Quiet,
                false => Next::At(self.clock.now().plus_ms(SUSPENDED_MS)),
            });
        }
        if over || !self.has_package(&delivery).await? {
            delivery = match self.prepare(&delivery, &recipient).await {
                Ok(Some(prepared)) => prepared,
                Ok(None) => return Ok(Next::AwaitDeposit(delivery.evidence)),
                // The profile or the package itself is in the way, and time will not help.
                Err(e) if e.kind == ErrorKind::Malformed => {
                    self.suspend(&delivery, &e.detail).await?
                }
                Err(e) => return Err(e),
            };
        }
        self.push_if_due(&delivery, &recipient).await
    }

    async fn push_if_due(&self, delivery: &Delivery, recipient: &Recipient) -> Result<Next> {
        let Channel::Push { endpoint, tls_ca } = &recipient.profile.channel else {
            return Ok(Next::Quiet);
        };
        match delivery.due(true) {
            Due::Now => {}
            Due::At(at) if at <= self.clock.now() => {}
            Due::At(at) => return Ok(Next::At(at)),
            Due::Nothing => return Ok(Next::Quiet),
        }
        if self.unrecorded().is_full() {
            return Err(Error::unavailable(
                "the store does not take what courts answered; nothing is pushed meanwhile",
            ));
        }
        let (parcel, wrong) = self.parcel(delivery).await?;
        let answer = self.push.push(endpoint, tls_ca.as_deref(), parcel).await;
        if let Some(package) = delivery.package().filter(|_| wrong.is_found()) {
            self.discard(delivery, package).await;
            let id = delivery.id;
            return Err(Error::unavailable(format!(
                "{id}: the package was wrong; the next one is pushed"
            )));
        }
        let answered = Answered {
            verdict: judge(answer),
            at: self.clock.now(),
            events_before: delivery.history.events.len(),
        };
        self.unrecorded().keep(delivery.id, answered.clone());
        self.settle(delivery, recipient, answered).await
    }

    async fn parcel(&self, delivery: &Delivery) -> Result<(Parcel, Wrong)> {
        let gone = || Error::unavailable(format!("{}: the package is gone", delivery.id));
        let package = delivery.package().ok_or_else(gone)?;
        let found = self.buckets.work.get_streamed(&package.object).await?;
        let (size_bytes, body) = found
            .filter(|(size_bytes, _)| *size_bytes == package.size_bytes)
            .ok_or_else(gone)?;
        let (body, wrong) = checked(package, body);
        let parcel = Parcel {
            delivery: delivery.id,
            evidence: delivery.evidence,
            recipient: delivery.recipient.to_string(),
            size_bytes,
            sha256: package.sha256.0,
            part_bytes: package.part_bytes.clone(),
            body,
        };
        Ok((parcel, wrong))
    }

    /// Records what the court's answer means, and forgets it only then.
    async fn settle(
        &self,
        delivery: &Delivery,
        recipient: &Recipient,
        answered: Answered,
    ) -> Result<Next> {
        let settled = match &answered.verdict {
            Verdict::Receipt(document) => {
                self.settle_receipt(delivery, recipient, document, &answered)
                    .await?
            }
            Verdict::Entered => self.enter(delivery, recipient, Way::Pushed, ACTOR).await?,
            // The store did it and its answer was lost; what came after it stays.
            _ if is_on_record(delivery, &answered) => delivery.clone(),
            Verdict::Refused { reason } => self.suspend(delivery, reason).await?,
            Verdict::Failed {
                reason,
                slow_down,
                retry_after_ms,
            } => {
                self.fail(delivery, &answered, reason, *slow_down, *retry_after_ms)
                    .await?
            }
        };
        self.unrecorded().recorded(delivery.id);
        Ok(match settled.due(true) {
            Due::Now => Next::At(self.clock.now()),
            Due::At(at) => Next::At(at),
            Due::Nothing => Next::Quiet,
        })
    }

    /// A receipt that does not hold is a failed attempt with its reason, never an acknowledgement.
    async fn settle_receipt(
        &self,
        delivery: &Delivery,
        recipient: &Recipient,
        document: &SignedReceiptDocument,
        answered: &Answered,
    ) -> Result<Delivery> {
        let acknowledged = match SignedReceipt::decode(document) {
            Ok(signed) => {
                self.acknowledge(delivery, recipient, &signed, Way::Pushed, ACTOR)
                    .await
            }
            Err(e) => Err(e),
        };
        match acknowledged {
            Err(e) if e.kind == ErrorKind::Malformed => {
                self.fail(delivery, answered, &e.detail, false, None).await
            }
            other => other,
        }
    }

    async fn suspend(&self, seen: &Delivery, reason: &str) -> Result<Delivery> {
        let decide = |delivery: &Delivery| {
            let open = !delivery.state.is_terminal() && delivery.state != DeliveryState::Entered;
            Ok(open.then(|| DeliveryEvent::Suspended {
                reason: reason.to_owned(),
            }))
        };
        tracing::warn!(delivery = %seen.id, reason, "delivery suspended");
        self.record(seen, ACTOR, "push", decide).await
    }

    /// One more failed attempt: the next one by the schedule, or the end of it.
    async fn fail(
        &self,
        seen: &Delivery,
        answered: &Answered,
        reason: &str,
        slow_down: bool,
        retry_after_ms: Option<i64>,
    ) -> Result<Delivery> {
        let [jitter] = self.random.bytes();
        let decide = |delivery: &Delivery| {
            let over = delivery.state.is_terminal() || delivery.state == DeliveryState::Entered;
            if over || is_on_record(delivery, answered) {
                return Ok(None);
            }
            let before = match delivery.state {
                DeliveryState::Retrying { attempts, .. } => attempts,
                _ => 0,
            };
            Ok(Some(
                match RetrySchedule.wait_ms(before + 1, jitter, slow_down, retry_after_ms) {
                    Some(wait) => DeliveryEvent::AttemptFailed {
                        next_at: answered.at.plus_ms(wait).to_rfc3339(),
                        reason: reason.to_owned(),
                    },
                    None => DeliveryEvent::Suspended {
                        reason: format!("{} attempts failed; the last one: {reason}", before + 1),
                    },
                },
            ))
        };
        tracing::info!(delivery = %seen.id, reason, "push failed");
        self.record(seen, ACTOR, "push", decide).await
    }
}

/// How an attempt ended was recorded since it was made.
fn is_on_record(delivery: &Delivery, answered: &Answered) -> bool {
    let mut since = delivery.history.facts().skip(answered.events_before);
    since.any(|fact| {
        use DeliveryEvent::{AttemptFailed, Suspended};
        matches!(fact, AttemptFailed { .. } | Suspended { .. })
    })
}
