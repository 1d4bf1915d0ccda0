//! Leap seconds.
//!
//! The policy (RFC 3628 7.3.2): a leap second that is announced is stepped over. From 23:59:59 of its day to 00:00:01
//! of the next, by the wall clock, no token is issued: what a clock shows in between depends on how its machine takes
//! the second (repeated, frozen, smeared), and GeneralizedTime has no 23:59:60 that all readers accept. After it, time is
//! believed again only if the wall clock has taken the second as well.

use probity_domain::Timestamp;

/// Second of silence on either side of midnight.
const SILENCE_MS: i64 = 1_000;

/// The leap indicator of a source (RFC 5905 7.3), but for "unknown": such a source says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LeapIndicator {
    #[default]
    None,
    /// The last minute has 61 seconds.
    Insert,
    /// The last minute has 59 seconds.
    Delete,
}

impl LeapIndicator {
    /// The two bits on the wire.
    pub const fn bits(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Insert => 1,
            Self::Delete => 2,
        }
    }

    pub const fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            0 => Some(Self::None),
            1 => Some(Self::Insert),
            2 => Some(Self::Delete),
            _ => None,
        }
    }
}

/// An announced leap second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeapSecond {
    /// 00:00:00 of the day after it.
    pub midnight: Timestamp,
    pub is_inserted: bool,
}

impl LeapSecond {
    /// What an indicator seen at `at` announces. RFC 5905 speaks of the last minute of the day in one place and of the
    /// month in another, and servers do either; a leap second is the last of a month (ITU-R TF.460), so on every other
    /// day both mean the month's end.
    pub fn announced(indicator: LeapIndicator, at: Timestamp) -> Option<Self> {
        let is_inserted = match indicator {
            LeapIndicator::None => return None,
            LeapIndicator::Insert => true,
            LeapIndicator::Delete => false,
        };
        let midnight = month_end(at)?;
        Some(Self {
            midnight,
            is_inserted,
        })
    }

    /// The wall clock shows a time at which nothing is issued.
    pub const fn silences(&self, wall: Timestamp) -> bool {
        let from_midnight_ms = wall.ms_since(self.midnight);
        -SILENCE_MS <= from_midnight_ms && from_midnight_ms < SILENCE_MS
    }

    /// What UTC shows where counting on from `from_us` comes to `to_us`; both Unix time in microseconds.
    pub const fn count(&self, from_us: i64, to_us: i64) -> i64 {
        let midnight_us = self.midnight.unix_ms() * 1_000;
        // Without its last second, the day ends one earlier by the count.
        let (end_us, step_us) = if self.is_inserted {
            (midnight_us + 1_000_000, -1_000_000)
        } else {
            (midnight_us - 1_000_000, 1_000_000)
        };
        if from_us < midnight_us && to_us >= end_us {
            to_us + step_us
        } else {
            to_us
        }
    }
}

fn month_end(at: Timestamp) -> Option<Timestamp> {
    let hour = at.hour_key();
    let year: u32 = hour.get(..4)?.parse().ok()?;
    let month: u32 = hour.get(4..6)?.parse().ok()?;
    let (year, month) = if month == 12 {
        (year + 1, 1)
    } else {
        (year, month + 1)
    };
    Timestamp::parse_rfc3339(&format!("{year:04}-{month:02}-01T00:00:00Z")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    #[test]
    fn is_the_last_second_of_the_month() {
        for (seen, midnight) in [
            ("2016-12-31T12:00:00Z", "2017-01-01T00:00:00Z"),
            ("2015-06-01T00:00:00Z", "2015-07-01T00:00:00Z"),
            ("2028-02-28T23:59:59Z", "2028-03-01T00:00:00Z"),
        ] {
            let leap = LeapSecond::announced(LeapIndicator::Insert, at(seen)).unwrap();
            assert_eq!(leap.midnight, at(midnight));
        }
        assert!(LeapSecond::announced(LeapIndicator::None, at("2016-12-31T12:00:00Z")).is_none());
    }

    #[test]
    fn silence_is_a_second_on_either_side() {
        let leap = LeapSecond::announced(LeapIndicator::Delete, at("2016-12-31T12:00:00Z"));
        for (wall, silent) in [
            ("2016-12-31T23:59:58.999Z", false),
            ("2016-12-31T23:59:59Z", true),
            ("2017-01-01T00:00:00.999Z", true),
            ("2017-01-01T00:00:01Z", false),
        ] {
            assert_eq!(leap.unwrap().silences(at(wall)), silent, "{wall}");
        }
    }

    #[test]
    fn counting_over_it_steps() {
        let midnight = at("2017-01-01T00:00:00Z");
        let leap = |is_inserted| LeapSecond {
            midnight,
            is_inserted,
        };
        let us = midnight.unix_ms() * 1_000;
        let before = us - 60_000_000;
        assert_eq!(leap(true).count(before, us + 3_000_000), us + 2_000_000);
        assert_eq!(leap(false).count(before, us + 3_000_000), us + 4_000_000);
        // Not yet, and no more.
        assert_eq!(leap(true).count(before, us - 2_000_000), us - 2_000_000);
        assert_eq!(leap(true).count(us + 1, us + 3_000_000), us + 3_000_000);
    }
}
