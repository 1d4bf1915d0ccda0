#![expect(clippy::unwrap_used, reason = "tests")]

mod audit;
mod crash;
mod custody;
mod log;
mod pipeline;
mod pki;
mod reconcile;
mod scrub;
mod world;
