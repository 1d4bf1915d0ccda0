//! Starts the real world for tests: nats-server with JetStream, Redis and an S3 server.
//!
//! ```no_run
//! # async fn example() {
//! use probity_testkit::World;
//!
//! let world = World::shared().await; // one per test process: give each test its own prefixes
//! let nats = world.nats_url();
//! let bucket = format!("{}-truth", probity_testkit::unique_prefix());
//! # }
//! ```
//!
//! A test that stops or wipes a server starts a world of its own with [`World::builder`].
//! Servers listen on 127.0.0.1 only and die with the test process, however it ends.
//! Everything here panics when the world cannot be had: a test without it has nothing to say.

#![expect(clippy::panic, reason = "a harness fails its test by panicking")]

mod collector;
mod golden;
pub mod http_proxy;
mod nats;
mod port;
mod redis;
mod s3;
mod server;
mod tcp_proxy;
mod tools;
mod wait;
mod world;

pub use collector::{Collector, Span, SpanKey};
pub use golden::Golden;
pub use port::free_port;
pub use s3::{S3Access, unique_prefix};
pub use tcp_proxy::{Line, TcpProxy};
pub use tools::tool;
pub use wait::{eventually, wait_until};
pub use world::{World, WorldBuilder};
