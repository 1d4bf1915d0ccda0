//! Trying again must not multiply what a store in trouble has to do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::{StreamExt, stream};
use probity_platform::ErrorKind;
use probity_testkit::http_proxy::Action;

use crate::objects::faulty;

/// 250 requests to a store that refuses everything: without a budget they would be 1,250.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_in_trouble_is_not_asked_five_times_as_much() {
    let seen = Arc::new(AtomicU64::new(0));
    let count = seen.clone();
    let work = faulty(move |_, _, _| {
        count.fetch_add(1, Ordering::SeqCst);
        Action::Answer(503, "SlowDown")
    })
    .await
    .work;
    let asked = stream::iter(0..250).map(|n| {
        let work = work.clone();
        async move { work.head(&format!("b/{n}")).await.unwrap_err().kind }
    });
    let kinds: Vec<_> = asked.buffer_unordered(64).collect().await;
    assert!(kinds.iter().all(|kind| *kind == ErrorKind::Unavailable));
    // The first try of each, and what a full purse pays for.
    assert_eq!(seen.load(Ordering::SeqCst), 250 + 200);
}

/// `Retry-After` of a minute is not waited for inside a request, and not ignored either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn patience_beyond_a_request_s_is_the_caller_s() {
    let seen = Arc::new(AtomicU64::new(0));
    let count = seen.clone();
    let work = faulty(move |_, _, _| {
        count.fetch_add(1, Ordering::SeqCst);
        Action::Patience(60)
    })
    .await
    .work;
    let error = work.get("p/1", 10).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert_eq!(seen.load(Ordering::SeqCst), 1);
}

/// What the store asks for in whole seconds is waited for, and then it is asked again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_of_patience_is_had() {
    let work = faulty(|n, _, _| match n {
        0 => Action::Patience(1),
        _ => Action::Pass,
    })
    .await
    .work;
    assert!(work.get("p/1", 10).await.unwrap().is_none());
}
