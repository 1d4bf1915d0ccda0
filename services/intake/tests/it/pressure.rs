//! When too much is under way: sent away at once, with nothing half done, and others are let in.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Body;
use http::{Method, StatusCode};
use probity_domain::TenantId;
use probity_intake::backlog::Backlog;
use probity_intake::neighbours::OverBus;
use probity_platform::ErrorKind;
use probity_platform::bus::{Bus, BusConfig};
use probity_platform::cache::{Cache, RedisConfig};
use probity_platform::objects::{Fault, Objects as _};
use probity_proto::v1::Submitted;
use probity_testkit::wait_until;
use serde_json::json;

use crate::world::{World, digest, instruction, item, request};

async fn prepared(world: &World, text: &str) -> (Vec<u8>, String) {
    let items = vec![item(vec![world.upload(text.as_bytes()).await])];
    let instruction = instruction("case", items);
    let intent = world.intent(&instruction).await;
    (instruction, intent)
}

/// The answer's status, problem and Retry-After.
async fn submit(world: &World, instruction: &[u8], key: &str, intent: &str) -> (u16, String, bool) {
    let request = request(Method::POST, "/v1/submissions", &world.vendor)
        .header("idempotency-key", key)
        .header("probity-intent", intent);
    let body = Body::from(instruction.to_vec());
    let (status, headers, bytes) = world.send(request.body(body).unwrap()).await;
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    (status.as_u16(), text, headers.contains_key("retry-after"))
}

#[tokio::test]
async fn an_instruction_that_comes_while_signing_is_behind_leaves_nothing() {
    let world = World::start().await;
    let (instruction, intent) = prepared(&world, "one").await;
    let keys = || async { world.truth.list("", None, 1_000).await.unwrap().len() };
    let before = keys().await;
    world.neighbours.behind.store(true, Ordering::SeqCst);
    let (status, problem, retry_after) = submit(&world, &instruction, "k", &intent).await;
    assert_eq!((status, retry_after), (503, true), "{problem}");
    assert!(
        problem.contains("urn:probity:problem:unavailable"),
        "{problem}"
    );
    assert_eq!(keys().await, before, "something was written");
    // Bytes are taken all the same, and the same instruction when there is room again.
    world.upload(b"two").await;
    world.neighbours.behind.store(false, Ordering::SeqCst);
    let (status, submitted, _) = submit(&world, &instruction, "k", &intent).await;
    assert_eq!(status, 200, "{submitted}");
}

#[tokio::test]
async fn without_the_store_nothing_is_taken_and_afterwards_all_is() {
    let world = World::start().await;
    let (instruction, intent) = prepared(&world, "one").await;
    world.truth.set_faults(|_, _| Some(Fault::Refuse));
    let (status, problem, retry_after) = submit(&world, &instruction, "k", &intent).await;
    assert_eq!((status, retry_after), (503, true), "{problem}");
    let announced = digest(b"two");
    assert_eq!(
        world.put(announced, b"two").await.0,
        StatusCode::SERVICE_UNAVAILABLE
    );
    world.truth.clear_faults();
    let submissions = || async {
        world
            .truth
            .list("submissions/", None, 9)
            .await
            .unwrap()
            .len()
    };
    assert_eq!(submissions().await, 0);
    let (status, submitted, _) = submit(&world, &instruction, "k", &intent).await;
    assert_eq!((status, submissions().await), (200, 1), "{submitted}");
}

/// For what a server does in an instant.
const PATIENCE: Duration = Duration::from_secs(60);

async fn connected(nats: &probity_testkit::World) -> Bus {
    let config = BusConfig::plain(nats.nats_url());
    let bus = Bus::connect(&config, "intake").await.unwrap();
    wait_until("the bus", PATIENCE, async || bus.is_connected()).await;
    bus
}

/// So many hints are known to wait.
async fn seen(backlog: &Backlog, hints: u64) {
    wait_until("the hints to be seen", PATIENCE, async || {
        backlog.queue().measure().await;
        let measured = backlog.queue().measured();
        measured.is_some_and(|measured| measured.messages == hints)
    })
    .await;
}

/// A real stream that nobody empties.
#[tokio::test]
async fn a_full_queue_reaches_the_edge_and_a_lost_bus_does_not() {
    let nats = probity_testkit::World::builder().nats().start().await;
    let bus = connected(&nats).await;
    let backlog = Arc::new(Backlog::new(bus.clone(), 1, 1));
    let neighbours = Arc::new(OverBus {
        bus,
        backlog: backlog.clone(),
    });
    let world = World::start_among(json!({}), Cache::disabled(), neighbours).await;
    let (first, first_intent) = prepared(&world, "one").await;
    let (second, second_intent) = prepared(&world, "two").await;
    let (status, submitted, _) = submit(&world, &first, "k1", &first_intent).await;
    assert_eq!(status, 200, "{submitted}");
    seen(&backlog, 1).await;
    let (status, problem, retry_after) = submit(&world, &second, "k2", &second_intent).await;
    assert_eq!((status, retry_after), (503, true), "{problem}");
    assert!(problem.contains("signing is behind"), "{problem}");
    nats.kill_nats().await;
    wait_until("the bus to be away", PATIENCE, async || {
        backlog.queue().measure().await;
        backlog.queue().check().is_ok()
    })
    .await;
    let (status, submitted, _) = submit(&world, &second, "k2", &second_intent).await;
    assert_eq!(status, 200, "{submitted}");
}

#[tokio::test]
async fn one_tenant_s_hints_do_not_use_up_the_queue() {
    let nats = probity_testkit::World::builder().nats().start().await;
    let bus = connected(&nats).await;
    // In captures; each hint means ten.
    let backlog = Backlog::new(bus, 50, 30);
    let [floods, other] = ["floods", "other"].map(|name| TenantId::parse(name).unwrap());
    let tell = |tenant: &TenantId, n: u32| {
        let hint = Submitted {
            tenant: tenant.to_string(),
            first_item: 5,
            last_item: 14,
            ..Default::default()
        };
        let (backlog, id) = (&backlog, format!("{tenant}-{n}"));
        async move {
            wait_until("NATS to take a hint", PATIENCE, async || {
                backlog.tell(&id, &hint).await.is_ok()
            })
            .await;
        }
    };
    for n in 0..3 {
        tell(&floods, n).await;
    }
    seen(&backlog, 3).await;
    assert_eq!(backlog.check(&floods).unwrap_err().kind, ErrorKind::TooMany);
    backlog.check(&other).unwrap();
    for n in 0..2 {
        tell(&other, n).await;
    }
    seen(&backlog, 5).await;
    assert_eq!(
        backlog.check(&other).unwrap_err().kind,
        ErrorKind::Unavailable
    );
}

#[tokio::test(start_paused = true)]
async fn one_tenant_s_uploads_do_not_use_up_the_store() {
    let world = World::start_with(json!({"store_writes_max": 4})).await;
    let turn = async |tenant: &TenantId| world.intake.write_place(tenant)?.turn().await;
    let [floods, other] = ["acme", "other"].map(|name| TenantId::parse(name).unwrap());
    let mut flood = Vec::new();
    while let Ok(turn) = turn(&floods).await {
        flood.push(turn);
    }
    assert_eq!(flood.len(), 3);
    let announced = digest(b"one");
    let (status, problem) = world.put(announced, b"one").await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS, "{problem}");
    turn(&other).await.unwrap();
    flood.clear();
    world.upload(b"one").await;
}

#[tokio::test(start_paused = true)]
async fn a_tenant_s_quota_of_uploads_is_all_it_has() {
    let world = World::start_with(json!({"uploads_per_second_max": 2})).await;
    // Five seconds' worth at once.
    for n in 0..10_u8 {
        world.upload(&[n]).await;
    }
    let late = digest(b"late");
    let (status, problem) = world.put(late, b"late").await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS, "{problem}");
    assert!(problem.to_string().contains("120 a minute"), "{problem}");
    assert!(world.truth.list("blobs/", None, 100).await.unwrap().len() == 10);
    let (status, again) = world.put(digest(&[0]), &[0]).await;
    assert_eq!(status, StatusCode::OK, "stored bytes cost nothing: {again}");
    tokio::time::advance(Duration::from_millis(500)).await;
    world.upload(b"late").await;
}

#[tokio::test(start_paused = true)]
async fn an_upload_without_a_turn_costs_no_quota() {
    let settings = json!({"store_writes_max": 4, "uploads_per_second_max": 1});
    let world = World::start_with(settings).await;
    for n in 0..4_u8 {
        world.upload(&[n]).await;
    }
    let acme = TenantId::parse("acme").unwrap();
    let mut flood = Vec::new();
    for _ in 0..3 {
        let place = world.intake.write_place(&acme).unwrap();
        flood.push(place.turn().await.unwrap());
    }
    // It counts as eight, of which ten seconds of waiting do not pay all.
    let large = vec![7; 8 << 20];
    let (status, problem) = world.put(digest(&large), &large).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS, "{problem}");
    assert!(problem.to_string().contains("of yours"), "{problem}");
    flood.clear();
    for n in 10..15_u8 {
        world.upload(&[n]).await;
    }
    let (status, problem) = world.put(digest(&[15]), &[15]).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS, "{problem}");
}

#[tokio::test]
async fn a_full_redis_costs_nobody_anything() {
    let redis = probity_testkit::World::builder().redis().start().await;
    redis.limit_redis(1).await;
    let cache = Cache::new(&RedisConfig {
        url: redis.redis_url(),
        username: None,
        password_file: None,
        key_prefix: String::new(),
    });
    let cache = cache.unwrap();
    assert!(cache.set("a", b"1", None).await.is_err(), "it is full");
    let world = World::start_among(
        json!({}),
        cache,
        Arc::new(crate::world::FakeNeighbours::default()),
    );
    let world = world.await;
    let numbers = world.deposit("case", "k", &["one", "two"]).await;
    assert_eq!(numbers.len(), 2);
    let (status, found) = world.get(&format!("/v1/evidence/{}", numbers[0])).await;
    assert_eq!(status, 200, "{found}");
}
