//! TimeStampResp.

use der::asn1::BitString;
use der::{Any, Decode, Encode};

use super::request::{TimeStampReq, WHAT_EXTENSION};
use super::structures::{PkiStatusInfo, TimeStampRespValue};
use super::token::TimeStampToken;
use crate::{Error, Result};

const WHAT: &str = "time-stamp response";
pub(super) const WHAT_POLICY: &str = "time-stamp policy";
const BYTES_MAX: usize = 320 * 1024;
const TEXT_CHARS_MAX: usize = 1_024;

const GRANTED: u32 = 0;
const GRANTED_WITH_MODS: u32 = 1;
const REJECTION: u32 = 2;

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
        match error {
            Error::Unsupported {
                what: "hash algorithm",
                ..
            } => Self::BadAlg,
            Error::Unsupported { what, .. } if *what == WHAT_POLICY => Self::UnacceptedPolicy,
            Error::Unsupported { what, .. } if *what == WHAT_EXTENSION => Self::UnacceptedExtension,
            Error::Malformed { .. } => Self::BadDataFormat,
            Error::Unsupported { .. } | Error::TooLarge { .. } => Self::BadRequest,
            Error::NotVerified { .. }
            | Error::Lint { .. }
            | Error::Key(_)
            | Error::Path(_)
            | Error::Io(_) => Self::SystemFailure,
        }
    }

    /// Named bit in a DER BIT STRING, trailing zero bits removed (X.690 11.2.2).
    fn bit_string(self) -> der::Result<BitString> {
        let bit = self as u8;
        let mut bytes = vec![0_u8; usize::from(bit / 8)];
        bytes.push(0x80 >> (bit % 8));
        BitString::new(7 - bit % 8, bytes)
    }
}

/// A refusing TimeStampResp (status rejection), DER.
///
/// # Errors
/// [`Error::Malformed`] if it cannot be encoded.
pub fn refusal(failure: PkiFailureInfo, text: &str) -> Result<Vec<u8>> {
    let text: String = text.chars().take(TEXT_CHARS_MAX).collect();
    let encode = || {
        TimeStampRespValue {
            status: PkiStatusInfo {
                status: REJECTION,
                status_string: (!text.is_empty()).then(|| vec![text]),
                fail_info: Some(failure.bit_string()?),
            },
            time_stamp_token: None,
        }
        .to_der()
    };
    encode().map_err(|e: der::Error| Error::malformed(WHAT, e))
}

pub(super) fn granted(token_der: &[u8]) -> Result<Vec<u8>> {
    let encode = || {
        TimeStampRespValue {
            status: PkiStatusInfo {
                status: GRANTED,
                status_string: None,
                fail_info: None,
            },
            time_stamp_token: Some(Any::from_der(token_der)?),
        }
        .to_der()
    };
    encode().map_err(|e: der::Error| Error::malformed(WHAT, e))
}

/// A parsed TimeStampResp.
#[derive(Debug, Clone)]
pub enum TimeStampResp {
    /// granted or grantedWithMods.
    Granted(Box<TimeStampToken>),
    /// Anything else. `failure_bits` has bit n set for PKIFailureInfo n.
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
        let bad = |e: der::Error| Error::malformed(WHAT, e);
        if der.len() > BYTES_MAX {
            return Err(Error::TooLarge {
                what: WHAT,
                limit: BYTES_MAX as u64,
            });
        }
        let value = TimeStampRespValue::from_der(der).map_err(bad)?;
        match (value.status.status, value.time_stamp_token) {
            (GRANTED | GRANTED_WITH_MODS, Some(token)) => {
                let token = TimeStampToken::from_der(&token.to_der().map_err(bad)?)?;
                Ok(Self::Granted(Box::new(token)))
            }
            (status, None) if status > GRANTED_WITH_MODS => Ok(Self::Refused {
                status,
                failure_bits: value.status.fail_info.as_ref().map_or(0, failure_bits),
                text: value.status.status_string.unwrap_or_default().join("; "),
            }),
            // RFC 3161 2.4.2: a token if and only if granted.
            _ => Err(Error::malformed(
                WHAT,
                "status and token contradict each other",
            )),
        }
    }

    /// The token, verified to answer `request`: imprint, nonce, policy and signature.
    ///
    /// # Errors
    /// [`Error::NotVerified`], also for a refusal.
    pub fn token_for(&self, request: &TimeStampReq) -> Result<&TimeStampToken> {
        let differs = |field: &str| Err(Error::not_verified(WHAT, format!("{field} differs")));
        let token = match self {
            Self::Granted(token) => token,
            Self::Refused { status, text, .. } => {
                return Err(Error::not_verified(
                    WHAT,
                    format!("refused, status {status} {text}"),
                ));
            }
        };
        let info = token.tst_info();
        if info.nonce != request.nonce {
            return differs("nonce");
        }
        if request.policy.is_some_and(|policy| policy != info.policy) {
            return differs("policy");
        }
        token.verify(request.imprint.algorithm, &request.imprint.digest)?;
        Ok(token)
    }
}

fn failure_bits(bits: &BitString) -> u32 {
    bits.bits()
        .enumerate()
        .filter(|(at, set)| *set && *at < 32)
        .fold(0, |all, (at, _)| all | 1 << at)
}
