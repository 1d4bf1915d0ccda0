//! The role over its router, on the object store in memory.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod enrolment;
mod intents;
mod wire;
mod world;
