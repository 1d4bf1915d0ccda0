//! Versions and object lock on the real store: what the keeper of a bucket could do to evidence, and what shows it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    DefaultRetention, ObjectLockConfiguration, ObjectLockEnabled, ObjectLockMode,
    ObjectLockRetentionMode, ObjectLockRule,
};
use bytes::Bytes;
use probity_domain::Timestamp;
use probity_platform::objects::{
    Created, KeyVersion, LockConfig, LockMode, Objects, ProbeSize, S3Config, VersionMark, proved,
};
use probity_platform::{Clock as _, ErrorKind, Random, SystemClock, SystemRandom};
use probity_testkit::http_proxy::Action;

use crate::objects::faulty;
use crate::port::{pattern, pieces};
use crate::store::{self, keeper};

async fn truth_of(config: &S3Config) -> Arc<dyn Objects> {
    config.open(Arc::new(SystemRandom)).unwrap().truth
}

async fn all_versions(store: &dyn Objects, prefix: &str, page: u16) -> Vec<KeyVersion> {
    let mut from: Option<VersionMark> = None;
    let mut all = Vec::new();
    loop {
        let found = store.list_versions(prefix, from.as_ref(), page).await;
        let found = found.unwrap().unwrap();
        all.extend(found.versions);
        from = found.next;
        if from.is_none() {
            return all;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_version_and_a_removed_one_are_seen() {
    let (config, _keys) = store::fresh().await;
    let truth = truth_of(&config).await;
    for key in ["v/a", "v/b", "v/c"] {
        let created = truth.create(key, Bytes::from_static(b"first")).await;
        assert_eq!(created.unwrap(), Created::Created);
    }
    let keeper = keeper(&config);
    let put = |key: &str| {
        let request = keeper.put_object().bucket(&config.truth_bucket).key(key);
        request.body(ByteStream::from_static(b"impostor")).send()
    };
    put("v/a").await.unwrap();
    let request = keeper.delete_object().bucket(&config.truth_bucket);
    request.key("v/b").send().await.unwrap();
    // Over a delete marker a create-only PUT succeeds on most stores (trap 13); what refuses it is safer.
    let created = truth.create("v/b", Bytes::from_static(b"impostor")).await;
    let over_marker = usize::from(created.is_ok());
    for page in [1000, 2] {
        let all = all_versions(&*truth, "v/", page).await;
        let seen: Vec<_> = all
            .iter()
            .map(|v| (v.key.as_str(), v.latest, v.delete_marker))
            .collect();
        assert_eq!(
            seen.iter().filter(|(key, ..)| *key == "v/a").count(),
            2,
            "{seen:?}"
        );
        assert_eq!(seen.iter().filter(|(_, _, marker)| *marker).count(), 1);
        assert_eq!(
            seen.iter().filter(|(key, ..)| *key == "v/b").count(),
            2 + over_marker
        );
        assert_eq!(seen.last(), Some(&("v/c", true, false)));
    }
}

fn compliance(years: u32) -> LockConfig {
    LockConfig {
        mode: LockMode::Compliance,
        years: [("blobs".to_owned(), years)].into(),
    }
}

async fn retention(keeper: &Client, bucket: &str, key: &str) -> Option<(ObjectLockMode, i64)> {
    let head = keeper.head_object().bucket(bucket).key(key).send().await;
    let head = head.unwrap();
    let until = head.object_lock_retain_until_date()?.secs();
    Some((head.object_lock_mode()?.clone(), until))
}

/// The object's only version, removed by name as its keeper would.
async fn remove_for_good(keeper: &Client, bucket: &str, key: &str) -> Result<(), String> {
    let head = keeper.head_object().bucket(bucket).key(key).send().await;
    let id = head.unwrap().version_id().unwrap().to_owned();
    let request = keeper.delete_object().bucket(bucket).key(key);
    let removed = request.version_id(id).send().await;
    removed.map(drop).map_err(|e| format!("{e:?}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_is_kept_for_its_class() {
    let (config, _keys) = store::locked(compliance(10)).await;
    let (truth, bucket) = (truth_of(&config).await, &config.truth_bucket);
    let keeping = truth.keeping().await.unwrap();
    keeping.suits(bucket, true, &config.lock).unwrap();
    let now: Timestamp = SystemClock.now();
    truth.create("blobs/a/small", Bytes::new()).await.unwrap();
    let large = pattern(9 << 20, 1);
    let body = pieces(&large);
    let created = truth.create_streamed("blobs/a/large", 9 << 20, body).await;
    assert!(created.unwrap());
    truth.create("probe/x", Bytes::new()).await.unwrap();

    let keeper = keeper(&config);
    for key in ["blobs/a/small", "blobs/a/large"] {
        let (mode, until) = retention(&keeper, bucket, key).await.unwrap();
        assert_eq!(mode, ObjectLockMode::Compliance);
        let years = (until - now.unix_s()) as f64 / 31_557_600.0;
        assert!((9.9..10.1).contains(&years), "{key}: {years}");
        remove_for_good(&keeper, bucket, key).await.unwrap_err();
        assert!(truth.head(key).await.unwrap().is_some(), "{key}");
    }
    assert_eq!(retention(&keeper, bucket, "probe/x").await, None);
    remove_for_good(&keeper, bucket, "probe/x").await.unwrap();
}

/// Retention by the bucket's default: every PUT has to carry a checksum then (trap 9).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bucket_s_own_retention_is_enough() {
    let lock = LockConfig {
        mode: LockMode::Governance,
        years: Default::default(),
    };
    let (config, _keys) = store::locked(lock).await;
    let (truth, bucket) = (truth_of(&config).await, &config.truth_bucket);
    let before = truth.keeping().await.unwrap();
    let error = before.suits(bucket, true, &config.lock).unwrap_err();
    assert!(error.detail.contains("default retention"), "{error}");

    let keeper = keeper(&config);
    let default = DefaultRetention::builder()
        .mode(ObjectLockRetentionMode::Governance)
        .days(30)
        .build();
    let rule = ObjectLockRule::builder().default_retention(default);
    let rules = ObjectLockConfiguration::builder()
        .object_lock_enabled(ObjectLockEnabled::Enabled)
        .rule(rule.build())
        .build();
    let request = keeper.put_object_lock_configuration().bucket(bucket);
    let request = request.object_lock_configuration(rules);
    request.send().await.unwrap();

    let keeping = truth.keeping().await.unwrap();
    assert_eq!(keeping.default_days, 30);
    keeping.suits(bucket, true, &config.lock).unwrap();
    truth.create("blobs/a/1", Bytes::new()).await.unwrap();
    let large = pattern(9 << 20, 1);
    let body = pieces(&large);
    let created = truth.create_streamed("blobs/a/2", 9 << 20, body).await;
    assert!(created.unwrap());
    for key in ["blobs/a/1", "blobs/a/2"] {
        let (mode, _) = retention(&keeper, bucket, key).await.unwrap();
        assert_eq!(mode, ObjectLockMode::Governance);
        remove_for_good(&keeper, bucket, key).await.unwrap_err();
    }

    // Every object is locked there, so what a start races for stays: a handful of tiny ones.
    let random: Arc<dyn Random> = Arc::new(SystemRandom);
    let doors = config.open_each(&random).unwrap();
    let size = ProbeSize {
        time_max: std::time::Duration::from_secs(60),
        ..ProbeSize::START
    };
    let proof = proved(&config.digest(), &doors, &*random, &SystemClock, size).await;
    assert!(proof.unwrap().is_some());
    let left = all_versions(&*truth, "probe/", 1000).await;
    assert_eq!(left.len(), 3, "{left:?}");
    assert!(
        left.iter()
            .all(|v| v.latest && !v.delete_marker && v.size_bytes <= 1024),
        "{left:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_without_checksums_is_refused() {
    let (mut config, _keys) = store::fresh().await;
    config.lock = compliance(1);
    config.send_checksums = false;
    let error = config.open(Arc::new(SystemRandom)).err().unwrap();
    assert!(error.detail.contains("send_checksums"), "{error}");
}

/// As AWS answers for a version under retention, where MinIO says 400; keys and clocks that are off are put right.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_denied_removal_is_forbidden_and_names_its_key() {
    for (code, denied) in [("AccessDenied", true), ("RequestTimeTooSkewed", false)] {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let truth = faulty(move |_, method, _| match method {
            "DELETE" if count.fetch_add(1, Ordering::SeqCst) == 0 => Action::Answer(403, code),
            _ => Action::Pass,
        })
        .await
        .truth;
        truth.create("v/locked", Bytes::new()).await.unwrap();
        let removed = truth.remove_for_good("v/locked").await;
        let there = truth.head("v/locked").await.unwrap().is_some();
        let asked = asked.load(Ordering::SeqCst);
        if !denied {
            removed.unwrap();
            assert_eq!((there, asked), (false, 2));
            continue;
        }
        let error = removed.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Forbidden, "{error}");
        assert!(
            error.detail.contains("of v/locked: 403 AccessDenied"),
            "{error}"
        );
        assert_eq!((there, asked), (true, 1), "asked once");
    }
}

/// An upload that is broken off leaves no parts for anybody to pay for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_aborted_leaves_no_parts() {
    let (config, _keys) = store::fresh().await;
    let truth = truth_of(&config).await;
    let short = pieces(&pattern(20_000_001, 1));
    let failed = truth.create_streamed("blobs/a/x", 20_000_002, short).await;
    failed.unwrap_err();
    let request = keeper(&config).list_multipart_uploads();
    let request = request.bucket(&config.truth_bucket).prefix("blobs/a/x");
    assert!(request.send().await.unwrap().uploads().is_empty());
    assert_eq!(truth.head("blobs/a/x").await.unwrap(), None);
}
