//! Who may instruct: verified parties that accepted the agreement on electronic form (W1, I4).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use probity_domain::{PartyId, TenantId, Timestamp};
use probity_platform::ledger::Ledger;
use probity_platform::{Error, Result};
use probity_proto::ledger::PartyEvent;
use probity_proto::registry::PartyState;

/// How long a good standing is believed without asking the ledger again.
const AGE_MS_MAX: i64 = 5_000;
const REMEMBERED_MAX: usize = 10_000;

/// Parties found in good standing moments ago.
#[derive(Default)]
pub struct Standings(Mutex<HashMap<(TenantId, PartyId), Timestamp>>);

impl Standings {
    /// Passes parties that may instruct.
    ///
    /// # Errors
    /// `Forbidden`, naming what is missing; those of the ledger.
    pub async fn check(
        &self,
        ledger: &Ledger,
        tenant: &TenantId,
        party: &PartyId,
        now: Timestamp,
    ) -> Result<()> {
        let key = (tenant.clone(), party.clone());
        let known = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&key)
            .copied();
        if known.is_some_and(|at| (0..AGE_MS_MAX).contains(&now.ms_since(at))) {
            return Ok(());
        }
        let history = ledger.read::<PartyEvent>(party.as_str()).await?;
        may_instruct(&PartyState::of(&history.events), tenant.as_str())?;
        let mut remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.len() >= REMEMBERED_MAX {
            remembered.clear();
        }
        remembered.insert(key, now);
        Ok(())
    }
}

fn may_instruct(state: &PartyState, tenant: &str) -> Result<()> {
    if !state.is_verified() || state.tenant() != Some(tenant) {
        return Err(Error::forbidden("the party is not verified (W1)"));
    }
    if state.acceptances.is_empty() {
        return Err(Error::forbidden(
            "the party has accepted no agreement on electronic form (I4)",
        ));
    }
    Ok(())
}
