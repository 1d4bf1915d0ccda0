//! Folded state as the documents that callers see.

use probity_platform::ledger::History;
use probity_proto::http::{PartyAcceptanceDocument, PartyDecisionDocument, PartyStatusDocument};
use probity_proto::ledger::PartyEvent;
use probity_proto::registry::PartyState;

/// How much of a party a caller may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// Its name and standing: its own tenant, and whoever has just applied.
    Standing,
    /// Also the values submitted and the decision: officers and auditors (R7: each such read is logged).
    Everything,
}

/// Where a party stands.
pub fn party_status(history: &History<PartyEvent>, view: View) -> PartyStatusDocument {
    let state = PartyState::of(&history.events);
    let latest = state.acceptances.last();
    let word = state.word();
    let (tenant, name) = state
        .application
        .as_ref()
        .map(|a| (a.tenant.clone(), a.name.clone()))
        .unwrap_or_default();
    let everything = view == View::Everything;
    PartyStatusDocument {
        party: history.id.clone(),
        tenant,
        state: word.to_owned(),
        name,
        agreement: latest.map(|a| format!("{}.{}", a.agreement, a.version)),
        decision: state
            .decision
            .filter(|_| everything)
            .map(|d| PartyDecisionDocument {
                at: d.at,
                verified: d.verified,
                method: d.method,
                verifier: d.verifier,
                document_sha3_256: d.document_sha3_256,
                note: d.note,
            }),
        application: state.application.filter(|_| everything),
        acceptances: state
            .acceptances
            .into_iter()
            .map(|a| PartyAcceptanceDocument {
                at: a.at,
                by: a.actor,
                agreement: a.agreement,
                version: a.version,
                sha3_256: a.sha3_256,
                channel: a.channel,
                from_address: a.from_address,
            })
            .collect(),
    }
}
