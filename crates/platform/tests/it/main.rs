//! The platform against the real world: one executable, so that the world is linked once.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail by panicking"
)]

mod bus;
mod cache;
#[path = "../../../pki/tests/it/conformance.rs"]
mod conformance;
mod corrupt;
mod edge;
mod fixture;
mod keeping;
mod ledger;
mod listing;
mod objects;
mod permissions;
mod pkcs11;
mod poison;
mod port;
mod probe;
mod queue;
mod retries;
mod stage;
mod standstill;
mod store;
mod telemetry;
mod validity;
