//! The verifier against whole packages: good, altered, forged and hostile ones.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on must stop"
)]

mod artifacts;
mod fixture;
mod forged;
mod hostile;
mod large;
mod mutation;
mod output;
mod valid;
