#![expect(clippy::unwrap_used, reason = "tests")]

mod audit;
mod log;
mod pipeline;
mod pki;
mod world;
