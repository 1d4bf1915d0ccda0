//! A context on a NATS of the test's own.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream;
use probity_platform::SystemClock;
use probity_platform::bus::{Bus, BusConfig};
use probity_platform::cache::Cache;
use probity_platform::objects::{Buckets, MemoryObjects};
use probity_platform::startup::Context;
use probity_testkit::{World, eventually, wait_until};

/// For what a server does in an instant: a machine that is busy elsewhere may take its time.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A NATS that the test may kill and empty.
pub async fn nats() -> World {
    World::builder().nats().start().await
}

/// Connected.
pub async fn bus(world: &World, role: &str) -> Bus {
    let bus = Bus::connect(&BusConfig::plain(world.nats_url()), role)
        .await
        .unwrap();
    wait_until("the bus", PATIENCE, async || bus.is_connected()).await;
    bus
}

/// A client that is not the platform's.
pub async fn jetstream(world: &World) -> jetstream::Context {
    let client = eventually("NATS to let a test in", PATIENCE, async || {
        async_nats::connect(world.nats_url()).await.ok()
    });
    jetstream::context::ContextBuilder::new()
        .timeout(PATIENCE)
        .ack_timeout(PATIENCE)
        .build(client.await)
}

/// A context whose store is memory and whose cache is none.
pub async fn context(world: &World, role: &str) -> Context {
    let memory = || Arc::new(MemoryObjects::new());
    let buckets = Buckets {
        truth: memory(),
        work: memory(),
    };
    Context::for_tests(
        buckets,
        bus(world, role).await,
        Cache::disabled(),
        Arc::new(SystemClock),
    )
}
