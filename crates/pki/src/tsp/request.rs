//! TimeStampReq.

use const_oid::ObjectIdentifier;
use der::asn1::{Int, Uint};
use der::{Decode, Encode};

use super::Imprint;
use super::structures::{MessageImprint, TimeStampReqValue};
use crate::{Error, Result};

const WHAT: &str = "time-stamp request";
pub(super) const WHAT_EXTENSION: &str = "time-stamp request extension";
const BYTES_MAX: usize = 4 * 1024;
/// RFC 3161 2.4.1 suggests 64 bits; clients are known to send up to 20 bytes.
const NONCE_BYTES_MAX: usize = 33;
const NONCE_TOO_LARGE: Error = Error::TooLarge {
    what: "nonce",
    limit: NONCE_BYTES_MAX as u64,
};
/// Contents octets of `version v1(1)`.
const VERSION_1: &[u8] = &[1];

/// TimeStampReq (RFC 3161 2.4.1). Requests with extensions are refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeStampReq {
    pub imprint: Imprint,
    /// Policy asked for.
    pub policy: Option<ObjectIdentifier>,
    /// Contents octets of the INTEGER, echoed as they are: some clients send negative ones.
    pub nonce: Option<Vec<u8>>,
    /// Whether the TSA's certificate shall be in the token.
    pub cert_req: bool,
    /// How the imprint's algorithm is written, to be echoed.
    pub(super) has_null_parameters: bool,
}

impl TimeStampReq {
    /// A request. `nonce` is a big-endian magnitude of at most 32 bytes.
    ///
    /// # Errors
    /// [`Error::Malformed`] if the digest's length is wrong, [`Error::TooLarge`] for a longer nonce.
    pub fn make(
        imprint: Imprint,
        nonce: Option<&[u8]>,
        cert_req: bool,
        policy: Option<ObjectIdentifier>,
    ) -> Result<Self> {
        let imprint = Imprint::new(imprint.algorithm, &imprint.digest)?;
        let nonce = nonce
            .map(|bytes| Uint::new(bytes).map(|uint| Int::from(uint).as_bytes().to_vec()))
            .transpose()
            .map_err(|e| Error::malformed(WHAT, e))?;
        if nonce
            .as_ref()
            .is_some_and(|nonce| nonce.len() > NONCE_BYTES_MAX)
        {
            return Err(NONCE_TOO_LARGE);
        }
        Ok(Self {
            imprint,
            policy,
            nonce,
            cert_req,
            has_null_parameters: false,
        })
    }

    /// Parses DER, and nothing but DER (RFC 3161 3.4).
    ///
    /// # Errors
    /// What [`super::PkiFailureInfo::of`] turns into the answer to the requester.
    pub fn from_der(der: &[u8]) -> Result<Self> {
        if der.len() > BYTES_MAX {
            return Err(Error::TooLarge {
                what: WHAT,
                limit: BYTES_MAX as u64,
            });
        }
        let value = TimeStampReqValue::from_der(der).map_err(|e| Error::malformed(WHAT, e))?;
        if value.version.as_bytes() != VERSION_1 {
            return Err(Error::unsupported(WHAT, "version other than 1"));
        }
        if value.to_der().map_err(|e| Error::malformed(WHAT, e))? != der {
            return Err(Error::malformed(WHAT, "not DER: a default encoded"));
        }
        // RFC 3161 2.4.1: critical or not, what is not recognised is refused.
        match value.extensions.as_deref() {
            None => {}
            Some([]) => return Err(Error::malformed(WHAT, "no extension among extensions")),
            Some([first, ..]) => return Err(Error::unsupported(WHAT_EXTENSION, first.extn_id)),
        }
        let nonce = value.nonce.map(|nonce| nonce.as_bytes().to_vec());
        if nonce
            .as_ref()
            .is_some_and(|nonce| nonce.len() > NONCE_BYTES_MAX)
        {
            return Err(NONCE_TOO_LARGE);
        }
        let request = Self {
            imprint: value.message_imprint.parsed()?,
            policy: value.policy,
            nonce,
            cert_req: value.cert_req,
            has_null_parameters: value.message_imprint.hash_algorithm.parameters.is_some(),
        };
        // A default that is written out, an empty list: one request has one encoding.
        if request.to_der()? != der {
            return Err(Error::malformed(WHAT, "not DER"));
        }
        Ok(request)
    }

    /// DER.
    ///
    /// # Errors
    /// [`Error::Malformed`] if a field cannot be encoded.
    pub fn to_der(&self) -> Result<Vec<u8>> {
        let encode = || {
            TimeStampReqValue {
                version: Int::new(VERSION_1)?,
                message_imprint: MessageImprint::of(&self.imprint, self.has_null_parameters)?,
                policy: self.policy,
                nonce: self.nonce.as_deref().map(Int::new).transpose()?,
                cert_req: self.cert_req,
                extensions: None,
            }
            .to_der()
        };
        encode().map_err(|e: der::Error| Error::malformed(WHAT, e))
    }
}
