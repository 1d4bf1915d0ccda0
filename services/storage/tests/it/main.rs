#![expect(clippy::unwrap_used, reason = "tests")]

mod custody;
mod log;
mod pipeline;
mod pki;
mod scrub;
mod world;
