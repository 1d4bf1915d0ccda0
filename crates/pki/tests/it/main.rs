//! Formats against judges we did not write, and vectors made by others.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must stop")]

mod fixture;
mod negative;
mod openssl;
mod path;
mod tsp_vectors;
