//! Stores against the port's suite, and the promises P4 (write-once) and P5 (an unknown outcome is never a conflict) on
//! a real one.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

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

/// What happens to the `n`th write, or reading back, of one object. Nothing is refused five times, which is as often as a
/// request is tried: whoever has the worst luck of all gets through.
fn p5_dose(method: &str, n: u64) -> Action {
    match (method, n % 10) {
        ("PUT", 3) if n < 20 => Action::Answer(409, "ConditionalRequestConflict"),
        ("PUT", 5) if n < 20 => Action::Answer(503, "SlowDown"),
        ("PUT", 0 | 7) => Action::DropResponse,
        ("GET", 7) if n < 40 => Action::DropRequest,
        _ => Action::Pass,
    }
}

/// Every fifth write's answer lost, others refused with 503 or 409: no false conflict, nothing lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p5_lost_answers_are_never_conflicts() {
    let head = Mutex::new(HashMap::<String, u64>::new());
    let Buckets { truth, work } = faulty(move |_, method, target| {
        // Of the objects that are written once each has its own fate, by its number.
        let number = target.split("/p5/").nth(1).and_then(|rest| rest.get(..3));
        let number = number.and_then(|number| number.parse::<u64>().ok());
        let mut head = head.lock().unwrap();
        let seen = head.entry(format!("{method} {number:?}")).or_default();
        let (first, n) = (*seen == 0, *seen);
        *seen += 1;
        match number {
            Some(number) if first => p5_dose(method, number % 20),
            Some(_) => Action::Pass,
            None => p5_dose(method, n),
        }
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

/// The answer is lost, reading back finds nothing yet, and then the store refuses for good: that says nothing of the first
/// try. `answer` is what becomes of the first try; what is read back later is true.
async fn refused_after_a_lost_answer(answer: Action) -> (Buckets, Arc<AtomicU64>) {
    let (writes, reads, removals) = (
        AtomicU64::new(0),
        AtomicU64::new(0),
        Arc::new(AtomicU64::new(0)),
    );
    let removed = removals.clone();
    let buckets = faulty(move |_, method, target| {
        let count = |counter: &AtomicU64| counter.fetch_add(1, Ordering::SeqCst);
        let completes = method == "POST" && target.contains("uploadId");
        let writes_whole = method == "PUT" && !target.contains("uploadId");
        match method {
            _ if completes || writes_whole => match count(&writes) {
                0 => answer,
                _ => Action::Answer(400, "InvalidArgument"),
            },
            "GET" | "HEAD" if count(&reads) == 0 => Action::Answer(404, ""),
            "DELETE" => {
                count(&removed);
                Action::Pass
            }
            _ => Action::Pass,
        }
    })
    .await;
    (buckets, removals)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p5_a_refusal_after_a_lost_answer_settles_nothing() {
    let bytes = Bytes::from_static(b"1");
    let (done, _) = refused_after_a_lost_answer(Action::DropResponse).await;
    let created = done.work.create("r/1", bytes.clone()).await;
    assert_eq!(created.unwrap(), Created::Created);
    let (done, _) = refused_after_a_lost_answer(Action::DropResponse).await;
    let swapped = done.work.swap("r/1", None, bytes.clone()).await;
    assert!(matches!(swapped.unwrap(), Swapped::Swapped(_)));
    // Not there when it was looked for: it may still come.
    let (lost, _) = refused_after_a_lost_answer(Action::DropRequest).await;
    let error = lost.work.create("r/1", bytes.clone()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::UnknownOutcome, "{error}");
    // Without a lost answer the refusal is all there is to say.
    let (refused, _) = refused_after_a_lost_answer(Action::Answer(400, "InvalidArgument")).await;
    let error = refused.work.create("r/1", bytes).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Internal, "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p5_nor_does_it_for_large_objects() {
    let large = pattern(9 << 20, 1);
    let (done, removals) = refused_after_a_lost_answer(Action::DropResponse).await;
    let created = done.work.create_streamed("r/1", 9 << 20, pieces(&large));
    assert!(created.await.unwrap());
    assert_eq!(removals.load(Ordering::SeqCst), 0);
    let (lost, removals) = refused_after_a_lost_answer(Action::DropRequest).await;
    let created = lost.work.create_streamed("r/1", 9 << 20, pieces(&large));
    let error = created.await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::UnknownOutcome, "{error}");
    assert_eq!(removals.load(Ordering::SeqCst), 0, "the upload was aborted");
}

/// Whether a part finds the store full, or the completion: nobody has to find out what became of it, and no part stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_store_has_taken_nothing() {
    for full_at in ["PUT", "POST"] {
        let (seen, full) = (
            Arc::new(Mutex::new(Vec::new())),
            Arc::new(AtomicBool::new(true)),
        );
        let (log, is_full) = (seen.clone(), full.clone());
        let truth = faulty(move |_, method, target| {
            log.lock().unwrap().push(method.to_owned());
            let within = method == "PUT" || target.contains("uploadId=");
            match method == full_at && within && is_full.load(Ordering::SeqCst) {
                true => Action::Answer(507, "XMinioStorageFull"),
                false => Action::Pass,
            }
        })
        .await
        .truth;
        let count = |method: &str| seen.lock().unwrap().iter().filter(|m| *m == method).count();
        let large = pattern(9 << 20, 1);
        let created = truth.create_streamed("full/large", 9 << 20, pieces(&large));
        let error = created.await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
        assert!(error.detail.contains("the store is full"), "{error}");
        assert_eq!(
            (count("DELETE"), count("HEAD")),
            (1, 0),
            "{full_at}: aborted"
        );
        if full_at == "PUT" {
            let created = truth.create("full/small", Bytes::from_static(b"1")).await;
            assert_eq!(created.unwrap_err().kind, ErrorKind::Unavailable);
            assert_eq!(count("GET"), 0, "nothing is read back");
        }
        full.store(false, Ordering::SeqCst);
        let created = truth.create_streamed("full/large", 9 << 20, pieces(&large));
        assert!(created.await.unwrap(), "{full_at}: there is space again");
    }
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
