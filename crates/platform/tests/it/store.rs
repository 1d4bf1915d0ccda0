//! Stores to test on: MinIO's buckets, fresh for each test, directly or through the proxy that breaks things.

use std::path::Path;
use std::sync::Arc;

use probity_platform::SystemRandom;
use probity_platform::config::SecretFile;
use probity_platform::objects::{Buckets, S3Config};
use probity_testkit::{World, unique_bucket_prefix};

/// How to reach this test's own buckets, which are made here.
pub async fn fresh() -> (S3Config, tempfile::TempDir) {
    let access = World::shared().await.s3();
    let keys = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path: &Path = &keys.path().join(name);
        std::fs::write(path, content).unwrap();
        SecretFile::new(path)
    };
    let prefix = unique_bucket_prefix();
    let config = S3Config {
        endpoint: access.endpoint.clone(),
        region: access.region.clone(),
        truth_bucket: format!("{prefix}-truth"),
        work_bucket: format!("{prefix}-work"),
        path_style: access.path_style,
        access_key_file: file("access", &access.access_key),
        secret_key_file: file("secret", &access.secret_key),
        send_checksums: true,
        attempt_timeout_ms: 30_000,
    };
    config.ensure_buckets(Arc::new(SystemRandom)).await.unwrap();
    (config, keys)
}

/// This test's own buckets.
pub async fn buckets() -> Buckets {
    let (config, _keys) = fresh().await;
    config.open(Arc::new(SystemRandom)).unwrap()
}
