//! Signing keys and signature verification.
//!
//! Every signature leaves as the DER `Ecdsa-Sig-Value` of RFC 3279 2.2.3. Certificates, CRLs, OCSP
//! responses, CMS and time-stamp tokens all sign through [`Signer`], so a key in memory, in a file or
//! in a security module is the same to them.

mod encoding;
pub(crate) mod encrypted_pem;
mod known;
mod memory;
mod pure;
mod verify;

use const_oid::ObjectIdentifier;
use der::Decode as _;
use spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoRef};

pub use encoding::ecdsa_sig_value;
pub use known::KnownSignatures;
pub(crate) use known::unless_known;
pub use memory::MemoryKey;
pub use pure::P384Key;
pub(crate) use verify::{is_on_curve, verify_unless_known};
pub use verify::{verify_signature, verify_with_identifier};

use crate::digest::HashAlgorithm;
use crate::{Error, Result, oid};

/// What a [`Signer`] signs with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SignatureAlgorithm {
    /// ecdsa-with-SHA384 on secp384r1: everything Probity issues.
    EcdsaP384Sha384,
    /// ecdsa-with-SHA256 on secp256r1: keys of others, and the proof that the choice is not baked in.
    EcdsaP256Sha256,
}

impl SignatureAlgorithm {
    /// Signature algorithm identifier (RFC 5758 3.2).
    #[must_use]
    pub const fn oid(self) -> ObjectIdentifier {
        match self {
            Self::EcdsaP384Sha384 => oid::ECDSA_WITH_SHA384,
            Self::EcdsaP256Sha256 => oid::ECDSA_WITH_SHA256,
        }
    }

    /// Named curve of the key (RFC 5480 2.1.1.1).
    #[must_use]
    pub const fn curve(self) -> ObjectIdentifier {
        match self {
            Self::EcdsaP384Sha384 => oid::SECP384R1,
            Self::EcdsaP256Sha256 => oid::SECP256R1,
        }
    }

    /// The hash function inside; in CMS the digest algorithm must be the same one.
    #[must_use]
    pub const fn hash(self) -> HashAlgorithm {
        match self {
            Self::EcdsaP384Sha384 => HashAlgorithm::Sha384,
            Self::EcdsaP256Sha256 => HashAlgorithm::Sha256,
        }
    }

    /// The algorithm that goes with a curve.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for other curves.
    pub fn for_curve(curve: &ObjectIdentifier) -> Result<Self> {
        [Self::EcdsaP384Sha384, Self::EcdsaP256Sha256]
            .into_iter()
            .find(|algorithm| algorithm.curve() == *curve)
            .ok_or_else(|| Error::unsupported("elliptic curve", curve))
    }

    /// The algorithm that goes with the key in a SubjectPublicKeyInfo, DER.
    ///
    /// # Errors
    /// [`Error::Malformed`], and [`Error::Unsupported`] for keys of other kinds.
    pub fn of_public_key(spki_der: &[u8]) -> Result<Self> {
        let bad = |e: spki::der::Error| Error::malformed("public key", e);
        let spki = SubjectPublicKeyInfoRef::from_der(spki_der).map_err(bad)?;
        if spki.algorithm.oid != oid::EC_PUBLIC_KEY {
            return Err(Error::unsupported("public key", spki.algorithm.oid));
        }
        let curve = spki.algorithm.parameters_oid();
        Self::for_curve(&curve.map_err(|e| Error::malformed("public key", e))?)
    }

    /// Length of a coordinate, and of each half of a signature, in bytes.
    pub(crate) const fn coordinate_bytes(self) -> usize {
        match self {
            Self::EcdsaP384Sha384 => 48,
            Self::EcdsaP256Sha256 => 32,
        }
    }

    /// AlgorithmIdentifier: parameters absent (RFC 5758 3.2).
    pub(crate) const fn identifier(self) -> AlgorithmIdentifierOwned {
        AlgorithmIdentifierOwned {
            oid: self.oid(),
            parameters: None,
        }
    }
}

/// Something that signs with one private key. Object-safe; implementations wipe what they hold.
pub trait Signer: Send + Sync {
    /// SubjectPublicKeyInfo, DER.
    fn public_key_der(&self) -> &[u8];

    /// Hashes and signs `message`, which only [`crate::lint::ToBeSigned`] may hand in; the result is a DER `Ecdsa-Sig-Value`.
    ///
    /// # Errors
    /// [`Error::Key`] if the backend refuses.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>>;

    /// What [`Signer::sign`] produces.
    fn algorithm(&self) -> SignatureAlgorithm;
}

impl<S: Signer + ?Sized> Signer for std::sync::Arc<S> {
    fn public_key_der(&self) -> &[u8] {
        (**self).public_key_der()
    }

    #[expect(clippy::disallowed_methods, reason = "hands on")]
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        (**self).sign(message)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        (**self).algorithm()
    }
}

impl<S: Signer + ?Sized> Signer for Box<S> {
    fn public_key_der(&self) -> &[u8] {
        (**self).public_key_der()
    }

    #[expect(clippy::disallowed_methods, reason = "hands on")]
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        (**self).sign(message)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        (**self).algorithm()
    }
}
