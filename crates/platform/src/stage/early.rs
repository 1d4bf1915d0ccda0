//! Work whose time has not come: the clock that accepted it was ahead.
//!
//! A time-stamp from before the submission proves nothing, so nothing may be made of such work yet. It is no fault of
//! the message and none of the stage's, and it may last for hours: so it is not kept here as held work is, but left to
//! the reconciler, which knows from the submission's id when it is due.

use probity_domain::Timestamp;

use super::Outcome;
use crate::Error;

/// By how many milliseconds an ordinary clock may be ahead of another's. Storage and the verifier's default policy allow for
/// more.
pub const AHEAD_MS_MAX: i64 = 10_000;

/// Whether what was accepted at `at` may be worked on.
///
/// # Errors
/// [`Outcome::Early`] while `at` lies in the future, by more than [`AHEAD_MS_MAX`].
pub fn not_early(at: Timestamp, now: Timestamp) -> core::result::Result<(), Outcome> {
    if is_early(at, now) {
        return Err(Outcome::Early(Error::unavailable(format!(
            "accepted at {}, which lies in the future: a clock is wrong",
            at.to_rfc3339()
        ))));
    }
    Ok(())
}

/// Whether `at` lies in the future, by more than [`AHEAD_MS_MAX`].
#[must_use]
pub fn is_early(at: Timestamp, now: Timestamp) -> bool {
    at > now.plus_ms(AHEAD_MS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_skew_is_none() {
        let now = Timestamp::from_unix_ms(1_795_000_000_000);
        for ms in [-3_600_000, 0, AHEAD_MS_MAX] {
            assert!(not_early(now.plus_ms(ms), now).is_ok(), "{ms}");
        }
        let early = not_early(now.plus_ms(AHEAD_MS_MAX + 1), now);
        assert!(matches!(early, Err(Outcome::Early(_))), "{early:?}");
    }
}
