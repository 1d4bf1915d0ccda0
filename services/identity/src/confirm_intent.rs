//! `confirm_intent`: the code comes back and confirms its one instruction (I2), or the attempt is recorded (I3).

use probity_domain::{IntentId, Sha256, Timestamp};
use probity_platform::access::Caller;
use probity_platform::ledger::{Appended, History};
use probity_platform::{Error, Result};
use probity_proto::http::{IntentConfirmDocument, IntentStatusDocument};
use probity_proto::ledger::IntentEvent;
use probity_proto::registry::{IntentRequested, IntentState};

use crate::{Identity, Origin};

/// How often an attempt decides again after another was first.
const TRIES_MAX: usize = 16;

/// Attempts recorded beyond those that count: traces of misuse are kept, a flood is not.
const RECORDED_BEYOND_MAX: u32 = 20;

/// What an attempt comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Confirmed,
    WrongCode { attempts_left: u32 },
    OtherInstruction,
    Expired,
    Exhausted,
    ConfirmedBefore,
}

impl Verdict {
    const fn reason(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::WrongCode { .. } => "wrong code",
            Self::OtherInstruction => "other instruction",
            Self::Expired => "expired",
            Self::Exhausted => "attempts exhausted",
            Self::ConfirmedBefore => "confirmed before",
        }
    }

    fn answer(self) -> Result<()> {
        match self {
            Self::Confirmed => Ok(()),
            Self::WrongCode { attempts_left } => Err(Error::forbidden(format!(
                "wrong code; {attempts_left} attempts left"
            ))),
            Self::OtherInstruction => Err(Error::conflict(
                "this code was made for another instruction and confirms no other (I2)",
            )),
            Self::Expired => Err(Error::forbidden("the code has expired; ask for a new one")),
            Self::Exhausted => Err(Error::forbidden("too many attempts; ask for a new code")),
            Self::ConfirmedBefore => Err(Error::conflict(
                "the code was used before: it confirms once (I2)",
            )),
        }
    }
}

/// Judges one attempt: pure.
#[must_use]
pub fn judge(
    state: &IntentState,
    requested: &IntentRequested,
    now: Timestamp,
    attempts_max: u32,
    same_instruction: bool,
    code_matches: bool,
) -> Verdict {
    // A time that does not read lets no code live.
    let expired = Timestamp::parse_rfc3339(&requested.expires_at).map_or(true, |at| now >= at);
    let attempts_left = attempts_max.saturating_sub(state.attempts_failed);
    if state.confirmed.is_some() {
        Verdict::ConfirmedBefore
    } else if attempts_left == 0 {
        Verdict::Exhausted
    } else if expired {
        Verdict::Expired
    } else if !same_instruction {
        Verdict::OtherInstruction
    } else if !code_matches {
        Verdict::WrongCode {
            attempts_left: attempts_left - 1,
        }
    } else {
        Verdict::Confirmed
    }
}

/// Confirms, or records the attempt and says why not.
///
/// # Errors
/// `NotFound` for an intent of another party; `Forbidden` and `Conflict`, with a sentence of their own each, for a
/// code that is wrong, late, exhausted, used or another instruction's.
pub async fn confirm_intent(
    identity: &Identity,
    caller: &Caller,
    origin: &Origin,
    intent: &str,
    confirmation: &IntentConfirmDocument,
) -> Result<IntentStatusDocument> {
    let instruction = Sha256::parse_hex(&confirmation.instruction_sha256)?.to_hex();
    let (id, mut history, requested) = own_intent(identity, caller, intent).await?;
    let code_matches = identity
        .codes
        .matches(id, &confirmation.code, &requested.code_hmac);
    let same_instruction = requested.instruction_sha256 == instruction;
    for _ in 0..TRIES_MAX {
        let state = IntentState::of(&history.events);
        let now = identity.clock.now();
        let verdict = judge(
            &state,
            &requested,
            now,
            identity.attempts_max,
            same_instruction,
            code_matches,
        );
        let recorded_max = identity.attempts_max.saturating_add(RECORDED_BEYOND_MAX);
        if verdict != Verdict::Confirmed && state.attempts_failed >= recorded_max {
            verdict.answer()?;
        }
        let event = event_of(verdict, origin);
        // No answer before its record: whoever tries many codes at once still has only so many attempts.
        if identity
            .ledger
            .append(&mut history, &caller.actor(), intent, event)
            .await?
            == Appended::Appended
        {
            tracing::info!(intent, outcome = verdict.reason(), from = %origin.address, "code entered");
            verdict.answer()?;
            return Ok(status(id, &history, &requested, identity, now));
        }
        identity.ledger.catch_up(&mut history).await?;
    }
    Err(Error::too_many("too many attempts at once"))
}

fn event_of(verdict: Verdict, origin: &Origin) -> IntentEvent {
    let (from_address, user_agent) = (origin.address.clone(), origin.user_agent.clone());
    match verdict {
        Verdict::Confirmed => IntentEvent::Confirmed {
            from_address,
            user_agent,
        },
        _ => IntentEvent::AttemptFailed {
            reason: verdict.reason().to_owned(),
            from_address,
            user_agent,
        },
    }
}

/// Where an intent of the caller's party stands.
///
/// # Errors
/// `NotFound` for another party's.
pub async fn intent_status(
    identity: &Identity,
    caller: &Caller,
    intent: &str,
) -> Result<IntentStatusDocument> {
    let (id, history, requested) = own_intent(identity, caller, intent).await?;
    Ok(status(
        id,
        &history,
        &requested,
        identity,
        identity.clock.now(),
    ))
}

async fn own_intent(
    identity: &Identity,
    caller: &Caller,
    intent: &str,
) -> Result<(IntentId, History<IntentEvent>, IntentRequested)> {
    let (tenant, party) = caller.require_vendor()?;
    let id = IntentId::parse(intent)?;
    let history = identity.ledger.read::<IntentEvent>(&id.to_string()).await?;
    let requested = IntentState::of(&history.events)
        .requested
        .filter(|r| r.tenant == tenant.as_str() && r.party == party.as_str())
        .ok_or_else(|| Error::not_found(format!("no intent {id}")))?;
    Ok((id, history, requested))
}

fn status(
    id: IntentId,
    history: &History<IntentEvent>,
    requested: &IntentRequested,
    identity: &Identity,
    now: Timestamp,
) -> IntentStatusDocument {
    let state = IntentState::of(&history.events);
    let word = match judge(&state, requested, now, identity.attempts_max, true, true) {
        _ if state.used_by.is_some() => "used",
        Verdict::ConfirmedBefore => "confirmed",
        Verdict::Expired => "expired",
        Verdict::Exhausted => "exhausted",
        Verdict::Confirmed | Verdict::WrongCode { .. } | Verdict::OtherInstruction => "requested",
    };
    IntentStatusDocument {
        intent: id.to_string(),
        state: word.to_owned(),
        instruction_sha256: requested.instruction_sha256.clone(),
        summary: requested.summary.clone(),
        expires_at: requested.expires_at.clone(),
        attempts_left: identity.attempts_max.saturating_sub(state.attempts_failed),
        confirmed_at: state.confirmed.map(|c| c.at),
        used_by: state.used_by,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use probity_proto::registry::IntentConfirmed;

    #[test]
    fn every_verdict() {
        let expiry = Timestamp::from_unix_ms(1_000_000);
        let requested = IntentRequested {
            at: String::new(),
            tenant: "t".into(),
            party: "p".into(),
            credential: "c".into(),
            instruction_sha256: "d".into(),
            summary: "s".into(),
            code_hmac: "h".into(),
            channel: "file".into(),
            masked_destination: "m".into(),
            expires_at: expiry.to_rfc3339(),
        };
        let (early, late) = (expiry.plus_ms(-1), expiry);
        let confirmed = IntentState {
            confirmed: Some(IntentConfirmed {
                at: String::new(),
                actor: String::new(),
                from_address: String::new(),
                user_agent: String::new(),
            }),
            ..IntentState::default()
        };
        let failed = |attempts_failed| IntentState {
            attempts_failed,
            ..IntentState::default()
        };
        let table = [
            (failed(0), early, true, true, Verdict::Confirmed),
            (failed(4), early, true, true, Verdict::Confirmed),
            (failed(5), early, true, true, Verdict::Exhausted),
            (failed(9), late, false, false, Verdict::Exhausted),
            (
                failed(0),
                early,
                true,
                false,
                Verdict::WrongCode { attempts_left: 4 },
            ),
            (
                failed(4),
                early,
                true,
                false,
                Verdict::WrongCode { attempts_left: 0 },
            ),
            (failed(0), early, false, true, Verdict::OtherInstruction),
            (failed(0), early, false, false, Verdict::OtherInstruction),
            (failed(0), late, true, true, Verdict::Expired),
            (
                confirmed.clone(),
                early,
                true,
                true,
                Verdict::ConfirmedBefore,
            ),
            (confirmed, late, true, true, Verdict::ConfirmedBefore),
        ];
        for (state, now, same, matches, expected) in table {
            assert_eq!(
                judge(&state, &requested, now, 5, same, matches),
                expected,
                "{state:?}"
            );
        }
        let unreadable = IntentRequested {
            expires_at: "never".into(),
            ..requested
        };
        assert_eq!(
            judge(&failed(0), &unreadable, early, 5, true, true),
            Verdict::Expired
        );
    }

    #[test]
    fn every_refusal_reads_differently() {
        let refused = [
            Verdict::WrongCode { attempts_left: 1 },
            Verdict::OtherInstruction,
            Verdict::Expired,
            Verdict::Exhausted,
            Verdict::ConfirmedBefore,
        ];
        let details: std::collections::HashSet<_> = refused
            .iter()
            .map(|v| v.answer().unwrap_err().detail)
            .collect();
        assert_eq!(details.len(), refused.len());
    }
}
