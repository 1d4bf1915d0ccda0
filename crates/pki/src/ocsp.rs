//! Online certificate status protocol (RFC 6960, nonce RFC 9654).

use probity_domain::Timestamp;

use crate::crl::RevocationReason;
use crate::keys::Signer;
use crate::x509::Certificate;
use crate::{Error, Result};

/// Status of one certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertStatus {
    Good,
    Revoked {
        at: Timestamp,
        reason: RevocationReason,
    },
    Unknown,
}

/// A parsed request.
#[derive(Debug, Clone)]
pub struct OcspRequest {
    nonce: Option<Vec<u8>>,
}

impl OcspRequest {
    /// Parses DER. Signatures on requests are ignored.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Error::TooLarge`]: answer with [`OcspFailure::MalformedRequest`].
    pub fn from_der(der: &[u8]) -> Result<Self> {
        let _ = der;
        Err(Error::unsupported("OCSP request", "being written"))
    }

    /// The nonce, 1 to 128 bytes.
    #[must_use]
    pub fn nonce(&self) -> Option<&[u8]> {
        self.nonce.as_deref()
    }
}

/// A request for one certificate of `issuer`, DER.
///
/// # Errors
/// [`Error::Malformed`] if it cannot be encoded.
pub fn make_request(issuer: &Certificate, serial: &[u8], nonce: Option<&[u8]>) -> Result<Vec<u8>> {
    let _ = (issuer, serial, nonce);
    Err(Error::unsupported("OCSP request", "being written"))
}

/// A delegated responder: all but its key.
#[derive(Debug, Clone)]
pub struct Responder {
    /// With extendedKeyUsage OCSPSigning, issued by `issuer`.
    pub certificate: Certificate,
    /// The CA whose certificates are answered for.
    pub issuer: Certificate,
}

/// Times of one response.
#[derive(Debug, Clone, Copy)]
pub struct ResponseTimes {
    /// When the response is signed.
    pub produced_at: Timestamp,
    /// When the status was known to be right.
    pub this_update: Timestamp,
    pub next_update: Timestamp,
}

impl Responder {
    /// A signed response, DER. `status` is asked by serial (magnitude); certificates of other issuers are
    /// answered "unknown".
    ///
    /// # Errors
    /// [`Error::Key`] if signing fails.
    pub fn respond(
        &self,
        request: &OcspRequest,
        key: &dyn Signer,
        times: ResponseTimes,
        status: &dyn Fn(&[u8]) -> CertStatus,
    ) -> Result<Vec<u8>> {
        let _ = (request, key, times, status);
        Err(Error::unsupported("OCSP response", "being written"))
    }
}

/// OCSPResponseStatus of an unsuccessful response (RFC 6960 4.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OcspFailure {
    MalformedRequest = 1,
    InternalError = 2,
    TryLater = 3,
    SigRequired = 5,
    Unauthorized = 6,
}

/// An unsigned failure, DER.
#[must_use]
pub fn failure(failure: OcspFailure) -> Vec<u8> {
    vec![0x30, 0x03, 0x0a, 0x01, failure as u8]
}

/// A parsed response.
#[derive(Debug, Clone)]
pub struct OcspResponse {
    produced_at: Timestamp,
}

impl OcspResponse {
    /// Parses DER of a successful basic response.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Error::TooLarge`], [`Error::NotVerified`] for an unsuccessful status.
    pub fn from_der(der: &[u8]) -> Result<Self> {
        let _ = der;
        Err(Error::unsupported("OCSP response", "being written"))
    }

    /// When it was signed.
    #[must_use]
    pub fn produced_at(&self) -> Timestamp {
        self.produced_at
    }

    /// Verifies that `issuer`, or a responder it delegated, signed a status for `serial` that is current
    /// at `at`, and that the nonce is the one asked with; returns the status.
    ///
    /// # Errors
    /// [`Error::NotVerified`].
    pub fn verify(
        &self,
        issuer: &Certificate,
        serial: &[u8],
        nonce: Option<&[u8]>,
        at: Timestamp,
    ) -> Result<CertStatus> {
        let _ = (issuer, serial, nonce, at);
        Err(Error::unsupported("OCSP response", "being written"))
    }
}
