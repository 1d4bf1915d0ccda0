//! Makes the encrypted package of one delivery and records it.

use std::sync::Arc;

use probity_domain::Timestamp;
use probity_pki::envelope::check_recipient;
use probity_platform::{Error, Result};

use crate::assemble::Sealed;
use crate::courier::{ACTOR, Courier};
use crate::delivery::{Delivery, Package};
use crate::error::given;
use crate::package::{container, encrypt, measure};
use crate::recipient::Recipient;

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
        let _place = self.preparing.acquire().await.map_err(Error::internal)?;
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
        let recorded = self.record(seen, ACTOR, "prepare", decide).await?;
        if recorded.package() != Some(&package) {
            // Another process was first; a package nobody knows of is of no use.
            self.buckets.work.remove(&package.object).await.ok();
        }
        Ok(recorded)
    }

    /// The delivery's package is where the ledger says, or there is none yet and none is expected.
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
