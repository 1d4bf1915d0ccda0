//! How fast a lap goes: evenly over its days, as the lap before took so many bytes.

use std::time::Duration;

use probity_platform::objects::ReplicaConfig;
use serde::Deserialize;

/// `[storage.scrub]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScrubConfig {
    /// A finding is at most this old when it is made, and a little: a lap begins when one is due.
    pub lap_days: u32,
    /// Never reads faster.
    pub bytes_s_max: u64,
    /// Where right bytes are looked for when those in `truth` are not.
    pub replica: Option<ReplicaConfig>,
}

impl Default for ScrubConfig {
    fn default() -> Self {
        Self {
            lap_days: 7,
            bytes_s_max: 16 * 1024 * 1024,
            replica: None,
        }
    }
}

const DAY_S: u64 = 86_400;
/// A lap is done in this share of its time, so that what was added since fits in as well.
const SHARE_PERCENT: u64 = 80;
const BYTES_S_MIN: u64 = 64 * 1024;
/// What asking for one object costs, in bytes.
const OBJECT_BYTES: u64 = 4 * 1024;

impl ScrubConfig {
    /// From one lap's beginning to the next.
    pub(super) fn period_ms(&self) -> i64 {
        i64::from(self.lap_days.max(1)) * 86_400_000
    }

    /// How long to rest after a step; `lap_cost` is what the lap before took, 0 when there was none.
    pub(super) fn rest(&self, step_cost: u64, lap_cost: u64) -> Duration {
        let time_s = u64::from(self.lap_days.max(1)) * DAY_S * SHARE_PERCENT / 100;
        let rate = match lap_cost {
            0 => self.bytes_s_max,
            cost => cost.div_ceil(time_s),
        };
        let most = self.bytes_s_max.max(1);
        let rate = rate.clamp(BYTES_S_MIN.min(most), most);
        Duration::from_millis(step_cost.saturating_mul(1_000) / rate)
    }
}

/// What so many objects of so many bytes cost together.
pub(super) const fn cost(objects: u64, bytes: u64) -> u64 {
    bytes.saturating_add(objects.saturating_mul(OBJECT_BYTES))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lap_is_spread_over_its_days() {
        let config = ScrubConfig::default();
        // 7 days at 80 % are 483,840 s: 1 TB needs some 2.07 MB/s.
        let terabyte = 1_000_000_000_000;
        let step = 1_000_000;
        let steps = terabyte / step;
        let all_s = config.rest(step, terabyte).as_millis() as u64 * steps / 1_000;
        assert!((470_000..490_000).contains(&all_s), "{all_s}");
        // Never faster than allowed, never slower than the least.
        let second = Duration::from_secs(1);
        assert_eq!(config.rest(16 << 20, u64::MAX), second);
        assert_eq!(config.rest(16 << 20, 0), second);
        assert_eq!(config.rest(64 << 10, 1), second);
    }
}
