//! Private keys at rest: PEM `ENCRYPTED PRIVATE KEY`, that is PKCS#8 under PBES2 (RFC 5958, RFC 8018).

use der::SecretDocument;
use der::pem::LineEnding;
use pkcs8::pkcs5::pbes2;
use pkcs8::{EncryptedPrivateKeyInfoRef, PrivateKeyInfoRef};
use zeroize::Zeroizing;

use crate::{Error, Result};

const LABEL: &str = "ENCRYPTED PRIVATE KEY";
/// PBKDF2 rounds of new files; what OWASP recommends for HMAC-SHA-256.
const PBKDF2_ROUNDS: u32 = 600_000;
/// Upper bound when opening a file, so that a hostile one cannot occupy a core for hours.
const PBKDF2_ROUNDS_MAX: u32 = 10_000_000;

/// Encrypts PKCS#8 DER with PBKDF2-HMAC-SHA-256 and AES-256-CBC; opens with `openssl pkey -passin`.
pub(crate) fn seal(pkcs8_der: &[u8], passphrase: &[u8]) -> Result<Zeroizing<String>> {
    let (mut salt, mut iv) = ([0_u8; 16], [0_u8; 16]);
    for buffer in [&mut salt, &mut iv] {
        aws_lc_rs::rand::fill(buffer).map_err(|_| Error::Key("random source failed".to_owned()))?;
    }
    let parameters = pbes2::Parameters::generate_pbkdf2_sha256_aes256cbc(PBKDF2_ROUNDS, &salt, iv)
        .map_err(|e| Error::Key(e.to_string()))?;
    PrivateKeyInfoRef::try_from(pkcs8_der)
        .and_then(|info| info.encrypt_with_params(parameters, passphrase))
        .map_err(|e| Error::Key(e.to_string()))?
        .to_pem(LABEL, LineEnding::LF)
        .map_err(|e| Error::Key(e.to_string()))
}

/// The PKCS#8 DER inside; wiped when dropped.
pub(crate) fn open(pem: &str, passphrase: &[u8]) -> Result<SecretDocument> {
    let bad = |e: der::Error| Error::malformed("encrypted key", e);
    let (label, document) = SecretDocument::from_pem(pem).map_err(bad)?;
    if label != LABEL {
        return Err(Error::malformed(
            "encrypted key",
            format!("PEM label {label:?}"),
        ));
    }
    let info = EncryptedPrivateKeyInfoRef::try_from(document.as_bytes())
        .map_err(|e| Error::malformed("encrypted key", e))?;
    let rounds = info
        .encryption_algorithm
        .pbes2()
        .and_then(|pbes2| pbes2.kdf.pbkdf2());
    if rounds.is_some_and(|kdf| kdf.iteration_count > PBKDF2_ROUNDS_MAX) {
        let limit = u64::from(PBKDF2_ROUNDS_MAX);
        return Err(Error::TooLarge {
            what: "PBKDF2 iteration count",
            limit,
        });
    }
    info.decrypt(passphrase)
        .map_err(|_| Error::Key("wrong passphrase or damaged file".to_owned()))
}
