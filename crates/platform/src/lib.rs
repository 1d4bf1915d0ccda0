//! The platform every role stands on, and the only crate that names NATS, S3, Redis, OpenTelemetry, axum and tonic.
//!
//! | module | what it is |
//! |---|---|
//! | [`objects`] | the store port: create-only, swap, streamed reads and writes; S3, and memory for tests |
//! | [`ledger`] | registries as event streams on create-only keys |
//! | [`bus`] | hints over JetStream, questions over request/reply |
//! | [`stage`] | what wakes a stage, acks, retries, parks, traces and measures it, written once |
//! | [`cache`] | Redis: what is cheap to forget |
//! | [`keys`] | key material in files |
//! | [`secret`] | text that never prints itself |
//! | [`access`] | credentials at the edges, checked against the ledger |
//! | [`edge`] | HTTP and gRPC servers, problem documents |
//! | [`startup`] | one start-up for all roles: config, telemetry, connections, drain |

pub mod access;
pub mod bus;
pub mod cache;
pub mod clock;
pub mod config;
pub mod edge;
pub mod error;
pub mod keys;
pub mod ledger;
pub mod metrics;
pub mod objects;
pub mod quarantine;
pub mod random;
pub mod secret;
pub mod stage;
pub mod startup;
pub mod telemetry;

pub use clock::{Clock, SystemClock};
pub use error::{Error, ErrorKind, Result};
pub use random::{Random, SystemRandom};
