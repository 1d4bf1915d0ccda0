//! When a failed push is tried again: ten attempts over 75 h 35 min (the Standard Webhooks schedule).

/// Waits in milliseconds before the second, third, … attempt.
const WAITS_MS: [i64; 9] = [
    5_000, 300_000, 1_800_000, 7_200_000, 18_000_000, 36_000_000, 50_400_000, 72_000_000,
    86_400_000,
];

/// The schedule, with a jitter of ±20 % and whatever the recipient asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct RetrySchedule;

impl RetrySchedule {
    /// Milliseconds to wait after `failed` failed attempts, or `None` when the schedule is exhausted.
    ///
    /// `jitter` is a random byte; `slow_down` is set on 429 and on time-outs, which wait at least a minute;
    /// `retry_after_ms` is what the recipient's `Retry-After` said, honoured up to a day.
    #[must_use]
    pub fn wait_ms(
        self,
        failed: u32,
        jitter: u8,
        slow_down: bool,
        retry_after_ms: Option<i64>,
    ) -> Option<i64> {
        let index = usize::try_from(failed).ok()?.checked_sub(1)?;
        let base = WAITS_MS.get(index).copied()?;
        // 0..=255 becomes 80 % to 120 %.
        let jittered = base * (80_000 + i64::from(jitter) * 40_000 / 255) / 100_000;
        let floor = if slow_down { 60_000 } else { 0 };
        Some(
            jittered
                .max(floor)
                .max(retry_after_ms.unwrap_or(0).min(86_400_000)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_attempts_over_75_h_35_min() {
        let waits: Vec<_> = (1..20)
            .map_while(|n| RetrySchedule.wait_ms(n, 128, false, None))
            .collect();
        assert_eq!(waits.len(), 9);
        let total: i64 = WAITS_MS.iter().sum();
        assert_eq!(total, (75 * 60 + 35) * 60_000 + 5_000);
    }

    #[test]
    fn jitter_floor_and_retry_after() {
        assert_eq!(RetrySchedule.wait_ms(2, 0, false, None), Some(240_000));
        assert_eq!(RetrySchedule.wait_ms(2, 255, false, None), Some(360_000));
        assert_eq!(RetrySchedule.wait_ms(1, 0, true, None), Some(60_000));
        assert_eq!(
            RetrySchedule.wait_ms(1, 0, false, Some(90_000)),
            Some(90_000)
        );
        assert_eq!(
            RetrySchedule.wait_ms(1, 0, false, Some(i64::MAX)),
            Some(86_400_000)
        );
        assert_eq!(RetrySchedule.wait_ms(0, 0, false, None), None);
    }
}
