//! Tokens for anybody, judged by OpenSSL; the clock, moved; the clock log, read.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on must stop"
)]

mod clock_log;
mod fixture;
mod http;
mod leap_day;
mod lease;
mod ntp_servers;
mod role;
mod wrong_clock;
