//! The same signatures from a second, independent implementation.

use core::fmt;

use p384::ecdsa::signature::Signer as _;
use p384::ecdsa::{DerSignature, SigningKey};
use pkcs8::DecodePrivateKey;
use zeroize::Zeroizing;

use super::memory::ec_public_key_der;
use super::{SignatureAlgorithm, Signer};
use crate::{Error, Result};

/// A P-384 key in the RustCrypto backend: deterministic (RFC 6979), wiped when dropped. Slower than
/// [`super::MemoryKey`]; it is there to check it, and where reproducible bytes matter.
pub struct P384Key {
    key: SigningKey,
    public_key_der: Vec<u8>,
}

impl P384Key {
    /// A new key from the system's randomness.
    ///
    /// # Errors
    /// [`Error::Key`] if the random source fails.
    pub fn generate() -> Result<Self> {
        let mut scalar = Zeroizing::new([0_u8; 48]);
        aws_lc_rs::rand::fill(scalar.as_mut_slice())
            .map_err(|_| Error::Key("random source failed".to_owned()))?;
        Self::from_scalar(&scalar)
    }

    /// From the private scalar, big-endian.
    ///
    /// # Errors
    /// [`Error::Key`] if it is zero or not below the group order.
    pub fn from_scalar(scalar: &[u8; 48]) -> Result<Self> {
        let key = SigningKey::from_slice(scalar)
            .map_err(|_| Error::Key("scalar out of range".to_owned()))?;
        Self::from_key(key)
    }

    /// From unencrypted PKCS#8 DER (RFC 5958); the caller wipes its copy.
    ///
    /// # Errors
    /// [`Error::Malformed`] if it is not a P-384 key.
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self> {
        let key = SigningKey::from_pkcs8_der(der).map_err(|e| Error::malformed("PKCS#8", e))?;
        Self::from_key(key)
    }

    fn from_key(key: SigningKey) -> Result<Self> {
        let point = key.verifying_key().to_sec1_point(false);
        let public_key_der =
            ec_public_key_der(SignatureAlgorithm::EcdsaP384Sha384, point.as_bytes())?;
        Ok(Self {
            key,
            public_key_der,
        })
    }
}

impl Signer for P384Key {
    fn public_key_der(&self) -> &[u8] {
        &self.public_key_der
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        let signature: DerSignature = self
            .key
            .try_sign(message)
            .map_err(|_| Error::Key("signing failed".to_owned()))?;
        Ok(signature.as_bytes().to_vec())
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::EcdsaP384Sha384
    }
}

impl fmt::Debug for P384Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("P384Key").finish_non_exhaustive()
    }
}
