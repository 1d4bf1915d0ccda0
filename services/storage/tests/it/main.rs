#![expect(clippy::unwrap_used, reason = "tests")]

mod audit;
mod log;
mod pipeline;
mod pki;
mod scrub;
mod world;
