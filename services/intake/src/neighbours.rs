//! The other roles, as intake meets them over the bus.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use probity_domain::{EvidenceId, TenantId};
use probity_platform::bus::Bus;
use probity_platform::{Error, Result};
use probity_proto::subjects;
use probity_proto::v1::{LocateReply, LocateRequest, Submitted, locate_reply};

use crate::backlog::Backlog;

/// Callers wait for an answer about states at most this long.
const LOCATE_MS: u64 = 1_000;

/// Told of submissions, asked where evidence stands.
#[async_trait]
pub trait Neighbours: Send + Sync + 'static {
    /// Whether those behind intake keep up, as far as is known.
    ///
    /// # Errors
    /// `Unavailable` while too much waits for signatures, `TooMany` while too much of this tenant's does.
    fn keep_up(&self, tenant: &TenantId) -> Result<()>;

    /// Hints that a part of a submission waits for signatures.
    ///
    /// # Errors
    /// When the hint may be lost; the submission is durable, so the caller goes on.
    async fn submitted(&self, hint: &Submitted) -> Result<()>;

    /// Which of these (at most 1,000) are deposited, and where in the log.
    ///
    /// # Errors
    /// `Unavailable` or `Timeout` when storage does not answer.
    async fn locate(&self, evidence: &[EvidenceId]) -> Result<Vec<(EvidenceId, u64)>>;
}

/// The neighbours over the bus.
pub struct OverBus {
    pub bus: Bus,
    pub backlog: Arc<Backlog>,
}

#[async_trait]
impl Neighbours for OverBus {
    fn keep_up(&self, tenant: &TenantId) -> Result<()> {
        self.backlog.check(tenant)
    }

    async fn submitted(&self, hint: &Submitted) -> Result<()> {
        let id = format!(
            "submitted:{}:{}:{}",
            hint.submission_id, hint.first_item, hint.round
        );
        self.backlog.tell(&id, hint).await
    }

    async fn locate(&self, evidence: &[EvidenceId]) -> Result<Vec<(EvidenceId, u64)>> {
        let question = LocateRequest {
            evidence_numbers: evidence.iter().map(ToString::to_string).collect(),
        };
        let deadline = Duration::from_millis(LOCATE_MS);
        let ask = self.bus.ask(&subjects::LOCATE, &question, deadline);
        let reply: LocateReply = ask.await?;
        let Some(locate_reply::Outcome::Located(located)) = reply.outcome else {
            return Err(Error::internal("storage.locate: an answer without a value"));
        };
        let parsed = located.deposited.into_iter().map(|at| {
            let id = EvidenceId::parse(&at.evidence_number).map_err(Error::internal)?;
            Ok((id, at.leaf_index))
        });
        parsed.collect()
    }
}
