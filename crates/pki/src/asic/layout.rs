//! The ZIP records both sides share (APPNOTE 6.3.x sections 4.3 and 4.5.3), and member names.

use probity_domain::Timestamp;

use crate::{Error, Result};

pub const LOCAL: u32 = 0x0403_4b50;
pub const DESCRIPTOR: u32 = 0x0807_4b50;
pub const CENTRAL: u32 = 0x0201_4b50;
pub const END: u32 = 0x0605_4b50;
pub const ZIP64_END: u32 = 0x0606_4b50;
pub const ZIP64_LOCATOR: u32 = 0x0706_4b50;

pub const LOCAL_BYTES: u64 = 30;
pub const CENTRAL_BYTES: usize = 46;
pub const END_BYTES: u64 = 22;
pub const ZIP64_END_BYTES: u64 = 56;
pub const ZIP64_LOCATOR_BYTES: u64 = 20;

pub const STORED: u16 = 0;
pub const DEFLATED: u16 = 8;

/// Sizes and checksum follow the data (4.4.4 bit 3).
pub const FLAG_DESCRIPTOR: u16 = 1 << 3;
/// The name is UTF-8 (4.4.4 bit 11).
pub const FLAG_UTF8: u16 = 1 << 11;
/// Bits 1 and 2 say how hard a deflater tried.
pub const FLAGS_KNOWN: u16 = FLAG_DESCRIPTOR | FLAG_UTF8 | 0b110;

pub const EXTRA_ZIP64: u16 = 0x0001;
/// Info-ZIP Unicode path: a second name that would override the one that was checked.
pub const EXTRA_UNICODE_PATH: u16 = 0x7075;

pub const U32_FULL: u32 = u32::MAX;
pub const U16_FULL: u16 = u16::MAX;

pub const VERSION_DEFLATE: u16 = 20;
pub const VERSION_ZIP64: u16 = 45;

/// Made on UNIX (4.4.2): of anything else unzip reads names as a code page, whatever the flag says.
pub const MADE_ON_UNIX: u16 = 3 << 8;
/// External attributes on UNIX: a regular file that its owner may write and everybody read.
pub const REGULAR_FILE: u32 = 0o100_644 << 16;

const NAME_BYTES_MAX: usize = 512;

pub fn bad(reason: impl ToString) -> Error {
    Error::malformed("container", reason)
}

/// Refuses every name that could leave the folder a court unpacks into, or look like another one.
pub fn check_name(name: &str) -> Result<()> {
    let refuse = |why: &str| Err(bad(format!("member name {name:?}: {why}")));
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return refuse("1 to 512 bytes");
    }
    if name.contains(['\\', ':']) {
        return refuse("backslash or drive letter");
    }
    if name.chars().any(char::is_control) {
        return refuse("control characters");
    }
    if name
        .split('/')
        .any(|segment| matches!(segment, "" | "." | ".."))
    {
        return refuse("absolute, a folder, or with empty, . or .. segments");
    }
    Ok(())
}

/// What counts as the same name where file systems fold case.
pub fn folded(name: &str) -> String {
    name.to_lowercase()
}

/// MS-DOS time and date (4.4.6) of a UTC time; clamped to the years the format can write.
pub fn dos_time(at: Timestamp) -> (u16, u16) {
    let seconds = at.unix_s();
    let (days, in_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    if year < 1980 {
        return (0, 0x0021);
    }
    let year = (year - 1980).min(127);
    let date = (year << 9) | (month << 5) | day;
    let time = ((in_day / 3600) << 11) | ((in_day % 3600 / 60) << 5) | (in_day % 60 / 2);
    (
        u16::try_from(time).unwrap_or(0),
        u16::try_from(date).unwrap_or(0x0021),
    )
}

/// Year, month and day of a day count since 1970-01-01 (proleptic Gregorian calendar).
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_shifted + 2) / 5 + 1;
    let month = if month_shifted < 10 {
        month_shifted + 3
    } else {
        month_shifted - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// Takes little-endian numbers off the front of a record.
pub struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    pub fn take(&mut self, bytes: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self
            .0
            .split_at_checked(bytes)
            .ok_or_else(|| bad("cut short"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk().ok_or_else(|| bad("cut short"))?;
        self.0 = rest;
        Ok(*taken)
    }

    pub fn u16(&mut self) -> Result<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_le_bytes)
    }
}

/// The fields of a record, written little-endian.
#[derive(Default)]
pub struct Record(pub Vec<u8>);

impl Record {
    pub fn u16(mut self, value: u16) -> Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub fn u32(mut self, value: u32) -> Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub fn u64(mut self, value: u64) -> Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub fn bytes(mut self, value: &[u8]) -> Self {
        self.0.extend_from_slice(value);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dos_times() {
        let at = Timestamp::parse_rfc3339("2026-11-22T14:45:38Z").unwrap();
        let (time, date) = dos_time(at);
        assert_eq!((date >> 9, (date >> 5) & 15, date & 31), (46, 11, 22));
        assert_eq!((time >> 11, (time >> 5) & 63, time & 31), (14, 45, 19));
        let leap = Timestamp::parse_rfc3339("2024-02-29T23:59:59Z").unwrap();
        assert_eq!(dos_time(leap).1 & 0x1ff, (2 << 5) | 29);
        assert_eq!(dos_time(Timestamp::from_unix_ms(0)), (0, 0x0021));
        assert_eq!(dos_time(Timestamp::from_unix_ms(i64::MAX)).1 >> 9, 127);
    }

    #[test]
    fn names() {
        for good in [
            "mimetype",
            "META-INF/signature001.p7s",
            "artifacts/截图 1.png",
        ] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        let long = "x".repeat(513);
        for bad in [
            "", "/a", "a/", "a//b", "../a", "a/..", "./a", "a\\b", "C:a", "a\u{1}", &long,
        ] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
    }
}
