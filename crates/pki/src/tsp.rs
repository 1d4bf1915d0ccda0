//! Time-stamp protocol: requests, responses, tokens (RFC 3161, RFC 5816).

mod authority;
mod gen_time;
mod request;
mod response;
mod structures;
mod token;

pub use authority::TimeStampAuthority;
pub use gen_time::{ClockEvidence, GenTime};
pub use request::TimeStampReq;
pub use response::{PkiFailureInfo, TimeStampResp, refusal};
pub use token::{TimeStampToken, TstInfo};

use crate::digest::HashAlgorithm;
use crate::{Error, Result};

/// MessageImprint: what is time-stamped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imprint {
    pub algorithm: HashAlgorithm,
    /// Exactly as long as the algorithm's digest.
    pub digest: Vec<u8>,
}

impl Imprint {
    /// Hashes bytes in memory.
    #[must_use]
    pub fn of(algorithm: HashAlgorithm, bytes: &[u8]) -> Self {
        Self {
            algorithm,
            digest: algorithm.digest(bytes),
        }
    }

    /// A digest computed elsewhere.
    ///
    /// # Errors
    /// [`Error::Malformed`] if its length is not the algorithm's.
    pub fn new(algorithm: HashAlgorithm, digest: &[u8]) -> Result<Self> {
        if digest.len() != algorithm.digest_bytes() {
            return Err(Error::malformed(
                "message imprint",
                "digest of the wrong length",
            ));
        }
        Ok(Self {
            algorithm,
            digest: digest.to_vec(),
        })
    }
}
