//! The recipient's side of the key agreement.

use aes::Aes256;
use aes::cipher::KeyInit;
use aes_kw::AesKw;
use der::asn1::OctetString;
use der::{Encode, Sequence};
use p384::elliptic_curve::sec1::ToSec1Point;
use p384::{PublicKey, SecretKey};
use probity_domain::Timestamp;
use sha2::Sha384;
use spki::{AlgorithmIdentifierOwned, DecodePublicKey};
use zeroize::Zeroizing;

use super::{AES256_WRAP, WHAT};
use crate::x509::Certificate;
use crate::{Error, Result};

/// A 256-bit key under AES key wrap (RFC 3394): eight bytes longer.
pub const WRAPPED_BYTES: usize = 40;

/// Whether a package may be encrypted to this certificate at this time. Says nothing about who owns
/// it: the caller validates its path or has it from a trusted profile.
///
/// # Errors
/// [`Error::Unsupported`] or [`Error::Malformed`] with the reason.
pub fn check_recipient(certificate: &Certificate, at: Timestamp) -> Result<()> {
    let refuse = |reason: String| Err(Error::unsupported("recipient certificate", reason));
    if !certificate.is_p384() {
        return refuse("its key is not on curve P-384".to_owned());
    }
    if !certificate
        .key_usage()
        .is_some_and(|usage| usage.key_agreement())
    {
        return refuse("its key usage is not keyAgreement".to_owned());
    }
    if at < certificate.not_before() {
        return refuse(format!(
            "it is valid from {} only",
            certificate.not_before()
        ));
    }
    if !certificate.is_valid_at(at) {
        return refuse(format!("it expired at {}", certificate.not_after()));
    }
    public_key(certificate).map(drop)
}

pub fn public_key(certificate: &Certificate) -> Result<PublicKey> {
    PublicKey::from_public_key_der(certificate.spki_der())
        .map_err(|e| Error::malformed("recipient certificate", e))
}

/// ECC-CMS-SharedInfo (RFC 5753 section 7.2); entityUInfo is absent since no ukm is sent.
#[derive(Sequence)]
struct EccCmsSharedInfo {
    key_info: AlgorithmIdentifierOwned,
    #[asn1(context_specific = "2", tag_mode = "EXPLICIT")]
    supp_pub_info: OctetString,
}

/// A key that wraps the content key, from one side's private and the other's public key.
pub struct Agreed(Zeroizing<[u8; 32]>);

impl Agreed {
    pub fn new(own: &SecretKey, other: &PublicKey) -> Result<Self> {
        let bad = |e: &dyn ToString| Error::malformed(WHAT, e.to_string());
        let shared = p384::ecdh::diffie_hellman(own.to_nonzero_scalar(), other.as_affine());
        let info = EccCmsSharedInfo {
            key_info: AlgorithmIdentifierOwned {
                oid: AES256_WRAP,
                parameters: None,
            },
            supp_pub_info: OctetString::new(256u32.to_be_bytes()).map_err(|e| bad(&e))?,
        };
        let info = info.to_der().map_err(|e| bad(&e))?;
        let mut key = Zeroizing::new([0; 32]);
        let secret = shared.raw_secret_bytes();
        ansi_x963_kdf::derive_key_into::<Sha384>(secret, &info, key.as_mut_slice())
            .map_err(|e| bad(&e))?;
        Ok(Self(key))
    }

    pub fn wrap(&self, content_key: &[u8; 32]) -> Result<[u8; WRAPPED_BYTES]> {
        let mut wrapped = [0; WRAPPED_BYTES];
        self.cipher()
            .wrap_key(content_key, &mut wrapped)
            .map_err(|e| Error::Key(format!("wrapping the content key: {e}")))?;
        Ok(wrapped)
    }

    pub fn unwrap(&self, wrapped: &[u8]) -> Result<Zeroizing<[u8; 32]>> {
        let mut key = Zeroizing::new([0; 32]);
        if wrapped.len() != WRAPPED_BYTES {
            return Err(Error::malformed(WHAT, "the wrapped key is not 40 bytes"));
        }
        self.cipher()
            .unwrap_key(wrapped, key.as_mut_slice())
            .map_err(|_| {
                Error::not_verified(WHAT, "the content key is not for this private key")
            })?;
        Ok(key)
    }

    fn cipher(&self) -> AesKw<Aes256> {
        AesKw::new((&*self.0).into())
    }
}

/// The point as it stands in an OriginatorPublicKey.
pub fn point(key: &PublicKey) -> Vec<u8> {
    key.to_sec1_point(false).as_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The `cms` crate's builder wraps under a key of zeros, which anybody can undo.
    #[test]
    fn the_wrapping_key_is_agreed_and_not_zero() {
        let (own, other) = (
            SecretKey::from_slice(&[1; 48]).unwrap(),
            SecretKey::from_slice(&[2; 48]).unwrap(),
        );
        let ours = Agreed::new(&own, &other.public_key()).unwrap();
        let theirs = Agreed::new(&other, &own.public_key()).unwrap();
        let zero = Agreed(Zeroizing::new([0; 32]));
        let wrapped = ours.wrap(&[7; 32]).unwrap();
        assert_eq!(*theirs.unwrap(&wrapped).unwrap(), [7; 32]);
        assert!(zero.unwrap(&wrapped).is_err());
        assert!(ours.unwrap(&wrapped[1..]).is_err());
    }
}
