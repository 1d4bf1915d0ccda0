//! The issuing CA's revocation list: numbered, create-only, made from the revocations in the repository.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use probity_domain::Timestamp;
use probity_pki::crl::{Crl, RevokedEntry, build_crl};
use probity_platform::objects::{Created, Objects};
use probity_platform::{Clock, Error, Result, keys};
use tokio::sync::Mutex;

use crate::Authority;
use crate::revoke::{REVOCATIONS, Revocation, read_revocation};

/// Folder of the lists. Numbers have twelve digits, so the last key is the newest list.
const CRLS: &str = "repository/crl/issuing/";
const CRL_BYTES_MAX: u64 = 8 * 1024 * 1024;
const PAGE: u16 = 1_000;
/// How often a number may be taken by another process in one go.
const TRIES_MAX: usize = 16;

/// Makes and publishes lists, and knows the newest.
pub struct CrlPublisher {
    authority: Arc<Authority>,
    truth: Arc<dyn Objects>,
    clock: Arc<dyn Clock>,
    newest: RwLock<Option<Crl>>,
    /// Held while a list is made: one at a time, and what it has read is not read again.
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// Number of the newest list seen.
    number: u64,
    crl: Option<Crl>,
    /// By serial in hexadecimal.
    revoked: BTreeMap<String, Revocation>,
}

impl CrlPublisher {
    #[must_use]
    pub fn new(authority: Arc<Authority>, truth: Arc<dyn Objects>, clock: Arc<dyn Clock>) -> Self {
        Self {
            authority,
            truth,
            clock,
            newest: RwLock::default(),
            known: Mutex::default(),
        }
    }

    /// The newest list, as long as it is current.
    ///
    /// # Errors
    /// `Unavailable` when there is none.
    pub fn current(&self, now: Timestamp) -> Result<Crl> {
        let newest = self
            .newest
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        newest
            .filter(|crl| now < crl.next_update())
            .ok_or_else(|| Error::unavailable("the issuing CA's CRL is out of date"))
    }

    /// Makes sure the newest list names every revocation and is younger than its period; publishes the next if not.
    /// Answers the revocations it knows.
    ///
    /// # Errors
    /// Those of the store; `Unavailable` when other processes keep taking the next number.
    pub async fn refresh(&self) -> Result<Vec<Revocation>> {
        let mut known = self.known.lock().await;
        self.read_revocations(&mut known).await?;
        for _ in 0..TRIES_MAX {
            self.read_newest(&mut known).await?;
            let now = self.clock.now();
            if known
                .crl
                .as_ref()
                .is_some_and(|crl| self.is_good(crl, &known.revoked, now))
            {
                let mut newest = self.newest.write().unwrap_or_else(PoisonError::into_inner);
                newest.clone_from(&known.crl);
                return Ok(known.revoked.values().cloned().collect());
            }
            let number = known.number + 1;
            let der = self.build(number, &known.revoked, now).await?;
            let key = format!("{CRLS}{number:012}.crl");
            // Whether this list or another process's stands there now: the next round reads it.
            if self.truth.create(&key, Bytes::from(der)).await? == Created::Created {
                tracing::info!(number, revoked = known.revoked.len(), "published a CRL");
            }
        }
        Err(Error::unavailable("other processes keep publishing CRLs"))
    }

    fn is_good(&self, crl: &Crl, revoked: &BTreeMap<String, Revocation>, now: Timestamp) -> bool {
        let age_ms = now.ms_since(crl.this_update());
        age_ms < self.authority.settings.crl_period_ms
            && now < crl.next_update()
            && revoked
                .values()
                .all(|r| crl.find(&r.serial_bytes()).is_some())
    }

    async fn build(
        &self,
        number: u64,
        revoked: &BTreeMap<String, Revocation>,
        now: Timestamp,
    ) -> Result<Vec<u8>> {
        let entry = |r: &Revocation| RevokedEntry {
            serial: r.serial_bytes(),
            // Decided by another process, whose clock may be ahead: no list knows what comes after it.
            at: r.revoked_at.min(now),
            reason: Some(r.reason),
            invalid_since: None,
        };
        let entries: Vec<_> = revoked.values().map(entry).collect();
        let next = now.plus_ms(self.authority.settings.crl_validity_ms);
        let authority = self.authority.clone();
        keys::signing(move || {
            let (certificate, key) = (&authority.certificate, &*authority.key);
            build_crl(certificate, key, number, now, next, &entries).map_err(keys::unsigned)
        })
        .await
    }

    async fn read_revocations(&self, known: &mut Known) -> Result<()> {
        let mut after: Option<String> = None;
        loop {
            let page = self.truth.list(REVOCATIONS, after.as_deref(), PAGE).await?;
            for listed in &page {
                let name = listed.key.strip_prefix(REVOCATIONS).unwrap_or_default();
                let Some(serial) = name.strip_suffix(".json") else {
                    continue;
                };
                if !known.revoked.contains_key(serial) {
                    let revocation = read_revocation(&*self.truth, serial).await?;
                    known.revoked.insert(serial.to_owned(), revocation);
                }
            }
            match page.last() {
                Some(last) if page.len() == usize::from(PAGE) => after = Some(last.key.clone()),
                _ => return Ok(()),
            }
        }
    }

    async fn read_newest(&self, known: &mut Known) -> Result<()> {
        let mut newest: Option<String> = None;
        let mut after = format!("{CRLS}{:012}.crl", known.number);
        loop {
            let page = self.truth.list(CRLS, Some(&after), PAGE).await?;
            if let Some(last) = page.last() {
                after.clone_from(&last.key);
                newest = Some(last.key.clone());
            }
            if page.len() < usize::from(PAGE) {
                break;
            }
        }
        let Some(key) = newest else { return Ok(()) };
        let number = key
            .strip_prefix(CRLS)
            .and_then(|name| name.strip_suffix(".crl"));
        let number = number.and_then(|n| n.parse().ok());
        let number = number.ok_or_else(|| Error::internal(format!("{key} is no CRL")))?;
        let object = self.truth.get(&key, CRL_BYTES_MAX).await?;
        let object = object.ok_or_else(|| Error::unavailable("a listed CRL is gone"))?;
        let crl = Crl::from_der(&object.bytes).map_err(Error::internal)?;
        crl.verify(&self.authority.certificate)
            .map_err(Error::internal)?;
        known.crl = Some(crl);
        known.number = number;
        Ok(())
    }
}
