//! What chronyd says about the machine's clock.

use std::path::PathBuf;
use std::time::Duration;

use probity_platform::{Error, Result};

const ANSWER_TIME_MAX: Duration = Duration::from_millis(500);
const FIELDS: usize = 14;

/// Asks chronyd through `chronyc -c tracking`.
#[derive(Debug, Clone)]
pub struct Chrony {
    pub command: PathBuf,
    /// Largest bound on the clock's error at which it is still trusted.
    pub accuracy_ms: u32,
}

impl Chrony {
    /// The clock is synchronised, and its error is bounded by `accuracy_ms`.
    ///
    /// # Errors
    /// `Unavailable`, saying what is not so.
    pub async fn confirm(&self) -> Result<()> {
        let mut command = tokio::process::Command::new(&self.command);
        command.args(["-c", "-n", "tracking"]).kill_on_drop(true);
        let output = tokio::time::timeout(ANSWER_TIME_MAX, command.output()).await;
        let output = output.map_err(|_| Error::unavailable("chronyc does not answer"))?;
        let output = output.map_err(|e| Error::unavailable(format!("chronyc: {e}")))?;
        if !output.status.success() {
            return Err(Error::unavailable(format!("chronyc: {}", output.status)));
        }
        check(&String::from_utf8_lossy(&output.stdout), self.accuracy_ms)
    }
}

/// Fields of the report, comma-separated: 3 stratum, 5 system time offset, 11 root delay, 12 root dispersion (seconds),
/// 14 leap status.
fn check(report: &str, accuracy_ms: u32) -> Result<()> {
    let unreadable = || Error::unavailable("chronyc: the report does not read");
    let fields: Vec<&str> = report.trim().split(',').collect();
    if fields.len() != FIELDS {
        return Err(unreadable());
    }
    let field = |number: usize| fields.get(number - 1).copied().unwrap_or_default();
    let seconds = |number: usize| field(number).parse::<f64>().map_err(|_| unreadable());
    if field(14) == "Not synchronised" || field(3) == "0" {
        return Err(Error::unavailable("chronyd is not synchronised"));
    }
    // RFC 5905 appendix A.5.5.2: half the root delay and the dispersion bound what the sources may be off by.
    let bound_ms = (seconds(5)?.abs() + seconds(11)? / 2.0 + seconds(12)?) * 1_000.0;
    // Written so that a bound that is no number fails.
    if bound_ms <= f64::from(accuracy_ms) {
        return Ok(());
    }
    Err(Error::unavailable(format!(
        "the clock's error bound is {bound_ms:.1} ms"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "C0A80001,192.168.0.1,3,1795000000.1,-0.000012,0.000003,0.000020,-12.3,0.001,0.02,\
                        0.004,0.001,64.2,Normal\n";

    #[test]
    fn bounded_and_synchronised() {
        assert!(check(GOOD, 10).is_ok());
        assert!(check(GOOD, 1).is_err());
        let changed = |from: &str, to: &str| check(&GOOD.replace(from, to), 10);
        assert!(changed("Normal", "Not synchronised").is_err());
        assert!(changed(",3,", ",0,").is_err());
        assert!(changed("-0.000012", "-3.0").is_err());
        assert!(changed("-0.000012", "nan").is_err());
        assert!(changed("0.004", "x").is_err());
        assert!(changed("Normal", "Insert second").is_ok());
        assert!(check("", 10).is_err());
    }

    #[tokio::test]
    async fn without_chronyc_the_clock_is_not_confirmed() {
        let chrony = Chrony {
            command: "/nonexistent/chronyc".into(),
            accuracy_ms: 1_000,
        };
        assert!(chrony.confirm().await.is_err());
    }
}
