//! Online certificate status protocol (RFC 6960, nonce RFC 9654).

mod request;
mod responder;
mod response;
pub(crate) mod structures;

use probity_domain::Timestamp;

pub use request::{OcspRequest, make_request};
pub(crate) use request::{key_hash, nonce};
pub(crate) use response::Told;
pub use response::{OcspFailure, OcspResponse, Responder, ResponseTimes, failure};

use crate::crl::RevocationReason;

/// Status of one certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertStatus {
    Good,
    Revoked {
        /// Since when it counts: the time of revocation, or an earlier one by [`crate::crl::RevokedEntry::counts_since`].
        at: Timestamp,
        reason: Option<RevocationReason>,
    },
    Unknown,
}
