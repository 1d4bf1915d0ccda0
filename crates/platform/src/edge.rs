//! The edges: HTTP and gRPC servers with their bounds, and how failures look outside.

mod admission;
mod body;
mod grpc;
mod layers;
pub(crate) mod ops;
mod problem;
mod pulse;
mod quota;
mod server;

pub use admission::{Held, Room};
pub use body::Json;
pub use grpc::{announced, for_known_callers, serve_grpc_on};
pub use ops::Readiness;
pub use problem::Problem;
pub use quota::Quota;
pub use server::{listen, serve_http_on};

use std::time::Duration;

/// Bounds of one listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest body an extractor takes. Routes that stream raise it with
    /// `axum::extract::DefaultBodyLimit`.
    pub body_bytes_max: usize,
    /// Longest time without a byte of the request's body arriving before the head of the response.
    /// So an upload may take hours, but neither its sender nor its handler may stand still.
    pub answer_time_max: Duration,
    /// A request's body that comes more slowly, on the whole, counts as one that does not come: a byte now and then does
    /// not keep a place.
    pub body_bytes_per_second_min: u32,
    /// Longest time without anything of a response being taken: then its connection is closed, or its stream reset.
    pub stall_max: Duration,
    /// Requests answered at once; more are refused with 503 and `Retry-After`.
    pub requests_at_once_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes_max: 1024 * 1024,
            answer_time_max: Duration::from_secs(30),
            body_bytes_per_second_min: 4 * 1024,
            stall_max: Duration::from_secs(60),
            requests_at_once_max: 512,
        }
    }
}

impl Limits {
    /// How long after a request's head so much of its body may come.
    fn body_time_max(&self, bytes: u64) -> Duration {
        let rate = u64::from(self.body_bytes_per_second_min.max(1));
        self.answer_time_max + Duration::from_millis(bytes.saturating_mul(1_000) / rate)
    }
}

/// How long open connections may go on at shutdown.
const DRAIN: Duration = Duration::from_secs(25);
