//! `fetch`: an artifact's bytes, checked again on their way out.

use futures::{StreamExt as _, stream};
use probity_domain::{Artifact, EvidenceId, TenantId};
use probity_platform::objects::ByteStream;
use probity_platform::{Error, Result};
use probity_proto::ledger::CustodyEvent;

use crate::Intake;
use crate::status::own_evidence;
use crate::verified::Expected;

/// Opens an artifact. The stream does not end well unless the bytes are the ones accepted (R2).
///
/// # Errors
/// `NotFound` for another tenant's evidence, a name it does not have, or evidence whose bytes were deleted by a recorded
/// order, which it names, also where they are stored for another evidence; `Internal` when stored bytes are missing.
pub async fn fetch(
    intake: &Intake,
    tenant: &TenantId,
    id: EvidenceId,
    name: &str,
) -> Result<(Artifact, ByteStream)> {
    let (_, item) = own_evidence(intake, tenant, id).await?;
    let artifact = item
        .artifacts()
        .iter()
        .find(|a| a.name.as_str() == name)
        .cloned()
        .ok_or_else(|| Error::not_found(format!("evidence {id} has no artifact of this name")))?;
    let expected = Expected {
        size_bytes: artifact.size_bytes,
        digests: artifact.digests,
    };
    // Before the store is asked: another evidence may have the same bytes, and this one's are deleted all the same.
    if let Some(deleted) = deleted(intake, id).await? {
        return Err(deleted);
    }
    let mut bytes = intake.blobs.open(tenant, expected).await?;
    // Short artifacts are known to be right before the first word of an answer.
    let first = bytes.next().await.transpose()?;
    Ok((artifact, Box::pin(stream::iter(first.map(Ok)).chain(bytes))))
}

/// Says so when the evidence's bytes are deleted by a recorded order.
async fn deleted(intake: &Intake, id: EvidenceId) -> Result<Option<Error>> {
    let history = intake.ledger.read::<CustodyEvent>(&id.to_string()).await?;
    let order = CustodyEvent::deleted(history.facts());
    Ok(order.map(|order| {
        Error::not_found(format!(
            "evidence {id}: its bytes were deleted by order {order}; its entry in the log stays"
        ))
    }))
}
