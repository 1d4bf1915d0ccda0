//! Time: what passes is the runtime's paused clock; each process has a wall clock of its own, which may be wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use probity_domain::Timestamp;
use probity_platform::Clock;
use probity_timestamping::clock::{LeapIndicator, Sample};
use probity_timestamping::{ClockReader, Reading};
use tokio::time::Instant;

/// A process's wall clock: true time and an offset.
pub struct WallClock {
    start: Instant,
    epoch: Timestamp,
    offset_ms: AtomicI64,
}

impl WallClock {
    pub fn new(epoch: Timestamp) -> Arc<Self> {
        Arc::new(Self {
            start: Instant::now(),
            epoch,
            offset_ms: AtomicI64::new(0),
        })
    }

    /// Another process's clock, right at first.
    pub fn another(&self) -> Arc<Self> {
        Arc::new(Self {
            start: self.start,
            epoch: self.epoch,
            offset_ms: AtomicI64::new(0),
        })
    }

    /// From now on wrong by this much; 0 is right.
    pub fn set_offset_ms(&self, offset_ms: i64) {
        self.offset_ms.store(offset_ms, Ordering::SeqCst);
    }

    /// What the oscillator counts: no offset moves it.
    fn elapsed_us(&self) -> i64 {
        self.start.elapsed().as_micros() as i64
    }

    /// What time it really is.
    pub fn true_time(&self) -> Timestamp {
        self.epoch.plus_ms(self.elapsed_us() / 1_000)
    }
}

impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        let offset_ms = self.offset_ms.load(Ordering::SeqCst);
        self.true_time().plus_ms(offset_ms)
    }
}

/// Both clocks of the time-stamping unit's machine.
pub struct BothClocks {
    pub wall: Arc<WallClock>,
    /// A mutation: the oscillator follows the wall clock and so does the source, so that no error is ever seen.
    pub blind: bool,
}

impl BothClocks {
    /// What an honest source says now.
    pub fn sample(&self) -> Sample {
        let Reading {
            wall, monotonic_us, ..
        } = self.read();
        let utc = match self.blind {
            true => wall,
            false => self.wall.true_time(),
        };
        Sample {
            monotonic_us,
            utc_us: utc.unix_ms() * 1_000,
            error_us: 1_000,
            delay_us: 0,
            stratum: 1,
            leap: LeapIndicator::None,
            measurement: None,
        }
    }
}

impl ClockReader for BothClocks {
    fn read(&self) -> Reading {
        let wall = self.wall.now();
        let monotonic_us = match self.blind {
            true => wall.unix_ms() * 1_000,
            false => self.wall.elapsed_us(),
        };
        Reading {
            wall,
            monotonic_us,
            gap_us: 0,
        }
    }
}
