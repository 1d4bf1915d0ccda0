//! The role over a real nats-server.

mod early;
