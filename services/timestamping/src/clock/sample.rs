//! What a source said, and how it ages.

use super::interval::Interval;
use super::leap::{LeapIndicator, LeapSecond};
use super::reading::Reading;

/// UTC at one moment of the monotonic clock, by one source. Nothing in it comes from the wall clock that it is to judge,
/// but for sources that know nothing else (`system`, `chrony`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    pub monotonic_us: i64,
    /// Unix time.
    pub utc_us: i64,
    /// Bound on the error of `utc_us` at that moment.
    pub error_us: i64,
    pub delay_us: i64,
    pub stratum: u8,
    pub leap: LeapIndicator,
    /// Names the measurement behind it; asking again without a new one gives no new sample.
    pub measurement: Option<String>,
}

impl Sample {
    /// There was no new measurement since `earlier`.
    pub fn is_known_from(&self, earlier: &Self) -> bool {
        self.measurement.is_some() && self.measurement == earlier.measurement
    }

    /// Where UTC minus the wall clock lies at `reading`. The error grows by `drift_ppm` (RFC 5905: PHI).
    pub fn offset_at(
        &self,
        reading: &Reading,
        drift_ppm: u32,
        leap: Option<&LeapSecond>,
    ) -> Interval {
        let elapsed_us = reading.monotonic_us.saturating_sub(self.monotonic_us);
        let counted_us = self.utc_us.saturating_add(elapsed_us);
        let utc_us = leap.map_or(counted_us, |leap| leap.count(self.utc_us, counted_us));
        // Rounded up; saturation keeps a nonsense age a huge error.
        let drift_us = elapsed_us.saturating_abs().saturating_mul(drift_ppm.into()) / 1_000_000 + 1;
        let offset_us = utc_us.saturating_sub(reading.wall_us());
        let mut interval = Interval::around(offset_us, self.error_us.saturating_add(drift_us));
        interval.upper_us = interval.upper_us.saturating_add(reading.gap_us);
        interval
    }
}
