//! The clock log: what the clock was believed for, written down before a token refers to it.
//!
//! `clock/<unit>/<hour>/<seq>-<run>` in bucket `truth`, create-only. A run is one process from start to end; its records
//! form a chain by SHA-256, and its first continues from the newest record that is found of the unit. Two processes with
//! one key make two chains from one stem, told apart by their runs.

use std::sync::Arc;

use bytes::Bytes;
use probity_domain::Timestamp;
use probity_pki::digest::HashAlgorithm;
use probity_pki::tsp::ClockEvidence;
use probity_pki::x509::Certificate;
use probity_platform::objects::{Created, Objects};
use probity_platform::{Error, Random, Result};
use probity_proto::clock::{CLOCK_LOG_PREFIX, read_clock_record, write_clock_record};

use super::lease::Rules;
use super::period::{Period, Place};

pub(super) const RECORD_BYTES_MAX: u64 = 256 * 1024;
const PAGE: u16 = 1_000;
const HOUR_MS: i64 = 3_600_000;
const AHEAD_MS: i64 = 24 * HOUR_MS;
/// Where the newest record of earlier runs is looked for: first where it should be, then after a long stop.
const LOOK_BACK_HOURS: [i64; 3] = [2, 48, 60 * 24];

/// Writes the records of one process.
pub struct ClockLog {
    truth: Arc<dyn Objects>,
    rules: Rules,
    unit: String,
    run: String,
    seq: u64,
    previous: Option<[u8; 32]>,
    /// Of the newest key: a clock that is turned back does not turn back the order of keys.
    hour: String,
}

/// A record on its way to the store.
pub struct Written {
    key: String,
    bytes: Bytes,
    digest: [u8; 32],
}

/// How a unit is called in keys: the beginning of its certificate's SHA-256.
#[must_use]
pub fn unit_name(certificate: &Certificate) -> String {
    hex::encode(certificate.sha256().get(..8).unwrap_or_default())
}

impl ClockLog {
    pub fn new(
        truth: Arc<dyn Objects>,
        rules: Rules,
        certificate: &Certificate,
        random: &dyn Random,
    ) -> Self {
        Self {
            truth,
            rules,
            unit: unit_name(certificate),
            run: hex::encode(random.bytes::<4>()),
            seq: 0,
            previous: None,
            hour: String::new(),
        }
    }

    /// Finds what to continue from.
    ///
    /// # Errors
    /// The store's.
    pub async fn continue_from_newest(&mut self, now: Timestamp) -> Result<()> {
        for hours in LOOK_BACK_HOURS {
            let since = now.plus_ms(-hours * HOUR_MS);
            if let Some(key) = self.newest_key(since, now.plus_ms(AHEAD_MS)).await? {
                let object = self.truth.get(&key, RECORD_BYTES_MAX).await?;
                let bytes = object
                    .ok_or_else(|| Error::unavailable(format!("{key} is gone")))?
                    .bytes;
                // One that does not read is continued from all the same: its bytes are what is chained.
                self.seq = read_clock_record(&bytes).map_or(0, |record| record.seq + 1);
                self.previous = Some(sha256(&bytes));
                return Ok(());
            }
        }
        Ok(())
    }

    /// Records of a clock that once was days ahead are not the newest for that.
    async fn newest_key(&self, since: Timestamp, until: Timestamp) -> Result<Option<String>> {
        let prefix = format!("{CLOCK_LOG_PREFIX}{}/", self.unit);
        let mut after = format!("{prefix}{}", since.hour_key());
        let end = format!("{prefix}{}", until.hour_key());
        let mut newest = None;
        loop {
            let page = self.truth.list(&prefix, Some(&after), PAGE).await?;
            let is_last = page.len() < usize::from(PAGE);
            if let Some(last) = page.into_iter().rfind(|object| object.key < end) {
                after.clone_from(&last.key);
                newest = Some(last.key);
            } else {
                return Ok(newest);
            }
            if is_last {
                return Ok(newest);
            }
        }
    }

    /// Gives a period its place. Nothing is written yet: [`ClockLog::store`] may be tried again.
    pub fn record(&mut self, period: Period) -> Written {
        let hour = period.to.wall.hour_key().max(self.hour.clone());
        let place = Place {
            unit: self.unit.clone(),
            run: self.run.clone(),
            seq: self.seq,
            previous: self.previous,
            quorum: u32::try_from(self.rules.quorum).unwrap_or(u32::MAX),
            accuracy_ms: self.rules.accuracy_ms,
        };
        let bytes = write_clock_record(&period.into_document(place));
        let digest = sha256(&bytes);
        let key = format!(
            "{CLOCK_LOG_PREFIX}{}/{hour}/{:012}-{}",
            self.unit, self.seq, self.run
        );
        self.seq += 1;
        self.previous = Some(digest);
        self.hour = hour;
        Written {
            key,
            bytes: bytes.into(),
            digest,
        }
    }

    /// Makes a record durable.
    ///
    /// # Errors
    /// The store's; `Internal` when another record stands in its place.
    pub async fn store(&self, written: &Written) -> Result<ClockEvidence> {
        match self
            .truth
            .create(&written.key, written.bytes.clone())
            .await?
        {
            Created::Created => Ok(ClockEvidence {
                record: written.key.clone(),
                digest: written.digest,
            }),
            Created::Exists(_) => Err(Error::internal(format!(
                "{}: another record stands there",
                written.key
            ))),
        }
    }
}

pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = HashAlgorithm::Sha256.digest(bytes);
    digest.try_into().unwrap_or_default()
}
