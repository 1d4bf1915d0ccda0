//! Writers that die or fall asleep at any point, and heads that come back: one history, and always the same bytes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use probity_platform::ErrorKind;
use probity_platform::objects::{Fault, Objects as _, Verb};

use crate::log::{SHAPES, Store, entries};

/// Everything in `truth`.
async fn published(store: &Store) -> BTreeMap<String, Bytes> {
    let mut objects = BTreeMap::new();
    for listed in store.truth.list("", None, 1_000).await.unwrap() {
        let object = store.truth.get(&listed.key, 1 << 24).await.unwrap();
        objects.insert(listed.key, object.unwrap().bytes);
    }
    objects
}

/// Whatever operation a writer dies at, read or write, done or not: the next one publishes what it would have.
#[tokio::test]
async fn death_at_any_operation_leaves_the_same_bytes() {
    for (before, after) in SHAPES {
        let undisturbed = Store::new();
        for (from, to) in [(0, before), (before, after)] {
            undisturbed
                .writer()
                .commit(&entries(1, from..to))
                .await
                .unwrap();
        }
        let expected = published(&undisturbed).await;
        for fault in [Fault::Refuse, Fault::DropResponse] {
            for n in 0.. {
                let store = Store::new();
                store.writer().commit(&entries(1, 0..before)).await.unwrap();
                let operations = Arc::new(AtomicUsize::new(0));
                for bucket in [&store.truth, &store.work] {
                    let operations = operations.clone();
                    bucket.set_faults(move |_, _| {
                        let count = operations.fetch_add(1, Ordering::SeqCst);
                        (count >= n).then_some(if count == n { fault } else { Fault::Stall })
                    });
                }
                let died = store.writer().commit(&entries(1, before..after)).await;
                store.revive();
                if died.is_ok() && operations.load(Ordering::SeqCst) <= n {
                    break;
                }
                store
                    .writer()
                    .commit(&entries(1, before..after))
                    .await
                    .unwrap();
                assert_eq!(
                    published(&store).await,
                    expected,
                    "{before}..{after} at {n}"
                );
                assert_eq!(store.audit().await.len(), after as usize);
            }
        }
    }
}

/// A writer that is stopped for a while, at the swap of the head or right after it, while another takes its place.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_writer_that_slept_through_another_s_commits_cannot_fork() {
    for asleep_at in [
        (Verb::Swap, "log/head"),
        (Verb::Create, "log/segments/000000000010"),
    ] {
        let store = Store::new();
        let mut sleeper = store.writer();
        sleeper.commit(&entries(1, 0..10)).await.unwrap();
        let (asleep, fell_asleep) = std::sync::mpsc::channel();
        let (wake, woken) = std::sync::mpsc::channel::<()>();
        let woken = std::sync::Mutex::new(Some(woken));
        let hooked = match asleep_at.0 {
            Verb::Swap => &store.work,
            _ => &store.truth,
        };
        hooked.set_faults(move |verb, key| {
            // The lock is not held while it sleeps: the other writer passes here as well.
            let first = ((verb, key) == asleep_at).then(|| woken.lock().unwrap().take());
            if let Some(woken) = first.flatten() {
                asleep.send(()).unwrap();
                woken.recv().unwrap();
            }
            None
        });
        let sleeping = tokio::spawn(async move {
            let slept = sleeper.commit(&entries(1, 10..20)).await;
            (sleeper, slept)
        });
        fell_asleep.recv().unwrap();
        let mut other = store.writer();
        other.commit(&entries(2, 0..300)).await.unwrap();
        wake.send(()).unwrap();
        let (mut sleeper, slept) = sleeping.await.unwrap();
        // Before its swap it has lost; after it, the other has published its commit for it, and so does it again.
        match asleep_at.0 {
            Verb::Swap => assert_eq!(slept.unwrap_err().kind, ErrorKind::Conflict),
            _ => assert_eq!(slept.unwrap().placed, (10..20).collect::<Vec<_>>()),
        }
        for _ in 0..2 {
            sleeper.commit(&entries(1, 10..20)).await.ok();
        }
        other.commit(&entries(1, 10..21)).await.ok();
        other.commit(&entries(1, 10..21)).await.unwrap();
        assert_eq!(store.audit().await.len(), 321);
    }
}

/// The head's older copy comes back while a writer still remembers it, and while nobody does.
#[tokio::test]
async fn an_old_copy_of_the_head_is_not_built_upon_nor_read() {
    // Fewer entries than the log has gained since, more of them, and so many that they would fill the bundle.
    for more in [4, 15, 300] {
        let store = Store::new();
        let mut sleeper = store.writer();
        sleeper.commit(&entries(1, 0..10)).await.unwrap();
        let old = store.work.get("log/head", 1 << 20).await.unwrap().unwrap();
        store.writer().commit(&entries(1, 10..20)).await.unwrap();
        store.work.put("log/head", old.bytes.clone()).await.unwrap();
        // Who begins to read now sees the newest checkpoint all the same.
        assert_eq!(store.audit().await.len(), 20);
        let refused = sleeper.commit(&entries(3, 0..more)).await.unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Conflict, "{refused}");
        sleeper.commit(&entries(3, 0..more)).await.unwrap();
        assert_eq!(store.audit().await.len(), 20 + more as usize);
    }
    // A head that was built upon an old copy, by whatever did not look.
    let store = Store::new();
    store.writer().commit(&entries(1, 0..10)).await.unwrap();
    let old = store.work.get("log/head", 1 << 20).await.unwrap().unwrap();
    store.writer().commit(&entries(1, 10..20)).await.unwrap();
    let fork = Store::new();
    fork.writer().commit(&entries(1, 0..10)).await.unwrap();
    fork.writer().commit(&entries(3, 0..15)).await.unwrap();
    let built = fork.work.get("log/head", 1 << 20).await.unwrap().unwrap();
    let text = |bytes: &Bytes| serde_json::from_slice::<serde_json::Value>(bytes).unwrap();
    assert_eq!(
        text(&built.bytes)["previous_size"],
        text(&old.bytes)["size"]
    );
    store.work.put("log/head", built.bytes).await.unwrap();
    store.writer().commit(&entries(1, 20..25)).await.unwrap();
    assert_eq!(store.audit().await.len(), 25);
}
