//! Unsuccessful responses, which nobody signs.

use der::Encode;

use super::structures::{OcspResponseValue, ResponseStatus};
use crate::{Error, Result};

const WHAT: &str = "OCSP response";

/// OCSPResponseStatus of an unsuccessful response (RFC 6960 4.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OcspFailure {
    MalformedRequest,
    InternalError,
    TryLater,
    SigRequired,
    Unauthorized,
}

/// An unsigned failure, DER.
///
/// # Errors
/// [`Error::Malformed`] if it cannot be encoded.
pub fn failure(failure: OcspFailure) -> Result<Vec<u8>> {
    let response_status = match failure {
        OcspFailure::MalformedRequest => ResponseStatus::MalformedRequest,
        OcspFailure::InternalError => ResponseStatus::InternalError,
        OcspFailure::TryLater => ResponseStatus::TryLater,
        OcspFailure::SigRequired => ResponseStatus::SigRequired,
        OcspFailure::Unauthorized => ResponseStatus::Unauthorized,
    };
    OcspResponseValue {
        response_status,
        response_bytes: None,
    }
    .to_der()
    .map_err(|e| Error::malformed(WHAT, e))
}
