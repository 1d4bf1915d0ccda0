//! Delivery as its callers meet it: on stores in memory (over gRPC, and in parts, on a real one), with a whole infrastructure of keys, and a court that does
//! what it likes.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

/// Evidence, its signatures and its log, as the verifier's own tests make them.
#[expect(
    dead_code,
    reason = "made for the verifier's tests; these need a part of it"
)]
#[path = "../../../../crates/verify/tests/it/fixture.rs"]
mod fixture;

mod court;
mod gone;
mod grpc;
mod package;
mod parallel;
mod parts;
mod profiles;
mod pull;
mod push;
mod receipts;
mod requests;
mod rescan;
mod schedule;
mod seal;
mod tls;
mod world;
