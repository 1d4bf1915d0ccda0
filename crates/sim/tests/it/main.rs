//! A deterministic simulation of the evidence path. `simulation.rs` is where to begin.
#![expect(clippy::unwrap_used, reason = "tests")]

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
