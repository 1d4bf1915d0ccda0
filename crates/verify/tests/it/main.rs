//! The verifier against whole packages: good, altered, forged and hostile ones.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on must stop"
)]

mod decoders;
mod fixture;
mod forged;
mod formats;
mod found;
mod fuzz;
mod hostile;
mod large;
mod malleable;
mod matrix;
mod mutation;
mod output;
mod region;
mod spelling;
mod tlv;
mod valid;
