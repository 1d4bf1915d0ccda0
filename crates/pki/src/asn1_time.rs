//! Instants in ASN.1: whole seconds in certificates, milliseconds in time-stamp tokens.

use core::time::Duration;

use der::asn1::GeneralizedTime;
use der::{
    DateTime, DecodeValue, EncodeValue, ErrorKind, FixedTag, Header, Length, Reader, Tag, Writer,
};
use probity_domain::Timestamp;
use x509_cert::time::Time;

use crate::{Error, Result};

fn date_time(at: Timestamp) -> Result<DateTime> {
    u64::try_from(at.unix_ms().div_euclid(1_000))
        .ok()
        .and_then(|seconds| DateTime::from_unix_duration(Duration::from_secs(seconds)).ok())
        .ok_or_else(|| Error::malformed("time", "outside 1970 to 9999"))
}

fn from_duration(since_epoch: Duration) -> Timestamp {
    Timestamp::from_unix_ms(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}

/// UTCTime until 2049, GeneralizedTime after (RFC 5280 4.1.2.5, RFC 5652 11.3); whole seconds,
/// rounded down.
pub(crate) fn to_time(at: Timestamp) -> Result<Time> {
    Ok(Time::from(date_time(at)?))
}

pub(crate) fn from_time(time: Time) -> Timestamp {
    from_duration(time.to_unix_duration())
}

/// GeneralizedTime of OCSP: whole seconds, rounded down (RFC 6960 4.2.2.1 by way of RFC 5280).
pub(crate) fn to_generalized(at: Timestamp) -> Result<GeneralizedTime> {
    Ok(GeneralizedTime::from_date_time(date_time(at)?))
}

pub(crate) fn from_generalized(time: GeneralizedTime) -> Timestamp {
    from_duration(time.to_unix_duration())
}

/// GeneralizedTime with a fraction of a second, in DER: the point and digits only if not zero, no
/// trailing zeros, `Z` (RFC 3161 2.4.2). Digits beyond the millisecond are read and dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PreciseTime {
    pub(crate) at: Timestamp,
}

const FRACTION_DIGITS_MAX: usize = 9;

impl PreciseTime {
    fn text(self) -> der::Result<String> {
        let error = || der::Error::from(ErrorKind::DateTime);
        let date = date_time(self.at).map_err(|_| error())?;
        let mut text = format!(
            "{:04}{:02}{:02}{:02}{:02}{:02}",
            date.year(),
            date.month(),
            date.day(),
            date.hour(),
            date.minutes(),
            date.seconds()
        );
        let fraction = format!(".{:03}", self.at.unix_ms().rem_euclid(1_000));
        text.push_str(fraction.trim_end_matches('0').trim_end_matches('.'));
        text.push('Z');
        Ok(text)
    }

    fn parse(text: &str) -> Option<Timestamp> {
        let (whole, fraction) = match text.strip_suffix('Z')?.split_once('.') {
            None => (text.strip_suffix('Z')?, ""),
            Some((_, fraction)) if fraction.is_empty() || fraction.ends_with('0') => return None,
            Some(parts) => parts,
        };
        let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        if whole.len() != 14
            || fraction.len() > FRACTION_DIGITS_MAX
            || !digits(whole)
            || !digits(fraction)
        {
            return None;
        }
        let field = |range: core::ops::Range<usize>| whole.get(range)?.parse::<u16>().ok();
        let small = |range| field(range).and_then(|n| u8::try_from(n).ok());
        let date = DateTime::new(
            field(0..4)?,
            small(4..6)?,
            small(6..8)?,
            small(8..10)?,
            small(10..12)?,
            small(12..14)?,
        )
        .ok()?;
        let milliseconds: i64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
        let seconds = i64::try_from(date.unix_duration().as_secs()).ok()?;
        Some(Timestamp::from_unix_ms(
            seconds.checked_mul(1_000)?.checked_add(milliseconds)?,
        ))
    }
}

impl FixedTag for PreciseTime {
    const TAG: Tag = Tag::GeneralizedTime;
}

impl<'a> DecodeValue<'a> for PreciseTime {
    type Error = der::Error;

    fn decode_value<R: Reader<'a>>(reader: &mut R, header: Header) -> der::Result<Self> {
        let bytes = reader.read_vec(header.length())?;
        let at = core::str::from_utf8(&bytes)
            .ok()
            .and_then(Self::parse)
            .ok_or_else(|| der::Error::from(ErrorKind::DateTime))?;
        Ok(Self { at })
    }
}

impl EncodeValue for PreciseTime {
    fn value_len(&self) -> der::Result<Length> {
        self.text()?.len().try_into()
    }

    fn encode_value(&self, writer: &mut impl Writer) -> der::Result<()> {
        writer.write(self.text()?.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use der::{Decode, Encode};

    use super::*;

    #[test]
    fn fractions_have_no_trailing_zeros() {
        for (unix_ms, text) in [
            (1_800_000_000_000, "20270115080000Z"),
            (1_800_000_000_120, "20270115080000.12Z"),
            (1_800_000_000_005, "20270115080000.005Z"),
            (1_800_000_000_999, "20270115080000.999Z"),
        ] {
            let time = PreciseTime {
                at: Timestamp::from_unix_ms(unix_ms),
            };
            let der = time.to_der().unwrap();
            assert_eq!(&der[2..], text.as_bytes());
            assert_eq!(PreciseTime::from_der(&der).unwrap(), time);
        }
    }

    #[test]
    fn odd_texts_are_refused() {
        for text in [
            "20270115080000",
            "20270115080000.Z",
            "20270115080000.10Z",
            "20270115080000.1234567891Z",
            "202701150800Z",
            "20271315080000Z",
            "20270115080000+0100",
            "+0270115080000Z",
            "20270115080000,5Z",
        ] {
            assert_eq!(PreciseTime::parse(text), None, "{text}");
        }
        let micro = PreciseTime::parse("20270115080000.123456Z").unwrap();
        assert_eq!(micro.unix_ms(), 1_800_000_000_123);
    }
}
