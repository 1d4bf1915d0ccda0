//! The role over its router and its gRPC service, on the object store in memory.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod grpc;
mod pressure;
mod reading;
mod removing;
mod reserving;
mod submitter;
mod submitting;
mod uploading;
mod wire;
mod world;
