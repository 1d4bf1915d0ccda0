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
        let shared = p384::ecdh::diffie_hellman(own.to_nonzero_scalar(), other.as_affine());
        Self::from_secret(shared.raw_secret_bytes())
    }

    /// Key derivation of dhSinglePass-stdDH-sha384kdf-scheme (RFC 5753 section 7.1.5).
    fn from_secret(secret: &[u8]) -> Result<Self> {
        let bad = |e: &dyn ToString| Error::malformed(WHAT, e.to_string());
        let info = EccCmsSharedInfo {
            key_info: AlgorithmIdentifierOwned {
                oid: AES256_WRAP,
                parameters: None,
            },
            supp_pub_info: OctetString::new(256u32.to_be_bytes()).map_err(|e| bad(&e))?,
        };
        let info = info.to_der().map_err(|e| bad(&e))?;
        let mut key = Zeroizing::new([0; 32]);
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

    /// Project Wycheproof's vectors: good points agree on the secret, bad ones are refused while read.
    #[test]
    fn wycheproof_points() {
        use wycheproof::ecdh::{TestName, TestSet};
        let (mut agreed, mut refused) = (0, 0);
        for name in [TestName::EcdhSecp384r1, TestName::EcdhSecp384r1Ecpoint] {
            let set = TestSet::load(name).unwrap();
            for test in set.test_groups.into_iter().flat_map(|group| group.tests) {
                let point = if name == TestName::EcdhSecp384r1 {
                    PublicKey::from_public_key_der(&test.public_key).ok()
                } else {
                    PublicKey::from_sec1_bytes(&test.public_key).ok()
                };
                let Some(point) = point else {
                    assert_ne!(
                        test.result,
                        wycheproof::TestResult::Valid,
                        "{}",
                        test.comment
                    );
                    refused += 1;
                    continue;
                };
                assert!(
                    !test.result.must_fail(),
                    "{name:?} {}: {}",
                    test.tc_id,
                    test.comment
                );
                // A vector's scalar is a two's complement integer.
                let significant = test.private_key.iter().skip_while(|byte| **byte == 0);
                let significant: Vec<u8> = significant.copied().collect();
                let mut scalar = [0; 48];
                scalar[48 - significant.len()..].copy_from_slice(&significant);
                let own = SecretKey::from_slice(&scalar).unwrap();
                let expected = Agreed::from_secret(&test.shared_secret).unwrap();
                assert_eq!(
                    *Agreed::new(&own, &point).unwrap().0,
                    *expected.0,
                    "{}",
                    test.tc_id
                );
                agreed += 1;
            }
        }
        assert!(agreed > 500 && refused > 50, "{agreed}, {refused}");
    }

    #[test]
    fn wycheproof_key_wrap() {
        use wycheproof::keywrap::{TestName, TestSet};
        let set = TestSet::load(TestName::AesKeyWrap).unwrap();
        let (mut accepted, mut refused) = (0, 0);
        let groups = set
            .test_groups
            .into_iter()
            .filter(|group| group.key_size == 256);
        for test in groups.flat_map(|group| group.tests) {
            let agreed = Agreed(Zeroizing::new(test.key[..].try_into().unwrap()));
            let unwrapped = agreed.unwrap(&test.ct);
            // Content keys are 256 bits long, nothing else is unwrapped.
            if test.result.must_fail() || test.ct.len() != WRAPPED_BYTES {
                assert!(unwrapped.is_err(), "{}: {}", test.tc_id, test.comment);
                refused += 1;
            } else {
                assert_eq!(unwrapped.unwrap()[..], test.pt[..], "{}", test.tc_id);
                assert_eq!(
                    agreed.wrap(test.pt[..].try_into().unwrap()).unwrap()[..],
                    test.ct[..]
                );
                accepted += 1;
            }
        }
        assert!(accepted > 3 && refused > 20, "{accepted}, {refused}");
    }
}
