#![expect(clippy::unwrap_used, reason = "tests")]

mod log;
mod pipeline;
mod pki;
mod world;
