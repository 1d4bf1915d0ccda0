//! Versions and object lock of a bucket.

use aws_sdk_s3::types::{
    BucketVersioningStatus, ObjectLockEnabled, ObjectLockLegalHold, ObjectLockLegalHoldStatus,
    ObjectLockMode, ObjectLockRetentionMode,
};
use probity_domain::Timestamp;

use super::S3Objects;
use super::outcome::Failure;
use crate::objects::{
    Keeping, KeyVersion, LockMode, Objects as _, Protection, VersionMark, VersionPage,
};
use crate::{Clock as _, Error, ErrorKind, Result, SystemClock};

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

    pub(super) async fn protection_of(&self, key: &str) -> Result<Protection> {
        let head = self
            .asked(&format!("head {key}"), || {
                let request = self.client().head_object().bucket(&self.bucket);
                self.send(0, request.key(key).send())
            })
            .await?;
        let (mut hold, mut until, mut mode) = (None, None, None);
        if let Some(head) = &head {
            hold = head.object_lock_legal_hold_status();
            until = head.object_lock_retain_until_date();
            mode = head.object_lock_mode();
        }
        Ok(Protection {
            hold: hold == Some(&ObjectLockLegalHoldStatus::On),
            mode: match mode {
                Some(ObjectLockMode::Compliance) => LockMode::Compliance,
                Some(ObjectLockMode::Governance) => LockMode::Governance,
                _ => LockMode::None,
            },
            until: until.map(|at| Timestamp::from_unix_ms(at.secs().saturating_mul(1_000))),
        })
    }

    pub(super) async fn hold(&self, key: &str, on: bool) -> Result<()> {
        if !self.ask_keeping().await?.object_lock {
            return Ok(());
        }
        let status = if on {
            ObjectLockLegalHoldStatus::On
        } else {
            ObjectLockLegalHoldStatus::Off
        };
        let hold = ObjectLockLegalHold::builder().status(status).build();
        self.repeat(&format!("hold {key}"), || {
            let request = self.client().put_object_legal_hold().bucket(&self.bucket);
            let request = request.key(key).legal_hold(hold.clone());
            self.send(0, request.send())
        })
        .await
        .map(drop)
    }

    pub(super) async fn remove_versions(&self, key: &str) -> Result<()> {
        let mut versions = Vec::new();
        let mut from = None;
        loop {
            let Some(page) = self.version_page(key, from.as_ref(), 1000).await? else {
                return self.remove(key).await;
            };
            // Keys come in order: behind this one come those that only begin as it does.
            let is_last = page.versions.iter().any(|v| v.key != key);
            versions.extend(page.versions.into_iter().filter(|v| v.key == key));
            match page.next.filter(|_| !is_last) {
                Some(next) if from.as_ref() == Some(&next) => {
                    return Err(Error::unavailable(format!(
                        "versions of {key}: the store names the same page again"
                    )));
                }
                Some(next) => from = Some(next),
                None => break,
            }
        }
        for version in versions {
            let what = format!("remove version {} of {key}", version.id);
            let removed = self.repeat(&what, || {
                let request = self.client().delete_object().bucket(&self.bucket);
                let request = request.key(key).version_id(&version.id);
                let sent = self.send(0, request.send());
                async { sent.await.map_err(Failure::of_removal) }
            });
            match removed.await {
                Err(e) if e.kind == ErrorKind::Internal => {
                    let detail = format!("the store keeps it: {}", e.detail);
                    return Err(Error::forbidden(detail));
                }
                Err(e) if e.kind != ErrorKind::NotFound => return Err(e),
                _ => {}
            }
        }
        Ok(())
    }
}
