//! When a call is made again.

use std::time::Duration;

use crate::{Error, ProblemKind};

const ATTEMPTS_MAX: u32 = 6;
const FIRST_WAIT_MS: u64 = 200;
const WAIT_MS_MAX: u64 = 10_000;
/// A server may ask for more patience than ours, up to here.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(120);

/// What a repeated request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// The same as asking once.
    Harmless,
    /// Something more (another code sent, another attempt counted): made again only when the platform said it did
    /// nothing.
    Counts,
}

/// How long to wait before the next attempt, or `None` to give up. `attempt` counts from one.
pub fn wait(
    attempt: u32,
    repeat: Repeat,
    error: &Error,
    retry_after: Option<Duration>,
    jitter: u8,
) -> Option<Duration> {
    if attempt >= ATTEMPTS_MAX {
        return None;
    }
    let may_repeat = match error {
        Error::Transport(_) => repeat == Repeat::Harmless,
        Error::Refused(problem) => match problem.kind {
            ProblemKind::TooMany | ProblemKind::Unavailable => true,
            kind => kind.is_transient() && repeat == Repeat::Harmless,
        },
        _ => false,
    };
    if !may_repeat {
        return None;
    }
    let base = (FIRST_WAIT_MS << attempt.min(16).saturating_sub(1)).min(WAIT_MS_MAX);
    // 0..=255 becomes 50 % to 100 %: callers that failed together come back apart.
    let jittered = base / 2 + base / 2 * u64::from(jitter) / 255;
    Some(Duration::from_millis(jittered).max(retry_after.unwrap_or_default().min(RETRY_AFTER_MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Problem;

    fn refused(kind: ProblemKind) -> Error {
        Error::Refused(Problem {
            kind,
            status: 0,
            title: String::new(),
            detail: String::new(),
        })
    }

    #[test]
    fn only_what_can_help_and_only_so_often() {
        let lost = Error::Transport("reset".into());
        assert!(wait(1, Repeat::Harmless, &lost, None, 0).is_some());
        assert!(wait(1, Repeat::Counts, &lost, None, 0).is_none());
        assert!(
            wait(
                1,
                Repeat::Counts,
                &refused(ProblemKind::Unavailable),
                None,
                0
            )
            .is_some()
        );
        assert!(
            wait(
                1,
                Repeat::Counts,
                &refused(ProblemKind::UnknownOutcome),
                None,
                0
            )
            .is_none()
        );
        assert!(
            wait(
                1,
                Repeat::Harmless,
                &refused(ProblemKind::Malformed),
                None,
                0
            )
            .is_none()
        );
        assert!(wait(ATTEMPTS_MAX, Repeat::Harmless, &lost, None, 0).is_none());
    }

    #[test]
    fn grows_jitters_and_honours_retry_after() {
        let lost = Error::Transport(String::new());
        let ms = |attempt, jitter| {
            wait(attempt, Repeat::Harmless, &lost, None, jitter)
                .unwrap()
                .as_millis()
        };
        assert_eq!((ms(1, 0), ms(1, 255), ms(3, 255)), (100, 200, 800));
        let asked = wait(1, Repeat::Harmless, &lost, Some(Duration::from_secs(7)), 0);
        assert_eq!(asked, Some(Duration::from_secs(7)));
        let absurd = wait(
            1,
            Repeat::Harmless,
            &lost,
            Some(Duration::from_secs(1_000_000)),
            0,
        );
        assert_eq!(absurd, Some(RETRY_AFTER_MAX));
    }
}
