//! `accept`: a party accepts a version of an agreement by the digest of the text it was shown (W5, I4).

use probity_domain::Sha3_256;
use probity_platform::access::Caller;
use probity_platform::ledger::History;
use probity_platform::{Error, Result};
use probity_proto::http::AcceptanceDocument;
use probity_proto::ledger::PartyEvent;
use probity_proto::registry::{AgreementState, PartyState};

use crate::{Identity, Origin, publish};

/// How acceptances reach the platform. The only one there is.
const CHANNEL: &str = "https";

/// Records an acceptance; the same again changes nothing.
///
/// # Errors
/// `NotFound` for another party and for a version never published; `Malformed` when the digest is not that of the
/// published text; `Conflict` for a withdrawn version; `Forbidden` for a party that is not verified.
pub async fn accept(
    identity: &Identity,
    caller: &Caller,
    origin: &Origin,
    party: &str,
    acceptance: &AcceptanceDocument,
) -> Result<History<PartyEvent>> {
    let (_, own) = caller.require_vendor()?;
    if own.as_str() != party {
        return Err(Error::not_found(format!("party {party} is not yours")));
    }
    let agreement =
        publish::published(identity, &acceptance.agreement, &acceptance.version).await?;
    let digest = matching_digest(&agreement, acceptance)?;
    identity
        .ledger
        .update(
            party,
            &caller.actor(),
            &format!("user agent {}", origin.user_agent),
            |history| {
                record(
                    &PartyState::of(&history.events),
                    acceptance,
                    &digest,
                    origin,
                )
            },
        )
        .await
}

fn matching_digest(agreement: &AgreementState, acceptance: &AcceptanceDocument) -> Result<String> {
    let shown = Sha3_256::parse_hex(&acceptance.sha3_256)?.to_hex();
    if agreement.withdrawn.is_some() {
        return Err(Error::conflict(
            "this version is withdrawn; accept a newer one",
        ));
    }
    match &agreement.published {
        Some(published) if published.sha3_256 == shown => Ok(shown),
        _ => Err(Error::malformed(
            "sha3-256: not the digest of the published text: another text was shown",
        )),
    }
}

fn record(
    state: &PartyState,
    acceptance: &AcceptanceDocument,
    digest: &str,
    origin: &Origin,
) -> Result<Option<PartyEvent>> {
    if !state.is_verified() {
        return Err(Error::forbidden("the party is not verified"));
    }
    let accepted = state.acceptances.iter().any(|a| {
        a.agreement == acceptance.agreement
            && a.version == acceptance.version
            && a.sha3_256 == digest
    });
    Ok((!accepted).then(|| PartyEvent::AgreementAccepted {
        agreement: acceptance.agreement.clone(),
        version: acceptance.version.clone(),
        sha3_256: digest.to_owned(),
        channel: CHANNEL.to_owned(),
        from_address: origin.address.clone(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use probity_platform::ErrorKind;
    use probity_proto::registry::PublishedAgreement;

    #[test]
    fn the_digest_is_the_published_texts() {
        let digest = "ab".repeat(32);
        let state = AgreementState {
            published: Some(PublishedAgreement {
                at: String::new(),
                text: "t".into(),
                sha3_256: digest.clone(),
            }),
            withdrawn: None,
        };
        let accept = |sha3_256: &str| AcceptanceDocument {
            agreement: "a".into(),
            version: "1".into(),
            sha3_256: sha3_256.into(),
        };
        assert_eq!(
            matching_digest(&state, &accept(&digest.to_uppercase())).unwrap(),
            digest
        );
        for bad in ["", "ab", &"cd".repeat(32)] {
            assert_eq!(
                matching_digest(&state, &accept(bad)).unwrap_err().kind,
                ErrorKind::Malformed
            );
        }
        let withdrawn = AgreementState {
            withdrawn: Some("r".into()),
            ..state
        };
        assert_eq!(
            matching_digest(&withdrawn, &accept(&digest))
                .unwrap_err()
                .kind,
            ErrorKind::Conflict
        );
    }
}
