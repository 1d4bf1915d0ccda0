//! `request_intent`: a vendor asks for a one-time code bound to one instruction (I1, I2).

use probity_domain::{IntentId, Sha256, Timestamp};
use probity_platform::access::Caller;
use probity_platform::ledger::{Appended, History};
use probity_platform::{Error, Result};
use probity_proto::http::{IntentRequestDocument, IntentRequestedDocument};
use probity_proto::ledger::{IntentEvent, PartyEvent};
use probity_proto::registry::PartyState;

use crate::Identity;
use crate::channel::{CodeMessage, masked};

const SUMMARY_BYTES_MAX: usize = 512;

/// Makes a code, records what it is for, sends it, records that it went.
///
/// # Errors
/// `Malformed` for a bad digest or summary; `Forbidden` for a party that is not verified or has accepted no agreement
/// (I4); `TooMany` beyond the party's share; `Unavailable` when the channel does not take the code.
pub async fn request_intent(
    identity: &Identity,
    caller: &Caller,
    request: &IntentRequestDocument,
) -> Result<IntentRequestedDocument> {
    let (tenant, party) = caller.require_vendor()?;
    let instruction = Sha256::parse_hex(&request.instruction_sha256)?;
    check_summary(&request.summary)?;
    let now = identity.clock.now();
    identity.intents.pass(party.as_str())?;
    let history = identity.ledger.read::<PartyEvent>(party.as_str()).await?;
    let destination = destination(&PartyState::of(&history.events), tenant.as_str())?;

    let id = IntentId::new(now, identity.random.bytes());
    let code = identity.codes.make(identity.random.as_ref());
    let expires_at = now.plus_ms(identity.code_ttl_ms);
    let masked_destination = masked(&destination);
    let requested = IntentEvent::Requested {
        tenant: tenant.to_string(),
        party: party.to_string(),
        credential: caller.credential.to_string(),
        instruction_sha256: instruction.to_hex(),
        summary: request.summary.clone(),
        code_hmac: identity.codes.keep(id, code.expose()),
        channel: identity.channel.name().to_owned(),
        masked_destination: masked_destination.clone(),
        expires_at: expires_at.to_rfc3339(),
    };
    let mut intent = History {
        id: id.to_string(),
        events: Vec::new(),
    };
    append(identity, &mut intent, &caller.actor(), requested).await?;
    let message = CodeMessage {
        intent: id,
        destination: &destination,
        code: &code,
        summary: &request.summary,
        instruction_sha256: &instruction.to_hex(),
        expires_at,
    };
    identity.channel.send(&message).await?;
    append(
        identity,
        &mut intent,
        "role:identity",
        IntentEvent::Delivered {},
    )
    .await?;
    Ok(requested_document(
        identity,
        id,
        masked_destination,
        expires_at,
    ))
}

fn requested_document(
    identity: &Identity,
    id: IntentId,
    masked_destination: String,
    expires_at: Timestamp,
) -> IntentRequestedDocument {
    IntentRequestedDocument {
        intent: id.to_string(),
        channel: identity.channel.name().to_owned(),
        masked_destination,
        expires_at: expires_at.to_rfc3339(),
    }
}

async fn append(
    identity: &Identity,
    intent: &mut History<IntentEvent>,
    actor: &str,
    event: IntentEvent,
) -> Result<()> {
    let cause = intent.id.clone();
    match identity.ledger.append(intent, actor, &cause, event).await? {
        Appended::Appended => Ok(()),
        // Nobody else knows the id yet.
        Appended::Lost => Err(Error::conflict(format!(
            "intent {cause} is written by somebody else"
        ))),
    }
}

fn check_summary(summary: &str) -> Result<()> {
    if summary.trim().is_empty()
        || summary.len() > SUMMARY_BYTES_MAX
        || summary.chars().any(char::is_control)
    {
        return Err(Error::malformed(
            "summary: 1 to 512 bytes without control characters",
        ));
    }
    Ok(())
}

/// Where the code goes: the address the party applied with. Refuses to start without the prior agreement on the
/// electronic form (I4).
fn destination(state: &PartyState, tenant: &str) -> Result<String> {
    match &state.application {
        Some(application) if state.is_verified() && application.tenant == tenant => {
            if state.acceptances.is_empty() {
                return Err(Error::forbidden(
                    "the party has accepted no agreement on electronic form (I4)",
                ));
            }
            Ok(application.email.clone())
        }
        _ => Err(Error::forbidden("the party is not verified")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_are_one_visible_line() {
        check_summary("submit 200 captures for (2026)京0491民初1号").unwrap();
        for bad in ["", "  ", "a\r\nBcc: b", &"a".repeat(513)] {
            assert!(check_summary(bad).is_err(), "{bad:?}");
        }
    }
}
