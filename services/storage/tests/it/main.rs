#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod log;
mod pipeline;
mod pki;
mod world;
