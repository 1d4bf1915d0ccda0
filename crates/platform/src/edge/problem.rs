//! How error kinds look outside: one mapping to HTTP (RFC 9457 problem documents), one to gRPC.

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};

use probity_proto::http::ProblemDocument;

use crate::{Error, ErrorKind};

/// An error on its way to an HTTP caller. Handlers return `Result<T, Problem>` and use `?`.
#[derive(Debug, Clone)]
pub struct Problem(pub Error);

impl<E: Into<Error>> From<E> for Problem {
    fn from(e: E) -> Self {
        Self(e.into())
    }
}

/// HTTP status of a kind.
pub(super) const fn http_status(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::Malformed => StatusCode::BAD_REQUEST,
        ErrorKind::Unauthenticated => StatusCode::UNAUTHORIZED,
        ErrorKind::Forbidden => StatusCode::FORBIDDEN,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::TooMany => StatusCode::TOO_MANY_REQUESTS,
        // Of an unknown outcome the caller must try again with the same idempotency key: what 503
        // makes clients do.
        ErrorKind::Unavailable | ErrorKind::UnknownOutcome => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Timeout => StatusCode::GATEWAY_TIMEOUT,
        ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

const fn grpc_code(kind: ErrorKind) -> tonic::Code {
    match kind {
        ErrorKind::Malformed => tonic::Code::InvalidArgument,
        ErrorKind::Unauthenticated => tonic::Code::Unauthenticated,
        ErrorKind::Forbidden => tonic::Code::PermissionDenied,
        ErrorKind::NotFound => tonic::Code::NotFound,
        ErrorKind::Conflict => tonic::Code::AlreadyExists,
        ErrorKind::TooMany => tonic::Code::ResourceExhausted,
        ErrorKind::Unavailable => tonic::Code::Unavailable,
        ErrorKind::Timeout => tonic::Code::DeadlineExceeded,
        ErrorKind::UnknownOutcome => tonic::Code::Unknown,
        ErrorKind::Internal => tonic::Code::Internal,
    }
}

/// Seconds after which trying again makes sense; for kinds where it does.
const fn retry_after_s(kind: ErrorKind) -> Option<u16> {
    match kind {
        ErrorKind::Unavailable => Some(10),
        ErrorKind::TooMany | ErrorKind::Timeout | ErrorKind::UnknownOutcome => Some(5),
        _ => None,
    }
}

/// What the caller reads. Of an internal failure that is nothing: the sentence is for the log.
fn detail(error: Error) -> String {
    if error.kind == ErrorKind::Internal {
        tracing::error!(%error, "request failed");
        return "an internal error; it is in the log".to_owned();
    }
    error.detail
}

impl Problem {
    /// Answered with a status that says more than the kind's own does.
    #[must_use]
    pub fn with_status(self, status: StatusCode) -> Response {
        let kind = self.0.kind;
        let document = ProblemDocument {
            kind: format!("urn:probity:problem:{}", kind.as_str()),
            title: status.canonical_reason().unwrap_or("error").to_owned(),
            status: status.as_u16(),
            detail: detail(self.0),
        };
        // Strings and a number: serialising cannot fail.
        let body = serde_json::to_vec(&document).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(seconds) = retry_after_s(kind) {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if kind == ErrorKind::Unauthenticated {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = http_status(self.0.kind);
        self.with_status(status)
    }
}

impl From<Error> for tonic::Status {
    fn from(error: Error) -> Self {
        let kind = error.kind;
        let mut status = Self::new(grpc_code(kind), detail(error));
        let metadata = status.metadata_mut();
        metadata.insert(
            "probity-problem",
            tonic::metadata::MetadataValue::from_static(kind.as_str()),
        );
        if let Some(seconds) = retry_after_s(kind) {
            metadata.insert("retry-after", tonic::metadata::MetadataValue::from(seconds));
        }
        status
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_transient_kind_says_when() {
        for kind in ErrorKind::ALL {
            let error = Error {
                kind,
                detail: "why".to_owned(),
            };
            let response = Problem(error.clone()).into_response();
            assert_eq!(
                response.headers().contains_key(RETRY_AFTER),
                kind.is_transient(),
                "{kind:?}"
            );
            assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
            let status = tonic::Status::from(error);
            assert_eq!(
                status.metadata().contains_key("retry-after"),
                kind.is_transient()
            );
            assert_ne!(status.code(), tonic::Code::Ok);
        }
    }

    #[test]
    fn internal_detail_stays_inside() {
        let status = tonic::Status::from(Error::internal("table users, row 7"));
        assert!(!status.message().contains("row 7"));
    }
}
