//! What an operator does with items that a stage refused for good: sees them, and lets them go on.

use bytes::Bytes;
use probity_domain::EvidenceId;
use probity_platform::ledger::Ledger;
use probity_platform::objects::Objects;
use probity_platform::{Result, quarantine};

use crate::log::RETRIES;

/// Releases an item and has the reconciler look at it in its next round; answers whether it was held. Should the
/// second be lost, the reconciler finds out within an hour.
///
/// # Errors
/// Those of the store.
pub async fn release(
    ledger: &Ledger,
    work: &dyn Objects,
    evidence: EvidenceId,
    actor: &str,
    cause: &str,
) -> Result<bool> {
    let was_held = quarantine::release(ledger, evidence, actor, cause).await?;
    if was_held {
        let key = format!("{RETRIES}{}", evidence.submission);
        work.put(&key, Bytes::new()).await?;
    }
    Ok(was_held)
}
