//! What every verb of this role works with.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use probity_domain::{DeliveryId, EvidenceId};
use probity_platform::ledger::{History, Ledger};
use probity_platform::objects::Buckets;
use probity_platform::{Clock, Error, Random, Result};
use probity_proto::ledger::DeliveryEvent;
use tokio::sync::{Notify, Semaphore};

use crate::agenda::{Agenda, Lanes};
use crate::answered::Unrecorded;
use crate::assemble::Evidence;
use crate::delivery::Delivery;
use crate::ports::{Hints, Prove, Push};
use crate::prepare::Preparing;
use crate::seal::Seal;

/// How this role is named as the actor of ledger events.
pub const ACTOR: &str = "role:delivery";

/// Stores, ports, the seal, and what is planned in this process.
pub struct Courier {
    pub buckets: Buckets,
    pub ledger: Ledger,
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
    pub seal: Seal,
    pub prove: Arc<dyn Prove>,
    pub hints: Arc<dyn Hints>,
    pub push: Arc<dyn Push>,
    /// Deliveries worked on at once.
    pub places: Arc<Semaphore>,
    /// Places for packages in the making.
    pub(crate) preparing: Preparing,
    /// What one envelope of a package carries; larger packages are several.
    pub envelope_content_bytes: u64,
    pub wake: Notify,
    /// A plan was made that is due already.
    pub planned: Notify,
    agenda: Mutex<Agenda>,
    lanes: Mutex<Lanes>,
    unrecorded: Mutex<Unrecorded>,
}

/// Bounds of one process.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Deliveries worked on at once.
    pub deliveries: usize,
    pub per_recipient: usize,
    /// What one envelope of a package carries; larger packages are several.
    pub envelope_content_bytes: u64,
}

/// What a courier is given.
pub struct Parts {
    pub buckets: Buckets,
    pub ledger: Ledger,
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
    pub seal: Seal,
    pub prove: Arc<dyn Prove>,
    pub hints: Arc<dyn Hints>,
    pub push: Arc<dyn Push>,
}

impl Courier {
    #[must_use]
    pub fn new(parts: Parts, bounds: Bounds) -> Self {
        let Parts {
            buckets,
            ledger,
            clock,
            random,
            seal,
            prove,
            hints,
            push,
        } = parts;
        Self {
            buckets,
            ledger,
            clock,
            random,
            seal,
            prove,
            hints,
            push,
            places: Arc::new(Semaphore::new(bounds.deliveries)),
            preparing: Preparing::default(),
            envelope_content_bytes: bounds.envelope_content_bytes,
            wake: Notify::new(),
            planned: Notify::new(),
            agenda: Mutex::default(),
            lanes: Mutex::new(Lanes::new(bounds.per_recipient)),
            unrecorded: Mutex::default(),
        }
    }

    /// Reads a delivery.
    ///
    /// # Errors
    /// `NotFound` when nobody asked for it; those of [`Ledger::read`].
    pub async fn delivery(&self, id: DeliveryId) -> Result<Delivery> {
        self.find(id).await?.ok_or_else(|| unknown(id))
    }

    /// Reads a delivery; none when nobody asked for it, or the request broke off between its order and its events.
    pub(crate) async fn find(&self, id: DeliveryId) -> Result<Option<Delivery>> {
        Delivery::fold(&self.history(id).await?)
    }

    pub(crate) async fn history(&self, id: DeliveryId) -> Result<History<DeliveryEvent>> {
        self.ledger.read(&id.to_string()).await
    }

    /// Appends what `decide` makes of the delivery as it was seen, or as it stands if another writer has changed it
    /// meanwhile.
    pub(crate) async fn record<F>(
        &self,
        seen: &Delivery,
        actor: &str,
        cause: &str,
        decide: F,
    ) -> Result<Delivery>
    where
        F: Fn(&Delivery) -> Result<Option<DeliveryEvent>> + Send + Sync,
    {
        let folded = |history: &History<DeliveryEvent>| {
            Delivery::fold(history)?.ok_or_else(|| unknown(seen.id))
        };
        let decide = |history: &History<DeliveryEvent>| decide(&folded(history)?);
        let history = self
            .ledger
            .update_from(seen.history.clone(), actor, cause, decide)
            .await?;
        folded(&history)
    }

    /// The log's proof and storage's attestation, parsed and checked; `None` while the evidence is not deposited.
    pub(crate) async fn evidence(&self, evidence: &EvidenceId) -> Result<Option<Evidence>> {
        let Some(proof) = self.prove.prove(evidence).await? else {
            return Ok(None);
        };
        let attestation = self.prove.attest(evidence).await?;
        let mut evidence = Evidence::of(evidence, &proof, attestation)?;
        evidence.read_submitter(&*self.buckets.truth).await?;
        Ok(Some(evidence))
    }

    /// Nothing is due for a delivery any more, unless a court's answer still has to be recorded.
    pub(crate) fn no_longer_due(&self, id: DeliveryId) {
        let answered = self.unrecorded().of(id);
        if answered.is_none() {
            self.agenda().forget(id);
        }
    }

    pub(crate) fn agenda(&self) -> MutexGuard<'_, Agenda> {
        self.agenda.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn unrecorded(&self) -> MutexGuard<'_, Unrecorded> {
        self.unrecorded
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) fn unknown(id: DeliveryId) -> Error {
    Error::not_found(format!("delivery {id} is not known"))
}
