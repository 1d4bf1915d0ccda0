//! Records entry into a recipient's system and its receipt, whichever way they came.

use probity_domain::{DeliveryState, ReceiptRule, ReceiptScope, receipt_time};
use probity_platform::Result;
use probity_proto::ledger::DeliveryEvent;

use crate::courier::Courier;
use crate::delivery::Delivery;
use crate::receipt::{self, SignedReceipt};
use crate::recipient::Recipient;

/// How the package came to the recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// It was sent to the system the recipient designated.
    Pushed,
    /// The recipient fetched it from the platform.
    Fetched,
}

impl Courier {
    /// Records that the package reached the recipient, once, with the rule that fixes the time (ETA s.15) and the
    /// place that follows from the profile.
    ///
    /// # Errors
    /// Those of the ledger.
    pub async fn enter(
        &self,
        delivery: &Delivery,
        recipient: &Recipient,
        way: Way,
        actor: &str,
    ) -> Result<Delivery> {
        let now = self.clock.now();
        let received = match way {
            Way::Pushed => receipt_time(Some(true), Some(now), None),
            Way::Fetched => receipt_time(Some(false), None, Some(now)),
        };
        let rule = received.map_or("", |(_, rule)| rule_word(rule));
        let entered = DeliveryEvent::Entered {
            rule: rule.to_owned(),
            place: recipient.profile.place.as_str().to_owned(),
        };
        let decide = |delivery: &Delivery| {
            let mut facts = delivery.history.facts();
            let is_known = facts.any(|fact| matches!(fact, DeliveryEvent::Entered { .. }));
            Ok((!is_known).then(|| entered.clone()))
        };
        self.record(delivery, actor, rule, decide).await
    }

    /// Checks a receipt and records it. The same receipt again, or one of a smaller scope, changes nothing.
    ///
    /// # Errors
    /// `Malformed`, saying what does not hold, for everything that is not a receipt for this delivery; those of the
    /// ledger.
    pub async fn acknowledge(
        &self,
        delivery: &Delivery,
        recipient: &Recipient,
        signed: &SignedReceipt,
        way: Way,
        actor: &str,
    ) -> Result<Delivery> {
        let scope = receipt::check(
            signed,
            delivery,
            &recipient.profile.signing,
            self.clock.now(),
        )?;
        let document = signed.encode();
        let acknowledged = DeliveryEvent::Acknowledged {
            scope: scope.as_str().to_owned(),
            receipt: document.receipt,
            signature: document.signature,
        };
        let decide =
            |delivery: &Delivery| Ok(adds(&delivery.state, scope).then(|| acknowledged.clone()));
        // The receipt first: a court that was pushed to gives it once, and this process may end between the two events.
        let recorded = self.record(delivery, actor, "receipt", decide).await?;
        let recorded = self.enter(&recorded, recipient, way, actor).await?;
        self.no_longer_due(delivery.id);
        Ok(recorded)
    }
}

fn adds(state: &DeliveryState, scope: ReceiptScope) -> bool {
    match state {
        DeliveryState::Acknowledged { scope: had } => scope > *had,
        _ => true,
    }
}

/// The rule's word in the ledger; the section's number is of the ETA's text of 1998.
const fn rule_word(rule: ReceiptRule) -> &'static str {
    match rule {
        ReceiptRule::EnteredDesignatedSystem => "eta1998.s15.2.a.i.entered_designated_system",
        ReceiptRule::RetrievedFromOtherSystem => "eta1998.s15.2.a.ii.retrieved_from_other_system",
        ReceiptRule::EnteredAnySystem => "eta1998.s15.2.b.entered_any_system",
    }
}
