//! Stores against the port's suite, and the promises P4 (write-once) and P5 (an unknown outcome is never a conflict) on
//! a real one.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use futures::{StreamExt, future, stream};
use probity_platform::objects::{Buckets, Created, MemoryObjects, Swapped};
use probity_platform::{ErrorKind, SystemRandom};
use probity_testkit::http_proxy::{self, Action};

use crate::port::{conforms, creates_once, one_create_wins, pattern, pieces, read, streams_in};
use crate::store;

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

/// Buckets behind a proxy that does to every `n`th write what `dose` says.
pub async fn faulty(dose: impl Fn(u64, &str, &str) -> Action + Send + Sync + 'static) -> Buckets {
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

    // Four writers add to one object by swap: whoever is told "swapped" is in it, exactly once.
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
    assert_eq!(
        told.iter().collect::<HashSet<_>>(),
        stands.iter().collect::<HashSet<_>>()
    );
}

/// A write whose answer is lost reaches the store only after it was looked for and tried again: the second try finds the
/// condition broken by the first, which is no conflict.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p5_one_s_own_write_that_comes_late_is_no_conflict() {
    let late = AtomicBool::new(true);
    let truth = faulty(move |_, method, _| match method {
        "PUT" if late.swap(false, Ordering::SeqCst) => Action::ApplyLate,
        _ => Action::Pass,
    })
    .await
    .truth;
    let mine = Bytes::from_static(b"mine");
    let outcome = truth.create("late/1", mine.clone()).await.unwrap();
    assert_eq!(outcome, Created::Created);
    let other = truth.create("late/1", Bytes::from_static(b"other")).await;
    assert_eq!(other.unwrap(), Created::Exists(mine));
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
