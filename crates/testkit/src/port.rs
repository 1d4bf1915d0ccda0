//! Ports nobody listens on.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::{Ipv4Addr, TcpListener};

/// Below the range from which the kernel takes source ports (32,768 on Linux): a client that keeps
/// reconnecting to a stopped server could otherwise be given that very port and talk to itself.
const FIRST: u16 = 18_000;
const COUNT: u64 = 14_000;
const TRIES_MAX: usize = 200;

/// A TCP port on 127.0.0.1 that was free a moment ago.
///
/// # Panics
/// If 200 random ports are all taken.
#[must_use]
pub fn free_port() -> u16 {
    for _ in 0..TRIES_MAX {
        let offset = u16::try_from(random() % COUNT).unwrap_or_default();
        let port = FIRST + offset;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no free port among {TRIES_MAX} tried");
}

/// The standard library seeds its hash keys from the system; good enough for names and ports.
pub(crate) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
