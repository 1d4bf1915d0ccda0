//! A vendor asks for deliveries. Asking again, also after a lost answer, names the same ones.

use std::collections::{BTreeSet, HashMap};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use probity_domain::{
    CaseId, DeliveryId, DeliveryState, EvidenceId, RecipientId, Submission, SubmissionId, TenantId,
};
use probity_platform::ledger::{Appended, History};
use probity_platform::{Error, Result};
use probity_proto::http::DeliveryRequestDocument;
use probity_proto::ledger::DeliveryEvent;
use probity_proto::stored::{SUBMISSION_BYTES_MAX, read_submission, submission_key};

use crate::courier::Courier;
use crate::delivery::{Delivery, delivery_id};
use crate::orders::OrderDocument;
use crate::recipient;

/// Evidence numbers in one request.
pub const EVIDENCE_MAX: usize = 1_000;
const AT_ONCE: usize = 16;

impl Courier {
    /// Makes, or finds, the delivery of each piece of evidence to the recipient, durable before the answer, and tells
    /// that they are due. A suspended one is taken up again.
    ///
    /// # Errors
    /// `Malformed`; `NotFound` for evidence that is not the tenant's and recipients without a profile; `Conflict` for
    /// a suspended recipient; those of the store.
    pub async fn request(
        &self,
        tenant: &TenantId,
        actor: &str,
        request: &DeliveryRequestDocument,
    ) -> Result<Vec<Delivery>> {
        let recipient = RecipientId::parse(&request.recipient)?;
        let case = CaseId::parse(&request.case)?;
        let evidence = parse_evidence(&request.evidence)?;
        if recipient::read(&self.ledger, &recipient)
            .await?
            .suspended
            .is_some()
        {
            return Err(Error::conflict(format!(
                "recipient {recipient} is suspended"
            )));
        }
        self.check_ownership(tenant, &evidence).await?;

        let wanted: Vec<_> = evidence
            .iter()
            .map(|e| (delivery_id(e, &recipient), *e))
            .collect();
        let mut histories = self.histories(&wanted).await?;
        let is_new = |id: &DeliveryId| histories.get(id).is_none_or(History::is_empty);
        let missing: Vec<_> = wanted
            .iter()
            .filter(|(id, _)| is_new(id))
            .copied()
            .collect();
        if !missing.is_empty() {
            let order = DeliveryId::new(self.clock.now(), self.random.bytes());
            OrderDocument::new(order, &recipient, tenant, &case, &missing)
                .write(&*self.buckets.truth)
                .await?;
            let event = |evidence: EvidenceId| DeliveryEvent::Requested {
                evidence: evidence.to_string(),
                recipient: recipient.to_string(),
                tenant: tenant.to_string(),
                case: case.to_string(),
            };
            let made = missing
                .into_iter()
                .map(|(id, evidence)| self.request_one(id, actor, order, event(evidence)));
            let made: Vec<_> = stream::iter(made).buffered(AT_ONCE).try_collect().await?;
            histories.extend(made);
        }
        let mut deliveries = Vec::with_capacity(wanted.len());
        for (id, _) in &wanted {
            let folded = histories.get(id).map(Delivery::fold).transpose()?.flatten();
            let delivery =
                folded.ok_or_else(|| Error::internal(format!("delivery {id} was not written")))?;
            deliveries.push(self.resume(delivery, actor).await?);
        }
        let open: Vec<_> = deliveries
            .iter()
            .filter(|d| !d.state.is_terminal())
            .cloned()
            .collect();
        let told = open
            .into_iter()
            .map(|delivery| async move { self.tell_due(&delivery).await });
        stream::iter(told)
            .buffer_unordered(AT_ONCE)
            .collect::<()>()
            .await;
        Ok(deliveries)
    }

    /// Every number names an accepted item of a submission of this tenant; others do not exist for it.
    async fn check_ownership(&self, tenant: &TenantId, evidence: &[EvidenceId]) -> Result<()> {
        let ids: BTreeSet<_> = evidence.iter().map(|e| e.submission).collect();
        let read = ids
            .into_iter()
            .map(|id| async move { Ok::<_, Error>((id, self.submission(id).await?)) });
        let submissions: HashMap<_, _> = stream::iter(read).buffered(4).try_collect().await?;
        for number in evidence {
            let submission = submissions.get(&number.submission).and_then(Option::as_ref);
            let owned = submission
                .filter(|s| s.tenant == *tenant)
                .and_then(|s| s.item(number.item));
            if owned.is_none() {
                return Err(Error::not_found(format!("evidence {number} is not known")));
            }
        }
        Ok(())
    }

    pub(crate) async fn submission(&self, id: SubmissionId) -> Result<Option<Submission>> {
        let object = self
            .buckets
            .truth
            .get(&submission_key(id), SUBMISSION_BYTES_MAX)
            .await?;
        object
            .map(|o| read_submission(&o.bytes).map_err(Error::internal))
            .transpose()
    }

    async fn histories(
        &self,
        wanted: &[(DeliveryId, EvidenceId)],
    ) -> Result<HashMap<DeliveryId, History<DeliveryEvent>>> {
        let ids: Vec<_> = wanted.iter().map(|(id, _)| *id).collect();
        let read = ids
            .into_iter()
            .map(|id| async move { Ok::<_, Error>((id, self.history(id).await?)) });
        stream::iter(read).buffered(AT_ONCE).try_collect().await
    }

    async fn request_one(
        &self,
        id: DeliveryId,
        actor: &str,
        order: DeliveryId,
        event: DeliveryEvent,
    ) -> Result<(DeliveryId, History<DeliveryEvent>)> {
        let mut history = History {
            id: id.to_string(),
            events: Vec::new(),
        };
        let cause = order.to_string();
        if self
            .ledger
            .append(&mut history, actor, &cause, event)
            .await?
            == Appended::Lost
        {
            history = self.history(id).await?;
        }
        Ok((id, history))
    }

    /// A suspended delivery starts over, with its package where there is one.
    async fn resume(&self, delivery: Delivery, actor: &str) -> Result<Delivery> {
        if !matches!(delivery.state, DeliveryState::Suspended { .. }) {
            return Ok(delivery);
        }
        let decide = |now: &Delivery| {
            if !matches!(now.state, DeliveryState::Suspended { .. }) {
                return Ok(None);
            }
            Ok(Some(match now.package() {
                Some(package) => package.prepared(),
                None => DeliveryEvent::Requested {
                    evidence: now.evidence.to_string(),
                    recipient: now.recipient.to_string(),
                    tenant: now.tenant.to_string(),
                    case: now.case.to_string(),
                },
            }))
        };
        // Its order may be one that nobody looks through any more.
        self.shelve_if_late(&delivery).await?;
        self.record(&delivery, actor, "resumed", decide).await
    }
}

fn parse_evidence(numbers: &[String]) -> Result<Vec<EvidenceId>> {
    if numbers.is_empty() || numbers.len() > EVIDENCE_MAX {
        return Err(Error::malformed(format!(
            "evidence: 1 to {EVIDENCE_MAX} numbers"
        )));
    }
    let mut seen = BTreeSet::new();
    let parsed: Vec<_> = numbers
        .iter()
        .map(|n| EvidenceId::parse(n))
        .collect::<core::result::Result<_, _>>()?;
    Ok(parsed.into_iter().filter(|id| seen.insert(*id)).collect())
}
