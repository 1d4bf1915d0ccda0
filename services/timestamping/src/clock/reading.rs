//! Wall and monotonic clock, read together.

use std::sync::Arc;

use probity_domain::Timestamp;
use probity_platform::Clock;
use rustix::time::{ClockId, clock_gettime};

/// One look at both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    pub wall: Timestamp,
    /// From any fixed point.
    pub monotonic_us: i64,
    /// How much later than `monotonic_us` the wall clock may have been read: whoever is interrupted between the two
    /// must not take it for a moved clock.
    pub gap_us: i64,
}

impl Reading {
    pub(super) const fn wall_us(&self) -> i64 {
        self.wall.unix_ms() * 1_000
    }
}

/// Reads both clocks.
pub trait ClockReader: Send + Sync + 'static {
    fn read(&self) -> Reading;
}

impl<R: ClockReader> ClockReader for Arc<R> {
    fn read(&self) -> Reading {
        (**self).read()
    }
}

/// A pair of readings further apart than this is tried again.
const GAP_US_MAX: i64 = 500;
const TRIES: usize = 4;

/// The machine's two clocks. The monotonic one is the oscillator as it is: what disciplines the wall clock slews
/// `CLOCK_MONOTONIC` along with it, so by that one a slewed clock would never be noticed.
pub struct SystemReader {
    wall: Arc<dyn Clock>,
}

impl SystemReader {
    #[must_use]
    pub fn new(wall: Arc<dyn Clock>) -> Self {
        Self { wall }
    }

    fn monotonic_us() -> i64 {
        let raw = clock_gettime(ClockId::MonotonicRaw);
        raw.tv_sec.saturating_mul(1_000_000) + raw.tv_nsec / 1_000
    }

    fn once(&self) -> Reading {
        let monotonic_us = Self::monotonic_us();
        let wall = self.wall.now();
        Reading {
            wall,
            monotonic_us,
            gap_us: Self::monotonic_us() - monotonic_us,
        }
    }
}

impl ClockReader for SystemReader {
    fn read(&self) -> Reading {
        let mut reading = self.once();
        for _ in 1..TRIES {
            if reading.gap_us <= GAP_US_MAX {
                break;
            }
            let again = self.once();
            if again.gap_us < reading.gap_us {
                reading = again;
            }
        }
        reading
    }
}
