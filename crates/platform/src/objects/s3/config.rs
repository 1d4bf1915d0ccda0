//! Where the store is, and the client built from it by hand: nothing is taken from the environment by itself.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
    StalledStreamProtectionConfig,
};
use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::outcome::Failure;
use super::retry::RetryBudget;
use super::{Doors, S3Objects};
use crate::config::SecretFile;
use crate::objects::{Buckets, LockConfig, LockMode, Objects};
use crate::{Error, Random, Result};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// `[s3]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct S3Config {
    /// `https://host:port`.
    pub endpoint: String,
    /// More doors to the same store. Requests move on to the next one when one does not answer, and the start-up probe
    /// races writers through all of them: conditions must hold for the store, not for each door (trap 2).
    #[serde(default)]
    pub endpoints: Vec<String>,
    #[serde(default = "default_region")]
    pub region: String,
    /// Versioned, keys written once.
    pub truth_bucket: String,
    /// Unversioned.
    pub work_bucket: String,
    /// Bucket in the path, not in the host name.
    #[serde(default = "default_true")]
    pub path_style: bool,
    /// Path, or `env:NAME`.
    pub access_key_file: SecretFile,
    /// Path, or `env:NAME`.
    pub secret_key_file: SecretFile,
    /// Sends `x-amz-checksum-sha256`; buckets with a default retention demand one. Off for stores that refuse it.
    #[serde(default = "default_true")]
    pub send_checksums: bool,
    /// For one try of one request, plus one second for every MiB of body.
    #[serde(default = "default_attempt_timeout_ms")]
    pub attempt_timeout_ms: u64,
    /// Refuses to start on a `truth` that keeps no versions.
    #[serde(default = "default_true")]
    pub versions_demanded: bool,
    /// What is set on each object in `truth` when it is written.
    #[serde(default)]
    pub lock: LockConfig,
}

/// A bucket with the same keys as `truth`, kept by another store's own replication: it is only read.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplicaConfig {
    /// `https://host:port`.
    pub endpoint: String,
    #[serde(default = "default_region")]
    pub region: String,
    pub bucket: String,
    /// Bucket in the path, not in the host name.
    #[serde(default = "default_true")]
    pub path_style: bool,
    /// Path, or `env:NAME`.
    pub access_key_file: SecretFile,
    /// Path, or `env:NAME`.
    pub secret_key_file: SecretFile,
}

impl ReplicaConfig {
    /// The bucket. Does not talk to the store yet.
    ///
    /// # Errors
    /// `Malformed` when a key file does not read.
    pub fn open(&self, random: Arc<dyn Random>) -> Result<Arc<dyn Objects>> {
        let config = S3Config {
            endpoint: self.endpoint.clone(),
            endpoints: Vec::new(),
            region: self.region.clone(),
            truth_bucket: self.bucket.clone(),
            work_bucket: self.bucket.clone(),
            path_style: self.path_style,
            access_key_file: self.access_key_file.clone(),
            secret_key_file: self.secret_key_file.clone(),
            send_checksums: true,
            attempt_timeout_ms: default_attempt_timeout_ms(),
            versions_demanded: false,
            lock: LockConfig::default(),
        };
        Ok(config.open(random)?.truth)
    }
}

fn default_region() -> String {
    "us-east-1".to_owned()
}

const fn default_true() -> bool {
    true
}

const fn default_attempt_timeout_ms() -> u64 {
    5_000
}

impl S3Config {
    /// Both buckets, on shared connections. Does not talk to the store yet.
    ///
    /// # Errors
    /// `Malformed` when a key file does not read.
    pub fn open(&self, random: Arc<dyn Random>) -> Result<Buckets> {
        let [truth, work] = self.buckets(&self.doors(), random)?;
        Ok(Buckets {
            truth: Arc::new(truth),
            work: Arc::new(work),
        })
    }

    /// The same buckets through each door alone.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_each(&self, random: &Arc<dyn Random>) -> Result<Vec<Buckets>> {
        let doors = self.doors();
        let each = doors.iter().map(|door| {
            let [truth, work] = self.buckets(&[door], random.clone())?;
            Ok(Buckets {
                truth: Arc::new(truth),
                work: Arc::new(work),
            })
        });
        each.collect()
    }

    /// Every endpoint once, the first one first.
    pub(crate) fn doors(&self) -> Vec<&str> {
        let mut doors = vec![self.endpoint.as_str()];
        for door in &self.endpoints {
            if !doors.contains(&door.as_str()) {
                doors.push(door);
            }
        }
        doors
    }

    /// Names this store as the process comes to it, so that what is known of it through other endpoints is not believed of
    /// these: SHA-256, in hexadecimal, of its endpoints in the order of their letters and its two buckets.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut named = self.doors();
        named.sort_unstable();
        named.extend([self.truth_bucket.as_str(), self.work_bucket.as_str()]);
        hex::encode(Sha256::digest(named.join("\n")))
    }

    /// `truth` and `work` through these doors.
    fn buckets(&self, doors: &[&str], random: Arc<dyn Random>) -> Result<[S3Objects; 2]> {
        self.lock.check()?;
        if self.lock.mode != LockMode::None && !self.send_checksums {
            return Err(Error::malformed(
                "[s3]: object lock takes no object without a checksum: set send_checksums = true",
            ));
        }
        let clients = doors.iter().map(|door| self.client(door));
        let clients = clients.collect::<Result<Vec<_>>>()?;
        let first = clients.first().cloned();
        let doors = Arc::new(Doors {
            first: first.ok_or_else(|| Error::malformed("[s3]: no endpoint"))?,
            clients,
            used: AtomicUsize::new(0),
        });
        let work = S3Objects {
            doors,
            bucket: self.work_bucket.clone(),
            send_checksums: self.send_checksums,
            attempt_timeout: Duration::from_millis(self.attempt_timeout_ms),
            random,
            budget: Arc::new(RetryBudget::full()),
            lock: LockConfig::default(),
        };
        let truth = S3Objects {
            bucket: self.truth_bucket.clone(),
            lock: self.lock.clone(),
            ..work.clone()
        };
        Ok([truth, work])
    }

    /// Makes missing buckets, `truth` with versions and, where a lock is asked for, with object lock: for development and tests. In production the
    /// buckets, their object lock and lifecycle rules are made by whoever runs the store, and roles may not make any.
    ///
    /// # Errors
    /// `Unavailable`, `Timeout` or `Internal` when a bucket can neither be found nor made.
    pub async fn ensure_buckets(&self, random: Arc<dyn Random>) -> Result<()> {
        let [truth, work] = self.buckets(&self.doors(), random)?;
        work.ensure().await?;
        truth.ensure().await?;
        truth.keep_versions().await;
        Ok(())
    }

    fn client(&self, endpoint: &str) -> Result<Client> {
        let keys = [self.access_key_file.read()?, self.secret_key_file.read()?];
        let [access, secret] = &keys;
        let credentials = Credentials::new(access.expose(), secret.expose(), None, None, "config");
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(endpoint)
            .region(Region::new(self.region.clone()))
            .credentials_provider(credentials)
            .force_path_style(self.path_style)
            .retry_config(RetryConfig::disabled())
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(CONNECT_TIMEOUT)
                    .build(),
            )
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .build();
        Ok(Client::from_conf(config))
    }
}

impl S3Objects {
    async fn ensure(&self) -> Result<()> {
        let head = self.repeat("head bucket", || async {
            match self
                .send(0, self.client().head_bucket().bucket(&self.bucket).send())
                .await
            {
                Ok(_) => Ok(true),
                Err(Failure::Absent) => Ok(false),
                Err(failure) => Err(failure),
            }
        });
        if head.await? {
            return Ok(());
        }
        let made = self.repeat("create bucket", || async {
            let request = self.client().create_bucket().bucket(&self.bucket);
            let locked = (self.lock.mode != LockMode::None).then_some(true);
            let request = request.set_object_lock_enabled_for_bucket(locked);
            match self.send(0, request.send()).await {
                // 409: somebody else makes it at the same time.
                Ok(_) | Err(Failure::Conflict) => Ok(()),
                Err(failure) => Err(failure),
            }
        });
        made.await
    }

    async fn keep_versions(&self) {
        let on = VersioningConfiguration::builder()
            .status(BucketVersioningStatus::Enabled)
            .build();
        let request = self.client().put_bucket_versioning().bucket(&self.bucket);
        let sent = self
            .send(0, request.versioning_configuration(on).send())
            .await;
        if let Err(failure) = sent {
            let error = failure.into_error(&self.bucket, "switch versioning on");
            tracing::warn!(%error, "bucket keeps no versions");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_named_by_all_its_doors_and_buckets() {
        let digest = |endpoint: &str, others: &[&str], truth: &str| {
            let config = format!(
                "endpoint = '{endpoint}'\nendpoints = {others:?}\ntruth_bucket = '{truth}'\nwork_bucket = 'w'\n\
                 access_key_file = 'a'\nsecret_key_file = 's'"
            );
            toml::from_str::<S3Config>(&config).unwrap().digest()
        };
        let named = digest("http://a", &["http://b"], "t");
        assert_eq!(named.len(), 64);
        assert_eq!(named, digest("http://b", &["http://a"], "t"));
        assert_eq!(named, digest("http://a", &["http://b", "http://a"], "t"));
        for other in [
            digest("http://a", &["http://c"], "t"),
            digest("http://a", &[], "t"),
            digest("http://a", &["http://b"], "u"),
        ] {
            assert_ne!(named, other);
        }
    }
}
