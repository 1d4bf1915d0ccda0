//! The outer shape shared by certificates, CRLs and requests: what is signed, how, and the signature.

use der::asn1::BitString;
use der::{Any, Decode, Encode, Sequence};
use spki::AlgorithmIdentifierOwned;

use crate::keys::{KnownSignatures, Signer, verify_unless_known};
use crate::lint::ToBeSigned;
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

    pub(crate) fn verify(
        &self,
        what: &'static str,
        spki_der: &[u8],
        known: Option<&KnownSignatures>,
    ) -> Result<()> {
        let signature = self
            .signature
            .as_bytes()
            .ok_or_else(|| Error::malformed(what, "signature with unused bits"))?;
        let message = self.to_be_signed_der(what)?;
        verify_unless_known(known, spki_der, &self.algorithm, &message, signature).map_err(
            |error| match error {
                Error::NotVerified { reason, .. } => Error::NotVerified { what, reason },
                other => other,
            },
        )
    }

    /// Signs what the lint passed and returns the whole in DER, read back: the bytes inside are the bytes that
    /// were linted, and the signature is `key`'s over them.
    pub(crate) fn sign(
        what: &'static str,
        to_be_signed: &ToBeSigned,
        key: &dyn Signer,
    ) -> Result<Vec<u8>> {
        let encode = |signature: &[u8]| {
            Self {
                to_be_signed: Any::from_der(to_be_signed.as_bytes())?,
                algorithm: key.algorithm().identifier(),
                signature: BitString::from_bytes(signature)?,
            }
            .to_der()
        };
        let der = encode(&to_be_signed.sign(key)?).map_err(|e| Error::malformed(what, e))?;
        let read = <Self as Decode>::from_der(&der).map_err(|e| Error::malformed(what, e))?;
        if read.to_be_signed_der(what)? != to_be_signed.as_bytes() {
            return Err(Error::not_verified(what, "other bytes than were linted"));
        }
        read.verify(what, key.public_key_der(), None)?;
        Ok(der)
    }
}
