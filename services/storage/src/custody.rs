//! Legal holds, and deletion by recorded authority (R3).
//!
//! What is decided is an event of the evidence's stream `custody`, with actor and cause; the store follows, and following
//! twice changes nothing. Deletion takes an evidence's bytes, never its entry in the log, its submission or its events:
//! that it was, what it was (by digest), and by whose order it is gone, stays provable.

use std::collections::BTreeSet;
use std::sync::Arc;

use probity_domain::EvidenceId;
use probity_platform::ledger::{History, Ledger};
use probity_platform::objects::{Buckets, Objects};
use probity_platform::{Clock, Error, Random, Result};
use probity_proto::ledger::CustodyEvent;
use probity_proto::stored::{blob_key, read_submission};

use crate::submissions::load;

const SUBMISSIONS: &str = "submissions/";
const SUBMISSION_BYTES_MAX: u64 = 64 * 1024 * 1024;
const PAGE: u16 = 1000;

/// What an authority orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    Hold,
    Lift,
    Delete,
}

/// Who orders it, and why.
#[derive(Debug, Clone)]
pub struct Authority {
    /// The person that carries it out, as the ledger's events name actors.
    pub actor: String,
    /// The order's own number: a court's, an agency's.
    pub order: String,
    /// Why, in words.
    pub cause: String,
}

/// An evidence number as an operator types it.
///
/// # Errors
/// `Malformed` when it is none.
pub fn evidence(text: &str) -> Result<EvidenceId> {
    Ok(EvidenceId::parse(text)?)
}

/// Carries out orders on the store.
pub struct Custody {
    truth: Arc<dyn Objects>,
    ledger: Ledger,
    clock: Arc<dyn Clock>,
}

impl Custody {
    #[must_use]
    pub fn new(buckets: &Buckets, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Self {
        let truth = buckets.truth.clone();
        let ledger = Ledger::new(truth.clone(), clock.clone(), random);
        Self {
            truth,
            ledger,
            clock,
        }
    }

    /// Carries out an order; answers what was done, for people. The same order again finishes what was cut short.
    ///
    /// # Errors
    /// `NotFound` for evidence that is none; `Forbidden` for deleting what is held, what another evidence needs, or
    /// what is to be kept longer; `Malformed` without actor, order and cause; those of the store.
    pub async fn carry_out(
        &self,
        evidence: EvidenceId,
        what: Order,
        by: &Authority,
    ) -> Result<String> {
        let said = [&by.actor, &by.order, &by.cause];
        if said.iter().any(|text| text.trim().is_empty()) {
            let detail = "an order names its actor, its number and its cause";
            return Err(Error::malformed(detail));
        }
        let keys = self.blobs_of(evidence).await?;
        let order = by.order.clone();
        match what {
            Order::Hold => {
                let held = CustodyEvent::Held { order };
                self.record(evidence, by, held).await?;
                self.follow(&keys).await?;
                Ok(format!("{evidence} is held by order {}", by.order))
            }
            Order::Lift => {
                let lifted = CustodyEvent::Lifted { order };
                self.record(evidence, by, lifted).await?;
                self.follow(&keys).await?;
                let order = &by.order;
                Ok(format!("{evidence} is no longer held by order {order}"))
            }
            Order::Delete => {
                self.may_delete(evidence, &keys).await?;
                let deleted = CustodyEvent::Deleted {
                    order,
                    keys: keys.iter().cloned().collect(),
                };
                self.record(evidence, by, deleted).await?;
                for key in &keys {
                    self.truth.remove_for_good(key).await?;
                }
                let (count, order) = (keys.len(), &by.order);
                Ok(format!(
                    "{count} objects of {evidence} are deleted by order {order}; its entry in the log stays"
                ))
            }
        }
    }

    /// What is recorded of an evidence, for people.
    ///
    /// # Errors
    /// Those of the ledger.
    pub async fn show(&self, evidence: EvidenceId) -> Result<String> {
        let history = self.history(evidence).await?;
        let lines = history.events.iter().map(|e| {
            let (did, order) = match &e.event {
                CustodyEvent::Held { order } => ("held", order),
                CustodyEvent::Lifted { order } => ("lifted", order),
                CustodyEvent::Deleted { order, .. } => ("deleted", order),
            };
            let (at, actor, cause) = (&e.at, &e.actor, &e.cause);
            format!("{at} {did} by order {order}, {actor}: {cause}")
        });
        let lines: Vec<_> = lines.collect();
        if lines.is_empty() {
            return Ok(format!("{evidence}: neither held nor deleted"));
        }
        Ok(lines.join("\n"))
    }

    async fn history(&self, evidence: EvidenceId) -> Result<History<CustodyEvent>> {
        self.ledger.read(&evidence.to_string()).await
    }

    /// An event, unless it changes nothing.
    async fn record(
        &self,
        evidence: EvidenceId,
        by: &Authority,
        event: CustodyEvent,
    ) -> Result<()> {
        let id = evidence.to_string();
        let decide = |history: &History<CustodyEvent>| {
            let holding = CustodyEvent::holding(history.facts());
            let said = match &event {
                CustodyEvent::Held { order } => holding.contains(&order.as_str()),
                CustodyEvent::Lifted { order } => !holding.contains(&order.as_str()),
                CustodyEvent::Deleted { .. } if !holding.is_empty() => {
                    let by = holding.join(", ");
                    return Err(Error::forbidden(format!("{id} is held by order {by}")));
                }
                CustodyEvent::Deleted { .. } => history.facts().any(|known| *known == event),
            };
            Ok((!said).then(|| event.clone()))
        };
        let recorded = self.ledger.update(&id, &by.actor, &by.cause, decide);
        recorded.await.map(drop)
    }

    /// Sets the store's flag on each of these as the orders on every evidence say together.
    pub(crate) async fn follow(&self, keys: &BTreeSet<String>) -> Result<()> {
        let held = self.held_blobs().await?;
        for key in keys {
            if self.truth.head(key).await?.is_some() {
                self.truth.set_hold(key, held.contains(key)).await?;
            }
        }
        Ok(())
    }

    /// Blobs of every evidence that is held. Orders are few.
    async fn held_blobs(&self) -> Result<BTreeSet<String>> {
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
                    held.extend(self.blobs_of(EvidenceId::parse(id)?).await?);
                }
            }
            if ids.len() < usize::from(PAGE) {
                return Ok(held);
            }
            after = ids.into_iter().next_back();
        }
    }

    async fn may_delete(&self, evidence: EvidenceId, keys: &BTreeSet<String>) -> Result<()> {
        let now = self.clock.now();
        let held = self.held_blobs().await?;
        for key in keys {
            let kept = self.truth.protection(key).await?;
            let reason = match kept.until.filter(|until| *until > now) {
                _ if held.contains(key) => "is under a legal hold".to_owned(),
                _ if kept.hold => "is under a legal hold of the store".to_owned(),
                Some(until) => format!("is to be kept until {until}"),
                None => continue,
            };
            return Err(Error::forbidden(format!("{key} of {evidence} {reason}")));
        }
        match self.other_owner(evidence, keys).await? {
            Some(other) => Err(Error::forbidden(format!(
                "{other} has the same bytes: they go with the last evidence that needs them"
            ))),
            None => Ok(()),
        }
    }

    /// Another evidence, not deleted, that needs one of these. Reads every submission: deletions are rare.
    async fn other_owner(
        &self,
        evidence: EvidenceId,
        keys: &BTreeSet<String>,
    ) -> Result<Option<EvidenceId>> {
        let mut after: Option<String> = None;
        loop {
            let page = self.truth.list(SUBMISSIONS, after.as_deref(), PAGE).await?;
            for listed in &page {
                let Some(object) = self.truth.get(&listed.key, SUBMISSION_BYTES_MAX).await? else {
                    continue;
                };
                let submission = read_submission(&object.bytes).map_err(Error::internal)?;
                for (id, item) in submission.accepted().filter(|(id, _)| *id != evidence) {
                    let blobs = item.artifacts().iter();
                    let mut names =
                        blobs.map(|a| blob_key(&submission.tenant, &a.digests.sha3_256));
                    if names.any(|name| keys.contains(&name)) && !self.is_deleted(id).await? {
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

    async fn is_deleted(&self, evidence: EvidenceId) -> Result<bool> {
        let history = self.history(evidence).await?;
        Ok(CustodyEvent::deleted(history.facts()).is_some())
    }

    async fn blobs_of(&self, evidence: EvidenceId) -> Result<BTreeSet<String>> {
        let submission = load(&*self.truth, evidence.submission).await?;
        let item = submission
            .item(evidence.item)
            .ok_or_else(|| Error::not_found(format!("{evidence} is no evidence")))?;
        let blobs = item.artifacts().iter();
        Ok(blobs
            .map(|a| blob_key(&submission.tenant, &a.digests.sha3_256))
            .collect())
    }
}
