//! Attesting how one evidence is kept (R5): what the store, the ledger and the scrubber say of it now, signed with the
//! log's key.
//!
//! Nothing here is remembered or assumed: versions, lock and holds are asked of the store, findings and orders of the
//! ledger, the last lap of its report in `truth`. What did not answer in time is left out by name, but for the store
//! itself: without it there is no attestation.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::try_join_all;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use probity_domain::{EvidenceId, Sha3_256, Timestamp};
use probity_pki::attestation::{
    AttestedArtifact, AttestedFinding, AttestedLap, AttestedLock, AttestedLog, AttestedReplica,
    STORAGE_ATTESTATION_FORMAT, StorageAttestation,
};
use probity_pki::tlog::LogKey;
use probity_platform::ledger::{History, Ledger, event_time};
use probity_platform::objects::{LockMode, Objects};
use probity_platform::{Clock, Error, Random, Result};
use probity_proto::ledger::{CustodyEvent, FindingEvent};
use probity_proto::stored::blob_key;
use probity_proto::v1::{AttestRequest, Attestation};

use crate::Submissions;
use crate::log::Log;
use crate::prove::published_at;
use crate::scrub::{
    LapReport, ScrubConfig, accounted, copy_of, findings, is_open, newest_report, versions_of,
};

/// Artifacts asked about side by side.
const ARTIFACTS_AT_ONCE: usize = 8;
/// A replica at another site may be away: nothing waits longer for it.
const REPLICA_TIME_MAX: Duration = Duration::from_secs(2);

/// The replica that the scrubber takes right bytes from.
pub struct Replica {
    pub bucket: String,
    pub objects: Arc<dyn Objects>,
}

impl Replica {
    /// The configured one; `None` when there is none. Does not talk to it yet.
    ///
    /// # Errors
    /// `Malformed` when a key file does not read.
    pub fn open(config: &ScrubConfig, random: Arc<dyn Random>) -> Result<Option<Self>> {
        let Some(replica) = &config.replica else {
            return Ok(None);
        };
        Ok(Some(Self {
            bucket: replica.bucket.clone(),
            objects: replica.open(random)?,
        }))
    }
}

/// What it takes to attest.
pub struct Attest {
    pub log: Arc<Log>,
    pub key: Arc<LogKey>,
    pub submissions: Submissions,
    pub ledger: Ledger,
    pub replica: Option<Replica>,
    pub clock: Arc<dyn Clock>,
}

impl Attest {
    /// The signed attestation for one evidence.
    ///
    /// # Errors
    /// `NotFound` when the number is not in the log; `Internal` when what is recorded of it does not read; those of the
    /// store.
    pub async fn attest(&self, request: &AttestRequest) -> Result<Attestation> {
        let evidence = EvidenceId::parse(&request.evidence_number)?;
        let attestation = self.found(evidence).await?;
        let note = attestation.sign(&self.key).map_err(Error::internal)?;
        Ok(Attestation { note: note.into() })
    }

    async fn found(&self, evidence: EvidenceId) -> Result<StorageAttestation> {
        let truth = &*self.log.truth;
        let (leaf_index, published) = published_at(&self.log, evidence).await?;
        let blobs = self.blobs(evidence).await?;
        let lap = self.lap().await?;
        let id = evidence.to_string();
        let (keeping, orders, artifacts, replica) = tokio::try_join!(
            truth.keeping(),
            self.ledger.read::<CustodyEvent>(&id),
            self.artifacts(&blobs),
            self.in_replica(&blobs),
        )?;
        let class = blobs.keys().next().and_then(|key| key.split('/').next());
        Ok(StorageAttestation {
            format: STORAGE_ATTESTATION_FORMAT.to_owned(),
            evidence_number: evidence,
            attested_at: self.clock.now(),
            log: AttestedLog {
                origin: self.key.name().to_owned(),
                leaf_index,
                tree_size: published.size,
            },
            store_keeps_versions: keeping.versions,
            store_has_object_lock: keeping.object_lock,
            retention_class: class.unwrap_or_default().to_owned(),
            legal_hold: !CustodyEvent::holding(orders.facts()).is_empty(),
            artifacts,
            replica,
            scrub: lap.map(|lap| attested_lap(&lap, &blobs)).transpose()?,
        })
    }

    /// Keys, digests and sizes of the evidence's artifacts. Two artifacts of the same bytes are one object.
    async fn blobs(&self, evidence: EvidenceId) -> Result<BTreeMap<String, (Sha3_256, u64)>> {
        let submission = self.submissions.read(evidence.submission).await?;
        let item = submission.item(evidence.item);
        let item = item.ok_or_else(|| Error::not_found(format!("{evidence} is no evidence")))?;
        let blobs = item.artifacts().iter().map(|artifact| {
            let digest = artifact.digests.sha3_256;
            let key = blob_key(&submission.tenant, &digest);
            (key, (digest, artifact.size_bytes))
        });
        Ok(blobs.collect())
    }

    /// The last complete lap. A report that does not read attests nothing, and keeps nothing from being delivered.
    async fn lap(&self) -> Result<Option<LapReport>> {
        let (newest, unread) = newest_report(&*self.log.truth).await?;
        for (key, reason) in unread {
            tracing::error!(key, reason, "a lap's report cannot be attested");
        }
        Ok(newest)
    }

    async fn artifacts(
        &self,
        blobs: &BTreeMap<String, (Sha3_256, u64)>,
    ) -> Result<Vec<AttestedArtifact>> {
        let asked = blobs
            .iter()
            .map(|(key, (digest, _))| self.artifact(key, *digest));
        stream::iter(asked.collect::<Vec<_>>())
            .buffered(ARTIFACTS_AT_ONCE)
            .try_collect()
            .await
    }

    async fn artifact(&self, key: &str, sha3_256: Sha3_256) -> Result<AttestedArtifact> {
        let truth = &*self.log.truth;
        let (size_bytes, versions, protection, history) = tokio::try_join!(
            truth.head(key),
            versions_of(truth, key),
            truth.protection(key),
            findings(&self.ledger, key),
        )?;
        let versions = versions.map(|versions| versions.len() as u64);
        Ok(AttestedArtifact {
            key: key.to_owned(),
            sha3_256,
            size_bytes,
            versions,
            versions_accounted: accounted(&history),
            lock_mode: match protection.mode {
                LockMode::None => AttestedLock::None,
                LockMode::Governance => AttestedLock::Governance,
                LockMode::Compliance => AttestedLock::Compliance,
            },
            retain_until: protection.until,
            legal_hold: protection.hold,
            finding: last_finding(&history)?,
        })
    }

    /// Which of these the replica has, by key and size, but for copies that the scrubber found wrong.
    async fn in_replica(
        &self,
        blobs: &BTreeMap<String, (Sha3_256, u64)>,
    ) -> Result<Option<AttestedReplica>> {
        let Some(replica) = &self.replica else {
            return Ok(None);
        };
        let asked = blobs.iter().map(async |(key, (_, size_bytes))| {
            let copy = copy_of(key);
            let asked = tokio::try_join!(replica.objects.head(key), findings(&self.ledger, &copy));
            let (there, found) = asked?;
            Ok::<_, Error>(there == Some(*size_bytes) && !is_open(&found))
        });
        let answered = tokio::time::timeout(REPLICA_TIME_MAX, try_join_all(asked)).await;
        let answered = answered.unwrap_or_else(|_| Err(Error::timeout("it did not answer")));
        let (compared_at, copies) = match answered {
            Ok(there) => {
                let copies = there.into_iter().filter(|there| *there).count();
                (Some(self.clock.now()), copies as u64)
            }
            Err(e) => {
                tracing::warn!(error = %e, "the replica could not be asked");
                (None, 0)
            }
        };
        Ok(Some(AttestedReplica {
            bucket: replica.bucket.clone(),
            compared_at,
            copies,
        }))
    }
}

fn attested_lap(lap: &LapReport, blobs: &BTreeMap<String, (Sha3_256, u64)>) -> Result<AttestedLap> {
    let here = lap.findings.iter().filter(|f| blobs.contains_key(&f.key));
    let time = |text: &str| Timestamp::parse_rfc3339(text).map_err(Error::internal);
    Ok(AttestedLap {
        begun_at: time(&lap.begun_at)?,
        ended_at: time(&lap.ended_at)?,
        log_size: lap.log_size,
        findings_total: lap.findings_total,
        findings_here: here.count() as u64,
    })
}

fn last_finding(history: &History<FindingEvent>) -> Result<Option<AttestedFinding>> {
    let mut last: Option<AttestedFinding> = None;
    for envelope in &history.events {
        let at = event_time(envelope)?;
        match &envelope.event {
            FindingEvent::Found { what, .. } => {
                last = Some(AttestedFinding {
                    what: what.clone(),
                    found_at: at,
                    repaired_at: None,
                });
            }
            FindingEvent::Repaired { .. } => {
                if let Some(found) = &mut last {
                    found.repaired_at = Some(at);
                }
            }
        }
    }
    Ok(last)
}
