//! Stores to test on: MinIO's buckets, fresh for each test, directly or through the proxy that breaks things.

use std::sync::Arc;

use probity_platform::SystemRandom;
use probity_platform::objects::{Buckets, LockConfig, S3Config};
use probity_testkit::World;

/// How to reach this test's own buckets, which are made here.
pub async fn fresh() -> (S3Config, tempfile::TempDir) {
    locked(LockConfig::default()).await
}

/// The same, with retention for what is written into `truth`.
pub async fn locked(lock: LockConfig) -> (S3Config, tempfile::TempDir) {
    let access = World::shared().await.s3();
    let keys = tempfile::tempdir().unwrap();
    let mut config: S3Config = toml::from_str(&access.settings(keys.path())).unwrap();
    config.lock = lock;
    config.ensure_buckets(Arc::new(SystemRandom)).await.unwrap();
    (config, keys)
}

/// This test's own buckets.
pub async fn buckets() -> Buckets {
    let (config, _keys) = fresh().await;
    config.open(Arc::new(SystemRandom)).unwrap()
}

/// A client of the store's keeper, who may do what no role does.
pub fn keeper(config: &S3Config) -> aws_sdk_s3::Client {
    use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};

    let (access, secret) = (
        config.access_key_file.read().unwrap(),
        config.secret_key_file.read().unwrap(),
    );
    let credentials = Credentials::new(access.expose(), secret.expose(), None, None, "test");
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(&config.endpoint)
        .region(Region::new(config.region.clone()))
        .credentials_provider(credentials)
        .force_path_style(config.path_style);
    aws_sdk_s3::Client::from_conf(config.build())
}
