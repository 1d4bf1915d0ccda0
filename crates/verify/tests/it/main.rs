//! The verifier against whole packages: good, altered, forged and hostile ones.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on must stop"
)]

mod artifacts;
mod asn1;
mod authorities;
mod beside;
mod crafted;
mod decoders;
mod diagnostic;
mod fixture;
mod forged;
mod formats;
mod found;
mod fuzz;
mod golden;
mod hostile;
mod layout;
mod malleable;
mod matrix;
mod mutation;
mod output;
mod policy;
mod region;
mod responders;
mod schema;
mod spelling;
mod status;
mod storage;
mod tlv;
mod valid;
mod years;
