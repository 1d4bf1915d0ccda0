//! The cache on a real Redis, and without it.

use probity_domain::{EvidenceId, SubmissionId, Timestamp};
use probity_platform::ErrorKind;
use probity_platform::cache::{Cache, RedisConfig};
use probity_platform::metrics::Metrics;
use probity_testkit::{World, unique_prefix, wait_until};

use crate::fixture::PATIENCE;

fn config(world: &World) -> RedisConfig {
    RedisConfig {
        url: world.redis_url(),
        username: None,
        password_file: None,
        key_prefix: format!("{}:", unique_prefix()),
    }
}

/// Not as impatient as a role's: a machine may be busy.
fn cache_on(world: &World) -> Cache {
    let config = config(world);
    Cache::for_tests(&config).unwrap()
}

#[tokio::test]
async fn remembers_and_forgets() {
    let world = World::shared().await;
    let (cache, other) = (cache_on(world), cache_on(world));
    cache.ping().await.unwrap();
    assert_eq!(cache.get("a").await.unwrap(), None);
    cache.set("a", b"\x00\xff", None).await.unwrap();
    assert_eq!(cache.get("a").await.unwrap().unwrap(), b"\x00\xff");
    assert_eq!(other.get("a").await.unwrap(), None);
    cache.del("a").await.unwrap();
    cache.del("a").await.unwrap();
    assert_eq!(cache.get("a").await.unwrap(), None);
    cache.set("short", b"1", Some(50)).await.unwrap();
    wait_until("a value to expire", PATIENCE, async || {
        cache.get("short").await.unwrap().is_none()
    })
    .await;
    let many: Vec<_> = (0..2_500)
        .map(|n| (format!("m{n}"), vec![1, 2, 3]))
        .collect();
    cache.mset(&many).await.unwrap();
    assert_eq!(cache.get("m2499").await.unwrap().unwrap(), [1, 2, 3]);
}

#[tokio::test]
async fn indexes_evidence() {
    let cache = cache_on(World::shared().await);
    let at = Timestamp::from_unix_ms(1_795_000_000_000);
    let number = |s: u8, item| EvidenceId {
        submission: SubmissionId::new(at, [s; 10]),
        item,
    };
    let entries: Vec<_> = (0..2_500)
        .map(|n| (number(1, n), u64::from(n) + 7))
        .collect();
    cache.index_put(&entries).await.unwrap();
    cache
        .index_put(&[(number(2, 0), u64::MAX / 2)])
        .await
        .unwrap();
    let asked = [number(1, 2_499), number(3, 0), number(2, 0), number(1, 0)];
    let found = cache.index_get(&asked).await.unwrap();
    assert_eq!(found, [Some(2_506), None, Some(u64::MAX / 2), Some(7)]);
    let all: Vec<_> = entries.iter().map(|(id, _)| *id).collect();
    assert_eq!(
        cache
            .index_get(&all)
            .await
            .unwrap()
            .iter()
            .flatten()
            .count(),
        2_500
    );
    assert_eq!(cache.index_get(&[]).await.unwrap(), []);
}

#[tokio::test]
async fn comes_back_by_itself_and_never_blocks() {
    let world = World::builder().redis().start().await;
    let cache = Cache::new(&config(&world)).unwrap();
    let back = async || {
        wait_until("redis", PATIENCE, async || cache.ping().await.is_ok()).await;
    };
    back().await;
    for stopped in [true, false] {
        if stopped {
            world.stop_redis().await;
        } else {
            world.freeze_redis().await;
        }
        for _ in 0..3 {
            let asked = tokio::time::timeout(PATIENCE, cache.get("a")).await;
            let error = asked.expect("it never blocks").unwrap_err();
            assert_eq!(error.kind, ErrorKind::Unavailable);
        }
        if stopped {
            world.start_redis().await;
        } else {
            world.thaw_redis().await;
        }
        back().await;
    }
}

#[tokio::test]
async fn a_full_redis_refuses_and_that_is_said() {
    let world = World::builder().redis().start().await;
    let metrics = Metrics::new();
    let cache = cache_on(&world).counting_into(&metrics);
    cache.set("before", b"1", None).await.unwrap();
    world.limit_redis(1).await;
    let refused = cache.set("after", b"1", Some(1_000)).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Unavailable);
    assert!(refused.detail.contains("redis is full"), "{refused}");
    let many: Vec<_> = (0..3).map(|n| (format!("m{n}"), vec![1])).collect();
    let refused = cache.mset(&many).await.unwrap_err();
    assert!(refused.detail.contains("redis is full"), "{refused}");
    let text = metrics.encode().unwrap();
    assert!(
        text.contains("probity_cache_failed_total{reason=\"full\"} 2"),
        "{text}"
    );
    // Nothing is evicted, reading goes on, and so does writing once there is room.
    assert_eq!(cache.get("before").await.unwrap().unwrap(), b"1");
    world.limit_redis(0).await;
    cache.mset(&many).await.unwrap();
}
