//! Whose bytes they are: the evidence that needs them, and what is held.

use std::collections::BTreeSet;
use std::fmt;

use probity_domain::{EvidenceId, Submission, TenantId};
use probity_platform::ledger::Ledger;
use probity_platform::{Error, ErrorKind, Result};
use probity_proto::ledger::CustodyEvent;
use probity_proto::stored::{SUBMISSION_BYTES_MAX, blob_key, read_submission};

use super::Custody;
use crate::insistent::of_object;
use crate::submissions::load;

const SUBMISSIONS: &str = "submissions/";
const PAGE: u16 = 1000;

/// The bytes of one evidence.
pub(super) struct Bytes {
    pub(super) tenant: TenantId,
    pub(super) keys: BTreeSet<String>,
}

impl Custody {
    /// Another evidence, not deleted, that needs one of these. Reads every submission: deletions are rare. One that does
    /// not read may need anything.
    pub(super) async fn other_owner(
        &self,
        evidence: EvidenceId,
        bytes: &Bytes,
    ) -> Result<Option<EvidenceId>> {
        let mut after: Option<String> = None;
        loop {
            let page = self.truth.list(SUBMISSIONS, after.as_deref(), PAGE).await?;
            for listed in &page {
                let Some(submission) = self.submission(&listed.key).await? else {
                    continue;
                };
                if submission.tenant != bytes.tenant {
                    continue;
                }
                for id in needing(&submission, &bytes.keys).filter(|id| *id != evidence) {
                    if !self.is_deleted(id).await? {
                        return Ok(Some(id));
                    }
                }
            }
            if page.len() < usize::from(PAGE) {
                return Ok(None);
            }
            after = page.into_iter().next_back().map(|l| l.key);
        }
    }

    async fn submission(&self, key: &str) -> Result<Option<Submission>> {
        let unread = |reason: &dyn fmt::Display| {
            Error::forbidden(format!(
                "{key} does not read, and may need the same bytes: {reason}"
            ))
        };
        match self.truth.get(key, SUBMISSION_BYTES_MAX).await {
            Ok(None) => Ok(None),
            Ok(Some(object)) => read_submission(&object.bytes)
                .map(Some)
                .map_err(|e| unread(&e)),
            Err(e) if e.kind == ErrorKind::Malformed => Err(unread(&e.detail)),
            Err(e) => Err(e),
        }
    }

    pub(super) async fn any_stands(&self, keys: &BTreeSet<String>) -> Result<bool> {
        for key in keys {
            if self.truth.head(key).await?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Blobs of every evidence that is held. Orders are few.
    pub(super) async fn held_blobs(&self) -> Result<BTreeSet<String>> {
        let mut held = BTreeSet::new();
        let mut after: Option<String> = None;
        loop {
            let listed = self
                .ledger
                .ids::<CustodyEvent>(after.as_deref(), PAGE.into());
            let ids = listed.await?;
            for id in &ids {
                let history = self.ledger.read::<CustodyEvent>(id).await?;
                if !CustodyEvent::holding(history.facts()).is_empty() {
                    held.extend(self.bytes_of(EvidenceId::parse(id)?).await?.keys);
                }
            }
            if ids.len() < usize::from(PAGE) {
                return Ok(held);
            }
            after = ids.into_iter().next_back();
        }
    }

    async fn is_deleted(&self, evidence: EvidenceId) -> Result<bool> {
        let history = self.history(evidence).await?;
        Ok(CustodyEvent::deleted(history.facts()).is_some())
    }

    pub(super) async fn bytes_of(&self, evidence: EvidenceId) -> Result<Bytes> {
        let submission = load(&*self.truth, evidence.submission).await?;
        let item = submission
            .item(evidence.item)
            .ok_or_else(|| Error::not_found(format!("{evidence} is no evidence")))?;
        let blobs = item.artifacts().iter();
        Ok(Bytes {
            tenant: submission.tenant.clone(),
            keys: blobs
                .map(|a| blob_key(&submission.tenant, &a.digests.sha3_256))
                .collect(),
        })
    }
}

/// Gone on purpose, by recorded order: nothing that another evidence needs is removed. An order that does not read is none.
///
/// # Errors
/// Those of the store.
pub(crate) async fn was_deleted(ledger: &Ledger, evidence: EvidenceId) -> Result<bool> {
    let orders = ledger.read::<CustodyEvent>(&evidence.to_string()).await;
    Ok(of_object(orders)?.is_ok_and(|orders| CustodyEvent::deleted(orders.facts()).is_some()))
}

/// The evidence of a submission that needs one of these: for its artifacts or, all of it, for the submitter's signature
/// and what that is on.
fn needing<'a>(
    submission: &'a Submission,
    keys: &'a BTreeSet<String>,
) -> impl Iterator<Item = EvidenceId> + 'a {
    let is_one = |digest| keys.contains(&blob_key(&submission.tenant, digest));
    let signed = submission
        .submitter_signature
        .as_ref()
        .is_some_and(|s| is_one(&s.sha3_256) || is_one(&s.instruction_sha3_256));
    let accepted = submission.accepted();
    let needing = accepted.filter(move |(_, item)| {
        let mut artifacts = item.artifacts().iter();
        signed || artifacts.any(|a| is_one(&a.digests.sha3_256))
    });
    needing.map(|(id, _)| id)
}
