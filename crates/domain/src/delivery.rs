//! The way of one piece of evidence to one recipient, as facts and the state that follows from them.
//!
//! Words and rules after ETSI EN 319 522-3 and ETA sections 14 and 15: a 2xx answer is entry into the recipient's
//! system, never a receipt; only what the recipient signed is one, and it says how much it covers.

use crate::Timestamp;

/// How much a receipt acknowledges (ETA s.14: receipt alone does not presume that the contents match).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReceiptScope {
    /// The package arrived.
    ReceiptOnly,
    /// The recipient computed the content's digest and it matches.
    ContentDigestConfirmed,
    /// The recipient opened and verified the package.
    TechnicalConformityConfirmed,
}

impl ReceiptScope {
    /// The word on the wire and in documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReceiptOnly => "receipt_only",
            Self::ContentDigestConfirmed => "content_digest_confirmed",
            Self::TechnicalConformityConfirmed => "technical_conformity_confirmed",
        }
    }

    /// Parses the word; `None` for any other.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [
            Self::ReceiptOnly,
            Self::ContentDigestConfirmed,
            Self::TechnicalConformityConfirmed,
        ]
        .into_iter()
        .find(|s| s.as_str() == text)
    }
}

/// Something that happened to a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryFact {
    /// Asked for and durable.
    Requested { at: Timestamp },
    /// The encrypted package exists and waits for a pull or the first push.
    Prepared { at: Timestamp },
    /// A push failed; the next one is due at `next_at`.
    AttemptFailed {
        at: Timestamp,
        next_at: Timestamp,
        reason: String,
    },
    /// The package entered the recipient's system.
    Entered { at: Timestamp },
    /// The recipient's signed receipt was checked and kept.
    Acknowledged { at: Timestamp, scope: ReceiptScope },
    /// The recipient refused for good, or the schedule is exhausted; kept, never dropped.
    Suspended { at: Timestamp, reason: String },
}

/// Where a delivery stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum DeliveryState {
    #[default]
    Unknown,
    Requested,
    Prepared,
    Retrying {
        attempts: u32,
        next_at: Timestamp,
    },
    Entered,
    Acknowledged {
        scope: ReceiptScope,
    },
    Suspended {
        reason: String,
    },
}

impl DeliveryState {
    /// Folds one more fact in. Facts that come late or twice change nothing that is already further on.
    #[must_use]
    pub fn after(self, fact: &DeliveryFact) -> Self {
        match (self, fact) {
            (Self::Acknowledged { scope: had }, DeliveryFact::Acknowledged { scope, .. }) => {
                Self::Acknowledged {
                    scope: had.max(*scope),
                }
            }
            (done @ Self::Acknowledged { .. }, _) => done,
            (_, DeliveryFact::Acknowledged { scope, .. }) => Self::Acknowledged { scope: *scope },
            (entered @ Self::Entered, _) => entered,
            (_, DeliveryFact::Entered { .. }) => Self::Entered,
            (_, DeliveryFact::Suspended { reason, .. }) => Self::Suspended {
                reason: reason.clone(),
            },
            (Self::Retrying { attempts, .. }, DeliveryFact::AttemptFailed { next_at, .. }) => {
                Self::Retrying {
                    attempts: attempts + 1,
                    next_at: *next_at,
                }
            }
            (_, DeliveryFact::AttemptFailed { next_at, .. }) => Self::Retrying {
                attempts: 1,
                next_at: *next_at,
            },
            (Self::Unknown | Self::Suspended { .. }, DeliveryFact::Requested { .. }) => {
                Self::Requested
            }
            (
                Self::Unknown | Self::Requested | Self::Suspended { .. },
                DeliveryFact::Prepared { .. },
            ) => Self::Prepared,
            (state, DeliveryFact::Requested { .. } | DeliveryFact::Prepared { .. }) => state,
        }
    }

    /// The word on the wire.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Requested => "requested",
            Self::Prepared => "prepared",
            Self::Retrying { .. } => "retrying",
            Self::Entered => "entered",
            Self::Acknowledged { .. } => "acknowledged",
            Self::Suspended { .. } => "suspended",
        }
    }

    /// Nothing more is due from the platform's side.
    #[must_use]
    pub const fn is_terminal(&self) -> bool {
        matches!(self, Self::Acknowledged { .. } | Self::Suspended { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: Timestamp = Timestamp::from_unix_ms(1);

    fn fold(facts: &[DeliveryFact]) -> DeliveryState {
        facts
            .iter()
            .fold(DeliveryState::default(), DeliveryState::after)
    }

    #[test]
    fn the_usual_course() {
        let failed = DeliveryFact::AttemptFailed {
            at: T,
            next_at: T,
            reason: "503".into(),
        };
        let mut facts = vec![
            DeliveryFact::Requested { at: T },
            DeliveryFact::Prepared { at: T },
            failed.clone(),
            failed,
        ];
        assert_eq!(
            fold(&facts),
            DeliveryState::Retrying {
                attempts: 2,
                next_at: T
            }
        );
        facts.push(DeliveryFact::Entered { at: T });
        assert_eq!(fold(&facts), DeliveryState::Entered);
        facts.push(DeliveryFact::Acknowledged {
            at: T,
            scope: ReceiptScope::ReceiptOnly,
        });
        facts.push(DeliveryFact::Acknowledged {
            at: T,
            scope: ReceiptScope::ContentDigestConfirmed,
        });
        facts.push(DeliveryFact::Acknowledged {
            at: T,
            scope: ReceiptScope::ReceiptOnly,
        });
        assert_eq!(
            fold(&facts),
            DeliveryState::Acknowledged {
                scope: ReceiptScope::ContentDigestConfirmed
            }
        );
    }

    #[test]
    fn a_suspended_one_starts_over_when_it_is_asked_for_again() {
        let suspended = DeliveryFact::Suspended {
            at: T,
            reason: "the profile has expired".into(),
        };
        let mut facts = vec![DeliveryFact::Requested { at: T }, suspended];
        assert!(fold(&facts).is_terminal());
        facts.push(DeliveryFact::Requested { at: T });
        assert_eq!(fold(&facts), DeliveryState::Requested);
    }

    #[test]
    fn late_facts_never_undo_a_receipt() {
        let done = DeliveryState::Acknowledged {
            scope: ReceiptScope::ReceiptOnly,
        };
        for late in [
            DeliveryFact::AttemptFailed {
                at: T,
                next_at: T,
                reason: "late".into(),
            },
            DeliveryFact::Suspended {
                at: T,
                reason: "late".into(),
            },
            DeliveryFact::Entered { at: T },
            DeliveryFact::Prepared { at: T },
        ] {
            assert_eq!(done.clone().after(&late), done);
        }
    }
}
