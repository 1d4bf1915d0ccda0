//! A key in memory, signing with AWS-LC.

use core::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, KeyPair,
};
use der::asn1::BitString;
use der::pem::LineEnding;
use der::{Encode, SecretDocument};
use pkcs8::pkcs5::pbes2;
use pkcs8::{EncryptedPrivateKeyInfoRef, PrivateKeyInfoRef};
use spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use zeroize::Zeroizing;

use super::{SignatureAlgorithm, Signer};
use crate::{Error, Result, oid};

/// PBKDF2 rounds of new files; what OWASP recommends for HMAC-SHA-256.
const PBKDF2_ROUNDS: u32 = 600_000;
/// Upper bound when opening a file, so that a hostile one cannot occupy a core for hours.
const PBKDF2_ROUNDS_MAX: u32 = 10_000_000;

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
        let (label, document) =
            SecretDocument::from_pem(pem).map_err(|e| Error::malformed("encrypted key", e))?;
        if label != "ENCRYPTED PRIVATE KEY" {
            return Err(Error::malformed(
                "encrypted key",
                format!("PEM label {label:?}"),
            ));
        }
        let info = EncryptedPrivateKeyInfoRef::try_from(document.as_bytes())
            .map_err(|e| Error::malformed("encrypted key", e))?;
        if info
            .encryption_algorithm
            .pbes2()
            .and_then(|pbes2| pbes2.kdf.pbkdf2())
            .is_some_and(|kdf| kdf.iteration_count > PBKDF2_ROUNDS_MAX)
        {
            let limit = u64::from(PBKDF2_ROUNDS_MAX);
            return Err(Error::TooLarge {
                what: "PBKDF2 iteration count",
                limit,
            });
        }
        let plain = info
            .decrypt(passphrase)
            .map_err(|_| Error::Key("wrong passphrase or damaged file".to_owned()))?;
        Self::from_pkcs8_der(plain.as_bytes())
    }

    /// PKCS#8 with PBES2 (PBKDF2-HMAC-SHA-256, AES-256-CBC); opens with `openssl pkey -passin`.
    ///
    /// # Errors
    /// [`Error::Key`] if the random source or the backend fails.
    pub fn to_encrypted_pem(&self, passphrase: &[u8]) -> Result<Zeroizing<String>> {
        let key = |reason: &str| Error::Key(reason.to_owned());
        let plain = self.to_pkcs8_der()?;
        let (mut salt, mut iv) = ([0_u8; 16], [0_u8; 16]);
        let random = |buffer: &mut [u8]| {
            aws_lc_rs::rand::fill(buffer).map_err(|_| key("random source failed"))
        };
        random(&mut salt)?;
        random(&mut iv)?;
        let parameters =
            pbes2::Parameters::generate_pbkdf2_sha256_aes256cbc(PBKDF2_ROUNDS, &salt, iv)
                .map_err(|e| Error::Key(e.to_string()))?;
        PrivateKeyInfoRef::try_from(plain.as_slice())
            .and_then(|info| info.encrypt_with_params(parameters, passphrase))
            .map_err(|e| Error::Key(e.to_string()))?
            .to_pem("ENCRYPTED PRIVATE KEY", LineEnding::LF)
            .map_err(|e| Error::Key(e.to_string()))
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
