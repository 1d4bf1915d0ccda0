//! The log's tiles as they are served: those that the published tree has, whatever else lies under their keys.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use http::header::CACHE_CONTROL;
use http::{Request, StatusCode};
use probity_pki::tlog::leaf_hash;
use probity_platform::SystemRandom;
use probity_platform::access::Access;
use probity_platform::clock::ManualClock;
use probity_platform::ledger::Ledger;
use probity_platform::objects::Objects as _;
use probity_storage::log::Log;
use probity_storage::router;
use tower::ServiceExt as _;

use crate::log::{Store, entries};
use crate::pki::NOW;

const HASH_BYTES: usize = 32;

struct Served(Router);

impl Served {
    fn of(store: &Store, log: Arc<Log>) -> Self {
        let (clock, random) = (Arc::new(ManualClock::at(NOW)), Arc::new(SystemRandom));
        let ledger = Ledger::new(store.truth.clone(), clock.clone(), random.clone());
        Self(router(log, Access::new(ledger, clock, random)))
    }

    /// Status, what caches are told, and the body.
    async fn get(&self, tile: &str) -> (StatusCode, String, Bytes) {
        let request = Request::get(format!("/tile/{tile}"));
        let request = request.body(Body::empty()).unwrap();
        let response = self.0.clone().oneshot(request).await.unwrap();
        let (status, caching) = (response.status(), &response.headers()[CACHE_CONTROL]);
        let caching = caching.to_str().unwrap().to_owned();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, caching, body)
    }

    async fn hashes(&self, tile: &str) -> Vec<u8> {
        let (status, caching, body) = self.get(tile).await;
        assert_eq!(status, StatusCode::OK, "{tile}");
        assert_eq!(caching, "public, max-age=31536000, immutable", "{tile}");
        body.to_vec()
    }

    async fn refuses(&self, tile: &str, expected: StatusCode) {
        let (status, caching, _) = self.get(tile).await;
        assert_eq!((status, caching.as_str()), (expected, "no-store"), "{tile}");
    }
}

/// Level 0 of the tree of [`entries`].
fn leaves(items: core::ops::Range<u32>) -> Vec<u8> {
    let entries = entries(1, items);
    let hashes = entries.iter().flat_map(|entry| leaf_hash(&entry.bytes).0);
    hashes.collect()
}

/// Published with 200 entries and with 300.
async fn published_twice() -> (Store, Served) {
    let store = Store::new();
    let (mut writer, log) = store.writer_and_log();
    for items in [0..200, 200..300] {
        writer.commit(&entries(1, items)).await.unwrap();
    }
    let served = Served::of(&store, log);
    (store, served)
}

#[tokio::test]
async fn tiles_planted_ahead_of_the_log_are_not_the_logs() {
    let (store, served) = published_twice().await;
    let planted = [
        // A tree of 300 has none of these yet.
        ("0/001", 256),
        ("0/001.p/45", 45),
        ("0/002", 256),
        ("0/x001/000", 256),
        ("1/000", 256),
        ("1/000.p/2", 2),
        ("1/001.p/1", 1),
        ("2/000.p/1", 1),
        ("63/000", 256),
    ];
    // No tree ever had these sizes: what lies there is not read.
    let between = [("0/000.p/7", 7), ("0/001.p/3", 3)];
    for (tile, width) in planted.into_iter().chain(between) {
        let junk = vec![0xee; width * HASH_BYTES];
        let key = format!("log/tile/{tile}");
        store.truth.put(&key, junk.into()).await.unwrap();
    }
    for (tile, _) in planted {
        served.refuses(tile, StatusCode::NOT_FOUND).await;
    }
    for unwritten in ["64/000", "00/000", "0/000.p/256", "0/000.p/0", "0/0"] {
        served.refuses(unwritten, StatusCode::NOT_FOUND).await;
    }
    for (tile, items) in [
        ("0/000", 0..256),
        ("0/001.p/44", 256..300),
        // Of the checkpoint before, and of trees between.
        ("0/000.p/200", 0..200),
        ("0/000.p/7", 0..7),
        ("0/001.p/3", 256..259),
    ] {
        assert_eq!(served.hashes(tile).await, leaves(items), "{tile}");
    }
    let stored = store.truth.get("log/tile/1/000.p/1", 32).await.unwrap();
    let stored = stored.unwrap().bytes;
    assert_eq!(served.hashes("1/000.p/1").await, stored.to_vec());
}

#[tokio::test]
async fn what_has_not_a_tiles_length_is_not_served() {
    let (store, served) = published_twice().await;
    for (tile, length) in [
        ("0/001.p/44", 43 * HASH_BYTES),
        ("0/001.p/44", 45 * HASH_BYTES),
        ("0/001.p/44", 44 * HASH_BYTES - 1),
        ("0/000", 0),
        ("0/000", 257 * HASH_BYTES),
    ] {
        let key = format!("log/tile/{tile}");
        let right = store.truth.get(&key, 1 << 20).await.unwrap().unwrap().bytes;
        let wrong = vec![0xee; length];
        store.truth.put(&key, wrong.into()).await.unwrap();
        served
            .refuses(tile, StatusCode::INTERNAL_SERVER_ERROR)
            .await;
        store.truth.put(&key, right).await.unwrap();
        served.hashes(tile).await;
    }
    store.truth.forget("log/tile/0/000");
    for tile in ["0/000", "0/000.p/200"] {
        served
            .refuses(tile, StatusCode::INTERNAL_SERVER_ERROR)
            .await;
    }
}

/// A process that stands by is asked for what another has just published.
#[tokio::test]
async fn what_another_process_publishes_is_served_at_once() {
    let store = Store::new();
    let mut writer = store.writer();
    writer.commit(&entries(1, 0..300)).await.unwrap();
    let log = store.log();
    log.refresh().await.unwrap();
    let served = Served::of(&store, log);
    served.refuses("0/001.p/45", StatusCode::NOT_FOUND).await;
    writer.commit(&entries(1, 300..301)).await.unwrap();
    assert_eq!(served.hashes("0/001.p/45").await, leaves(256..301));
}
