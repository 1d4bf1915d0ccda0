//! A key in memory, signing with AWS-LC.

use core::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, KeyPair,
};
use der::Encode;
use der::asn1::BitString;
use pkcs8::PrivateKeyInfoRef;
use spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use zeroize::Zeroizing;

use super::{SignatureAlgorithm, Signer, encrypted_pem};
use crate::{Error, Result, oid};

/// A private key held by AWS-LC, which overwrites its memory when freed. No second copy is kept.
pub struct MemoryKey {
    pair: EcdsaKeyPair,
    algorithm: SignatureAlgorithm,
    public_key_der: Vec<u8>,
}

impl MemoryKey {
    /// A new P-384 key from the system's randomness.
    ///
    /// # Errors
    /// [`Error::Key`] if the random source fails.
    pub fn generate() -> Result<Self> {
        Self::generate_for(SignatureAlgorithm::EcdsaP384Sha384)
    }

    /// A new key for the given algorithm.
    ///
    /// # Errors
    /// [`Error::Key`] if the random source fails.
    pub fn generate_for(algorithm: SignatureAlgorithm) -> Result<Self> {
        let pair = EcdsaKeyPair::generate(backend(algorithm))
            .map_err(|_| Error::Key("generation failed".to_owned()))?;
        Self::from_pair(pair, algorithm)
    }

    /// From unencrypted PKCS#8 DER (RFC 5958); the caller wipes its copy.
    ///
    /// # Errors
    /// [`Error::Malformed`] or [`Error::Unsupported`] if it is not a P-384 or P-256 key.
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self> {
        let info = PrivateKeyInfoRef::try_from(der).map_err(|e| Error::malformed("PKCS#8", e))?;
        if info.algorithm.oid != oid::EC_PUBLIC_KEY {
            return Err(Error::unsupported("private key", info.algorithm.oid));
        }
        let curve = info
            .algorithm
            .parameters_oid()
            .map_err(|e| Error::malformed("PKCS#8", e))?;
        let algorithm = SignatureAlgorithm::for_curve(&curve)?;
        let pair = EcdsaKeyPair::from_pkcs8(backend(algorithm), der)
            .map_err(|e| Error::malformed("PKCS#8", e))?;
        Self::from_pair(pair, algorithm)
    }

    /// From a PEM file `ENCRYPTED PRIVATE KEY` (PKCS#8 with PBES2).
    ///
    /// # Errors
    /// [`Error::Malformed`] for other contents, [`Error::Key`] for a wrong passphrase.
    pub fn from_encrypted_pem(pem: &str, passphrase: &[u8]) -> Result<Self> {
        let plain = encrypted_pem::open(pem, passphrase)?;
        Self::from_pkcs8_der(plain.as_bytes())
    }

    /// PKCS#8 with PBES2 (PBKDF2-HMAC-SHA-256, AES-256-CBC); opens with `openssl pkey -passin`.
    ///
    /// # Errors
    /// [`Error::Key`] if the random source or the backend fails.
    pub fn to_encrypted_pem(&self, passphrase: &[u8]) -> Result<Zeroizing<String>> {
        encrypted_pem::seal(&self.to_pkcs8_der()?, passphrase)
    }

    /// Unencrypted PKCS#8 DER, for backends that keep it elsewhere; wiped when dropped.
    ///
    /// # Errors
    /// [`Error::Key`] if the backend refuses.
    pub fn to_pkcs8_der(&self) -> Result<Zeroizing<Vec<u8>>> {
        let document = self
            .pair
            .to_pkcs8v1()
            .map_err(|_| Error::Key("cannot be exported".to_owned()))?;
        Ok(Zeroizing::new(document.as_ref().to_vec()))
    }

    fn from_pair(pair: EcdsaKeyPair, algorithm: SignatureAlgorithm) -> Result<Self> {
        let public_key_der = ec_public_key_der(algorithm, pair.public_key().as_ref())?;
        Ok(Self {
            pair,
            algorithm,
            public_key_der,
        })
    }
}

impl Signer for MemoryKey {
    fn public_key_der(&self) -> &[u8] {
        &self.public_key_der
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        let signature = self
            .pair
            .sign(&SystemRandom::new(), message)
            .map_err(|_| Error::Key("signing failed".to_owned()))?;
        Ok(signature.as_ref().to_vec())
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }
}

impl fmt::Debug for MemoryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryKey")
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

const fn backend(algorithm: SignatureAlgorithm) -> &'static EcdsaSigningAlgorithm {
    match algorithm {
        SignatureAlgorithm::EcdsaP384Sha384 => &ECDSA_P384_SHA384_ASN1_SIGNING,
        SignatureAlgorithm::EcdsaP256Sha256 => &ECDSA_P256_SHA256_ASN1_SIGNING,
    }
}

/// SubjectPublicKeyInfo of an uncompressed point (RFC 5480 2).
pub(super) fn ec_public_key_der(algorithm: SignatureAlgorithm, point: &[u8]) -> Result<Vec<u8>> {
    let encode = || {
        SubjectPublicKeyInfoOwned {
            algorithm: AlgorithmIdentifierOwned {
                oid: oid::EC_PUBLIC_KEY,
                parameters: Some((&algorithm.curve()).into()),
            },
            subject_public_key: BitString::from_bytes(point)?,
        }
        .to_der()
    };
    encode().map_err(|e: der::Error| Error::Key(e.to_string()))
}
