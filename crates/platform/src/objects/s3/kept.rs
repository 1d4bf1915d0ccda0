//! Versions and object lock of a bucket.

use aws_sdk_s3::types::{
    BucketVersioningStatus, ObjectLockEnabled, ObjectLockMode, ObjectLockRetentionMode,
};
use probity_domain::Timestamp;

use super::S3Objects;
use super::outcome::Failure;
use crate::objects::{Keeping, KeyVersion, LockMode, VersionMark, VersionPage};
use crate::{Clock as _, Result, SystemClock};

/// The headers of one PUT that say how long its object stays.
pub(super) type Retained = (ObjectLockMode, aws_sdk_s3::primitives::DateTime);

impl S3Objects {
    /// What an object under `key` gets when it is written now.
    pub(super) fn retained(&self, key: &str) -> Option<Retained> {
        let mode = match self.lock.mode {
            LockMode::None => return None,
            LockMode::Governance => ObjectLockMode::Governance,
            LockMode::Compliance => ObjectLockMode::Compliance,
        };
        let until = self.lock.until(key, SystemClock.now())?;
        let date = aws_sdk_s3::primitives::DateTime::from_secs(until.unix_s());
        Some((mode, date))
    }

    /// Asks the bucket how it keeps. A store that does not know the question keeps nothing of the kind.
    pub(super) async fn ask_keeping(&self) -> Result<Keeping> {
        let versions = self
            .asked("get versioning", || {
                let request = self.client().get_bucket_versioning();
                self.send(0, request.bucket(&self.bucket).send())
            })
            .await?;
        let lock = self
            .asked("get object lock", || {
                let request = self.client().get_object_lock_configuration();
                self.send(0, request.bucket(&self.bucket).send())
            })
            .await?;
        let lock = lock.as_ref().and_then(|l| l.object_lock_configuration());
        let default = lock.and_then(|l| l.rule()?.default_retention());
        let days = |n: Option<i32>| n.and_then(|n| u32::try_from(n).ok());
        Ok(Keeping {
            versions: versions
                .is_some_and(|v| v.status() == Some(&BucketVersioningStatus::Enabled)),
            object_lock: lock.and_then(|l| l.object_lock_enabled())
                == Some(&ObjectLockEnabled::Enabled),
            default_mode: match default.and_then(|d| d.mode()) {
                Some(ObjectLockRetentionMode::Compliance) => LockMode::Compliance,
                Some(ObjectLockRetentionMode::Governance) => LockMode::Governance,
                _ => LockMode::None,
            },
            default_days: default.map_or(0, |d| {
                days(d.days()).unwrap_or_else(|| days(d.years()).unwrap_or_default() * 365)
            }),
        })
    }

    /// `None` when there is no such thing or the store does not know of it.
    async fn asked<T, Fut>(&self, what: &str, mut request: impl FnMut() -> Fut) -> Result<Option<T>>
    where
        Fut: Future<Output = core::result::Result<T, Failure>>,
    {
        let mut once = async || match request().await {
            Ok(answer) => Ok(Some(answer)),
            Err(Failure::Absent | Failure::Unknown(_)) => Ok(None),
            Err(failure) => Err(failure),
        };
        let mut tries = 0;
        loop {
            let failure = match once().await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            tries += 1;
            if !failure.is_transient() || !self.again(tries, &failure).await {
                return Err(failure.into_error(&self.bucket, what));
            }
        }
    }

    pub(super) async fn version_page(
        &self,
        prefix: &str,
        from: Option<&VersionMark>,
        limit: u16,
    ) -> Result<Option<VersionPage>> {
        let answer = self
            .asked(&format!("list versions of {prefix}"), || {
                let request = self.client().list_object_versions().bucket(&self.bucket);
                let request = request
                    .prefix(prefix)
                    .set_key_marker(from.map(|mark| mark.key.clone()))
                    .set_version_id_marker(from.and_then(|mark| mark.id.clone()));
                self.send(0, request.max_keys(i32::from(limit.min(1000))).send())
            })
            .await?;
        let Some(answer) = answer else {
            return Ok(None);
        };
        let time = |at: Option<&aws_sdk_s3::primitives::DateTime>| {
            at.map(|at| Timestamp::from_unix_ms(at.secs().saturating_mul(1_000)))
        };
        let objects = answer.versions().iter().filter_map(|v| {
            Some(KeyVersion {
                key: v.key()?.to_owned(),
                id: v.version_id().unwrap_or_default().to_owned(),
                latest: v.is_latest().unwrap_or_default(),
                delete_marker: false,
                size_bytes: v
                    .size()
                    .and_then(|n| u64::try_from(n).ok())
                    .unwrap_or_default(),
                written_at: time(v.last_modified()),
            })
        });
        let markers = answer.delete_markers().iter().filter_map(|m| {
            Some(KeyVersion {
                key: m.key()?.to_owned(),
                id: m.version_id().unwrap_or_default().to_owned(),
                latest: m.is_latest().unwrap_or_default(),
                delete_marker: true,
                size_bytes: 0,
                written_at: time(m.last_modified()),
            })
        });
        let mut versions: Vec<_> = objects.chain(markers).collect();
        // Two lists in one answer; times are of seconds, so only the order of keys and the latest are sure.
        versions.sort_by(|a, b| {
            let older = b.written_at.cmp(&a.written_at);
            a.key.cmp(&b.key).then(b.latest.cmp(&a.latest)).then(older)
        });
        let next = answer.is_truncated().unwrap_or_default().then(|| {
            let last = versions.last().map(|v| v.key.clone());
            let key = answer.next_key_marker().map(str::to_owned).or(last);
            VersionMark {
                key: key.unwrap_or_default(),
                id: answer.next_version_id_marker().map(str::to_owned),
            }
        });
        Ok(Some(VersionPage { versions, next }))
    }
}
