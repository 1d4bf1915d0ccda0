//! One conformance suite for every store, and the promises P4 (write-once) and P5 (an unknown outcome is never a
//! conflict) on a real one.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures::{StreamExt, future, stream};
use probity_platform::objects::{
    Buckets, ByteStream, Created, MemoryObjects, Object, Objects, Swapped, Version, probe,
};
use probity_platform::{Error, ErrorKind, SystemRandom};
use probity_testkit::http_proxy::{self, Action};

use crate::store;

type Store = Arc<dyn Objects>;

#[tokio::test]
async fn memory_conforms() {
    conforms(Arc::new(MemoryObjects::new())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn minio_conforms() {
    let Buckets { truth, work } = store::buckets().await;
    conforms(work).await;
    // A bucket that keeps versions is a store of its own.
    conforms(truth).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn minio_without_checksums_writes_as_well() {
    let (mut config, _keys) = store::fresh().await;
    config.send_checksums = false;
    let buckets = config.open(Arc::new(SystemRandom)).unwrap();
    creates_once(&buckets.work).await;
    streams_in(&buckets.work).await;
}

async fn conforms(store: Store) {
    creates_once(&store).await;
    swaps_from_what_was_read(&store).await;
    reads_within_bounds(&store).await;
    streams_out(&store).await;
    streams_in(&store).await;
    lists_in_order(&store).await;
    removes(&store).await;
    refuses_odd_keys(&store).await;
    races(&store).await;
}

async fn creates_once(store: &Store) {
    let first = Bytes::from_static(b"first");
    assert_eq!(
        store.create("c/1", first.clone()).await.unwrap(),
        Created::Created
    );
    assert_eq!(
        store.create("c/1", first.clone()).await.unwrap(),
        Created::Created
    );
    let other = store
        .create("c/1", Bytes::from_static(b"second"))
        .await
        .unwrap();
    assert_eq!(other, Created::Exists(first.clone()));
    assert_eq!(read(store, "c/1").await.unwrap().bytes, first);
    assert_eq!(
        store.create("c/0", Bytes::new()).await.unwrap(),
        Created::Created
    );
    assert_eq!(read(store, "c/0").await.unwrap().bytes, Bytes::new());
}

async fn swaps_from_what_was_read(store: &Store) {
    let bytes = |text: &'static str| Bytes::from_static(text.as_bytes());
    let Swapped::Swapped(one) = store.swap("s/1", None, bytes("one")).await.unwrap() else {
        panic!("lost on a fresh key")
    };
    assert_eq!(
        store.swap("s/1", None, bytes("two")).await.unwrap(),
        Swapped::Lost
    );
    assert_eq!(read(store, "s/1").await.unwrap().version, one);
    let Swapped::Swapped(two) = store.swap("s/1", Some(&one), bytes("two")).await.unwrap() else {
        panic!("lost from the version read")
    };
    assert_ne!(one, two);
    assert_eq!(
        store.swap("s/1", Some(&one), bytes("three")).await.unwrap(),
        Swapped::Lost
    );
    // As after a lost answer of this very swap.
    let again = store.swap("s/1", Some(&one), bytes("two")).await.unwrap();
    assert_eq!(again, Swapped::Swapped(two));
    assert_eq!(
        store.swap("s/none", Some(&one), bytes("x")).await.unwrap(),
        Swapped::Lost
    );
    assert!(read(store, "s/none").await.is_none());
}

async fn reads_within_bounds(store: &Store) {
    store
        .put("g/1", Bytes::from_static(b"12345"))
        .await
        .unwrap();
    store
        .put("g/1", Bytes::from_static(b"123456"))
        .await
        .unwrap();
    assert_eq!(store.get("g/1", 6).await.unwrap().unwrap().bytes.len(), 6);
    assert_eq!(
        store.get("g/1", 5).await.unwrap_err().kind,
        ErrorKind::TooMany
    );
    assert_eq!(store.head("g/1").await.unwrap(), Some(6));
    assert!(store.get("g/none", 5).await.unwrap().is_none());
    assert_eq!(store.head("g/none").await.unwrap(), None);
}

async fn streams_out(store: &Store) {
    let bytes = pattern(300_000, 1);
    store.put("o/1", bytes.clone()).await.unwrap();
    for offset in [0, 1, 299_999, 300_000, 400_000] {
        let (size, body) = store.get_streamed("o/1", offset).await.unwrap().unwrap();
        assert_eq!(size, 300_000);
        let start = usize::try_from(offset).unwrap().min(bytes.len());
        assert_eq!(drain(body).await, bytes[start..], "from {offset}");
    }
    assert!(store.get_streamed("o/none", 0).await.unwrap().is_none());
}

async fn streams_in(store: &Store) {
    for (key, length) in [
        ("i/0", 0),
        ("i/small", 100),
        ("i/part", 8 << 20),
        ("i/large", 20_000_001),
    ] {
        let (first, second) = (pattern(length, 1), pattern(length, 2));
        let size = length as u64;
        assert!(
            store
                .create_streamed(key, size, pieces(&first))
                .await
                .unwrap(),
            "{key}"
        );
        assert_eq!(read(store, key).await.unwrap().bytes, first, "{key}");
        if length > 0 {
            assert!(
                !store
                    .create_streamed(key, size, pieces(&second))
                    .await
                    .unwrap(),
                "{key}"
            );
            assert_eq!(read(store, key).await.unwrap().bytes, first, "{key}");
        }
        store
            .put_streamed(key, size, pieces(&second))
            .await
            .unwrap();
        assert_eq!(read(store, key).await.unwrap().bytes, second, "{key}");
    }
    for length in [100, 20_000_001] {
        let bytes = pattern(length, 3);
        for announced in [length as u64 - 1, length as u64 + 1, (length as u64) * 2] {
            let failed = store
                .create_streamed("i/wrong", announced, pieces(&bytes))
                .await;
            assert_eq!(failed.unwrap_err().kind, ErrorKind::Malformed);
        }
        let broken = pieces(&bytes)
            .chain(stream::iter([Err(Error::forbidden("stop"))]))
            .boxed();
        let failed = store
            .create_streamed("i/wrong", length as u64 + 1, broken)
            .await;
        assert_eq!(failed.unwrap_err().kind, ErrorKind::Forbidden);
        assert_eq!(store.head("i/wrong").await.unwrap(), None);
    }
}

async fn lists_in_order(store: &Store) {
    let keys = ["l/a-b", "l/a/1", "l/a/2", "l/ab", "l/b", "lx"];
    for key in keys {
        store.put(key, Bytes::from_static(b"123")).await.unwrap();
    }
    let list = async |prefix: &str, after: Option<&str>, limit| {
        let listed = store.list(prefix, after, limit).await.unwrap();
        listed
            .into_iter()
            .map(|l| (l.key, l.size_bytes))
            .collect::<Vec<_>>()
    };
    let named = |keys: &[&str]| {
        keys.iter()
            .map(|k| ((*k).to_owned(), 3))
            .collect::<Vec<_>>()
    };
    assert_eq!(list("l/", None, 1000).await, named(&keys[..5]));
    assert_eq!(list("l/", None, 2).await, named(&keys[..2]));
    assert_eq!(list("l/", Some("l/a/1"), 2).await, named(&keys[2..4]));
    assert_eq!(list("l/a/", Some("l/a/1"), 10).await, named(&keys[2..3]));
    assert_eq!(list("l/a", Some("l/a/~"), 10).await, named(&keys[3..4]));
    assert_eq!(list("none/", None, 10).await, named(&[]));
}

async fn removes(store: &Store) {
    store.put("r/1", Bytes::from_static(b"1")).await.unwrap();
    store.remove("r/1").await.unwrap();
    store.remove("r/1").await.unwrap();
    assert!(read(store, "r/1").await.is_none());
    assert_eq!(
        store.create("r/1", Bytes::from_static(b"2")).await.unwrap(),
        Created::Created
    );
}

async fn refuses_odd_keys(store: &Store) {
    for key in ["", "/a", "a//b", "a/../b", "a b"] {
        let error = store.create(key, Bytes::new()).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Malformed, "{key}");
    }
}

async fn races(store: &Store) {
    for round in 0..5 {
        one_create_wins(store, &format!("race/create-{round}"), 16).await;
        one_swap_wins(store, &format!("race/swap-{round}"), 16).await;
    }
    let bodies: Vec<_> = (0..3).map(|n| pattern(9 << 20, n)).collect();
    let uploads = bodies
        .iter()
        .map(|b| store.create_streamed("race/large", b.len() as u64, pieces(b)));
    let won = future::try_join_all(uploads).await.unwrap();
    assert_eq!(won.iter().filter(|w| **w).count(), 1);
    let winner = won.iter().position(|w| *w).unwrap();
    assert_eq!(
        read(store, "race/large").await.unwrap().bytes,
        bodies[winner]
    );
}

async fn one_create_wins(store: &Store, key: &str, writers: usize) {
    let claims: Vec<_> = (0..writers)
        .map(|w| Bytes::from(format!("{key} {w}")))
        .collect();
    let tasks = claims.iter().map(|claim| store.create(key, claim.clone()));
    let outcomes = future::try_join_all(tasks).await.unwrap();
    let won: Vec<_> = (0..writers)
        .filter(|w| outcomes[*w] == Created::Created)
        .collect();
    assert_eq!(won.len(), 1, "{key}");
    let losers = outcomes
        .iter()
        .filter(|o| **o == Created::Exists(claims[won[0]].clone()))
        .count();
    assert_eq!(losers, writers - 1, "{key}");
}

async fn one_swap_wins(store: &Store, key: &str, writers: usize) {
    let mut version: Option<Version> = None;
    for step in 0..2 {
        let claims: Vec<_> = (0..writers)
            .map(|w| Bytes::from(format!("{step} {w}")))
            .collect();
        let tasks = claims
            .iter()
            .map(|claim| store.swap(key, version.as_ref(), claim.clone()));
        let outcomes = future::try_join_all(tasks).await.unwrap();
        let won: Vec<_> = (0..writers)
            .filter(|w| outcomes[*w] != Swapped::Lost)
            .collect();
        assert_eq!(won.len(), 1, "{key}");
        let there = read(store, key).await.unwrap();
        assert_eq!(there.bytes, claims[won[0]]);
        version = Some(there.version);
    }
}

/// P4, in small; [`p4_in_full`] is the promise.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p4_writes_once_under_contention() {
    let store = store::buckets().await.truth;
    for round in 0..10 {
        one_create_wins(&store, &format!("p4/{round}"), 64).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "64 writers, 200 rounds: a minute"]
async fn p4_in_full() {
    let store = store::buckets().await.truth;
    for round in 0..200 {
        one_create_wins(&store, &format!("p4/{round}"), 64).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_probe_trusts_minio() {
    let store = store::buckets().await.work;
    let report = probe(&*store, &SystemRandom).await.unwrap();
    assert_eq!(
        (report.writers, report.create_rounds, report.swap_rounds),
        (8, 20, 20)
    );
    assert!(store.list("probe/", None, 10).await.unwrap().is_empty());
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
        async fn get_streamed(
            &self,
            key: &str,
            offset: u64,
        ) -> probity_platform::Result<Option<(u64, ByteStream)>> {
            self.0.get_streamed(key, offset).await
        }
        async fn head(&self, key: &str) -> probity_platform::Result<Option<u64>> {
            self.0.head(key).await
        }
        async fn list(
            &self,
            prefix: &str,
            after: Option<&str>,
            limit: u16,
        ) -> probity_platform::Result<Vec<probity_platform::objects::Listed>> {
            self.0.list(prefix, after, limit).await
        }
        async fn remove(&self, key: &str) -> probity_platform::Result<()> {
            self.0.remove(key).await
        }
    }

    let error = probe(&Careless(MemoryObjects::new()), &SystemRandom)
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict);
    assert!(error.detail.contains("8 winners of 8"), "{error}");
}

/// Buckets behind a proxy that does to every `n`th write what `dose` says.
async fn faulty(dose: impl Fn(u64, &str, &str) -> Action + Send + Sync + 'static) -> Buckets {
    let (mut config, _keys) = store::fresh().await;
    let count = AtomicU64::new(0);
    let decide = move |method: &str, target: &str| {
        dose(count.fetch_add(1, Ordering::SeqCst), method, target)
    };
    config.endpoint = http_proxy::start(&config.endpoint, Arc::new(decide)).await;
    config.open(Arc::new(SystemRandom)).unwrap()
}

/// Every tenth write's answer lost, others refused with 503 or 409: no false conflict, nothing lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p5_lost_answers_are_never_conflicts() {
    let Buckets { truth, work } = faulty(|n, method, _| match (method, n % 20) {
        ("PUT", 0 | 7) => Action::DropResponse,
        ("PUT", 3) => Action::Answer(409, "ConditionalRequestConflict"),
        ("PUT", 11) => Action::Answer(503, "SlowDown"),
        ("GET", 13) => Action::DropRequest,
        _ => Action::Pass,
    })
    .await;
    let creates = stream::iter(0..300).map(|n| {
        let truth = truth.clone();
        async move {
            truth
                .create(&format!("p5/{n:03}"), Bytes::from(format!("{n}")))
                .await
        }
    });
    let outcomes: Vec<_> = creates.buffer_unordered(8).collect().await;
    assert!(
        outcomes
            .iter()
            .all(|o| *o.as_ref().unwrap() == Created::Created)
    );
    assert_eq!(truth.list("p5/", None, 1000).await.unwrap().len(), 300);

    // Four writers add to one object by swap: whoever is told "swapped" is in it, exactly once. Whoever is told "lost" may be in it
    // too, when its answer was lost and another built on what it wrote before it could read back.
    let writers = (0..4).map(|writer| {
        let work = work.clone();
        async move {
            let mut mine = Vec::new();
            for n in 0..15 {
                let line = format!("{writer}-{n}");
                let there = work.get("p5/head", 1 << 20).await.unwrap();
                let (version, mut text) =
                    there.map_or((None, Vec::new()), |o| (Some(o.version), o.bytes.to_vec()));
                text.extend_from_slice(format!("{line}\n").as_bytes());
                let outcome = work
                    .swap("p5/head", version.as_ref(), Bytes::from(text))
                    .await;
                if outcome.unwrap() != Swapped::Lost {
                    mine.push(line);
                }
            }
            mine
        }
    });
    let told: Vec<String> = future::join_all(writers).await.concat();
    let head = read(&work, "p5/head").await.unwrap().bytes;
    let stands: Vec<String> = String::from_utf8(head.to_vec())
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect();
    assert_eq!(stands.len(), stands.iter().collect::<HashSet<_>>().len());
    let stands: HashSet<_> = stands.iter().collect();
    assert!(!told.is_empty());
    assert!(
        told.iter().all(|line| stands.contains(line)),
        "{told:?} {stands:?}"
    );
}

/// The answer to the completion of a large upload is lost, and the one after it too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p5_holds_for_large_objects() {
    let lost = AtomicU64::new(0);
    let truth = faulty(move |_, method, target| {
        let completes = method == "POST" && target.contains("uploadId");
        if completes && lost.fetch_add(1, Ordering::SeqCst) < 2 {
            Action::DropResponse
        } else {
            Action::Pass
        }
    })
    .await
    .truth;
    let (first, second) = (pattern(9 << 20, 1), pattern(9 << 20, 2));
    assert!(
        truth
            .create_streamed("p5/large", 9 << 20, pieces(&first))
            .await
            .unwrap()
    );
    assert!(
        !truth
            .create_streamed("p5/large", 9 << 20, pieces(&second))
            .await
            .unwrap()
    );
    assert_eq!(read(&truth, "p5/large").await.unwrap().bytes, first);
}

/// The store does it and falls silent: neither "created" nor "exists" nor "not done" would be true.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_after_a_write_is_an_unknown_outcome() {
    let work = faulty(|_, method, _| match method {
        "PUT" => Action::DropResponse,
        _ => Action::DropRequest,
    })
    .await
    .work;
    let error = work
        .create("u/1", Bytes::from_static(b"1"))
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::UnknownOutcome, "{error}");
    let error = work
        .swap("u/2", None, Bytes::from_static(b"1"))
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::UnknownOutcome, "{error}");
}

/// A store that cannot be reached or slows everybody down has done nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusal_is_unavailable() {
    let work = faulty(|_, _, _| Action::Answer(503, "SlowDown")).await.work;
    for error in [
        work.create("u/1", Bytes::from_static(b"1"))
            .await
            .unwrap_err(),
        work.get("u/1", 10).await.unwrap_err(),
        work.create_streamed("u/2", 9 << 20, pieces(&pattern(9 << 20, 1)))
            .await
            .unwrap_err(),
    ] {
        assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    }
    let (mut config, _keys) = store::fresh().await;
    // Nobody listens there.
    config.endpoint = "http://127.0.0.1:1".to_owned();
    let work = config.open(Arc::new(SystemRandom)).unwrap().work;
    let error = work
        .create("u/1", Bytes::from_static(b"1"))
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    let (mut config, _keys) = store::fresh().await;
    config.work_bucket = "no-such-bucket-here".to_owned();
    let work = config.open(Arc::new(SystemRandom)).unwrap().work;
    let error = work.get("u/1", 10).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Internal, "{error}");
}

async fn read(store: &Store, key: &str) -> Option<Object> {
    store.get(key, 64 << 20).await.unwrap()
}

/// Bytes that differ from place to place and seed to seed.
fn pattern(length: usize, seed: usize) -> Bytes {
    (0..length)
        .map(|i| (i / 251 + i * 7 + seed * 13) as u8)
        .collect::<Vec<u8>>()
        .into()
}

/// In pieces of an awkward size.
fn pieces(bytes: &Bytes) -> ByteStream {
    let mut rest = bytes.clone();
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        pieces.push(Ok(rest.split_to(rest.len().min(1_000_003))));
    }
    stream::iter(pieces).boxed()
}

async fn drain(body: ByteStream) -> Vec<u8> {
    body.map(Result::unwrap).collect::<Vec<_>>().await.concat()
}
