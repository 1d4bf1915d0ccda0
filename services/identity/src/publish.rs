//! `publish`: a version of the agreement on electronic form becomes acceptable (I4), and `withdraw` ends that.

use probity_domain::PartyId;
use probity_platform::ledger::History;
use probity_platform::{Error, Result};
use probity_proto::http::AgreementDocument;
use probity_proto::ledger::AgreementEvent;
use probity_proto::registry::{AgreementState, PublishedAgreement};
use sha3::{Digest as _, Sha3_256};

use crate::Identity;

const TEXT_BYTES_MAX: usize = 512 * 1024;
const VERSION_BYTES_MAX: usize = 32;

/// Publishes a version; the same text again changes nothing.
///
/// # Errors
/// `Malformed` for bad names or an empty or oversized text; `Conflict` when the version stands with another text.
pub async fn publish(
    identity: &Identity,
    actor: &str,
    agreement: &AgreementDocument,
) -> Result<PublishedAgreement> {
    let id = agreement_id(&agreement.agreement, &agreement.version)?;
    if agreement.text.trim().is_empty() || agreement.text.len() > TEXT_BYTES_MAX {
        return Err(Error::malformed(format!(
            "text: 1 to {TEXT_BYTES_MAX} bytes"
        )));
    }
    let history = identity
        .ledger
        .update(
            &id,
            actor,
            "publication",
            |history: &History<AgreementEvent>| match AgreementState::of(&history.events).published
            {
                None => Ok(Some(AgreementEvent::Published {
                    sha3_256: hex::encode(Sha3_256::digest(agreement.text.as_bytes())),
                    text: agreement.text.clone(),
                })),
                Some(published) if published.text == agreement.text => Ok(None),
                Some(_) => Err(Error::conflict(format!("{id} stands with another text"))),
            },
        )
        .await?;
    AgreementState::of(&history.events)
        .published
        .ok_or_else(|| Error::internal("published, yet not there"))
}

/// Ends acceptances of a version; those made before stay.
///
/// # Errors
/// `NotFound` for a version never published.
pub async fn withdraw(
    identity: &Identity,
    actor: &str,
    agreement: &str,
    version: &str,
) -> Result<()> {
    let id = agreement_id(agreement, version)?;
    identity
        .ledger
        .update(
            &id,
            actor,
            "withdrawal",
            |history: &History<AgreementEvent>| {
                let state = AgreementState::of(&history.events);
                if state.published.is_none() {
                    return Err(never_published(&id));
                }
                let reason = "withdrawn by the operator of the platform".to_owned();
                Ok(state
                    .withdrawn
                    .is_none()
                    .then_some(AgreementEvent::Withdrawn { reason }))
            },
        )
        .await
        .map(drop)
}

/// Reads a version.
///
/// # Errors
/// `NotFound` when it was never published.
pub async fn published(
    identity: &Identity,
    agreement: &str,
    version: &str,
) -> Result<AgreementState> {
    let id = agreement_id(agreement, version)?;
    let history = identity.ledger.read::<AgreementEvent>(&id).await?;
    let state = AgreementState::of(&history.events);
    if state.published.is_none() {
        return Err(never_published(&id));
    }
    Ok(state)
}

/// `<agreement>.<version>`: the agreement has no dots, so the two parts stay apart.
///
/// # Errors
/// `Malformed`.
pub fn agreement_id(agreement: &str, version: &str) -> Result<String> {
    // An agreement's name follows the rules of a party's.
    PartyId::parse(agreement).map_err(|e| Error::malformed(format!("agreement: {}", e.reason)))?;
    let inner = version
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b));
    let outer = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = version.as_bytes();
    if !inner || bytes.len() > VERSION_BYTES_MAX || !outer(bytes.first()) || !outer(bytes.last()) {
        return Err(Error::malformed(
            "version: 1 to 32 of a-z, 0-9 and inner hyphens and dots",
        ));
    }
    Ok(format!("{agreement}.{version}"))
}

fn never_published(id: &str) -> Error {
    Error::not_found(format!("agreement {id} was never published"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_stay_apart() {
        assert_eq!(
            agreement_id("electronic-form", "2026.1").unwrap(),
            "electronic-form.2026.1"
        );
        for (agreement, version) in [
            ("a.b", "1"),
            ("", "1"),
            ("A", "1"),
            ("a", ""),
            ("a", ".1"),
            ("a", "1."),
            ("a", "1/2"),
            ("a", "V1"),
        ] {
            assert!(
                agreement_id(agreement, version).is_err(),
                "{agreement} {version}"
            );
        }
        assert!(agreement_id("a", &"1".repeat(33)).is_err());
    }
}
