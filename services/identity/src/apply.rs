//! `apply`: somebody says who they are (W1, W3, W6).
//!
//! Open to everybody, because there is no credential before there is a party; therefore bounded per address, and it
//! decides nothing: a party can do nothing until an officer has decided and issued a credential.

use probity_domain::{PartyId, TenantId};
use probity_platform::ledger::History;
use probity_platform::{Error, Result};
use probity_proto::http::PartyApplicationDocument;
use probity_proto::ledger::PartyEvent;
use probity_proto::registry::PartyState;

use crate::{Identity, Origin};

const NAME_BYTES_MAX: usize = 256;
const IDENTIFIER_BYTES_MAX: usize = 128;
const EMAIL_BYTES_MAX: usize = 254;

/// Records an application; the same again changes nothing.
///
/// # Errors
/// `Malformed` for what [`check`] refuses, `TooMany` beyond the address's share, `Conflict` when the party exists with
/// other values.
pub async fn apply(
    identity: &Identity,
    origin: &Origin,
    application: PartyApplicationDocument,
) -> Result<History<PartyEvent>> {
    identity.applications.pass(&origin.address)?;
    check(&application)?;
    let cause = format!("application from {}", origin.address);
    identity
        .ledger
        .update(&application.party, "applicant", &cause, |history| {
            decide(&PartyState::of(&history.events), &application)
        })
        .await
}

/// Whether every mandatory field is there and well-formed (W3), and the applicant declares their truth (W6).
///
/// # Errors
/// `Malformed`, naming the field.
pub fn check(application: &PartyApplicationDocument) -> Result<()> {
    let a = application;
    PartyId::parse(&a.party)?;
    TenantId::parse(&a.tenant)?;
    text("name", &a.name, NAME_BYTES_MAX)?;
    text("identifier", &a.identifier, IDENTIFIER_BYTES_MAX)?;
    if a.country.len() != 2 || !a.country.bytes().all(|b| b.is_ascii_uppercase()) {
        return Err(Error::malformed(
            "country: two upper-case letters (ISO 3166-1)",
        ));
    }
    if a.email.len() > EMAIL_BYTES_MAX || a.email.parse::<lettre::Address>().is_err() {
        return Err(Error::malformed("email: not a mail address"));
    }
    match (a.kind.as_str(), &a.legal_representative, &a.handler) {
        ("person", None, None) => {}
        ("person", _, _) => {
            return Err(Error::malformed(
                "legal_representative and handler: only of organizations",
            ));
        }
        ("organization", Some(representative), Some(handler)) => {
            text("legal_representative", representative, NAME_BYTES_MAX)?;
            text("handler", handler, NAME_BYTES_MAX)?;
        }
        ("organization", _, _) => {
            return Err(Error::malformed(
                "an organization needs legal_representative and handler (W3)",
            ));
        }
        _ => return Err(Error::malformed("kind: expected person or organization")),
    }
    if !a.declared_true {
        return Err(Error::malformed(
            "declared_true: the applicant has to declare the values true, complete and accurate (W6)",
        ));
    }
    Ok(())
}

fn text(what: &str, value: &str, bytes_max: usize) -> Result<()> {
    let bounded = !value.is_empty() && value.len() <= bytes_max && value.trim() == value;
    if bounded && !value.chars().any(char::is_control) {
        return Ok(());
    }
    Err(Error::malformed(format!(
        "{what}: 1 to {bytes_max} bytes without control characters and outer spaces"
    )))
}

/// A party's id is given out once. Who was refused may apply again; who was ever verified may not, since credentials
/// that speak for them may still be about.
fn decide(
    state: &PartyState,
    application: &PartyApplicationDocument,
) -> Result<Option<PartyEvent>> {
    let applied = || Ok(Some(PartyEvent::Applied(application.clone())));
    match (&state.application, &state.decision) {
        (None, _) => applied(),
        (Some(_), Some(decision)) if !decision.verified && !state.ever_verified => applied(),
        (Some(known), _) if known == application => Ok(None),
        _ => Err(Error::conflict(format!(
            "party {} exists with other values",
            application.party
        ))),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use probity_proto::registry::PartyDecision;

    pub(crate) fn person() -> PartyApplicationDocument {
        PartyApplicationDocument {
            party: "alice".into(),
            tenant: "acme".into(),
            kind: "person".into(),
            name: "Alice 王".into(),
            identifier: "S1234567D".into(),
            country: "SG".into(),
            email: "alice@example.com".into(),
            legal_representative: None,
            handler: None,
            declared_true: true,
        }
    }

    #[test]
    fn every_mandatory_field() {
        check(&person()).unwrap();
        let organization = PartyApplicationDocument {
            kind: "organization".into(),
            legal_representative: Some("R".into()),
            handler: Some("H".into()),
            ..person()
        };
        check(&organization).unwrap();
        let bad = [
            PartyApplicationDocument {
                party: "A".into(),
                ..person()
            },
            PartyApplicationDocument {
                tenant: "../x".into(),
                ..person()
            },
            PartyApplicationDocument {
                kind: "robot".into(),
                ..person()
            },
            PartyApplicationDocument {
                name: String::new(),
                ..person()
            },
            PartyApplicationDocument {
                name: "a\nb".into(),
                ..person()
            },
            PartyApplicationDocument {
                name: "n".repeat(257),
                ..person()
            },
            PartyApplicationDocument {
                identifier: " ".into(),
                ..person()
            },
            PartyApplicationDocument {
                country: "sg".into(),
                ..person()
            },
            PartyApplicationDocument {
                email: "nonsense".into(),
                ..person()
            },
            PartyApplicationDocument {
                email: "a@b.c\r\nBcc: x@y.z".into(),
                ..person()
            },
            PartyApplicationDocument {
                handler: Some("H".into()),
                ..person()
            },
            PartyApplicationDocument {
                handler: None,
                ..organization.clone()
            },
            PartyApplicationDocument {
                legal_representative: None,
                ..organization
            },
            PartyApplicationDocument {
                declared_true: false,
                ..person()
            },
        ];
        for application in bad {
            assert!(check(&application).is_err(), "{application:?}");
        }
    }

    #[test]
    fn an_id_is_given_out_once() {
        let decided = |verified| PartyDecision {
            at: String::new(),
            verified,
            method: "officer".into(),
            verifier: String::new(),
            document_sha3_256: vec![],
            note: String::new(),
        };
        let other = PartyApplicationDocument {
            name: "Mallory".into(),
            ..person()
        };
        let state = |decision: Option<bool>, ever_verified| PartyState {
            application: Some(person()),
            decision: decision.map(decided),
            ever_verified,
            ..PartyState::default()
        };
        assert!(decide(&PartyState::default(), &other).unwrap().is_some());
        assert!(decide(&state(None, false), &person()).unwrap().is_none());
        assert!(decide(&state(None, false), &other).is_err());
        assert!(decide(&state(Some(true), true), &other).is_err());
        assert!(
            decide(&state(Some(false), false), &other)
                .unwrap()
                .is_some()
        );
        assert!(decide(&state(Some(false), true), &other).is_err());
    }
}
