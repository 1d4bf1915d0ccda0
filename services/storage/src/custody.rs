//! Legal holds, and deletion by recorded authority (R3).
//!
//! What is decided is an event of the evidence's stream `custody`, with actor and cause; the store follows, and following
//! twice changes nothing. Deletion takes an evidence's bytes, never its entry in the log, its submission or its events:
//! that it was, what it was (by digest), and by whose order it is gone, stays provable.
//!
//! Somebody may submit the same bytes meanwhile. So a deletion is told to intake first, waits until nothing relies on the
//! bytes any more without being seen, looks again who needs them, and only then removes them ([`probity_proto::removal`]).

mod owners;

pub(crate) use owners::was_deleted;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use probity_domain::{EvidenceId, Timestamp};
use probity_platform::ledger::{History, Ledger, event_time};
use probity_platform::objects::{Buckets, Objects};
use probity_platform::{Clock, Error, ErrorKind, Random, Result};
use probity_proto::ledger::{CustodyEvent, RemovalEvent};
use probity_proto::removal::{self, REMOVAL_WAIT_MS, REMOVAL_WITHIN_MS};

use self::owners::Bytes;

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

/// What an order came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CarriedOut {
    Held,
    Lifted,
    /// So many objects are gone.
    Deleted(usize),
    /// The evidence counts as deleted, and its bytes stay: this one, accepted meanwhile, has the same.
    KeptFor(EvidenceId),
}

/// What is said while an order is carried out.
pub type Tell<'a> = &'a (dyn Fn(&str) + Send + Sync);

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
    random: Arc<dyn Random>,
    wait: Duration,
}

/// A removal that intake was told of.
struct Begun {
    at: Timestamp,
    removal: String,
}

impl Custody {
    #[must_use]
    pub fn new(buckets: &Buckets, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Self {
        let truth = buckets.truth.clone();
        let ledger = Ledger::new(truth.clone(), clock.clone(), random.clone());
        Self {
            truth,
            ledger,
            clock,
            random,
            wait: Duration::from_millis(REMOVAL_WAIT_MS.unsigned_abs()),
        }
    }

    /// With another wait than [`REMOVAL_WAIT_MS`]: where nothing is taken in meanwhile, in tests above all.
    #[must_use]
    pub fn waiting(self, wait: Duration) -> Self {
        Self { wait, ..self }
    }

    /// Carries out an order. The same order again finishes what was cut short. Deleting bytes that are there takes
    /// [`REMOVAL_WAIT_MS`], and says so with `tell`.
    ///
    /// # Errors
    /// `NotFound` for evidence that is none; `Forbidden` for deleting what is held, what another evidence needs (or may
    /// need, where its submission does not read), or what is to be kept longer; `Malformed` without actor, order and cause;
    /// `Timeout` when deleting took so long that it has to be told again; those of the store.
    pub async fn carry_out(
        &self,
        evidence: EvidenceId,
        what: Order,
        by: &Authority,
        tell: Tell<'_>,
    ) -> Result<CarriedOut> {
        let said = [&by.actor, &by.order, &by.cause];
        if said.iter().any(|text| text.trim().is_empty()) {
            let detail = "an order names its actor, its number and its cause";
            return Err(Error::malformed(detail));
        }
        let bytes = self.bytes_of(evidence).await?;
        let order = by.order.clone();
        match what {
            Order::Hold => {
                let held = CustodyEvent::Held { order };
                self.record(evidence, by, held).await?;
                self.follow(&bytes.keys).await?;
                Ok(CarriedOut::Held)
            }
            Order::Lift => {
                let lifted = CustodyEvent::Lifted { order };
                self.record(evidence, by, lifted).await?;
                self.follow(&bytes.keys).await?;
                Ok(CarriedOut::Lifted)
            }
            Order::Delete => self.delete(evidence, &bytes, by, tell).await,
        }
    }

    async fn delete(
        &self,
        evidence: EvidenceId,
        bytes: &Bytes,
        by: &Authority,
        tell: Tell<'_>,
    ) -> Result<CarriedOut> {
        // 1. May they go, as far as can be seen?
        if let Some(other) = self.needed_by(evidence, bytes).await? {
            return Err(Error::forbidden(format!(
                "{other} has the same bytes: they go with the last evidence that needs them"
            )));
        }

        // 2. The order is recorded. Who did so before and was cut short has something left to do, or nothing.
        let deleted = CustodyEvent::Deleted {
            order: by.order.clone(),
            keys: bytes.keys.iter().cloned().collect(),
        };
        self.record(evidence, by, deleted).await?;
        if !self.any_stands(&bytes.keys).await? {
            return Ok(CarriedOut::Deleted(bytes.keys.len()));
        }

        // 3. Intake is told; and what relied on the bytes before it knew gets the time to be written.
        let begun = self.begin(bytes, by).await?;
        tell(&format!(
            "{evidence}: recorded; its bytes are removed in {} s, if nobody else has been found to need them by then. \
             Cut short, the same order goes on",
            self.wait.as_secs()
        ));
        tokio::time::sleep(self.wait).await;

        // 4. May they still go? Whatever needs them is to be seen now.
        match self.needed_by(evidence, bytes).await {
            Ok(None) => {}
            Ok(Some(other)) => {
                self.end(bytes, by, begun, false).await?;
                return Ok(CarriedOut::KeptFor(other));
            }
            Err(e) => {
                if e.kind == ErrorKind::Forbidden {
                    self.end(bytes, by, begun, false).await?;
                }
                return Err(e);
            }
        }

        // 5. They are removed, as long as intake surely looks for what was told.
        if !(0..REMOVAL_WITHIN_MS).contains(&self.clock.now().ms_since(begun.at)) {
            return Err(Error::timeout(
                "looking who needs the bytes took too long; give the order again",
            ));
        }
        // Unless somebody carried out the same order meanwhile: what is there now was brought since.
        if self.begun(bytes, by).await?.is_some() {
            for key in &bytes.keys {
                self.truth.remove_for_good(key).await?;
            }
        }
        self.end(bytes, by, begun, true).await?;
        Ok(CarriedOut::Deleted(bytes.keys.len()))
    }

    /// Tells intake what will be removed, or goes on with what was told.
    async fn begin(&self, bytes: &Bytes, by: &Authority) -> Result<Begun> {
        let now = self.clock.now();
        if let Some(begun) = self.begun(bytes, by).await?
            && (0..REMOVAL_WITHIN_MS / 2).contains(&now.ms_since(begun.at))
        {
            return Ok(begun);
        }
        let begun = Begun {
            at: now,
            removal: hex::encode(self.random.bytes::<16>()),
        };
        let event = RemovalEvent::Begun {
            removal: begun.removal.clone(),
            order: by.order.clone(),
            keys: bytes.keys.iter().cloned().collect(),
        };
        self.say(bytes, by, &begun, event).await?;
        Ok(begun)
    }

    /// The latest removal of these bytes by this order that is under way.
    async fn begun(&self, bytes: &Bytes, by: &Authority) -> Result<Option<Begun>> {
        let mut latest = None;
        for id in removal::stream_ids(&bytes.tenant, self.clock.now()) {
            let history = self.ledger.read::<RemovalEvent>(&id).await?;
            let under_way = removal::under_way(history.facts());
            let own = under_way
                .iter()
                .filter(|removal| removal.order == by.order && bytes.keys.iter().eq(removal.keys))
                .map(|removal| removal.removal);
            let own: BTreeSet<_> = own.collect();
            for told in &history.events {
                if let RemovalEvent::Begun { removal, .. } = &told.event
                    && own.contains(removal.as_str())
                {
                    latest = Some(Begun {
                        at: event_time(told)?,
                        removal: removal.clone(),
                    });
                }
            }
        }
        Ok(latest)
    }

    async fn end(&self, bytes: &Bytes, by: &Authority, begun: Begun, removed: bool) -> Result<()> {
        let removal = begun.removal.clone();
        let event = RemovalEvent::Ended { removal, removed };
        self.say(bytes, by, &begun, event).await
    }

    /// In the stream of the day on which it began, however long it takes. Several may be told at once.
    async fn say(
        &self,
        bytes: &Bytes,
        by: &Authority,
        begun: &Begun,
        event: RemovalEvent,
    ) -> Result<()> {
        let id = removal::stream_id(&bytes.tenant, begun.at);
        let decide = |history: &History<RemovalEvent>| {
            let said = history.facts().any(|known| *known == event);
            Ok((!said).then(|| event.clone()))
        };
        let told = self.ledger.update(&id, &by.actor, &by.cause, decide);
        told.await.map(drop)
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

    /// Another evidence that needs bytes which are neither held nor to be kept longer.
    async fn needed_by(&self, evidence: EvidenceId, bytes: &Bytes) -> Result<Option<EvidenceId>> {
        self.may_go(evidence, &bytes.keys).await?;
        self.other_owner(evidence, bytes).await
    }

    async fn may_go(&self, evidence: EvidenceId, keys: &BTreeSet<String>) -> Result<()> {
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
        Ok(())
    }
}
