//! Formats against judges we did not write, and vectors made by others.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on must stop"
)]

mod agility;
mod artifacts;
mod asic;
mod conformance;
mod envelope;
mod fixture;
mod long_term;
mod negative;
mod openssl;
mod path;
mod signers;
mod tlog;
mod tsp_requests;
mod tsp_vectors;
mod wycheproof;
