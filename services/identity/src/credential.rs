//! `issue` and `revoke` credentials: what a verified party, a court or the platform's people call with.

use probity_domain::CredentialId;
use probity_platform::access::{Caller, CallerRole};
use probity_platform::{Error, Result};
use probity_proto::http::{CredentialIssuedDocument, CredentialRequestDocument};
use probity_proto::ledger::PartyEvent;
use probity_proto::registry::PartyState;

use crate::Identity;

/// Makes a credential. Its secret is in the answer and nowhere else.
///
/// # Errors
/// `Malformed` for an unknown role or fields that do not belong to it; `Forbidden` for a vendor whose party is not
/// verified (W1) or belongs to another tenant, and for staff's credentials asked for by anybody but an operator.
pub async fn issue(
    identity: &Identity,
    caller: &Caller,
    request: &CredentialRequestDocument,
) -> Result<CredentialIssuedDocument> {
    let role = CallerRole::parse(
        &request.role,
        request.tenant.as_deref(),
        request.party.as_deref(),
        request.recipient.as_deref(),
    )?;
    may_hand_out(&caller.role, &role)?;
    if let CallerRole::Vendor { tenant, party } = &role {
        let history = identity.ledger.read::<PartyEvent>(party.as_str()).await?;
        may_have_one(&PartyState::of(&history.events), tenant.as_str())?;
    }
    let (credential, secret) = identity
        .access
        .issue(role, &caller.actor(), "requested")
        .await?;
    Ok(CredentialIssuedDocument {
        credential: credential.to_string(),
        secret: secret.expose().to_owned(),
    })
}

/// Officers hand out what vendors and courts call with. What lets staff act is an operator's to give: an officer who
/// could make operators would be one.
fn may_hand_out(caller: &CallerRole, role: &CallerRole) -> Result<()> {
    match (caller, role) {
        (CallerRole::Operator, _) | (_, CallerRole::Vendor { .. } | CallerRole::Court { .. }) => {
            Ok(())
        }
        _ => Err(Error::forbidden(
            "credentials of officers, operators and auditors are issued by operators",
        )),
    }
}

fn may_have_one(state: &PartyState, tenant: &str) -> Result<()> {
    if !state.is_verified() {
        return Err(Error::forbidden(
            "no credential for a party that is not verified (W1)",
        ));
    }
    if state.tenant() != Some(tenant) {
        return Err(Error::forbidden("the party belongs to another tenant"));
    }
    Ok(())
}

/// Ends a credential: its holder's own, or any by officers and operators.
///
/// # Errors
/// `Forbidden` for somebody else's; `NotFound` for one never issued.
pub async fn revoke(identity: &Identity, caller: &Caller, credential: &str) -> Result<()> {
    let id = CredentialId::parse(credential)?;
    let staff = matches!(caller.role, CallerRole::Officer | CallerRole::Operator);
    let reason = match (caller.credential == id, staff) {
        (true, _) => "by its holder",
        (false, true) => "by the platform",
        (false, false) => {
            return Err(Error::forbidden(
                "a credential is revoked by its holder or by an officer",
            ));
        }
    };
    identity
        .access
        .revoke(id, &caller.actor(), "requested", reason)
        .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apply::tests::person;
    use probity_proto::registry::PartyDecision;

    #[test]
    fn officers_make_no_staff() {
        let court = CallerRole::parse("court", None, None, Some("c")).unwrap();
        assert!(may_hand_out(&CallerRole::Officer, &court).is_ok());
        for staff in [
            CallerRole::Officer,
            CallerRole::Operator,
            CallerRole::Auditor,
        ] {
            assert!(may_hand_out(&CallerRole::Officer, &staff).is_err());
            assert!(may_hand_out(&CallerRole::Operator, &staff).is_ok());
        }
    }

    #[test]
    fn only_for_verified_parties_of_the_tenant() {
        let with = |verified: Option<bool>| PartyState {
            application: Some(person()),
            decision: verified.map(|verified| PartyDecision {
                at: String::new(),
                verified,
                method: "officer".into(),
                verifier: String::new(),
                document_sha3_256: vec![],
                note: String::new(),
            }),
            ..PartyState::default()
        };
        assert!(may_have_one(&with(Some(true)), "acme").is_ok());
        assert!(may_have_one(&with(Some(true)), "other").is_err());
        assert!(may_have_one(&with(Some(false)), "acme").is_err());
        assert!(may_have_one(&with(None), "acme").is_err());
        assert!(may_have_one(&PartyState::default(), "acme").is_err());
    }
}
