#![expect(clippy::unwrap_used, reason = "tests")]

mod attest;
mod audit;
mod audit_shared;
mod copies;
mod crash;
mod crowded;
mod custody;
mod forged;
mod log;
mod pipeline;
mod pki;
mod reconcile;
mod scrub;
mod stubborn;
mod tiles;
mod trail;
mod world;
