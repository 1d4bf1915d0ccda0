//! The outer shape shared by certificates, CRLs and requests: what is signed, how, and the signature.

use der::asn1::BitString;
use der::{Any, Decode, Encode, Sequence};
use spki::AlgorithmIdentifierOwned;

use crate::keys::{Signer, verify_with_identifier};
use crate::{Error, Result};

/// `SIGNED{}` of X.509 (RFC 5280 4.1, 5.1; RFC 2986 4.2). The first member stays undecoded, so a
/// signature is always checked over the bytes that were signed.
#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
pub(crate) struct Signed {
    pub(crate) to_be_signed: Any,
    pub(crate) algorithm: AlgorithmIdentifierOwned,
    pub(crate) signature: BitString,
}

impl Signed {
    pub(crate) fn from_der(what: &'static str, der: &[u8], bytes_max: usize) -> Result<Self> {
        if der.len() > bytes_max {
            return Err(Error::TooLarge {
                what,
                limit: bytes_max as u64,
            });
        }
        crate::canonical::check(what, der)?;
        <Self as Decode>::from_der(der).map_err(|e| Error::malformed(what, e))
    }

    pub(crate) fn to_be_signed_der(&self, what: &'static str) -> Result<Vec<u8>> {
        self.to_be_signed
            .to_der()
            .map_err(|e| Error::malformed(what, e))
    }

    pub(crate) fn verify(&self, what: &'static str, spki_der: &[u8]) -> Result<()> {
        let signature = self
            .signature
            .as_bytes()
            .ok_or_else(|| Error::malformed(what, "signature with unused bits"))?;
        let message = self.to_be_signed_der(what)?;
        verify_with_identifier(spki_der, &self.algorithm, None, &message, signature).map_err(
            |error| match error {
                Error::NotVerified { reason, .. } => Error::NotVerified { what, reason },
                other => other,
            },
        )
    }

    /// Signs an encoded structure and returns the whole in DER.
    pub(crate) fn sign(
        what: &'static str,
        to_be_signed: &[u8],
        key: &dyn Signer,
    ) -> Result<Vec<u8>> {
        let encode = |signature: &[u8]| {
            Self {
                to_be_signed: Any::from_der(to_be_signed)?,
                algorithm: key.algorithm().identifier(),
                signature: BitString::from_bytes(signature)?,
            }
            .to_der()
        };
        encode(&key.sign(to_be_signed)?).map_err(|e: der::Error| Error::malformed(what, e))
    }
}
