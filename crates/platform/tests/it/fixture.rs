//! A context on a NATS of the test's own.

use std::sync::Arc;

use probity_platform::SystemClock;
use probity_platform::bus::{Bus, BusConfig};
use probity_platform::cache::Cache;
use probity_platform::objects::{Buckets, MemoryObjects};
use probity_platform::startup::Context;
use probity_testkit::World;

/// A NATS that the test may kill and empty.
pub async fn nats() -> World {
    World::builder().nats().start().await
}

pub async fn bus(world: &World, role: &str) -> Bus {
    Bus::connect(&BusConfig::plain(world.nats_url()), role)
        .await
        .unwrap()
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
