//! Role `intake`: takes evidence in, and from then on nothing may lose it.
//!
//! | | |
//! |---|---|
//! | does | stores artifacts while hashing them, accepts instructions of one to ten thousand captures, says where each stands, gives artifacts back |
//! | wakes on | HTTP and gRPC calls of vendors |
//! | needs | object storage alone; with NATS and Redis down it accepts and serves all the same, and says that states may be old |
//! | makes | `blobs/<tenant>/<sha3-256>`, `submissions/<hour>/<shard>/<id>`, ledger events of the kinds `instruction` and `intent` (used), hints `evidence.submitted` |
//! | asks | storage (`storage.locate`), when the index in Redis does not know |
//! | holds | no keys |
//! | refuses when | the party is not verified or has accepted no agreement (I4); the instruction has no confirmed intent of its own (I2); bytes are not what their digests say, empty or too large; an idempotency key comes back with another content (acceptance check 23); and, for a while, when too much is under way, of one tenant or of all ([`Room`](probity_platform::edge::Room), [`backlog`]), when bytes are being read again, and when an order removes them ([`removals`]) |
//!
//! One file per verb: [`upload`], [`submit`], [`status`], [`search`], [`fetch`]. What submit checks: [`instruction`]
//! (lines that answer for themselves), [`blobs`] (bytes that are really there, [`removals`] as well), `standing` and `intent` (who and with
//! what will), [`submitter`] (the submitter's own signature), `reserve` (the idempotency key).

pub mod backlog;
pub mod blobs;
pub mod fetch;
pub mod instruction;
pub mod neighbours;
pub mod removals;
pub mod search;
pub mod status;
pub mod submit;
pub mod submitter;
pub mod upload;
pub mod verified;

mod config;
mod grpc;
mod hours;
mod http;
mod intent;
mod lent;
mod openapi;
mod rereads;
mod reserve;
mod serve;
mod standing;
mod turns;

pub use config::Config;
pub use grpc::VendorEdge;
pub use http::router;
pub use openapi::openapi_json;
pub use serve::{Intake, Parts, serve};
