//! delivery: evidence on its way to courts, and their receipts.
//!
//! | | |
//! |---|---|
//! | does | recipient profiles; packages, sealed and encrypted for one court; pushing them, holding them for pull; receipts |
//! | wakes on | `delivery.due`, `evidence.deposited`; its agenda; requests of vendors and courts |
//! | needs | ledger (recipients, deliveries), submissions and blobs in `truth`, packages in `work` |
//! | makes | ledger `delivery/<id>`, `read/<id>_<read>`, `recipient/<id>`; `deliveries/by-recipient/…`, `deliveries/by-case/…`, `deliveries/late/…`; `work` `packages/…` |
//! | asks | storage for the log's proof and for its attestation, timestamping for the seal's time-stamp |
//! | holds | the delivery seal's key |
//! | refuses when | the evidence is another tenant's, the profile's certificates are not good, the address is private, the read names no legal basis, the receipt does not hold |
//!
//! One delivery reads: [`request`](courier::Courier::request) → `take` → [`deliver`](courier::Courier::deliver)
//! (prove, seal, encrypt, push) → answer or fetch → [`acknowledge`](courier::Courier::acknowledge). A 2xx is entry
//! into the recipient's system; only what its certificate signed is a receipt.
//!
//! Pulling needs the store alone. NATS only shares the work between processes: what is due is found again in the
//! orders and the ledger. A court that hangs holds its own few places and nobody else's.

pub mod acknowledge;
pub mod agenda;
pub mod answer;
mod answered;
pub mod assemble;
mod checked;
mod config;
pub mod courier;
pub mod court;
pub mod deliver;
pub mod delivery;
mod download;
pub mod endpoint;
mod error;
pub mod fetch;
mod grpc;
pub mod http;
mod made;
mod openapi;
pub mod orders;
pub mod package;
pub mod page;
pub mod ports;
mod prepare;
mod push;
mod range;
pub mod read;
pub mod receipt;
pub mod recipient;
mod request;
pub mod rescan;
mod schedule;
pub mod seal;
mod serve;
mod submitter;

pub use config::Config;
pub use push::HttpsPush;
pub use serve::serve;
