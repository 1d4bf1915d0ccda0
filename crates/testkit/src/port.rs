//! Ports nobody listens on.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Mutex, PoisonError};

/// Below the range from which the kernel takes source ports (32,768 on Linux): a client that keeps
/// reconnecting to a stopped server could otherwise be given that very port and talk to itself.
const FIRST: u16 = 18_000;
const COUNT: u64 = 14_000;
const TRIES_MAX: usize = 200;

/// Whoever listens here on a port's number has the port given out to it, whether it is bound yet, or stopped just now.
const RESERVED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// Until this process ends.
static GIVEN_OUT: Mutex<Vec<TcpListener>> = Mutex::new(Vec::new());

/// A TCP port on 127.0.0.1 that was free a moment ago, and that no test of this machine is given again while this
/// process lives.
///
/// # Panics
/// If 200 random ports are all taken.
#[must_use]
pub fn free_port() -> u16 {
    for _ in 0..TRIES_MAX {
        let offset = u16::try_from(random() % COUNT).unwrap_or_default();
        let port = FIRST + offset;
        let Ok(reserved) = TcpListener::bind((RESERVED, port)) else {
            continue;
        };
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            let mut given_out = GIVEN_OUT.lock().unwrap_or_else(PoisonError::into_inner);
            given_out.push(reserved);
            return port;
        }
    }
    panic!("no free port among {TRIES_MAX} tried");
}

/// The standard library seeds its hash keys from the system; good enough for names and ports.
pub(crate) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_port_is_given_out_twice() {
        let port = free_port();
        assert!(TcpListener::bind((RESERVED, port)).is_err());
        // Its server may come, and go, and come back.
        for _ in 0..2 {
            drop(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap());
        }
    }
}
