//! What a failed request means for what was asked.

use std::error::Error as StdError;

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
    /// Nothing was done: not connected, or told to slow down.
    Refused(String),
    /// It may have been done: no answer, a torn one, or a server error.
    Lost(String),
    /// The object is larger than this bound.
    TooLarge(u64),
    /// Trying again changes nothing: the store or its configuration is wrong.
    Fatal(String),
}

impl Failure {
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
            Self::Refused(reason) | Self::Lost(reason) => {
                Error::unavailable(format!("{at}: {reason}"))
            }
            Self::TooLarge(max) => Error::too_many(format!("{at}: larger than {max} bytes")),
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
        SdkError::DispatchFailure(_) if never_connected(error) => Failure::Refused(reason()),
        SdkError::DispatchFailure(_) | SdkError::TimeoutError(_) => Failure::Lost(reason()),
        // The head of an answer came; what it said decides, and when that is unreadable it is lost.
        _ => match error.raw_response().map(|r| r.status().as_u16()) {
            Some(status) => by_status(status, error.code().unwrap_or_default()),
            None => Failure::Lost(reason()),
        },
    }
}

fn by_status(status: u16, code: &str) -> Failure {
    let named = format!("{status} {code}");
    match (status, code) {
        (412, _) => Failure::Precondition,
        (404, "NoSuchBucket") => Failure::Fatal(named),
        (404, _) => Failure::Absent,
        (409, _) => Failure::Conflict,
        // 403 also stands for a clock that is off and for keys being rotated: somebody will put it right.
        (403 | 429, _) | (503, "SlowDown" | "SlowDownWrite" | "SlowDownRead") => {
            Failure::Refused(named)
        }
        (400, "RequestTimeout") => Failure::Lost(named),
        // It never will be: repeating is pointless.
        (501, _) => Failure::Fatal(format!("{named}: the store does not know what was asked")),
        // A success that did not parse was one all the same.
        (200..=299 | 500..=599, _) => Failure::Lost(named),
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
            Failure::Fatal(_)
        ));
        assert!(matches!(
            by_status(400, "InvalidArgument"),
            Failure::Fatal(_)
        ));
    }
}
