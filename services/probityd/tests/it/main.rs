//! The whole platform as its users meet it: real processes over real servers.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends with the first thing that is not as it should be"
)]

mod config;
mod end_to_end;
mod faults;
mod grpc;
mod large;
mod platform;
mod process;
mod quarantine;
mod traces;
