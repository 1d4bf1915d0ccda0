//! The verifier against whole packages: good, altered, forged and hostile ones.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on must stop"
)]

mod asn1;
mod beside;
mod crafted;
mod diagnostic;
mod fixture;
mod forged;
mod hostile;
mod layout;
mod mutation;
mod output;
mod policy;
mod valid;
mod years;
