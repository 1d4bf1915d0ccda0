#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod tidy;
mod world;
