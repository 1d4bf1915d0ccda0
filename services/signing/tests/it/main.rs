//! The role over a real nats-server.
#![expect(clippy::unwrap_used, reason = "tests")]

mod early;
