//! The probe on honest stores and on those that lie.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use probity_platform::clock::ManualClock;
use probity_platform::objects::{
    Buckets, ByteStream, Created, Listed, LockMode, MemoryObjects, Object, Objects, ProbeSize,
    S3Config, StoreReport, Swapped, Verdict, Version, examine_store, probe, proved,
};
use probity_platform::{Clock as _, ErrorKind, Random, SystemClock, SystemRandom};
use probity_testkit::http_proxy::{self, Action};

use crate::store;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_probe_trusts_minio() {
    let work = store::buckets().await.work;
    // A loaded machine is not what this is about, nor what it leaves behind: that has a thirtieth of this time.
    let size = ProbeSize {
        time_max: std::time::Duration::from_secs(1_800),
        ..ProbeSize::START
    };
    let doors = std::slice::from_ref(&work);
    let report = probe(doors, &SystemRandom, size).await.unwrap();
    assert_eq!(
        (report.writers, report.create_rounds, report.swap_rounds),
        (8, 20, 20)
    );
    assert!(work.list("probe/", None, 10).await.unwrap().is_empty());
}

/// The probe on a store that ignores conditions, as several do (traps 1 to 5).
#[tokio::test]
async fn the_probe_refuses_a_store_without_conditions() {
    struct Careless(MemoryObjects);

    #[async_trait::async_trait]
    impl Objects for Careless {
        async fn create(&self, key: &str, bytes: Bytes) -> probity_platform::Result<Created> {
            self.0.put(key, bytes).await.map(|()| Created::Created)
        }
        async fn create_streamed(
            &self,
            key: &str,
            size_bytes: u64,
            body: ByteStream,
        ) -> probity_platform::Result<bool> {
            self.0.create_streamed(key, size_bytes, body).await
        }
        async fn swap(
            &self,
            key: &str,
            _: Option<&Version>,
            bytes: Bytes,
        ) -> probity_platform::Result<Swapped> {
            self.0
                .put(key, bytes)
                .await
                .map(|()| Swapped::Swapped(Version(String::new())))
        }
        async fn put(&self, key: &str, bytes: Bytes) -> probity_platform::Result<()> {
            self.0.put(key, bytes).await
        }
        async fn put_streamed(
            &self,
            key: &str,
            size_bytes: u64,
            body: ByteStream,
        ) -> probity_platform::Result<()> {
            self.0.put_streamed(key, size_bytes, body).await
        }
        async fn get(&self, key: &str, bytes_max: u64) -> probity_platform::Result<Option<Object>> {
            self.0.get(key, bytes_max).await
        }
        async fn get_range(
            &self,
            key: &str,
            bytes: Range<u64>,
        ) -> probity_platform::Result<Option<(u64, ByteStream)>> {
            self.0.get_range(key, bytes).await
        }
        async fn head(&self, key: &str) -> probity_platform::Result<Option<u64>> {
            self.0.head(key).await
        }
        async fn list(
            &self,
            prefix: &str,
            after: Option<&str>,
            limit: u16,
        ) -> probity_platform::Result<Vec<Listed>> {
            self.0.list(prefix, after, limit).await
        }
        async fn remove(&self, key: &str) -> probity_platform::Result<()> {
            self.0.remove(key).await
        }
    }

    let careless: Arc<dyn Objects> = Arc::new(Careless(MemoryObjects::new()));
    let error = probe(&[careless], &SystemRandom, ProbeSize::START)
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict);
    assert!(error.detail.contains("8 winners of 8"), "{error}");
}

/// A door that lets every fifth conditional PUT on a key through as if it had won.
async fn lying_door(endpoint: &str) -> String {
    let seen = Mutex::new(HashMap::<String, u32>::new());
    let decide = move |method: &str, target: &str| {
        if method != "PUT" || !target.contains("/probe/") {
            return Action::Pass;
        }
        let mut seen = seen.lock().unwrap();
        let count = seen.entry(target.to_owned()).or_default();
        *count += 1;
        match *count {
            3 => Action::Answer(200, ""),
            _ => Action::Pass,
        }
    };
    http_proxy::start(endpoint, Arc::new(decide)).await
}

const SMALL: ProbeSize = ProbeSize {
    writers: 8,
    rounds: 3,
    upload_rounds: 1,
    upload_bytes: 9 << 20,
    truth_rounds: 2,
    time_max: std::time::Duration::from_secs(60),
};

async fn examined(config: &S3Config) -> StoreReport {
    examine_store(config, Arc::new(SystemRandom), &SystemClock, SMALL)
        .await
        .unwrap()
}

/// One honest door beside one that lets two win: the store is refused whichever comes first (trap 2).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_door_that_lets_two_win_is_caught() {
    let (mut config, _keys) = store::fresh().await;
    let honest = config.endpoint.clone();
    config.endpoints = vec![lying_door(&honest).await];
    let report = examined(&config).await;
    assert_eq!(report.verdict, Verdict::Unfit);
    let reason = report.reason.as_deref().unwrap();
    assert!(reason.contains("2 winners of 8"), "{reason}");
    assert!(report.to_string().contains("UNFIT"), "{report}");
    config.endpoints = vec![http_proxy::start(&honest, Arc::new(|_, _| Action::Pass)).await];
    let report = examined(&config).await;
    assert_eq!(report.verdict, Verdict::Fit, "{report}");
    assert_eq!(report.work_races.unwrap().doors, 2);
}

/// What a start says of the store that it is told of.
async fn proved_at(
    config: &S3Config,
    clock: &ManualClock,
) -> probity_platform::Result<Option<String>> {
    let random: Arc<dyn Random> = Arc::new(SystemRandom);
    let doors = config.open_each(&random).unwrap();
    proved(&config.digest(), &doors, &*random, clock, SMALL).await
}

/// As many doors, and others: the proof of another process is none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proof_through_another_door_is_not_relied_on() {
    let (mut config, _keys) = store::fresh().await;
    let clock = ManualClock::at(SystemClock.now());
    let proof = proved_at(&config, &clock).await.unwrap();
    assert!(proof.is_some());
    config.endpoint = lying_door(&config.endpoint).await;
    clock.advance_ms(60_000);
    let error = proved_at(&config, &clock).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict);
    assert!(error.detail.contains("2 winners of 8"), "{error}");
}

/// Both buckets are asked to complete uploads, however small, and what was raced for in `truth` is gone without a trace.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_races_in_both_buckets_and_cleans_up() {
    let (mut config, _keys) = store::fresh().await;
    let completed = Arc::new(Mutex::new(HashMap::<String, usize>::new()));
    let seen = completed.clone();
    let count = move |method: &str, target: &str| {
        if method == "POST" && target.contains("uploadId=") {
            let bucket = target.split('/').nth(1).unwrap().to_owned();
            *seen.lock().unwrap().entry(bucket).or_default() += 1;
        }
        Action::Pass
    };
    config.endpoint = http_proxy::start(&config.endpoint, Arc::new(count)).await;
    let clock = ManualClock::at(SystemClock.now());
    assert!(proved_at(&config, &clock).await.unwrap().is_some());
    let completed = completed.lock().unwrap().clone();
    for bucket in [&config.truth_bucket, &config.work_bucket] {
        assert!(
            completed.get(bucket).is_some_and(|n| *n >= 3),
            "{bucket}: {completed:?}"
        );
    }
    let truth = config.open(Arc::new(SystemRandom)).unwrap().truth;
    let left = truth.list_versions("probe/", None, 10).await.unwrap();
    assert_eq!(left.unwrap().versions, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_report_says_what_the_buckets_keep() {
    let (mut config, _keys) = store::fresh().await;
    let report = examined(&config).await;
    assert_eq!(report.verdict, Verdict::Fit, "{report}");
    let keeps = report.truth_keeps.unwrap();
    assert!(keeps.versions && !keeps.object_lock, "{keeps:?}");
    let text = report.to_string();
    assert!(text.contains("3 creates, 3 swaps, 1 uploads"), "{text}");
    assert!(
        text.contains("races in truth 2 creates, 1 uploads"),
        "{text}"
    );

    config.lock.mode = LockMode::Governance;
    config.lock.years = [("default".to_owned(), 1)].into();
    let report = examined(&config).await;
    assert_eq!(report.verdict, Verdict::Unfit);
    let reason = report.reason.unwrap();
    assert!(reason.contains("has no object lock"), "{reason}");

    let (mut config, _keys) = store::fresh().await;
    config.truth_bucket.clone_from(&config.work_bucket);
    let reason = examined(&config).await.reason.unwrap();
    assert!(reason.contains("keeps no versions"), "{reason}");

    config.endpoint = "http://127.0.0.1:1".to_owned();
    assert_eq!(examined(&config).await.verdict, Verdict::Undecided);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_goes_on_through_another_door() {
    let (mut config, _keys) = store::fresh().await;
    let good = std::mem::replace(&mut config.endpoint, "http://127.0.0.1:1".to_owned());
    config.endpoints = vec![good];
    let Buckets { truth, .. } = config.open(Arc::new(SystemRandom)).unwrap();
    for n in 0..20 {
        let created = truth.create(&format!("door/{n}"), Bytes::new()).await;
        assert_eq!(created.unwrap(), Created::Created);
    }
}
