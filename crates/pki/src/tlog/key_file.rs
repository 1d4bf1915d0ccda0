//! The log's key at rest: Ed25519 in encrypted PKCS#8 (RFC 8410 7), the form all other keys have.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use const_oid::ObjectIdentifier;
use const_oid::db::rfc8410::ID_ED_25519;
use der::asn1::OctetStringRef;
use der::{Decode, Encode};
use pkcs8::PrivateKeyInfoRef;
use spki::AlgorithmIdentifierRef;
use zeroize::Zeroizing;

use super::LogKey;
use crate::keys::encrypted_pem;
use crate::{Error, Result};

const ED25519: ObjectIdentifier = ID_ED_25519;

impl LogKey {
    /// PEM `ENCRYPTED PRIVATE KEY`; opens with `openssl pkey -passin`. The log's name is not in it.
    ///
    /// # Errors
    /// [`Error::Key`] if the random source or the backend fails.
    pub fn to_encrypted_pem(&self, passphrase: &[u8]) -> Result<Zeroizing<String>> {
        let bad = |e: &dyn ToString| Error::Key(e.to_string());
        let seed = self.seed()?;
        let seed = OctetStringRef::new(seed.as_slice())
            .and_then(|seed| seed.to_der())
            .map_err(|e| bad(&e))?;
        let seed = Zeroizing::new(seed);
        let algorithm = AlgorithmIdentifierRef {
            oid: ED25519,
            parameters: None,
        };
        let private_key = OctetStringRef::new(&seed).map_err(|e| bad(&e))?;
        let plain = PrivateKeyInfoRef::new(algorithm, private_key)
            .to_der()
            .map_err(|e| bad(&e))?;
        encrypted_pem::seal(&Zeroizing::new(plain), passphrase)
    }

    /// From the written form `PRIVATE+KEY+name+id+key`; the last part may itself have pluses.
    fn seed(&self) -> Result<Zeroizing<[u8; 32]>> {
        let bad = |e: &dyn ToString| Error::Key(e.to_string());
        let secret = self.to_secret();
        let encoded = secret.splitn(5, '+').nth(4).unwrap_or_default();
        let typed = Zeroizing::new(STANDARD.decode(encoded).map_err(|e| bad(&e))?);
        let seed = typed.get(1..).unwrap_or_default();
        Ok(Zeroizing::new(seed.try_into().map_err(|e| bad(&e))?))
    }

    /// Reads what [`to_encrypted_pem`](Self::to_encrypted_pem) wrote, for the log of this name.
    ///
    /// # Errors
    /// [`Error::Malformed`] or [`Error::Unsupported`] for other contents, [`Error::Key`] for a wrong
    /// passphrase or an impossible name.
    pub fn from_encrypted_pem(name: &str, pem: &str, passphrase: &[u8]) -> Result<Self> {
        let bad = |e: &dyn ToString| Error::malformed("log signing key", e.to_string());
        let plain = encrypted_pem::open(pem, passphrase)?;
        let info = PrivateKeyInfoRef::try_from(plain.as_bytes()).map_err(|e| bad(&e))?;
        if info.algorithm.oid != ED25519 {
            return Err(Error::unsupported("log signing key", info.algorithm.oid));
        }
        let seed = <&OctetStringRef>::from_der(info.private_key.as_bytes()).map_err(|e| bad(&e))?;
        let seed: Zeroizing<[u8; 32]> =
            Zeroizing::new(seed.as_bytes().try_into().map_err(|e| bad(&e))?);
        Self::generate(name, &seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_with_its_passphrase_alone() {
        let key = LogKey::generate("log.example", &[9; 32]).unwrap();
        let pem = key.to_encrypted_pem(b"secret").unwrap();
        let again = LogKey::from_encrypted_pem("log.example", &pem, b"secret").unwrap();
        assert_eq!(again.verifier_key(), key.verifier_key());
        assert!(LogKey::from_encrypted_pem("log.example", &pem, b"Secret").is_err());
    }

    #[test]
    fn the_seed_is_found_whatever_its_bytes() {
        for byte in 0..=u8::MAX {
            let key = LogKey::generate("log.example", &[byte; 32]).unwrap();
            assert_eq!(*key.seed().unwrap(), [byte; 32]);
        }
    }

    #[test]
    fn a_key_of_another_kind_is_refused() {
        let pem = crate::keys::MemoryKey::generate()
            .unwrap()
            .to_encrypted_pem(b"secret")
            .unwrap();
        let refused = LogKey::from_encrypted_pem("log.example", &pem, b"secret");
        assert!(matches!(refused, Err(Error::Unsupported { .. })));
    }
}
