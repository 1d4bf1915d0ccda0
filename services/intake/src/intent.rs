//! The will behind an instruction: a confirmed one-time code, bound to these bytes, used once (I2).

use probity_domain::{IntentId, PartyId, Sha256, SubmissionId, TenantId};
use probity_platform::ledger::{History, Ledger};
use probity_platform::{Error, Result};
use probity_proto::ledger::IntentEvent;
use probity_proto::registry::IntentState;

/// The instruction an intent is held against.
pub struct Claim<'a> {
    pub tenant: &'a TenantId,
    pub party: &'a PartyId,
    pub instruction: Sha256,
    /// Submissions that this same instruction reserved before: they may have used the intent and never been written.
    pub reserved: &'a [String],
}

/// Passes an intent that confirms this instruction and no other.
///
/// # Errors
/// `Forbidden` when it is not confirmed or was made for another instruction; `Conflict` when it was used; `NotFound`
/// for another party's.
pub async fn check(ledger: &Ledger, intent: IntentId, claim: &Claim<'_>) -> Result<()> {
    let history = ledger.read::<IntentEvent>(&intent.to_string()).await?;
    judge(&IntentState::of(&history.events), intent, claim)
}

/// Marks the intent as used by this submission.
///
/// # Errors
/// `Conflict` when another submission was first.
pub async fn use_once(
    ledger: &Ledger,
    intent: IntentId,
    claim: &Claim<'_>,
    submission: SubmissionId,
) -> Result<()> {
    let submission = submission.to_string();
    ledger
        .update(
            &intent.to_string(),
            "role:intake",
            &submission,
            |history: &History<IntentEvent>| {
                let state = IntentState::of(&history.events);
                judge(&state, intent, claim)?;
                Ok(state.used_by.is_none().then(|| IntentEvent::Used {
                    submission: submission.clone(),
                }))
            },
        )
        .await
        .map(drop)
}

fn judge(state: &IntentState, intent: IntentId, claim: &Claim<'_>) -> Result<()> {
    let requested = state
        .requested
        .as_ref()
        .filter(|r| r.tenant == claim.tenant.as_str() && r.party == claim.party.as_str())
        .ok_or_else(|| Error::not_found(format!("no intent {intent}")))?;
    if requested.instruction_sha256 != claim.instruction.to_hex() {
        return Err(Error::forbidden(
            "the intent was made for another instruction (I2)",
        ));
    }
    if state.confirmed.is_none() {
        return Err(Error::forbidden(
            "the intent is not confirmed: enter its one-time code first (I2)",
        ));
    }
    match &state.used_by {
        Some(used_by) if !claim.reserved.contains(used_by) => Err(Error::conflict(format!(
            "the intent was used for submission {used_by} (I2)"
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use probity_domain::Timestamp;
    use probity_platform::ErrorKind;
    use probity_proto::registry::{IntentConfirmed, IntentRequested};

    #[test]
    fn one_confirmed_intent_for_one_instruction() {
        let (tenant, party) = (TenantId::parse("t").unwrap(), PartyId::parse("p").unwrap());
        let id = IntentId::new(Timestamp::from_unix_ms(1), [0; 10]);
        let instruction = Sha256([1; 32]);
        let good = IntentState {
            requested: Some(IntentRequested {
                at: String::new(),
                tenant: "t".into(),
                party: "p".into(),
                credential: String::new(),
                instruction_sha256: instruction.to_hex(),
                summary: String::new(),
                code_hmac: String::new(),
                channel: String::new(),
                masked_destination: String::new(),
                expires_at: String::new(),
            }),
            confirmed: Some(IntentConfirmed {
                at: String::new(),
                actor: String::new(),
                from_address: String::new(),
                user_agent: String::new(),
            }),
            ..IntentState::default()
        };
        let with = |change: &dyn Fn(&mut IntentState)| {
            let mut state = good.clone();
            change(&mut state);
            let reserved = ["mine".to_owned()];
            let claim = Claim {
                tenant: &tenant,
                party: &party,
                instruction,
                reserved: &reserved,
            };
            judge(&state, id, &claim).map_err(|e| e.kind)
        };
        let requested = |state: &mut IntentState, change: &dyn Fn(&mut IntentRequested)| {
            change(state.requested.as_mut().unwrap());
        };
        assert_eq!(with(&|_| ()), Ok(()));
        assert_eq!(with(&|s| s.used_by = Some("mine".into())), Ok(()));
        assert_eq!(
            with(&|s| s.used_by = Some("other".into())),
            Err(ErrorKind::Conflict)
        );
        assert_eq!(with(&|s| s.confirmed = None), Err(ErrorKind::Forbidden));
        assert_eq!(with(&|s| s.requested = None), Err(ErrorKind::NotFound));
        assert_eq!(
            with(&|s| requested(s, &|r| r.tenant = "u".into())),
            Err(ErrorKind::NotFound)
        );
        assert_eq!(
            with(&|s| requested(s, &|r| r.party = "q".into())),
            Err(ErrorKind::NotFound)
        );
        let other = Sha256([2; 32]).to_hex();
        let forbidden = with(&|s| requested(s, &|r| r.instruction_sha256 = other.clone()));
        assert_eq!(forbidden, Err(ErrorKind::Forbidden));
    }
}
