//! One delivery as its events tell it.

use probity_domain::{
    CaseId, DeliveryFact, DeliveryId, DeliveryState, EvidenceId, ReceiptScope, RecipientId,
    TenantId, Timestamp,
};
use probity_platform::ledger::{History, event_time};
use probity_platform::{Error, Result};
use probity_proto::http::DeliveryDocument;
use probity_proto::ledger::DeliveryEvent;
use sha2::Digest as _;

pub use crate::made::{Package, listed};
use crate::prepare::MADE_AGAIN;

/// A delivery: what was asked for, what was made, where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    pub id: DeliveryId,
    pub evidence: EvidenceId,
    pub recipient: RecipientId,
    pub tenant: TenantId,
    pub case: CaseId,
    /// The order that asked for it.
    pub order: String,
    pub state: DeliveryState,
    /// Every package ever made, the latest last: a receipt may be for an earlier one.
    pub packages: Vec<Package>,
    /// What this was folded from.
    pub history: History<DeliveryEvent>,
}

/// When the platform has to act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    Nothing,
    Now,
    At(Timestamp),
}

/// The id of the delivery of this evidence to this recipient: asking twice names the same delivery (P6).
#[must_use]
pub fn delivery_id(evidence: &EvidenceId, recipient: &RecipientId) -> DeliveryId {
    let digest = sha2::Sha256::digest(format!("probity.delivery/1\n{evidence}\n{recipient}\n"));
    let mut seed = [0; 10];
    for (to, from) in seed.iter_mut().zip(digest) {
        *to = from;
    }
    DeliveryId::new(evidence.submission.at(), seed)
}

impl Delivery {
    /// Folds a stream; `None` when it is empty.
    ///
    /// # Errors
    /// `Internal` when what is stored does not read.
    pub fn fold(history: &History<DeliveryEvent>) -> Result<Option<Self>> {
        let Some(first) = history.events.first() else {
            return Ok(None);
        };
        let DeliveryEvent::Requested {
            evidence,
            recipient,
            tenant,
            case,
        } = &first.event
        else {
            return Err(Error::internal(format!(
                "delivery {} does not begin with its request",
                history.id
            )));
        };
        let stored =
            |e: probity_domain::Malformed| Error::internal(format!("delivery {}: {e}", history.id));
        let mut delivery = Self {
            id: DeliveryId::parse(&history.id).map_err(stored)?,
            evidence: EvidenceId::parse(evidence).map_err(stored)?,
            recipient: RecipientId::parse(recipient).map_err(stored)?,
            tenant: TenantId::parse(tenant).map_err(stored)?,
            case: CaseId::parse(case).map_err(stored)?,
            order: first.cause.clone(),
            state: DeliveryState::default(),
            packages: Vec::new(),
            history: history.clone(),
        };
        for envelope in &history.events {
            let package = Package::of(&envelope.event).map_err(stored)?;
            delivery.packages.extend(package);
            // The recipient asked for a package that was gone: nobody asked for a suspended delivery to be resumed.
            if envelope.cause == MADE_AGAIN {
                continue;
            }
            if let Some(fact) = fact(&envelope.event, event_time(envelope)?)? {
                delivery.state = delivery.state.after(&fact);
            }
        }
        Ok(Some(delivery))
    }

    /// The package to send: the latest.
    #[must_use]
    pub fn package(&self) -> Option<&Package> {
        self.packages.last()
    }

    /// It is in the recipient's system, or the recipient has said so: nothing that happens makes it due again.
    #[must_use]
    pub const fn has_arrived(&self) -> bool {
        matches!(
            self.state,
            DeliveryState::Entered | DeliveryState::Acknowledged { .. }
        )
    }

    /// What the platform has to do, by itself, for a recipient that is pushed to or not.
    #[must_use]
    pub const fn due(&self, pushed: bool) -> Due {
        match (&self.state, pushed) {
            (DeliveryState::Requested, _) | (DeliveryState::Prepared, true) => Due::Now,
            (DeliveryState::Retrying { next_at, .. }, true) => Due::At(*next_at),
            _ => Due::Nothing,
        }
    }

    /// The recipient can fetch it and has not acknowledged it.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        !self.packages.is_empty() && !matches!(self.state, DeliveryState::Acknowledged { .. })
    }

    /// As vendor and recipient see it.
    #[must_use]
    pub fn document(&self) -> DeliveryDocument {
        let package = self.package();
        let scope = match &self.state {
            DeliveryState::Acknowledged { scope } => Some(scope.as_str().to_owned()),
            _ => None,
        };
        DeliveryDocument {
            delivery: self.id.to_string(),
            evidence: self.evidence.to_string(),
            recipient: self.recipient.to_string(),
            case: self.case.to_string(),
            state: self.state.as_str().to_owned(),
            size_bytes: package.map(|p| p.size_bytes),
            sha256: package.map(|p| p.sha256.to_hex()),
            part_bytes: package.map(|p| p.part_bytes.clone()).unwrap_or_default(),
            receipt_scope: scope,
        }
    }
}

/// What an event means for the state; `None` for reads of an earlier version, which change nothing.
fn fact(event: &DeliveryEvent, at: Timestamp) -> Result<Option<DeliveryFact>> {
    Ok(Some(match event {
        DeliveryEvent::Requested { .. } => DeliveryFact::Requested { at },
        DeliveryEvent::Prepared { .. } => DeliveryFact::Prepared { at },
        DeliveryEvent::AttemptFailed { next_at, reason } => DeliveryFact::AttemptFailed {
            at,
            next_at: Timestamp::parse_rfc3339(next_at).map_err(Error::internal)?,
            reason: reason.clone(),
        },
        DeliveryEvent::Entered { .. } => DeliveryFact::Entered { at },
        DeliveryEvent::Acknowledged { scope, .. } => DeliveryFact::Acknowledged {
            at,
            scope: ReceiptScope::parse(scope)
                .ok_or_else(|| Error::internal(format!("receipt scope {scope:?}")))?,
        },
        DeliveryEvent::Suspended { reason } => DeliveryFact::Suspended {
            at,
            reason: reason.clone(),
        },
        DeliveryEvent::Fetched { .. } => return Ok(None),
    }))
}

#[cfg(test)]
pub mod tests {
    use probity_domain::{Sha3_256, Sha256, SubmissionId};
    use probity_proto::ledger::Envelope;

    use super::*;

    pub const AT: Timestamp = Timestamp::from_unix_ms(1_795_000_000_000);

    pub fn evidence() -> EvidenceId {
        EvidenceId {
            submission: SubmissionId::new(AT, [7; 10]),
            item: 3,
        }
    }

    pub fn court() -> RecipientId {
        RecipientId::parse("court-1").unwrap()
    }

    pub fn history(events: Vec<DeliveryEvent>) -> History<DeliveryEvent> {
        let id = delivery_id(&evidence(), &court()).to_string();
        let envelope = |(seq, event)| Envelope {
            format: "probity.event/1".into(),
            kind: "delivery".into(),
            id: id.clone(),
            seq,
            at: AT.to_rfc3339(),
            actor: "role:delivery".into(),
            cause: "order-1".into(),
            write_id: "0".into(),
            event,
        };
        History {
            id: id.clone(),
            events: (0..).zip(events).map(envelope).collect(),
        }
    }

    pub fn requested() -> DeliveryEvent {
        DeliveryEvent::Requested {
            evidence: evidence().to_string(),
            recipient: court().to_string(),
            tenant: "acme".into(),
            case: "case 1".into(),
        }
    }

    pub fn prepared(byte: u8) -> DeliveryEvent {
        let package = Package {
            object: format!("packages/court-1/{byte}"),
            size_bytes: 10,
            sha256: Sha256([byte; 32]),
            content_sha3_256: Sha3_256([byte; 32]),
            part_bytes: vec![10],
        };
        package.prepared()
    }

    pub fn failed(next_ms: i64) -> DeliveryEvent {
        DeliveryEvent::AttemptFailed {
            next_at: AT.plus_ms(next_ms).to_rfc3339(),
            reason: "503".into(),
        }
    }

    fn due(events: Vec<DeliveryEvent>, pushed: bool) -> Due {
        Delivery::fold(&history(events))
            .unwrap()
            .unwrap()
            .due(pushed)
    }

    #[test]
    fn what_is_due_follows_from_the_events() {
        assert_eq!(Delivery::fold(&history(vec![])).unwrap(), None);
        assert_eq!(due(vec![requested()], false), Due::Now);
        assert_eq!(due(vec![requested(), prepared(1)], true), Due::Now);
        assert_eq!(due(vec![requested(), prepared(1)], false), Due::Nothing);
        assert_eq!(
            due(vec![requested(), prepared(1), failed(5)], true),
            Due::At(AT.plus_ms(5))
        );
        assert_eq!(
            due(vec![requested(), prepared(1), failed(5), failed(9)], true),
            Due::At(AT.plus_ms(9))
        );
        let entered = DeliveryEvent::Entered {
            rule: "r".into(),
            place: "p".into(),
        };
        assert_eq!(
            due(vec![requested(), prepared(1), entered, failed(5)], true),
            Due::Nothing
        );
        let gone = DeliveryEvent::Suspended {
            reason: "410".into(),
        };
        assert_eq!(
            due(vec![requested(), prepared(1), gone.clone()], true),
            Due::Nothing
        );
        assert_eq!(
            due(vec![requested(), prepared(1), gone, prepared(1)], true),
            Due::Now
        );
    }

    #[test]
    fn a_package_made_again_resumes_nothing() {
        let gone = DeliveryEvent::Suspended {
            reason: "410".into(),
        };
        let mut history = history(vec![requested(), prepared(1), gone, prepared(2)]);
        let state = |history| Delivery::fold(history).unwrap().unwrap().state;
        assert_eq!(state(&history), DeliveryState::Prepared);
        history.events[3].cause = MADE_AGAIN.into();
        let delivery = Delivery::fold(&history).unwrap().unwrap();
        assert_eq!(delivery.state.as_str(), "suspended");
        assert_eq!(delivery.package().unwrap().sha256, Sha256([2; 32]));
    }

    #[test]
    fn reads_and_late_failures_change_nothing() {
        let read = DeliveryEvent::Fetched {
            credential: "c".into(),
            legal_basis: "b".into(),
        };
        let done = DeliveryEvent::Acknowledged {
            scope: "content_digest_confirmed".into(),
            receipt: String::new(),
            signature: String::new(),
        };
        let events = vec![requested(), prepared(1), prepared(2), done, failed(5), read];
        let delivery = Delivery::fold(&history(events)).unwrap().unwrap();
        assert_eq!(
            delivery.state,
            DeliveryState::Acknowledged {
                scope: ReceiptScope::ContentDigestConfirmed
            }
        );
        assert_eq!(delivery.package().unwrap().sha256, Sha256([2; 32]));
        assert_eq!(
            (
                delivery.packages.len(),
                delivery.history.events.len(),
                delivery.is_open()
            ),
            (2, 6, false)
        );
    }

    #[test]
    fn ids_are_stable_and_apart() {
        let other = RecipientId::parse("court-2").unwrap();
        assert_eq!(
            delivery_id(&evidence(), &court()),
            delivery_id(&evidence(), &court())
        );
        assert_ne!(
            delivery_id(&evidence(), &court()),
            delivery_id(&evidence(), &other)
        );
        assert_eq!(delivery_id(&evidence(), &court()).at(), AT);
    }
}
