//! The store port's conformance suite: every promise of [`Objects`], to be run on any store.

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, future, stream};
use probity_platform::objects::{ByteStream, Created, Object, Objects, Swapped, Version};
use probity_platform::{Error, ErrorKind};

pub type Store = Arc<dyn Objects>;

pub async fn conforms(store: Store) {
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

pub async fn creates_once(store: &Store) {
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
        ErrorKind::Malformed
    );
    assert_eq!(store.head("g/1").await.unwrap(), Some(6));
    assert!(store.get("g/none", 5).await.unwrap().is_none());
    assert_eq!(store.head("g/none").await.unwrap(), None);
}

async fn streams_out(store: &Store) {
    let bytes = pattern(300_000, 1);
    store.put("o/1", bytes.clone()).await.unwrap();
    for start in [0, 1, 299_999, 300_000, 400_000] {
        for end in [0, 1, 150_000, 299_999, 300_000, u64::MAX] {
            let (size, body) = store.get_range("o/1", start..end).await.unwrap().unwrap();
            assert_eq!(size, 300_000);
            let end_here = usize::try_from(end.min(300_000)).unwrap();
            let start_here = usize::try_from(start).unwrap().min(end_here);
            let wanted = &bytes[start_here..end_here];
            assert_eq!(drain(body).await, wanted, "{start} to {end}");
        }
    }
    assert!(store.get_streamed("o/none").await.unwrap().is_none());
}

pub async fn streams_in(store: &Store) {
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
    let many: Vec<_> = (0..25).map(|n| format!("lp/{n:02}")).collect();
    let puts = many.iter().map(|key| store.put(key, Bytes::new()));
    future::try_join_all(puts).await.unwrap();
    let mut paged: Vec<String> = Vec::new();
    loop {
        let page = list("lp/", paged.last().map(String::as_str), 7).await;
        paged.extend(page.iter().map(|(key, _)| key.clone()));
        if page.len() < 7 {
            break;
        }
    }
    assert_eq!(paged, many);
}

async fn removes(store: &Store) {
    store.put("r/1", Bytes::from_static(b"1")).await.unwrap();
    store.remove("r/1").await.unwrap();
    store.remove("r/1").await.unwrap();
    assert!(read(store, "r/1").await.is_none());
    if store.keeping().await.unwrap().versions {
        // Nothing is removed there but by its keeper; stores differ in whether a removed name is free again.
        return;
    }
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

pub async fn one_create_wins(store: &Store, key: &str, writers: usize) {
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

pub async fn read(store: &Store, key: &str) -> Option<Object> {
    store.get(key, 64 << 20).await.unwrap()
}

/// Bytes that differ from place to place and seed to seed.
pub fn pattern(length: usize, seed: usize) -> Bytes {
    (0..length)
        .map(|i| (i / 251 + i * 7 + seed * 13) as u8)
        .collect::<Vec<u8>>()
        .into()
}

/// In pieces of an awkward size.
pub fn pieces(bytes: &Bytes) -> ByteStream {
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
