//! The client's half of NTP version 4 (RFC 5905): packets and arithmetic. Pure.

use super::leap::LeapIndicator;
use super::sample::Sample;

/// A header without extension fields or key (RFC 5905 7.3).
pub const PACKET_BYTES: usize = 48;

/// LI 0, version 4, mode 3 (client).
const CLIENT: u8 = 0b00_100_011;
const VERSION: u8 = 4;
const MODE_SERVER: u8 = 4;
/// Stratum 16 is "unsynchronised" (RFC 5905 7.3).
const STRATUM_MAX: u8 = 15;
/// Seconds from 1900 to 1970.
const UNIX_EPOCH_S: i64 = 2_208_988_800;
/// An answer that says it took longer than the whole exchange by more than this is none.
const IMPOSSIBLE_US: i64 = 1_000;
/// Root distance beyond which nobody synchronises (RFC 5905 MAXDISP).
const ROOT_DISTANCE_US_MAX: i64 = 16_000_000;

/// Why an answer is not a time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotATime {
    /// Not an answer to this question; somebody else's, old or forged. Waiting on is right.
    #[error("not an answer to what was asked")]
    Stray,
    /// Kiss-o'-death DENY or RSTR: stop asking this server (RFC 5905 7.4).
    #[error("the server refuses to serve us ({0})")]
    Denied(String),
    /// Kiss-o'-death RATE: ask less often.
    #[error("the server asks for fewer questions")]
    Rate,
    /// The server does not know the time itself, or any other kiss code.
    #[error("the server is of no use: {0}")]
    Unfit(String),
}

/// A question. `nonce` stands in the place of the transmit timestamp: the server sends it back, nobody else can, and it
/// does not tell what our clock shows.
pub fn question(nonce: u64) -> [u8; PACKET_BYTES] {
    let mut packet = [0; PACKET_BYTES];
    if let Some(first) = packet.first_mut() {
        *first = CLIENT;
    }
    if let Some(transmit) = packet.get_mut(40..48) {
        transmit.copy_from_slice(&nonce.to_be_bytes());
    }
    packet
}

/// Reads the answer to [`question`], sent and received at these moments of the monotonic clock.
///
/// # Errors
/// [`NotATime`].
pub fn answer(
    packet: &[u8],
    nonce: u64,
    sent_us: i64,
    received_us: i64,
) -> Result<Sample, NotATime> {
    let [first, stratum, _poll, precision] = *field::<4>(packet, 0)?;
    let (leap, version, mode) = (first >> 6, (first >> 3) & 7, first & 7);
    let origin = u64::from_be_bytes(*field(packet, 24)?);
    let (receive, transmit) = (*field::<8>(packet, 32)?, *field::<8>(packet, 40)?);
    if version != VERSION || mode != MODE_SERVER || origin != nonce {
        return Err(NotATime::Stray);
    }
    if stratum == 0 {
        return Err(kiss(field(packet, 12)?));
    }
    let unfit = |reason: &str| NotATime::Unfit(reason.to_owned());
    let leap = LeapIndicator::from_bits(leap).ok_or_else(|| unfit("not synchronised"))?;
    if stratum > STRATUM_MAX {
        return Err(unfit("not synchronised"));
    }
    if transmit == [0; 8] || receive == [0; 8] {
        return Err(unfit("no timestamps"));
    }
    let (root_delay_us, root_dispersion_us) =
        (short_us(field(packet, 4)?), short_us(field(packet, 8)?));
    let root_distance_us = root_delay_us / 2 + root_dispersion_us;
    if root_distance_us >= ROOT_DISTANCE_US_MAX {
        return Err(unfit("too far from its own source"));
    }
    let (receive_us, transmit_us) = (timestamp_us(receive), timestamp_us(transmit));
    let held_us = transmit_us - receive_us;
    let delay_us = (received_us - sent_us) - held_us;
    if held_us < 0 || delay_us < -IMPOSSIBLE_US {
        return Err(unfit("its timestamps contradict each other"));
    }
    let delay_us = delay_us.max(0);
    Ok(Sample {
        monotonic_us: received_us,
        // The answer was under way for any part of the delay; the middle is off by half of it at most.
        utc_us: transmit_us + delay_us / 2,
        error_us: delay_us / 2 + root_distance_us + precision_us(precision) + ROUNDING_US,
        delay_us,
        stratum,
        leap,
        measurement: None,
    })
}

/// Each microsecond value above is cut.
const ROUNDING_US: i64 = 4;

fn field<const N: usize>(packet: &[u8], at: usize) -> Result<&[u8; N], NotATime> {
    packet
        .get(at..at + N)
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or(NotATime::Stray)
}

/// Kiss codes (RFC 5905 7.4): four ASCII letters in the reference identifier.
fn kiss(code: &[u8; 4]) -> NotATime {
    let code = code.escape_ascii().to_string();
    match code.as_str() {
        "DENY" | "RSTR" => NotATime::Denied(code),
        "RATE" => NotATime::Rate,
        _ => NotATime::Unfit(format!("kiss code {code}")),
    }
}

/// Timestamp format (RFC 5905 6): seconds since 1900, 32 bits of each. Without the top bit it is the era from 2036 on
/// (RFC 4330 3).
fn timestamp_us(bytes: [u8; 8]) -> i64 {
    let value = u64::from_be_bytes(bytes);
    let (seconds, fraction) = (
        (value >> 32).cast_signed(),
        (value & 0xffff_ffff).cast_signed(),
    );
    let era = if seconds & 0x8000_0000 == 0 {
        1_i64 << 32
    } else {
        0
    };
    (seconds + era - UNIX_EPOCH_S) * 1_000_000 + ((fraction * 1_000_000) >> 32)
}

/// Short format: 16 bits of seconds, 16 of their fraction.
fn short_us(bytes: &[u8; 4]) -> i64 {
    (i64::from(u32::from_be_bytes(*bytes)) * 1_000_000) >> 16
}

/// The exponent of two of a second; clocks worse than a second are left to their own dispersion.
fn precision_us(exponent: u8) -> i64 {
    let exponent = exponent.cast_signed().clamp(-20, 0).unsigned_abs();
    1_000_000 >> exponent
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: u64 = 0x0123_4567_89ab_cdef;
    /// 2026-11-22T00:00:00Z.
    const UTC_S: u64 = 1_795_305_600;

    fn stamp(unix_us: u64) -> [u8; 8] {
        let seconds = unix_us / 1_000_000 + UNIX_EPOCH_S as u64;
        let fraction = ((unix_us % 1_000_000) << 32).div_ceil(1_000_000);
        ((seconds << 32) | fraction).to_be_bytes()
    }

    /// Received at UTC_S, sent 100 µs later; root delay 1/64 s, root dispersion 1/128 s, precision 2^-20 s.
    fn good() -> Vec<u8> {
        let mut packet = vec![0b00_100_100, 2, 6, 0xec];
        packet.extend(0x0400_u32.to_be_bytes());
        packet.extend(0x0200_u32.to_be_bytes());
        packet.extend([192, 0, 2, 1]);
        packet.extend([7; 8]);
        packet.extend(NONCE.to_be_bytes());
        packet.extend(stamp(UTC_S * 1_000_000));
        packet.extend(stamp(UTC_S * 1_000_000 + 100));
        packet
    }

    fn read(packet: &[u8]) -> Result<Sample, NotATime> {
        answer(packet, NONCE, 1_000_000, 1_003_100)
    }

    #[test]
    fn the_arithmetic_of_a_good_answer() {
        let sample = read(&good()).unwrap();
        // 3,100 µs there and back less 100 µs at the server.
        assert_eq!(sample.delay_us, 3_000);
        let expected = UTC_S as i64 * 1_000_000 + 100 + 1_500;
        assert!((sample.utc_us - expected).abs() <= 1, "{sample:?}");
        // Half of the delay, 7,812 of the root delay, 7,812 of dispersion, precision and rounding.
        assert_eq!(sample.error_us, 1_500 + 7_812 + 7_812 + 4);
        assert_eq!((sample.stratum, sample.leap), (2, LeapIndicator::None));
        assert_eq!(sample.monotonic_us, 1_003_100);
    }

    #[test]
    fn every_other_answer_is_refused_with_its_reason() {
        let unfit = |reason: &str| NotATime::Unfit(reason.to_owned());
        type Change = fn(&mut Vec<u8>);
        let rows: [(&str, Change, NotATime); 16] = [
            ("short", |p| p.truncate(47), NotATime::Stray),
            ("empty", Vec::clear, NotATime::Stray),
            ("client mode", |p| p[0] = 0b00_100_011, NotATime::Stray),
            ("version 3", |p| p[0] = 0b00_011_100, NotATime::Stray),
            ("another's nonce", |p| p[31] ^= 1, NotATime::Stray),
            ("alarm", |p| p[0] |= 0b11_000_000, unfit("not synchronised")),
            ("stratum 16", |p| p[1] = 16, unfit("not synchronised")),
            (
                "deny",
                |p| {
                    p[1] = 0;
                    p[12..16].copy_from_slice(b"DENY");
                },
                NotATime::Denied("DENY".to_owned()),
            ),
            (
                "restrict",
                |p| {
                    p[1] = 0;
                    p[12..16].copy_from_slice(b"RSTR");
                },
                NotATime::Denied("RSTR".to_owned()),
            ),
            (
                "rate",
                |p| {
                    p[1] = 0;
                    p[12..16].copy_from_slice(b"RATE");
                },
                NotATime::Rate,
            ),
            (
                "forged deny",
                |p| {
                    p[1] = 0;
                    p[12..16].copy_from_slice(b"DENY");
                    p[24] ^= 1;
                },
                NotATime::Stray,
            ),
            (
                "initialising",
                |p| {
                    p[1] = 0;
                    p[12..16].copy_from_slice(b"INIT");
                },
                unfit("kiss code INIT"),
            ),
            ("no transmit", |p| p[40..].fill(0), unfit("no timestamps")),
            (
                "far",
                |p| p[8] = 1 << 4,
                unfit("too far from its own source"),
            ),
            (
                "backwards",
                |p| p[40..].copy_from_slice(&stamp(UTC_S * 1_000_000 - 1)),
                unfit("its timestamps contradict each other"),
            ),
            (
                "longer than the exchange",
                |p| p[40..].copy_from_slice(&stamp(UTC_S * 1_000_000 + 5_000)),
                unfit("its timestamps contradict each other"),
            ),
        ];
        for (name, change, expected) in rows {
            let mut packet = good();
            change(&mut packet);
            assert_eq!(read(&packet), Err(expected), "{name}");
        }
    }

    #[test]
    fn leap_indicators_and_eras() {
        for (bits, leap) in [(0b01, LeapIndicator::Insert), (0b10, LeapIndicator::Delete)] {
            let mut packet = good();
            packet[0] |= bits << 6;
            assert_eq!(read(&packet).unwrap().leap, leap);
        }
        // The second era begins 2036-02-07T06:28:16Z.
        assert_eq!(timestamp_us([0; 8]), 2_085_978_496_000_000);
        assert_eq!(
            timestamp_us(stamp(0x7fff_ffff * 1_000_000)),
            0x7fff_ffff * 1_000_000
        );
    }

    #[test]
    fn a_question_says_nothing_but_its_nonce() {
        let packet = question(NONCE);
        assert_eq!(packet[0], 0x23);
        assert!(packet[1..40].iter().all(|byte| *byte == 0));
        assert_eq!(packet[40..], NONCE.to_be_bytes());
    }
}
