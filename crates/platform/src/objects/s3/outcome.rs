//! What a failed request means for what was asked.

use std::error::Error as StdError;
use std::time::Duration;

use aws_sdk_s3::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};

use crate::Error;

/// Why a request brought no answer that can be used.
#[derive(Debug, Clone)]
pub(super) enum Failure {
    /// 412: the condition did not hold.
    Precondition,
    /// 404 on the key (not on the bucket).
    Absent,
    /// 409: two conditional writes met; nothing was written, try again (trap 6).
    Conflict,
    /// Nothing was done: not connected, not allowed, told to slow down, or no space is left.
    Refused(Said),
    /// It may have been done: no answer, a torn one, or a server error.
    Lost(Said),
    /// The object is larger than this bound.
    TooLarge(u64),
    /// 501: the store does not know what was asked.
    Unknown(String),
    /// Trying again changes nothing: the store or its configuration is wrong.
    Fatal(String),
}

/// The codes of a full store, with 507 (RFC 4918 11.5) or with another status.
const FULL: [&str; 2] = ["XMinioStorageFull", "InsufficientStorage"];

/// What the store said, or was said of it.
#[derive(Debug, Clone)]
pub(super) struct Said {
    reason: String,
    /// `Retry-After` (RFC 9110 10.2.3), where it was a number of seconds.
    after: Option<Duration>,
    answered: bool,
    /// 403 `AccessDenied`: not the word for wrong keys or a wrong clock, but for a policy, or a lock, that forbids this.
    denied: bool,
}

impl Said {
    /// Without an answer.
    pub fn by_us(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            after: None,
            answered: false,
            denied: false,
        }
    }
}

impl Failure {
    /// The same of a version's removal, where a denial is the store's last word: a lock does not end by being asked again.
    pub(super) fn of_removal(self) -> Self {
        match self {
            Self::Refused(said) if said.denied => Self::Fatal(said.reason),
            other => other,
        }
    }

    /// How long the store asks to be left alone.
    pub(super) const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(said) | Self::Lost(said) => said.after,
            _ => None,
        }
    }

    /// Nobody answered.
    pub(super) const fn is_silence(&self) -> bool {
        match self {
            Self::Refused(said) | Self::Lost(said) => !said.answered,
            _ => false,
        }
    }

    pub(super) const fn is_transient(&self) -> bool {
        matches!(self, Self::Conflict | Self::Refused(_) | Self::Lost(_))
    }

    /// The error a caller sees, for requests that are harmless to repeat.
    pub(super) fn into_error(self, bucket: &str, what: &str) -> Error {
        let at = format!("store, bucket {bucket}, {what}");
        match self {
            Self::Precondition => Error::conflict(format!("{at}: precondition failed")),
            Self::Absent => Error::not_found(format!("{at}: not found")),
            Self::Conflict => Error::unavailable(format!("{at}: conflicting writes")),
            Self::Refused(said) | Self::Lost(said) => {
                Error::unavailable(format!("{at}: {}", said.reason))
            }
            // The same object is as large next time.
            Self::TooLarge(max) => Error::malformed(format!("{at}: larger than {max} bytes")),
            Self::Unknown(named) => Error::internal(format!(
                "{at}: {named}: the store does not know what was asked"
            )),
            Self::Fatal(reason) => Error::internal(format!("{at}: {reason}")),
        }
    }
}

/// Sorts the SDK's errors.
pub(super) fn classify<E>(error: &SdkError<E>) -> Failure
where
    E: ProvideErrorMetadata + StdError + 'static,
{
    let reason = || DisplayErrorContext(error).to_string();
    match error {
        SdkError::ConstructionFailure(_) => Failure::Fatal(reason()),
        SdkError::DispatchFailure(_) if never_connected(error) => {
            Failure::Refused(Said::by_us(reason()))
        }
        SdkError::DispatchFailure(_) | SdkError::TimeoutError(_) => {
            Failure::Lost(Said::by_us(reason()))
        }
        // The head of an answer came; what it said decides, and when that is unreadable it is lost.
        _ => match error.raw_response() {
            Some(response) => {
                let after = response.headers().get("retry-after");
                let after = after.and_then(|s| s.trim().parse().ok());
                let code = error.code().unwrap_or_default();
                by_status(response.status().as_u16(), code, after)
            }
            None => Failure::Lost(Said::by_us(reason())),
        },
    }
}

fn by_status(status: u16, code: &str, after_s: Option<u64>) -> Failure {
    let named = format!("{status} {code}");
    let said = |reason| Said {
        reason,
        after: after_s.map(Duration::from_secs),
        answered: true,
        denied: (status, code) == (403, "AccessDenied"),
    };
    match (status, code) {
        (412, _) => Failure::Precondition,
        (404, "NoSuchBucket") => Failure::Fatal(named),
        (404, _) => Failure::Absent,
        (409, _) => Failure::Conflict,
        // 403 also stands for a clock that is off and for keys being rotated: somebody will put it right.
        (403 | 429, _) | (503, "SlowDown" | "SlowDownWrite" | "SlowDownRead") => {
            Failure::Refused(said(named))
        }
        // Space is freed by somebody, and nothing was written: there is no outcome to find out.
        (500..=599, code) if status == 507 || FULL.contains(&code) => {
            Failure::Refused(said(format!("{named}: the store is full")))
        }
        (400, "RequestTimeout") => Failure::Lost(said(named)),
        // It never will: repeating is pointless.
        (501, _) | (405, "MethodNotAllowed") => Failure::Unknown(named),
        // A success that did not parse was one all the same.
        (200..=299 | 500..=599, _) => Failure::Lost(said(named)),
        _ => Failure::Fatal(named),
    }
}

/// The request cannot have been sent. The connector tells it only in words.
fn never_connected(error: &(dyn StdError + 'static)) -> bool {
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        if text.contains("(Connect)") || text.contains("HTTP connect timeout") {
            return true;
        }
        next = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by_status(status: u16, code: &str) -> Failure {
        super::by_status(status, code, None)
    }

    #[test]
    fn patience_asked_for_is_heard() {
        let busy = super::by_status(503, "SlowDown", Some(3));
        assert_eq!(busy.retry_after(), Some(Duration::from_secs(3)));
        assert!(!busy.is_silence());
        assert!(Failure::Lost(Said::by_us("no answer in time")).is_silence());
    }

    #[test]
    fn what_is_too_large_is_not_tried_again() {
        let error = Failure::TooLarge(5).into_error("truth", "get a");
        assert_eq!(error.kind, crate::ErrorKind::Malformed);
        assert!(!error.kind.is_transient());
        assert!(
            error.detail.contains("get a: larger than 5 bytes"),
            "{error}"
        );
    }

    #[test]
    fn a_full_store_has_done_nothing() {
        for (status, code, full) in [
            (507, "XMinioStorageFull", true),
            (507, "InsufficientStorage", true),
            (507, "", true),
            (500, "XMinioStorageFull", true),
            (503, "InsufficientStorage", true),
            (500, "InternalError", false),
            (503, "", false),
        ] {
            let failure = by_status(status, code);
            assert_eq!(
                matches!(failure, Failure::Refused(_)),
                full,
                "{status} {code}"
            );
            assert!(failure.is_transient() && !failure.is_silence());
            let error = failure.into_error("truth", "put a");
            assert_eq!(error.kind, crate::ErrorKind::Unavailable);
            assert_eq!(error.detail.contains("the store is full"), full, "{error}");
        }
    }

    #[test]
    fn only_a_denied_removal_is_final() {
        for (code, last) in [
            ("AccessDenied", true),
            ("RequestTimeTooSkewed", false),
            ("ExpiredToken", false),
            ("InvalidAccessKeyId", false),
            ("SignatureDoesNotMatch", false),
            ("", false),
        ] {
            let failure = by_status(403, code);
            assert!(
                failure.is_transient(),
                "{code}: whoever writes or reads tries again"
            );
            assert_eq!(failure.of_removal().is_transient(), !last, "{code}");
        }
        assert!(by_status(503, "SlowDown").of_removal().is_transient());
    }

    #[test]
    fn statuses_mean_what_they_mean() {
        assert!(matches!(
            by_status(412, "PreconditionFailed"),
            Failure::Precondition
        ));
        assert!(matches!(
            by_status(409, "ConditionalRequestConflict"),
            Failure::Conflict
        ));
        assert!(matches!(by_status(404, "NoSuchKey"), Failure::Absent));
        assert!(matches!(by_status(404, "NoSuchBucket"), Failure::Fatal(_)));
        assert!(matches!(by_status(503, "SlowDown"), Failure::Refused(_)));
        assert!(matches!(by_status(503, ""), Failure::Lost(_)));
        assert!(matches!(by_status(500, "InternalError"), Failure::Lost(_)));
        assert!(matches!(by_status(200, ""), Failure::Lost(_)));
        assert!(matches!(
            by_status(501, "NotImplemented"),
            Failure::Unknown(_)
        ));
        assert!(matches!(
            by_status(400, "InvalidArgument"),
            Failure::Fatal(_)
        ));
    }
}
