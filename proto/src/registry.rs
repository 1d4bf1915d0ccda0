//! What follows from a registry's events: one fold per kind, written once, so that no two roles can read the same
//! history differently. Pure; applying an event cannot fail, and an event that has no place changes nothing.

use crate::http::PartyApplicationDocument;
use crate::ledger::{
    AgreementEvent, Envelope, InstructionEvent, IntentEvent, PartyEvent, QuarantineEvent,
};

/// A person or organisation as its events tell it (W1, W5, W9).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PartyState {
    /// The values exactly as submitted (W6).
    pub application: Option<PartyApplicationDocument>,
    pub applied_at: Option<String>,
    /// The latest decision.
    pub decision: Option<PartyDecision>,
    /// Whether any decision, however old, was a verification.
    pub ever_verified: bool,
    pub acceptances: Vec<PartyAcceptance>,
}

/// Proof of verification: method, verifier, time, documents (W1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartyDecision {
    pub at: String,
    pub verified: bool,
    pub method: String,
    pub verifier: String,
    pub document_sha3_256: Vec<String>,
    pub note: String,
}

/// Which text was accepted, by which credential, when and from where (W5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartyAcceptance {
    pub at: String,
    pub actor: String,
    pub agreement: String,
    pub version: String,
    pub sha3_256: String,
    pub channel: String,
    pub from_address: String,
}

impl PartyState {
    /// Folds a party's events.
    #[must_use]
    pub fn of(events: &[Envelope<PartyEvent>]) -> Self {
        events.iter().fold(Self::default(), Self::after)
    }

    fn after(mut self, envelope: &Envelope<PartyEvent>) -> Self {
        let at = envelope.at.clone();
        match &envelope.event {
            PartyEvent::Applied(application) => {
                self.application = Some(application.clone());
                self.applied_at = Some(at);
                self.decision = None;
            }
            PartyEvent::Decided {
                verified,
                method,
                verifier,
                document_sha3_256,
                note,
            } => {
                self.ever_verified |= *verified;
                self.decision = Some(PartyDecision {
                    at,
                    verified: *verified,
                    method: method.clone(),
                    verifier: verifier.clone(),
                    document_sha3_256: document_sha3_256.clone(),
                    note: note.clone(),
                });
            }
            PartyEvent::AgreementAccepted {
                agreement,
                version,
                sha3_256,
                channel,
                from_address,
            } => {
                self.acceptances.push(PartyAcceptance {
                    at,
                    actor: envelope.actor.clone(),
                    agreement: agreement.clone(),
                    version: version.clone(),
                    sha3_256: sha3_256.clone(),
                    channel: channel.clone(),
                    from_address: from_address.clone(),
                });
            }
        }
        self
    }

    /// The latest decision is a verification.
    #[must_use]
    pub fn is_verified(&self) -> bool {
        self.decision.as_ref().is_some_and(|d| d.verified)
    }

    /// The tenant it applied under.
    #[must_use]
    pub fn tenant(&self) -> Option<&str> {
        self.application.as_ref().map(|a| a.tenant.as_str())
    }

    /// The word in status documents: `unknown`, `applied`, `verified` or `refused`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match (&self.application, &self.decision) {
            (None, _) => "unknown",
            (Some(_), None) => "applied",
            (Some(_), Some(d)) if d.verified => "verified",
            (Some(_), Some(_)) => "refused",
        }
    }
}

/// A version of the agreement on electronic form (I4).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AgreementState {
    pub published: Option<PublishedAgreement>,
    /// Why it may not be accepted any more. Acceptances made before stay what they were.
    pub withdrawn: Option<String>,
}

/// The text people accept by its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedAgreement {
    pub at: String,
    pub text: String,
    pub sha3_256: String,
}

impl AgreementState {
    /// Folds a version's events.
    #[must_use]
    pub fn of(events: &[Envelope<AgreementEvent>]) -> Self {
        events.iter().fold(Self::default(), |mut state, envelope| {
            match &envelope.event {
                AgreementEvent::Published { text, sha3_256 } if state.published.is_none() => {
                    state.published = Some(PublishedAgreement {
                        at: envelope.at.clone(),
                        text: text.clone(),
                        sha3_256: sha3_256.clone(),
                    });
                }
                AgreementEvent::Published { .. } => {}
                AgreementEvent::Withdrawn { reason } => state.withdrawn = Some(reason.clone()),
            }
            state
        })
    }
}

/// A one-time code's way from request to use (I1, I2).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IntentState {
    pub requested: Option<IntentRequested>,
    /// The channel took the code.
    pub delivered_at: Option<String>,
    pub attempts_failed: u32,
    pub confirmed: Option<IntentConfirmed>,
    /// The one submission it was used for.
    pub used_by: Option<String>,
}

/// What was asked, and of whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntentRequested {
    pub at: String,
    pub tenant: String,
    pub party: String,
    pub credential: String,
    pub instruction_sha256: String,
    pub summary: String,
    pub code_hmac: String,
    pub channel: String,
    pub masked_destination: String,
    pub expires_at: String,
}

/// When and from where the code came back (I3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntentConfirmed {
    pub at: String,
    pub actor: String,
    pub from_address: String,
    pub user_agent: String,
}

impl IntentState {
    /// Folds an intent's events.
    #[must_use]
    pub fn of(events: &[Envelope<IntentEvent>]) -> Self {
        events.iter().fold(Self::default(), Self::after)
    }

    fn after(mut self, envelope: &Envelope<IntentEvent>) -> Self {
        let at = envelope.at.clone();
        match &envelope.event {
            IntentEvent::Requested {
                tenant,
                party,
                credential,
                instruction_sha256,
                summary,
                code_hmac,
                channel,
                masked_destination,
                expires_at,
            } => {
                self.requested.get_or_insert(IntentRequested {
                    at,
                    tenant: tenant.clone(),
                    party: party.clone(),
                    credential: credential.clone(),
                    instruction_sha256: instruction_sha256.clone(),
                    summary: summary.clone(),
                    code_hmac: code_hmac.clone(),
                    channel: channel.clone(),
                    masked_destination: masked_destination.clone(),
                    expires_at: expires_at.clone(),
                });
            }
            IntentEvent::Delivered {} => self.delivered_at = Some(at),
            IntentEvent::AttemptFailed { .. } => {
                self.attempts_failed = self.attempts_failed.saturating_add(1)
            }
            IntentEvent::Confirmed {
                from_address,
                user_agent,
            } => {
                self.confirmed.get_or_insert(IntentConfirmed {
                    at,
                    actor: envelope.actor.clone(),
                    from_address: from_address.clone(),
                    user_agent: user_agent.clone(),
                });
            }
            IntentEvent::Used { submission } => {
                self.used_by.get_or_insert(submission.clone());
            }
        }
        self
    }
}

/// The submission an idempotency key stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    pub tenant: String,
    pub submission: String,
    pub instruction_sha256: String,
    pub received_at: String,
}

impl Reservation {
    /// The latest reservation: an earlier one lapsed before its submission was written.
    #[must_use]
    pub fn of(events: &[Envelope<InstructionEvent>]) -> Option<Self> {
        events.last().map(|envelope| {
            let InstructionEvent::Reserved {
                tenant,
                submission,
                instruction_sha256,
                received_at,
            } = &envelope.event;
            Self {
                tenant: tenant.clone(),
                submission: submission.clone(),
                instruction_sha256: instruction_sha256.clone(),
                received_at: received_at.clone(),
            }
        })
    }
}

/// Whether an accepted item is held, and why.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QuarantineState {
    pub held: Option<Held>,
}

/// Which role refused the item, when and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    pub at: String,
    pub stage: String,
    pub reason: String,
}

impl QuarantineState {
    /// Folds an item's events.
    #[must_use]
    pub fn of(events: &[Envelope<QuarantineEvent>]) -> Self {
        let held = events.last().and_then(|envelope| match &envelope.event {
            QuarantineEvent::Held { stage, reason } => Some(Held {
                at: envelope.at.clone(),
                stage: stage.clone(),
                reason: reason.clone(),
            }),
            QuarantineEvent::Released {} => None,
        });
        Self { held }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::EVENT_FORMAT;

    fn envelopes<E>(events: Vec<E>) -> Vec<Envelope<E>> {
        let envelope = |(seq, event)| Envelope {
            format: EVENT_FORMAT.to_owned(),
            kind: "k".into(),
            id: "i".into(),
            seq,
            at: format!("t{seq}"),
            actor: "a".into(),
            cause: "c".into(),
            event,
            write_id: String::new(),
        };
        (0..).zip(events).map(envelope).collect()
    }

    fn application(name: &str) -> PartyApplicationDocument {
        PartyApplicationDocument {
            party: "p".into(),
            tenant: "t".into(),
            kind: "person".into(),
            name: name.into(),
            identifier: "1".into(),
            country: "SG".into(),
            email: "a@example.com".into(),
            legal_representative: None,
            handler: None,
            declared_true: true,
        }
    }

    fn decided(verified: bool) -> PartyEvent {
        PartyEvent::Decided {
            verified,
            method: "officer".into(),
            verifier: "v".into(),
            document_sha3_256: vec![],
            note: String::new(),
        }
    }

    #[test]
    fn the_latest_decision_counts_and_a_new_application_needs_a_new_one() {
        let applied = || PartyEvent::Applied(application("n"));
        let table = [
            (vec![], "unknown"),
            (vec![applied()], "applied"),
            (vec![applied(), decided(true)], "verified"),
            (vec![applied(), decided(true), decided(false)], "refused"),
            (vec![applied(), decided(false), applied()], "applied"),
            (
                vec![applied(), decided(false), applied(), decided(true)],
                "verified",
            ),
        ];
        for (events, word) in table {
            let state = PartyState::of(&envelopes(events.clone()));
            assert_eq!(state.word(), word, "{events:?}");
            assert_eq!(state.is_verified(), word == "verified");
        }
    }

    #[test]
    fn the_first_text_of_a_version_stays_its_text() {
        let published = |t: &str| AgreementEvent::Published {
            text: t.into(),
            sha3_256: "d".into(),
        };
        let withdrawn = AgreementEvent::Withdrawn { reason: "r".into() };
        let state = AgreementState::of(&envelopes(vec![
            published("one"),
            published("two"),
            withdrawn,
        ]));
        assert_eq!(state.published.unwrap().text, "one");
        assert_eq!(state.withdrawn.unwrap(), "r");
    }

    #[test]
    fn an_intent_is_used_once() {
        let used = |s: &str| IntentEvent::Used {
            submission: s.into(),
        };
        let failed = IntentEvent::AttemptFailed {
            reason: "wrong code".into(),
            from_address: "f".into(),
            user_agent: "u".into(),
        };
        let state = IntentState::of(&envelopes(vec![
            failed.clone(),
            failed,
            used("one"),
            used("two"),
        ]));
        assert_eq!(state.attempts_failed, 2);
        assert_eq!(state.used_by.as_deref(), Some("one"));
    }

    #[test]
    fn the_latest_reservation_counts() {
        let reserved = |s: &str| InstructionEvent::Reserved {
            tenant: "t".into(),
            submission: s.into(),
            instruction_sha256: "d".into(),
            received_at: "r".into(),
        };
        assert!(Reservation::of(&[]).is_none());
        assert_eq!(
            Reservation::of(&envelopes(vec![reserved("a"), reserved("b")]))
                .unwrap()
                .submission,
            "b"
        );
    }
}
