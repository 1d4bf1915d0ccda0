//! Where the store is, and the client built from it by hand: nothing is taken from the environment by itself.

use std::sync::Arc;
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

use super::S3Objects;
use super::outcome::Failure;
use crate::config::SecretFile;
use crate::objects::Buckets;
use crate::{Random, Result};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// `[s3]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct S3Config {
    /// `https://host:port`.
    pub endpoint: String,
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
        let client = self.client()?;
        let bucket = |name: &str| {
            Arc::new(S3Objects {
                client: client.clone(),
                bucket: name.to_owned(),
                send_checksums: self.send_checksums,
                attempt_timeout: Duration::from_millis(self.attempt_timeout_ms),
                random: random.clone(),
            })
        };
        Ok(Buckets {
            truth: bucket(&self.truth_bucket),
            work: bucket(&self.work_bucket),
        })
    }

    /// Makes missing buckets and switches versioning on for `truth`: for development and tests. In production the
    /// buckets, their object lock and lifecycle rules are made by whoever runs the store, and roles may not make any.
    ///
    /// # Errors
    /// `Unavailable`, `Timeout` or `Internal` when a bucket can neither be found nor made.
    pub async fn ensure_buckets(&self, random: Arc<dyn Random>) -> Result<()> {
        let client = self.client()?;
        for name in [&self.truth_bucket, &self.work_bucket] {
            let bucket = S3Objects {
                client: client.clone(),
                bucket: name.clone(),
                send_checksums: self.send_checksums,
                attempt_timeout: Duration::from_millis(self.attempt_timeout_ms),
                random: random.clone(),
            };
            bucket.ensure().await?;
            if *name == self.truth_bucket {
                bucket.keep_versions().await;
            }
        }
        Ok(())
    }

    fn client(&self) -> Result<Client> {
        let keys = [self.access_key_file.read()?, self.secret_key_file.read()?];
        let [access, secret] = &keys;
        let credentials = Credentials::new(access.expose(), secret.expose(), None, None, "config");
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(&self.endpoint)
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
                .send(0, self.client.head_bucket().bucket(&self.bucket).send())
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
            match self
                .send(0, self.client.create_bucket().bucket(&self.bucket).send())
                .await
            {
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
        let request = self.client.put_bucket_versioning().bucket(&self.bucket);
        let sent = self
            .send(0, request.versioning_configuration(on).send())
            .await;
        if let Err(failure) = sent {
            let error = failure.into_error(&self.bucket, "switch versioning on");
            tracing::warn!(%error, "bucket keeps no versions");
        }
    }
}
