//! Signature verification with AWS-LC.

use aws_lc_rs::signature as lc;
use der::Encode as _;
use spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoRef};

use super::{KnownSignatures, SignatureAlgorithm, unless_known};
use crate::digest::HashAlgorithm;
use crate::{Error, Result, oid};

/// Verifies a DER `Ecdsa-Sig-Value` over `message` with the key in a SubjectPublicKeyInfo.
///
/// # Errors
/// [`Error::Malformed`] for a broken key, [`Error::Unsupported`] if the key is not on the algorithm's
/// curve, [`Error::NotVerified`] otherwise.
pub fn verify_signature(
    spki_der: &[u8],
    algorithm: SignatureAlgorithm,
    message: &[u8],
    signature_der: &[u8],
) -> Result<()> {
    let spki = parse_key(spki_der)?;
    if spki.algorithm.parameters_oid().ok() != Some(algorithm.curve()) {
        return Err(Error::unsupported(
            "public key",
            "not on the algorithm's curve",
        ));
    }
    check(&spki, &algorithm.identifier(), None, message, signature_der)
}

/// Verifies a signature of others, whose algorithm is named by an AlgorithmIdentifier: ECDSA on P-256
/// and P-384 with SHA-2, RSA PKCS#1 v1.5 of at least 2,048 bits with SHA-2.
///
/// `digest` is the digest algorithm named beside it in CMS; it must be the signature's own.
///
/// # Errors
/// As [`verify_signature`].
pub fn verify_with_identifier(
    spki_der: &[u8],
    identifier: &AlgorithmIdentifierOwned,
    digest: Option<HashAlgorithm>,
    message: &[u8],
    signature: &[u8],
) -> Result<()> {
    check(
        &parse_key(spki_der)?,
        identifier,
        digest,
        message,
        signature,
    )
}

/// [`verify_with_identifier`] without a digest beside it, computed once for all that share `known`.
pub(crate) fn verify_unless_known(
    known: Option<&KnownSignatures>,
    spki_der: &[u8],
    identifier: &AlgorithmIdentifierOwned,
    message: &[u8],
    signature: &[u8],
) -> Result<()> {
    let algorithm = identifier
        .to_der()
        .map_err(|e| Error::malformed("signature algorithm", e))?;
    unless_known(known, [spki_der, &algorithm, message, signature], || {
        verify_with_identifier(spki_der, identifier, None, message, signature)
    })
}

/// Whether `point` is an uncompressed point (SEC 1 2.3.3) on the algorithm's curve.
pub(crate) fn is_on_curve(algorithm: SignatureAlgorithm, point: &[u8]) -> bool {
    let algorithm = match algorithm {
        SignatureAlgorithm::EcdsaP384Sha384 => &lc::ECDSA_P384_SHA384_ASN1,
        SignatureAlgorithm::EcdsaP256Sha256 => &lc::ECDSA_P256_SHA256_ASN1,
    };
    point.first() == Some(&0x04) && lc::ParsedPublicKey::new(algorithm, point).is_ok()
}

fn parse_key(spki_der: &[u8]) -> Result<SubjectPublicKeyInfoRef<'_>> {
    SubjectPublicKeyInfoRef::try_from(spki_der).map_err(|e| Error::malformed("public key", e))
}

fn check(
    spki: &SubjectPublicKeyInfoRef<'_>,
    identifier: &AlgorithmIdentifierOwned,
    digest: Option<HashAlgorithm>,
    message: &[u8],
    signature: &[u8],
) -> Result<()> {
    let algorithm = select(spki, identifier, digest)?;
    let key = spki
        .subject_public_key
        .as_bytes()
        .ok_or_else(|| Error::malformed("public key", "unused bits"))?;
    lc::UnparsedPublicKey::new(algorithm, key)
        .verify(message, signature)
        .map_err(|_| Error::not_verified("signature", "not made by this key over these bytes"))
}

fn select(
    spki: &SubjectPublicKeyInfoRef<'_>,
    identifier: &AlgorithmIdentifierOwned,
    digest: Option<HashAlgorithm>,
) -> Result<&'static dyn lc::VerificationAlgorithm> {
    use HashAlgorithm::{Sha256, Sha384, Sha512};
    let unsupported = || Error::unsupported("signature algorithm", identifier.oid);
    let hash = match identifier.oid {
        oid::ECDSA_WITH_SHA256 | oid::SHA256_WITH_RSA => Sha256,
        oid::ECDSA_WITH_SHA384 | oid::SHA384_WITH_RSA => Sha384,
        oid::ECDSA_WITH_SHA512 | oid::SHA512_WITH_RSA => Sha512,
        // RFC 3370 3.2: in CMS rsaEncryption takes its hash from the digest algorithm.
        oid::RSA_ENCRYPTION => digest.ok_or_else(unsupported)?,
        _ => return Err(unsupported()),
    };
    if digest.is_some_and(|digest| digest != hash) {
        return Err(Error::unsupported(
            "signature algorithm",
            "hash differs from the digest's",
        ));
    }
    let rsa_signature = !matches!(
        identifier.oid,
        oid::ECDSA_WITH_SHA256 | oid::ECDSA_WITH_SHA384 | oid::ECDSA_WITH_SHA512
    );
    // RFC 5758 3.2: absent for ECDSA; RFC 4055 5: NULL for RSA.
    match identifier.parameters.as_ref() {
        None => {}
        Some(parameters) if rsa_signature && parameters.is_null() => {}
        Some(_) => {
            return Err(Error::malformed(
                "signature algorithm",
                "unexpected parameters",
            ));
        }
    }
    if rsa_signature {
        if spki.algorithm.oid != oid::RSA_ENCRYPTION {
            return Err(unsupported());
        }
        return Ok(match hash {
            Sha256 => &lc::RSA_PKCS1_2048_8192_SHA256,
            Sha384 => &lc::RSA_PKCS1_2048_8192_SHA384,
            Sha512 => &lc::RSA_PKCS1_2048_8192_SHA512,
            _ => return Err(unsupported()),
        });
    }
    if spki.algorithm.oid != oid::EC_PUBLIC_KEY {
        return Err(unsupported());
    }
    let curve = spki
        .algorithm
        .parameters_oid()
        .map_err(|e| Error::malformed("public key", e))?;
    Ok(match (curve, hash) {
        (oid::SECP256R1, Sha256) => &lc::ECDSA_P256_SHA256_ASN1,
        (oid::SECP256R1, Sha384) => &lc::ECDSA_P256_SHA384_ASN1,
        (oid::SECP256R1, Sha512) => &lc::ECDSA_P256_SHA512_ASN1,
        (oid::SECP384R1, Sha256) => &lc::ECDSA_P384_SHA256_ASN1,
        (oid::SECP384R1, Sha384) => &lc::ECDSA_P384_SHA384_ASN1,
        (oid::SECP384R1, Sha512) => &lc::ECDSA_P384_SHA512_ASN1,
        _ => return Err(unsupported()),
    })
}
