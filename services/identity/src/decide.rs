//! `decide`: a registration officer, or a provider asked by one, verifies or refuses an applicant (W1).

use probity_domain::Sha3_256;
use probity_platform::access::Caller;
use probity_platform::ledger::History;
use probity_platform::{Error, Result};
use probity_proto::http::DecisionDocument;
use probity_proto::ledger::PartyEvent;
use probity_proto::registry::PartyState;

use crate::Identity;

const DOCUMENTS_MAX: usize = 64;
const NOTE_BYTES_MAX: usize = 4_096;

/// The method of decisions by an officer's own eyes.
pub const BY_OFFICER: &str = "officer";

/// Records a decision; the same again changes nothing, another one takes the place of the first.
///
/// # Errors
/// `NotFound` for a party that never applied; `Malformed` for an unknown method or a verification that names no
/// evidence; those of the provider.
pub async fn decide(
    identity: &Identity,
    caller: &Caller,
    party: &str,
    decision: &DecisionDocument,
) -> Result<History<PartyEvent>> {
    let decided = match decision.method.as_str() {
        BY_OFFICER => by_officer(decision, caller.actor())?,
        _ => by_provider(identity, party, decision).await?,
    };
    identity
        .ledger
        .update(party, &caller.actor(), "decision", |history| {
            record(party, &PartyState::of(&history.events), &decided)
        })
        .await
}

fn by_officer(decision: &DecisionDocument, verifier: String) -> Result<PartyEvent> {
    if decision.document_sha3_256.len() > DOCUMENTS_MAX || decision.note.len() > NOTE_BYTES_MAX {
        return Err(Error::malformed(format!(
            "at most {DOCUMENTS_MAX} documents and a note of {NOTE_BYTES_MAX} bytes"
        )));
    }
    if decision.verified && decision.document_sha3_256.is_empty() && decision.note.trim().is_empty()
    {
        return Err(Error::malformed(
            "a verification names its evidence: documents or a note (W1)",
        ));
    }
    let documents = decision
        .document_sha3_256
        .iter()
        .map(|d| Sha3_256::parse_hex(d).map(|d| d.to_hex()));
    Ok(PartyEvent::Decided {
        verified: decision.verified,
        method: BY_OFFICER.to_owned(),
        verifier,
        document_sha3_256: documents.collect::<core::result::Result<_, _>>()?,
        note: decision.note.clone(),
    })
}

/// The provider's finding counts, not what the request says.
async fn by_provider(
    identity: &Identity,
    party: &str,
    decision: &DecisionDocument,
) -> Result<PartyEvent> {
    let provider = identity
        .provider
        .as_ref()
        .filter(|p| p.name() == decision.method)
        .ok_or_else(|| {
            Error::malformed(format!(
                "method: no provider named {:?} is configured here",
                decision.method
            ))
        })?;
    let history = identity.ledger.read::<PartyEvent>(party).await?;
    let application = PartyState::of(&history.events)
        .application
        .ok_or_else(|| never_applied(party))?;
    let found = provider.verify(&application).await?;
    Ok(PartyEvent::Decided {
        verified: found.verified,
        method: provider.name().to_owned(),
        verifier: format!("provider:{}", provider.name()),
        document_sha3_256: Vec::new(),
        note: found.note,
    })
}

fn record(party: &str, state: &PartyState, decided: &PartyEvent) -> Result<Option<PartyEvent>> {
    if state.application.is_none() {
        return Err(never_applied(party));
    }
    let PartyEvent::Decided {
        verified,
        method,
        document_sha3_256,
        note,
        ..
    } = decided
    else {
        return Err(Error::internal("not a decision"));
    };
    let stands = state.decision.as_ref().is_some_and(|d| {
        d.verified == *verified
            && d.method == *method
            && d.document_sha3_256 == *document_sha3_256
            && d.note == *note
    });
    Ok((!stands).then(|| decided.clone()))
}

fn never_applied(party: &str) -> Error {
    Error::not_found(format!("party {party} never applied"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apply::tests::person;
    use probity_proto::registry::PartyDecision;

    fn decision(verified: bool, documents: &[String], note: &str) -> DecisionDocument {
        DecisionDocument {
            verified,
            method: BY_OFFICER.into(),
            document_sha3_256: documents.to_vec(),
            note: note.into(),
        }
    }

    #[test]
    fn a_verification_names_its_evidence() {
        let digest = "AB".repeat(32);
        let table = [
            (decision(true, &[], ""), false),
            (decision(true, &[], " "), false),
            (decision(true, &["nonsense".into()], "seen"), false),
            (decision(true, &[], &"n".repeat(NOTE_BYTES_MAX + 1)), false),
            (
                decision(true, &vec![digest.clone(); DOCUMENTS_MAX + 1], ""),
                false,
            ),
            (decision(false, &[], ""), true),
            (decision(true, &[], "passport seen"), true),
            (decision(true, &[digest], ""), true),
        ];
        for (document, good) in table {
            assert_eq!(
                by_officer(&document, "credential:x".into()).is_ok(),
                good,
                "{document:?}"
            );
        }
    }

    #[test]
    fn the_same_decision_again_changes_nothing() {
        let decided = by_officer(&decision(true, &[], "seen"), "credential:x".into()).unwrap();
        assert!(record("alice", &PartyState::default(), &decided).is_err());
        let mut state = PartyState {
            application: Some(person()),
            ..PartyState::default()
        };
        assert!(record("alice", &state, &decided).unwrap().is_some());
        state.decision = Some(PartyDecision {
            at: String::new(),
            verified: true,
            method: BY_OFFICER.into(),
            verifier: "credential:y".into(),
            document_sha3_256: vec![],
            note: "seen".into(),
        });
        assert!(record("alice", &state, &decided).unwrap().is_none());
        let refused = by_officer(
            &decision(false, &[], "stolen passport"),
            "credential:x".into(),
        )
        .unwrap();
        assert!(record("alice", &state, &refused).unwrap().is_some());
    }
}
