//! What chronyd says about the machine's clock.

use std::path::PathBuf;
use std::time::Duration;

use super::leap::LeapIndicator;
use super::reading::{ClockReader, Reading};
use super::sample::Sample;
use super::source::Heard;

const ANSWER_TIME_MAX: Duration = Duration::from_millis(500);
const FIELDS: usize = 14;
/// Anything above is no bound at all.
const ERROR_S_MAX: f64 = 1_000.0;

/// Asks chronyd through `chronyc -c tracking`.
#[derive(Debug, Clone)]
pub struct Chrony {
    pub command: PathBuf,
}

impl Chrony {
    pub async fn ask(&self, reader: &dyn ClockReader) -> Heard {
        let mut command = tokio::process::Command::new(&self.command);
        command.args(["-c", "-n", "tracking"]).kill_on_drop(true);
        let output = match tokio::time::timeout(ANSWER_TIME_MAX, command.output()).await {
            Err(_) => return Heard::Silent("chronyc does not answer".to_owned()),
            Ok(Err(e)) => return Heard::Silent(format!("chronyc: {e}")),
            Ok(Ok(output)) => output,
        };
        if !output.status.success() {
            return Heard::Silent(format!("chronyc: {}", output.status));
        }
        read(&String::from_utf8_lossy(&output.stdout), reader.read())
    }
}

/// Fields of the report, comma-separated: 3 stratum, 4 time of the last measurement, 5 system time offset, 11 root
/// delay, 12 root dispersion (seconds), 14 leap status.
///
/// The sample says that the wall clock is right within the error chronyd knows of. That holds for the clock as chronyd
/// last measured it and says nothing of what others have done to it since: hence one sample per measurement, which ages
/// by the monotonic clock.
fn read(report: &str, reading: Reading) -> Heard {
    let unreadable = || Heard::Unfit("chronyc: the report does not read".to_owned());
    let fields: Vec<&str> = report.trim().split(',').collect();
    if fields.len() != FIELDS {
        return unreadable();
    }
    let field = |number: usize| fields.get(number - 1).copied().unwrap_or_default();
    let seconds = |number: usize| field(number).parse::<f64>().ok();
    let Ok(stratum) = field(3).parse::<u8>() else {
        return unreadable();
    };
    let leap = match field(14) {
        "Normal" => LeapIndicator::None,
        "Insert second" => LeapIndicator::Insert,
        "Delete second" => LeapIndicator::Delete,
        _ => return Heard::Unfit("chronyd is not synchronised".to_owned()),
    };
    if stratum == 0 {
        return Heard::Unfit("chronyd is not synchronised".to_owned());
    }
    let (Some(offset_s), Some(delay_s), Some(dispersion_s)) =
        (seconds(5), seconds(11), seconds(12))
    else {
        return unreadable();
    };
    // RFC 5905 appendix A.5.5.2: half the root delay and the dispersion bound what the sources may be off by.
    let error_s = offset_s.abs() + delay_s / 2.0 + dispersion_s;
    // Written so that a bound that is no number fails.
    if !(0.0..=ERROR_S_MAX).contains(&error_s) {
        return unreadable();
    }
    Heard::Sample(Sample {
        monotonic_us: reading.monotonic_us,
        utc_us: reading.wall_us(),
        #[expect(
            clippy::cast_possible_truncation,
            reason = "between 0 and 1,000 seconds"
        )]
        error_us: (error_s * 1_000_000.0).ceil() as i64 + READING_US + reading.gap_us,
        #[expect(clippy::cast_possible_truncation, reason = "smaller than the error")]
        delay_us: (delay_s * 1_000_000.0) as i64,
        stratum,
        leap,
        measurement: Some(field(4).to_owned()),
    })
}

/// The wall clock is read in milliseconds, cut.
const READING_US: i64 = 1_000;

#[cfg(test)]
mod tests {
    use probity_domain::Timestamp;

    use super::*;

    const GOOD: &str = "C0A80001,192.168.0.1,3,1795000000.1,-0.000012,0.000003,0.000020,-12.3,0.001,0.02,\
                        0.004,0.001,64.2,Normal\n";
    const READING: Reading = Reading {
        wall: Timestamp::from_unix_ms(1_795_000_001_000),
        monotonic_us: 77,
        gap_us: 5,
    };

    #[test]
    fn bounded_and_synchronised() {
        let Heard::Sample(sample) = read(GOOD, READING) else {
            panic!("refused");
        };
        assert_eq!(sample.error_us, 12 + 2_000 + 1_000 + 1_000 + 5);
        assert_eq!(sample.utc_us, 1_795_000_001_000_000);
        assert_eq!(sample.measurement.as_deref(), Some("1795000000.1"));
        let changed = |from: &str, to: &str| read(&GOOD.replace(from, to), READING);
        for (from, to) in [
            ("Normal", "Not synchronised"),
            ("Normal", ""),
            (",3,", ",0,"),
            (",3,", ",300,"),
            ("-0.000012", "nan"),
            ("-0.000012", "inf"),
            ("0.001,64.2", "-9,64.2"),
            ("0.004", "x"),
            (GOOD, ""),
        ] {
            assert!(matches!(changed(from, to), Heard::Unfit(_)), "{from} {to}");
        }
        for (word, leap) in [
            ("Insert second", LeapIndicator::Insert),
            ("Delete second", LeapIndicator::Delete),
        ] {
            assert!(matches!(changed("Normal", word), Heard::Sample(s) if s.leap == leap));
        }
    }

    struct Standing;

    impl ClockReader for Standing {
        fn read(&self) -> Reading {
            READING
        }
    }

    #[tokio::test]
    async fn without_chronyc_nothing_is_heard() {
        let chrony = Chrony {
            command: "/nonexistent/chronyc".into(),
        };
        assert!(matches!(chrony.ask(&Standing).await, Heard::Silent(_)));
    }
}
