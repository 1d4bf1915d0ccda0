//! What can go wrong between here and the platform.

use probity_proto::http::ProblemDocument;

/// The closed list of the platform's problem kinds (`urn:probity:problem:<kind>`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProblemKind {
    Malformed,
    Unauthenticated,
    Forbidden,
    NotFound,
    Conflict,
    TooMany,
    Unavailable,
    Timeout,
    UnknownOutcome,
    Internal,
}

impl ProblemKind {
    const WORDS: [(&'static str, Self); 10] = [
        ("malformed", Self::Malformed),
        ("unauthenticated", Self::Unauthenticated),
        ("forbidden", Self::Forbidden),
        ("not_found", Self::NotFound),
        ("conflict", Self::Conflict),
        ("too_many", Self::TooMany),
        ("unavailable", Self::Unavailable),
        ("timeout", Self::Timeout),
        ("unknown_outcome", Self::UnknownOutcome),
        ("internal", Self::Internal),
    ];

    /// The platform asks to come back later.
    #[must_use]
    pub const fn is_transient(self) -> bool {
        matches!(
            self,
            Self::TooMany | Self::Unavailable | Self::Timeout | Self::UnknownOutcome
        )
    }

    fn of_urn(urn: &str) -> Option<Self> {
        let word = urn.strip_prefix("urn:probity:problem:")?;
        Self::WORDS
            .into_iter()
            .find(|(known, _)| *known == word)
            .map(|(_, kind)| kind)
    }

    /// For answers that something between us and the platform gave.
    const fn of_status(status: u16) -> Self {
        match status {
            401 => Self::Unauthenticated,
            403 => Self::Forbidden,
            404 => Self::NotFound,
            408 | 504 => Self::Timeout,
            409 | 412 => Self::Conflict,
            429 => Self::TooMany,
            502 | 503 => Self::Unavailable,
            400..500 => Self::Malformed,
            _ => Self::Internal,
        }
    }
}

/// A refusal, from its problem document (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{title} ({status}): {detail}")]
pub struct Problem {
    pub kind: ProblemKind,
    pub status: u16,
    pub title: String,
    pub detail: String,
}

impl Problem {
    pub(crate) fn read(status: u16, body: &[u8]) -> Self {
        match serde_json::from_slice::<ProblemDocument>(body) {
            Ok(document) => Self {
                kind: ProblemKind::of_urn(&document.kind).unwrap_or(ProblemKind::of_status(status)),
                status,
                title: document.title,
                detail: document.detail,
            },
            Err(_) => Self {
                kind: ProblemKind::of_status(status),
                status,
                title: "refused".to_owned(),
                detail: String::from_utf8_lossy(body).chars().take(300).collect(),
            },
        }
    }
}

/// Why a call did not come to its value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The platform refused.
    #[error(transparent)]
    Refused(#[from] Problem),
    /// No answer came; whether the platform acted is not known.
    #[error("no answer: {0}")]
    Transport(String),
    /// An answer that is not what the interface promises.
    #[error("unexpected answer: {0}")]
    Answer(String),
    /// What was given to this library breaks a rule.
    #[error("{0}")]
    Malformed(String),
    /// Bytes that are not what their digest says.
    #[error("{what}: digest differs from the announced one")]
    Digest { what: String },
    /// A local file.
    #[error("{path}: {source}")]
    File {
        path: String,
        source: std::io::Error,
    },
}

impl Error {
    /// The refusal's kind, if it was one.
    #[must_use]
    pub const fn kind(&self) -> Option<ProblemKind> {
        match self {
            Self::Refused(problem) => Some(problem.kind),
            _ => None,
        }
    }

    pub(crate) fn file(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.display().to_string();
        move |source| Self::File { path, source }
    }
}

/// Result of every call.
pub type Result<T> = core::result::Result<T, Error>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_come_from_the_document_and_else_from_the_status() {
        let document = br#"{"type":"urn:probity:problem:conflict","title":"conflict","status":409,"detail":"d"}"#;
        assert_eq!(Problem::read(409, document).kind, ProblemKind::Conflict);
        let strange = br#"{"type":"about:blank","title":"t","status":503,"detail":"d"}"#;
        assert_eq!(Problem::read(503, strange).kind, ProblemKind::Unavailable);
        assert_eq!(Problem::read(418, b"<html>").kind, ProblemKind::Malformed);
        assert_eq!(Problem::read(500, b"").kind, ProblemKind::Internal);
    }
}
