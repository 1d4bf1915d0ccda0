//! A deterministic simulation of the evidence path. `simulation.rs` is where to begin.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on must stop"
)]

mod audit;
mod bus;
mod chance;
mod clock;
mod golden;
mod nemesis;
mod pki;
mod processes;
mod roles;
mod run;
mod sim;
mod simulation;
mod store;
mod storing;
mod vendors;
