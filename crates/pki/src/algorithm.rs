//! Names of the algorithms behind keys and signatures, as a verifier's policy lists them.

use const_oid::ObjectIdentifier;
use der::asn1::UintRef;
use der::{Decode, Sequence};
use spki::SubjectPublicKeyInfoRef;

use crate::digest::HashAlgorithm;
use crate::signed::Signed;
use crate::{Error, Result, oid};

/// A list is the longest of what is signed by X.509's `SIGNED{}`.
const SIGNED_BYTES_MAX: usize = 8 * 1024 * 1024;

/// `P-256`, `P-384`, `RSA-2048` and so on; of any other kind of key the dotted identifier. RSA keys are
/// named after the largest of 2048, 3072, 4096 and 8192 bits that they reach, smaller ones after 1024.
///
/// # Errors
/// [`Error::Malformed`] for what is no SubjectPublicKeyInfo.
pub fn key_name(spki_der: &[u8]) -> Result<String> {
    let bad = |e: der::Error| Error::malformed("public key", e);
    let spki = SubjectPublicKeyInfoRef::from_der(spki_der).map_err(bad)?;
    match spki.algorithm.oid {
        oid::EC_PUBLIC_KEY => {
            let curve = spki.algorithm.parameters_oid();
            let curve = curve.map_err(|e| Error::malformed("public key", e))?;
            Ok(match curve {
                oid::SECP256R1 => "P-256".to_owned(),
                oid::SECP384R1 => "P-384".to_owned(),
                other => other.to_string(),
            })
        }
        oid::RSA_ENCRYPTION => {
            let bytes = spki.subject_public_key.as_bytes();
            let bytes = bytes.ok_or_else(|| Error::malformed("public key", "unused bits"))?;
            let key = RsaPublicKey::from_der(bytes).map_err(bad)?;
            let bits = bits(key.modulus.as_bytes());
            let reached = [8192, 4096, 3072, 2048].into_iter().find(|at| bits >= *at);
            Ok(format!("RSA-{}", reached.unwrap_or(1024)))
        }
        other => Ok(other.to_string()),
    }
}

/// RFC 8017 A.1.1.
#[derive(Sequence)]
struct RsaPublicKey<'a> {
    modulus: UintRef<'a>,
    exponent: UintRef<'a>,
}

fn bits(magnitude: &[u8]) -> usize {
    let first = magnitude.first().map_or(0, |byte| byte.leading_zeros());
    (magnitude.len() * 8).saturating_sub(first as usize)
}

/// The hash function inside the signature on a certificate or revocation list, DER.
///
/// # Errors
/// [`Error::Malformed`], [`Error::Unsupported`] for other functions than SHA-2.
pub fn signature_hash(der: &[u8]) -> Result<HashAlgorithm> {
    let signed = Signed::from_der("signed structure", der, SIGNED_BYTES_MAX)?;
    hash_of(&signed.algorithm.oid)
}

pub(crate) fn hash_of(oid: &ObjectIdentifier) -> Result<HashAlgorithm> {
    match *oid {
        oid::ECDSA_WITH_SHA256 | oid::SHA256_WITH_RSA => Ok(HashAlgorithm::Sha256),
        oid::ECDSA_WITH_SHA384 | oid::SHA384_WITH_RSA => Ok(HashAlgorithm::Sha384),
        oid::ECDSA_WITH_SHA512 | oid::SHA512_WITH_RSA => Ok(HashAlgorithm::Sha512),
        other => Err(Error::unsupported("signature algorithm", other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{MemoryKey, SignatureAlgorithm, Signer};

    #[test]
    fn keys_are_named() {
        for (algorithm, name) in [
            (SignatureAlgorithm::EcdsaP384Sha384, "P-384"),
            (SignatureAlgorithm::EcdsaP256Sha256, "P-256"),
        ] {
            let key = MemoryKey::generate_for(algorithm).unwrap();
            assert_eq!(key_name(key.public_key_der()).unwrap(), name);
        }
        assert!(key_name(b"0").is_err());
        assert_eq!((bits(&[0x80; 256]), bits(&[1])), (2048, 1));
    }
}
