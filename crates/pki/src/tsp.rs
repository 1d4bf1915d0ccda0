//! Time-stamp protocol: requests, responses, tokens (RFC 3161, RFC 5816).

use const_oid::ObjectIdentifier;
use probity_domain::Timestamp;

use crate::digest::HashAlgorithm;
use crate::keys::Signer;
use crate::x509::Certificate;
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
}

/// TimeStampReq (RFC 3161 2.4.1). Requests with extensions are refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeStampReq {
    pub imprint: Imprint,
    /// Policy asked for.
    pub policy: Option<ObjectIdentifier>,
    /// Big-endian magnitude without leading zeros, at most 32 bytes.
    pub nonce: Option<Vec<u8>>,
    /// Whether the TSA's certificate shall be in the token.
    pub cert_req: bool,
}

impl TimeStampReq {
    /// A request; lengths are checked.
    ///
    /// # Errors
    /// [`Error::Malformed`] if the digest's length is wrong or the nonce too long.
    pub fn make(
        imprint: Imprint,
        nonce: Option<&[u8]>,
        cert_req: bool,
        policy: Option<ObjectIdentifier>,
    ) -> Result<Self> {
        let _ = (imprint, nonce, cert_req, policy);
        Err(Error::unsupported("time-stamp request", "being written"))
    }

    /// Parses DER.
    ///
    /// # Errors
    /// What [`PkiFailureInfo::of`] turns into the answer to the requester.
    pub fn from_der(der: &[u8]) -> Result<Self> {
        let _ = der;
        Err(Error::unsupported("time-stamp request", "being written"))
    }

    /// DER.
    ///
    /// # Errors
    /// [`Error::Malformed`] if a field cannot be encoded.
    pub fn to_der(&self) -> Result<Vec<u8>> {
        Err(Error::unsupported("time-stamp request", "being written"))
    }
}

/// PKIFailureInfo (RFC 3161 2.4.2): the bit number is the discriminant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PkiFailureInfo {
    BadAlg = 0,
    BadRequest = 2,
    BadDataFormat = 5,
    TimeNotAvailable = 14,
    UnacceptedPolicy = 15,
    UnacceptedExtension = 16,
    AddInfoNotAvailable = 17,
    SystemFailure = 25,
}

impl PkiFailureInfo {
    /// What to answer to a requester whose request gave `error`.
    #[must_use]
    pub fn of(error: &Error) -> Self {
        let _ = error;
        Self::SystemFailure
    }
}

/// A refusing TimeStampResp (status rejection), DER.
///
/// # Errors
/// [`Error::Malformed`] if it cannot be encoded.
pub fn refusal(failure: PkiFailureInfo, text: &str) -> Result<Vec<u8>> {
    let _ = (failure, text);
    Err(Error::unsupported("time-stamp response", "being written"))
}

/// A time-stamping unit: all but its key and its clock.
#[derive(Debug, Clone)]
pub struct TimeStampAuthority {
    pub certificate: Certificate,
    /// Intermediate CAs to send along, without the root.
    pub chain: Vec<Certificate>,
    /// Policy tokens are issued under.
    pub policy: ObjectIdentifier,
    /// What the clock is good for; part of every token.
    pub accuracy_ms: u32,
}

impl TimeStampAuthority {
    /// A granted TimeStampResp, DER. The token inside is parsed and verified before it is returned.
    /// `serial` is positive, at most 20 bytes and never used twice.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for another policy, [`Error::Key`] if signing fails.
    pub fn respond(
        &self,
        request: &TimeStampReq,
        key: &dyn Signer,
        gen_time: Timestamp,
        serial: &[u8],
    ) -> Result<Vec<u8>> {
        let _ = (request, key, gen_time, serial);
        Err(Error::unsupported("time-stamp response", "being written"))
    }

    /// The token alone (ContentInfo, DER); otherwise as [`TimeStampAuthority::respond`].
    ///
    /// # Errors
    /// As [`TimeStampAuthority::respond`].
    pub fn token(
        &self,
        request: &TimeStampReq,
        key: &dyn Signer,
        gen_time: Timestamp,
        serial: &[u8],
    ) -> Result<Vec<u8>> {
        let _ = (request, key, gen_time, serial);
        Err(Error::unsupported("time-stamp token", "being written"))
    }
}

/// TSTInfo (RFC 3161 2.4.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TstInfo {
    pub policy: ObjectIdentifier,
    pub imprint: Imprint,
    /// Big-endian magnitude without leading zeros.
    pub serial: Vec<u8>,
    pub gen_time: Timestamp,
    /// Microseconds, if stated.
    pub accuracy_us: Option<u64>,
    pub ordering: bool,
    pub nonce: Option<Vec<u8>>,
}

/// A parsed time-stamp token.
#[derive(Debug, Clone)]
pub struct TimeStampToken {
    der: Vec<u8>,
    tst_info: TstInfo,
    certificates: Vec<Certificate>,
}

impl TimeStampToken {
    /// Parses ContentInfo DER.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Error::Unsupported`], [`Error::TooLarge`] over 256 KiB.
    pub fn from_der(der: &[u8]) -> Result<Self> {
        let _ = der;
        Err(Error::unsupported("time-stamp token", "being written"))
    }

    /// The bytes that were parsed.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// What the token says.
    #[must_use]
    pub fn tst_info(&self) -> &TstInfo {
        &self.tst_info
    }

    /// All certificates inside. Untrusted until validated.
    #[must_use]
    pub fn certificates(&self) -> &[Certificate] {
        &self.certificates
    }

    /// Verifies imprint, signature, ESS binding and that the signer is a time-stamping unit valid at
    /// genTime; returns its certificate. The path is not validated.
    ///
    /// # Errors
    /// [`Error::NotVerified`].
    pub fn verify(&self, algorithm: HashAlgorithm, digest: &[u8]) -> Result<Certificate> {
        let _ = (algorithm, digest);
        Err(Error::unsupported("time-stamp token", "being written"))
    }
}

/// A parsed TimeStampResp.
#[derive(Debug, Clone)]
pub enum TimeStampResp {
    /// granted or grantedWithMods.
    Granted(TimeStampToken),
    Refused {
        status: u32,
        failure_bits: u32,
        text: String,
    },
}

impl TimeStampResp {
    /// Parses DER.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Error::TooLarge`].
    pub fn from_der(der: &[u8]) -> Result<Self> {
        let _ = der;
        Err(Error::unsupported("time-stamp response", "being written"))
    }

    /// The token, verified to answer `request`: imprint, nonce, policy and signature.
    ///
    /// # Errors
    /// [`Error::NotVerified`], also for a refusal.
    pub fn token_for(&self, request: &TimeStampReq) -> Result<&TimeStampToken> {
        let _ = request;
        Err(Error::unsupported("time-stamp response", "being written"))
    }
}
