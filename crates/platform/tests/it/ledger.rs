//! Writers that race for a stream lose no event.

use std::collections::HashSet;
use std::sync::Arc;

use probity_domain::Timestamp;
use probity_platform::clock::ManualClock;
use probity_platform::ledger::{History, Ledger};
use probity_platform::objects::{Fault, MemoryObjects, Objects};
use probity_platform::{ErrorKind, SystemRandom};
use probity_proto::ledger::IntentEvent;

use crate::store;

const WRITERS: usize = 16;
const EVENTS_EACH: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_loses_no_event() {
    loses_no_event(Arc::new(MemoryObjects::new())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn minio_loses_no_event() {
    loses_no_event(store::buckets().await.truth).await;
}

fn ledger_on(truth: Arc<dyn Objects>) -> Ledger {
    // Stands still: equal events of one millisecond are the hard case.
    let clock = ManualClock::at(Timestamp::from_unix_ms(1_795_000_000_000));
    Ledger::new(truth, Arc::new(clock), Arc::new(SystemRandom))
}

fn failed(from: &str) -> IntentEvent {
    IntentEvent::AttemptFailed {
        reason: "wrong code".to_owned(),
        from_address: from.to_owned(),
        user_agent: String::new(),
    }
}

async fn loses_no_event(truth: Arc<dyn Objects>) {
    let ledger = ledger_on(truth);
    let writers: Vec<_> = (0..WRITERS)
        .map(|_| {
            let ledger = ledger.clone();
            tokio::spawn(async move {
                for _ in 0..EVENTS_EACH {
                    let decide = |_: &History<IntentEvent>| Ok(Some(failed("192.0.2.1")));
                    ledger
                        .update("one-intent", "role:test", "race", decide)
                        .await
                        .unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let history = ledger.read::<IntentEvent>("one-intent").await.unwrap();
    assert_eq!(history.events.len(), WRITERS * EVENTS_EACH);
    let writes: HashSet<_> = history.events.iter().map(|e| &e.write_id).collect();
    assert_eq!(writes.len(), WRITERS * EVENTS_EACH);
    assert!(
        history
            .events
            .iter()
            .enumerate()
            .all(|(n, e)| e.seq == n as u64)
    );
}

/// Each writer wants its own marks to stand once, on a store where operations fail, done or not. It tries again until
/// it is told that they do.
async fn marks_stand_once(truth: Arc<dyn Objects>, writers: usize, marks: usize) {
    let ledger = ledger_on(truth);
    let marking = (0..writers).map(|writer| {
        let ledger = ledger.clone();
        tokio::spawn(async move {
            for mark in 0..marks {
                let mark = format!("{writer}.{mark}");
                let decide = |history: &History<IntentEvent>| {
                    let there = history.facts().any(|fact| *fact == failed(&mark));
                    Ok((!there).then(|| failed(&mark)))
                };
                // Each failure leaves the writer in the dark, so it reads again.
                while let Err(e) = ledger.update("marks", "role:test", "race", decide).await {
                    assert!(e.kind.is_transient(), "{e}");
                    tokio::task::yield_now().await;
                }
            }
        })
    });
    for writer in futures::future::join_all(marking).await {
        writer.unwrap();
    }
    let history = loop {
        if let Ok(history) = ledger.read::<IntentEvent>("marks").await {
            break history;
        }
    };
    let mut stand: Vec<_> = history
        .facts()
        .map(|fact| match fact {
            IntentEvent::AttemptFailed { from_address, .. } => from_address.clone(),
            other => panic!("{other:?}"),
        })
        .collect();
    let marked = (0..writers).flat_map(|w| (0..marks).map(move |m| format!("{w}.{m}")));
    let mut expected: Vec<String> = marked.collect();
    stand.sort();
    expected.sort();
    assert_eq!(stand, expected);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(48))]

    #[test]
    fn no_update_is_lost_or_doubled_whatever_fails(
        seed: u64,
        writers in 2..12usize,
        marks in 1..5usize,
        rate in 0..60u64,
    ) {
        let memory = MemoryObjects::new();
        let count = std::sync::atomic::AtomicU64::new(seed);
        memory.set_faults(move |_, _| {
            // A linear congruential generator is random enough to choose what fails.
            let next = |n: u64| Some(n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
            let order = std::sync::atomic::Ordering::SeqCst;
            let drawn = count.fetch_update(order, order, next).unwrap() >> 33;
            let fault = [Fault::Refuse, Fault::Stall, Fault::DropResponse][drawn as usize % 3];
            (drawn / 3 % 100 < rate / 4).then_some(fault)
        });
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build();
        runtime.unwrap().block_on(marks_stand_once(Arc::new(memory), writers, marks));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_update_is_lost_or_doubled_on_minio() {
    marks_stand_once(store::buckets().await.truth, 12, 4).await;
}

/// A limit decided in `decide` holds whatever races: at most five failed attempts, then no more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_on_events_holds_under_races() {
    let ledger = ledger_on(store::buckets().await.truth);
    let attempts = (0..WRITERS).map(|n| {
        let ledger = ledger.clone();
        tokio::spawn(async move {
            let decide = |history: &History<IntentEvent>| {
                if history.events.len() >= 5 {
                    return Err(probity_platform::Error::too_many("attempts"));
                }
                Ok(Some(failed(&format!("192.0.2.{n}"))))
            };
            ledger
                .update("limited", "role:test", "race", decide)
                .await
                .map(drop)
        })
    });
    let outcomes: Vec<_> = futures::future::join_all(attempts)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert_eq!(outcomes.iter().filter(|o| o.is_ok()).count(), 5);
    let refused = |e: &probity_platform::Error| e.kind == ErrorKind::TooMany;
    assert!(
        outcomes
            .iter()
            .filter_map(|o| o.as_ref().err())
            .all(refused)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_are_listed_from_the_store() {
    let ledger = ledger_on(store::buckets().await.truth);
    for id in ["a", "a-b", "b"] {
        let decide = |_: &History<IntentEvent>| Ok(Some(failed("192.0.2.1")));
        ledger
            .update(id, "role:test", "test", decide)
            .await
            .unwrap();
    }
    let all = ledger.ids::<IntentEvent>(None, 10).await.unwrap();
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), 3);
    let after = ledger.ids::<IntentEvent>(Some(&all[0]), 10).await.unwrap();
    assert_eq!(after, all[1..]);
}
