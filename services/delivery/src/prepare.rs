//! Makes the encrypted package of one delivery and records it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use probity_domain::{DeliveryState, RecipientId, Timestamp};
use probity_pki::envelope::check_recipient;
use probity_platform::{Error, Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use crate::assemble::Sealed;
use crate::courier::{ACTOR, Courier};
use crate::delivery::{Delivery, Package};
use crate::error::given;
use crate::package::{container, encrypt, measure};
use crate::recipient::Recipient;

/// Packages made at once: each costs processor and store, not patience.
const PREPARING_MAX: usize = 4;
/// Of one recipient: a court's large packages leave room for another's.
const PREPARING_PER_RECIPIENT_MAX: usize = PREPARING_MAX - 1;
/// Why a package was recorded that takes the place of one that is gone, of a delivery that stays suspended.
pub(crate) const MADE_AGAIN: &str = "made again";

impl Courier {
    /// Seals, encrypts and stores the package, then records it. `None` while the evidence is not deposited.
    ///
    /// # Errors
    /// `Malformed` when the recipient's certificate is not good any more or the package is too large for it; those of
    /// storage, the store and the ledger.
    pub async fn prepare(
        &self,
        delivery: &Delivery,
        recipient: &Recipient,
    ) -> Result<Option<Delivery>> {
        let _place = self.preparing.place(&delivery.recipient).await?;
        let now = self.clock.now();
        check_recipient(&recipient.profile.encryption, now).map_err(given)?;
        let Some(evidence) = self.evidence(&delivery.evidence).await? else {
            return Ok(None);
        };
        if evidence.statement.tenant != delivery.tenant {
            return Err(Error::internal(format!(
                "{}: the evidence is another tenant's",
                delivery.id
            )));
        }
        let sealed = Arc::new(evidence.seal(&self.seal, now).await?);
        let package = self.store(delivery, recipient, &sealed).await?;
        self.record_prepared(delivery, package).await.map(Some)
    }

    async fn store(
        &self,
        delivery: &Delivery,
        recipient: &Recipient,
        sealed: &Arc<Sealed>,
    ) -> Result<Package> {
        let truth = &self.buckets.truth;
        let measured = measure(container(sealed.clone(), truth.clone())).await?;
        let content = measured.again(sealed, truth);
        let encrypted = encrypt(
            &recipient.profile.encryption,
            measured.size_bytes,
            self.envelope_content_bytes,
            content,
            &*self.random,
        )?;
        // Encryption is random: two processes that prepare the same delivery make different bytes, so each writes
        // under a name of its own and the ledger decides.
        let object = format!(
            "packages/{}/{}-{}.p7m",
            delivery.recipient,
            delivery.id,
            hex::encode(self.random.bytes::<4>())
        );
        let (size_bytes, part_bytes) = (encrypted.size_bytes, encrypted.part_bytes);
        self.buckets
            .work
            .put_streamed(&object, size_bytes, encrypted.body)
            .await?;
        let sha256 = encrypted
            .sha256
            .await
            .map_err(|_| Error::internal("the package was not read to its end"))?;
        Ok(Package {
            object,
            size_bytes,
            sha256,
            content_sha3_256: measured.sha3_256,
            part_bytes,
        })
    }

    async fn record_prepared(&self, seen: &Delivery, package: Package) -> Result<Delivery> {
        let event = package.prepared();
        let decide = |now: &Delivery| {
            let first = now.packages.len() == seen.packages.len();
            Ok(first.then(|| event.clone()))
        };
        let cause = match seen.state {
            DeliveryState::Suspended { .. } => MADE_AGAIN,
            _ => "prepare",
        };
        let recorded = self.record(seen, ACTOR, cause, decide).await?;
        if recorded.package() != Some(&package) {
            // Another process was first; a package nobody knows of is of no use.
            self.buckets.work.remove(&package.object).await.ok();
        }
        Ok(recorded)
    }

    /// There is a package, and as many bytes of it where the ledger says; whether they are the right ones shows when
    /// they are given out.
    pub(crate) async fn has_package(&self, delivery: &Delivery) -> Result<bool> {
        match delivery.package() {
            Some(package) => {
                Ok(self.buckets.work.head(&package.object).await? == Some(package.size_bytes))
            }
            None => Ok(false),
        }
    }

    /// A whole package in plaintext, for the tenant whose evidence it is.
    pub(crate) async fn sealed(
        &self,
        evidence: &probity_domain::EvidenceId,
        at: Timestamp,
    ) -> Result<Sealed> {
        let evidence = self
            .evidence(evidence)
            .await?
            .ok_or_else(|| Error::not_found(format!("evidence {evidence} is not deposited")))?;
        evidence.seal(&self.seal, at).await
    }
}

/// Places for packages in the making.
pub struct Preparing {
    all: Semaphore,
    /// Those of the recipients that have any.
    of_one: Mutex<HashMap<RecipientId, Weak<Semaphore>>>,
}

/// Given back when it is dropped.
struct Place<'p> {
    _of_one: OwnedSemaphorePermit,
    _of_all: SemaphorePermit<'p>,
}

impl Default for Preparing {
    fn default() -> Self {
        Self {
            all: Semaphore::new(PREPARING_MAX),
            of_one: Mutex::default(),
        }
    }
}

impl Preparing {
    /// Waits for a place of the recipient's, then for one of all: who waits for its own keeps nobody else from one.
    async fn place(&self, recipient: &RecipientId) -> Result<Place<'_>> {
        let own = self.of(recipient);
        let of_one = own.acquire_owned().await.map_err(Error::internal)?;
        let of_all = self.all.acquire().await.map_err(Error::internal)?;
        Ok(Place {
            _of_one: of_one,
            _of_all: of_all,
        })
    }

    fn of(&self, recipient: &RecipientId) -> Arc<Semaphore> {
        let mut of_one = self.of_one.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = of_one.get(recipient).and_then(Weak::upgrade) {
            return own;
        }
        of_one.retain(|_, own| own.strong_count() > 0);
        let own = Arc::new(Semaphore::new(PREPARING_PER_RECIPIENT_MAX));
        of_one.insert(recipient.clone(), Arc::downgrade(&own));
        own
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn one_court_leaves_room_for_another() {
        let preparing = Preparing::default();
        let court = |name: &str| RecipientId::parse(name).unwrap();
        let place = |name: &str| {
            let place = preparing.place(&court(name)).now_or_never();
            place.map(|place| place.unwrap())
        };
        let mut large: Vec<_> = (0..PREPARING_MAX).filter_map(|_| place("large")).collect();
        assert_eq!(large.len(), PREPARING_PER_RECIPIENT_MAX);
        let small = place("small");
        assert!(small.is_some());
        assert!(place("third").is_none(), "all are taken");
        large.pop();
        assert!(place("third").is_some());
        drop((small, large));
        place("fourth");
        assert_eq!(
            preparing.of_one.lock().unwrap().len(),
            1,
            "what has none is forgotten"
        );
    }
}
