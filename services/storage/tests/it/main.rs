#![expect(clippy::unwrap_used, reason = "tests")]

mod audit;
mod crash;
mod log;
mod pipeline;
mod pki;
mod reconcile;
mod scrub;
mod world;
