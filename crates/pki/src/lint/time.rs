//! Instants as RFC 5280 wants them written.

use der::asn1::Any;
use der::{DateTime, Tag, Tagged};
use probity_domain::Timestamp;

/// UTCTime until 2049, GeneralizedTime from 2050, seconds and `Z`, no fraction (RFC 5280 4.1.2.5).
pub(super) fn read(value: &Any) -> Result<Timestamp, String> {
    let text = core::str::from_utf8(value.value()).map_err(|_| "no text".to_owned())?;
    let bad = || format!("{text:?} as {}", value.tag());
    let (year, rest) = match value.tag() {
        Tag::UtcTime => {
            let (year, rest) = text.split_at_checked(2).ok_or_else(bad)?;
            let year: u16 = number(year).ok_or_else(bad)?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        Tag::GeneralizedTime => {
            let (year, rest) = text.split_at_checked(4).ok_or_else(bad)?;
            let year = number(year).filter(|year| *year >= 2050).ok_or_else(bad)?;
            (year, rest)
        }
        _ => return Err(bad()),
    };
    instant(year, rest).ok_or_else(bad)
}

/// GeneralizedTime of any year, seconds and `Z`, no fraction (RFC 5280 5.3.2).
pub(super) fn read_generalized(text: &[u8]) -> Option<Timestamp> {
    let (year, rest) = core::str::from_utf8(text).ok()?.split_at_checked(4)?;
    instant(number(year)?, rest)
}

/// `MMDDHHMMSSZ`.
fn instant(year: u16, rest: &str) -> Option<Timestamp> {
    let digits = rest.strip_suffix('Z').filter(|digits| digits.len() == 10)?;
    let pair = |at: usize| digits.get(at..at + 2).and_then(number::<u8>);
    let date = DateTime::new(year, pair(0)?, pair(2)?, pair(4)?, pair(6)?, pair(8)?).ok()?;
    let unix_ms = i64::try_from(date.unix_duration().as_millis()).ok()?;
    Some(Timestamp::from_unix_ms(unix_ms))
}

fn number<N: core::str::FromStr>(digits: &str) -> Option<N> {
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_spelling_of_each_instant() {
        let read = |tag, text: &str| read(&Any::new(tag, text.as_bytes()).unwrap());
        let at = Timestamp::from_unix_ms(1_800_000_000_000);
        assert_eq!(read(Tag::UtcTime, "270115080000Z"), Ok(at));
        assert!(read(Tag::GeneralizedTime, "20500101000000Z").is_ok());
        for (tag, text) in [
            (Tag::UtcTime, "2701150800Z"),
            (Tag::UtcTime, "270115080000"),
            (Tag::UtcTime, "270115080000+0000"),
            (Tag::UtcTime, "271315080000Z"),
            (Tag::UtcTime, "+70115080000Z"),
            (Tag::GeneralizedTime, "20270115080000Z"),
            (Tag::GeneralizedTime, "20500101000000.5Z"),
            (Tag::GeneralizedTime, "205001010000Z"),
            (Tag::Utf8String, "270115080000Z"),
            (Tag::UtcTime, ""),
        ] {
            assert!(read(tag, text).is_err(), "{text}");
        }
        assert_eq!(read_generalized(b"20270115080000Z"), Some(at));
        assert_eq!(read_generalized(b"20270115080000.1Z"), None);
    }
}
