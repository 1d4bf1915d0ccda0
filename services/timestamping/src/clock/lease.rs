//! Renewed while wall and monotonic clock agree; gone after a jump.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use probity_domain::Timestamp;
use probity_platform::{Clock, Error, Result};

/// A lease lasts this long without renewal.
const LEASE_MS: i64 = 1_000;
/// After a jump nothing is issued for this long, so that whoever moved the clock has finished and alarms have been
/// seen.
const HOLD_MS: i64 = 60_000;
/// Agreement is measured from a point at most this old.
const ANCHOR_MS: i64 = 60_000;
/// Adjusting the rate of a clock moves it by at most 500 parts per million.
const SLEW_PPM: i64 = 500;

/// Wall and monotonic clock, read together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    pub wall: Timestamp,
    pub monotonic_ms: i64,
}

/// Reads both clocks.
pub trait ClockReader: Send + Sync + 'static {
    fn read(&self) -> Reading;
}

/// The machine's two clocks.
pub struct SystemReader {
    wall: Arc<dyn Clock>,
    started: Instant,
}

impl SystemReader {
    #[must_use]
    pub fn new(wall: Arc<dyn Clock>) -> Self {
        Self {
            wall,
            started: Instant::now(),
        }
    }
}

impl ClockReader for SystemReader {
    fn read(&self) -> Reading {
        let elapsed = self.started.elapsed().as_millis();
        Reading {
            wall: self.wall.now(),
            monotonic_ms: i64::try_from(elapsed).unwrap_or(i64::MAX),
        }
    }
}

/// Decides whether the wall clock may be believed now.
pub struct ClockLease {
    reader: Box<dyn ClockReader>,
    max_offset_ms: i64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    anchor: Option<Reading>,
    /// Monotonic time of the latest renewal.
    renewed_ms: Option<i64>,
    /// Monotonic time until which a jump is remembered.
    held_until_ms: i64,
}

impl ClockLease {
    #[must_use]
    pub fn new(reader: Box<dyn ClockReader>, max_offset_ms: u32) -> Self {
        Self {
            reader,
            max_offset_ms: max_offset_ms.into(),
            state: Mutex::default(),
        }
    }

    /// Renews the lease, unless the clock has jumped. Called by whoever has reason to trust the clock now.
    pub fn renew(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let reading = self.reader.read();
        if self.agrees(&mut state, reading) {
            state.renewed_ms = Some(reading.monotonic_ms);
        }
    }

    /// The time, as long as the lease holds.
    ///
    /// # Errors
    /// `Unavailable` when it does not.
    pub fn now(&self) -> Result<Timestamp> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let reading = self.reader.read();
        if !self.agrees(&mut state, reading) {
            return Err(Error::unavailable(
                "the clock has jumped; nothing is stamped",
            ));
        }
        let fresh = |at: i64| reading.monotonic_ms - at <= LEASE_MS;
        match state.renewed_ms {
            Some(at) if fresh(at) => Ok(reading.wall),
            _ => Err(Error::unavailable(
                "the clock lease is stale; nothing is stamped",
            )),
        }
    }

    fn agrees(&self, state: &mut State, reading: Reading) -> bool {
        let anchor = *state.anchor.get_or_insert(reading);
        let elapsed_ms = reading.monotonic_ms - anchor.monotonic_ms;
        let moved_ms = reading.wall.ms_since(anchor.wall) - elapsed_ms;
        if moved_ms.abs() > self.max_offset_ms + elapsed_ms * SLEW_PPM / 1_000_000 {
            tracing::error!(
                moved_ms,
                "the wall clock jumped: time-stamping is suspended"
            );
            state.held_until_ms = reading.monotonic_ms + HOLD_MS;
            state.renewed_ms = None;
            state.anchor = Some(reading);
        } else if elapsed_ms > ANCHOR_MS {
            state.anchor = Some(reading);
        }
        reading.monotonic_ms >= state.held_until_ms
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    #[derive(Default)]
    struct Moved {
        wall_ms: AtomicI64,
        monotonic_ms: AtomicI64,
    }

    impl Moved {
        fn advance(&self, ms: i64) {
            self.wall_ms.fetch_add(ms, Ordering::SeqCst);
            self.monotonic_ms.fetch_add(ms, Ordering::SeqCst);
        }
    }

    impl ClockReader for Arc<Moved> {
        fn read(&self) -> Reading {
            Reading {
                wall: Timestamp::from_unix_ms(
                    1_795_000_000_000 + self.wall_ms.load(Ordering::SeqCst),
                ),
                monotonic_ms: self.monotonic_ms.load(Ordering::SeqCst),
            }
        }
    }

    fn lease() -> (Arc<Moved>, ClockLease) {
        let clocks = Arc::new(Moved::default());
        (clocks.clone(), ClockLease::new(Box::new(clocks), 100))
    }

    #[test]
    fn lasts_a_second() {
        let (clocks, lease) = lease();
        assert!(lease.now().is_err(), "never renewed");
        lease.renew();
        clocks.advance(1_000);
        assert_eq!(lease.now().unwrap().unix_ms(), 1_795_000_001_000);
        clocks.advance(1);
        assert!(lease.now().is_err(), "stale");
        lease.renew();
        assert!(lease.now().is_ok());
    }

    #[test]
    fn a_jump_either_way_ends_it_for_a_minute() {
        for jump_ms in [-3_000, -101, 101, 3_600_000] {
            let (clocks, lease) = lease();
            lease.renew();
            clocks.wall_ms.fetch_add(jump_ms, Ordering::SeqCst);
            assert!(lease.now().is_err(), "{jump_ms}");
            lease.renew();
            assert!(
                lease.now().is_err(),
                "renewed by a clock that jumped: {jump_ms}"
            );
            clocks.advance(59_000);
            lease.renew();
            assert!(lease.now().is_err(), "{jump_ms}");
            clocks.advance(1_001);
            lease.renew();
            assert!(lease.now().is_ok(), "{jump_ms}");
        }
    }

    #[test]
    fn small_steps_add_up_within_a_minute() {
        let (clocks, lease) = lease();
        for _ in 0..2 {
            clocks.wall_ms.fetch_add(60, Ordering::SeqCst);
            clocks.advance(200);
            lease.renew();
        }
        clocks.wall_ms.fetch_add(60, Ordering::SeqCst);
        assert!(lease.now().is_err());
    }

    #[test]
    fn slewing_is_no_jump() {
        let (clocks, lease) = lease();
        for _ in 0..3_600 {
            clocks.advance(1_000);
            clocks.wall_ms.fetch_add(1, Ordering::SeqCst);
            lease.renew();
            assert!(lease.now().is_ok());
        }
    }
}
