//! Points in time, as milliseconds since 1970-01-01T00:00:00Z.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

use crate::Malformed;

/// A point in UTC time with millisecond resolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// Last millisecond of year 9999: beyond it neither RFC 3339 nor GeneralizedTime can write a date.
const UNIX_MS_MAX: i64 = 253_402_300_799_999;

impl Timestamp {
    /// From milliseconds since the epoch, clamped to the years 1970 to 9999.
    #[must_use]
    pub const fn from_unix_ms(unix_ms: i64) -> Self {
        if unix_ms < 0 {
            Self(0)
        } else if unix_ms > UNIX_MS_MAX {
            Self(UNIX_MS_MAX)
        } else {
            Self(unix_ms)
        }
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn unix_ms(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down.
    #[must_use]
    pub const fn unix_s(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Later by `ms` milliseconds (earlier when negative), clamped to the years 1970 to 9999.
    #[must_use]
    pub const fn plus_ms(self, ms: i64) -> Self {
        Self::from_unix_ms(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to `self`; negative when `self` is before it.
    #[must_use]
    pub const fn ms_since(self, earlier: Self) -> i64 {
        self.0 - earlier.0
    }

    /// Parses RFC 3339 with any offset; sub-millisecond digits are cut.
    ///
    /// # Errors
    /// [`Malformed`] when the text is not RFC 3339 or lies before 1970.
    pub fn parse_rfc3339(text: &str) -> Result<Self, Malformed> {
        let at = OffsetDateTime::parse(text, &Rfc3339)
            .map_err(|e| Malformed::new("time", format!("not RFC 3339: {e}")))?;
        let ms = at.unix_timestamp_nanos().div_euclid(1_000_000);
        match i64::try_from(ms) {
            Ok(ms) if (0..=UNIX_MS_MAX).contains(&ms) => Ok(Self(ms)),
            _ => Err(Malformed::new("time", "outside the years 1970 to 9999")),
        }
    }

    /// `2026-11-22T14:45:38.123Z`.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        let shape = format_description!(
            "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"
        );
        self.written(shape)
    }

    /// The UTC hour a submission id falls into, as it stands in object keys: `2026112214`.
    #[must_use]
    pub fn hour_key(self) -> String {
        self.written(format_description!("[year][month][day][hour]"))
    }

    fn written(self, shape: &[time::format_description::BorrowedFormatItem<'_>]) -> String {
        let nanos = i128::from(self.0) * 1_000_000;
        // Cannot fail: the constructor keeps the value inside the formatter's range of years.
        OffsetDateTime::from_unix_timestamp_nanos(nanos)
            .ok()
            .and_then(|at| at.format(shape).ok())
            .unwrap_or_default()
    }
}

impl core::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.to_rfc3339())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339_round_trip_and_hour() {
        let t = Timestamp::parse_rfc3339("2026-11-22T16:45:38.123456+02:00").unwrap();
        assert_eq!(t.to_rfc3339(), "2026-11-22T14:45:38.123Z");
        assert_eq!(t.hour_key(), "2026112214");
        assert_eq!(Timestamp::parse_rfc3339(&t.to_rfc3339()).unwrap(), t);
    }

    #[test]
    fn out_of_range_is_refused_or_clamped() {
        assert!(Timestamp::parse_rfc3339("1969-12-31T23:59:59Z").is_err());
        assert!(Timestamp::parse_rfc3339("yesterday").is_err());
        assert_eq!(Timestamp::from_unix_ms(-5).unix_ms(), 0);
        assert_eq!(Timestamp::from_unix_ms(i64::MAX).hour_key(), "9999123123");
    }
}
