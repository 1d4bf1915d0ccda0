//! Key material: private keys in encrypted files or in tokens, certificates and revocation lists in files, as the
//! ceremony writes them.

mod pkcs11;
mod pool;
mod stalling;
mod validity;

use std::path::Path;

pub use pkcs11::{Pkcs11Config, Pkcs11Key};
pub use stalling::StallingKey;
pub use validity::{Validity, watch_validity};

use probity_pki::crl::Crl;
use probity_pki::keys::{MemoryKey, Signer};
use probity_pki::tlog::{LogKey, LogVerifier};
use probity_pki::x509::Certificate;

use crate::config::SecretFile;
use crate::{Error, Result};

/// A file of keys, certificates or lists may be this long.
const FILE_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Does work that signs, away from the threads that everything else runs on: a key may be in a token, and a token may
/// stand still.
///
/// # Errors
/// Those of the work; `Internal` when it panics.
pub async fn signing<T, W>(work: W) -> Result<T>
where
    T: Send + 'static,
    W: FnOnce() -> Result<T> + Send + 'static,
{
    let span = tracing::Span::current();
    let done = tokio::task::spawn_blocking(move || span.in_scope(work));
    done.await.map_err(Error::internal)?
}

/// Why there is no signature: a key that refuses, or a token that does not answer, may be back later.
#[must_use]
pub fn unsigned(error: probity_pki::Error) -> Error {
    match error {
        probity_pki::Error::Key(reason) => Error::unavailable(format!("key: {reason}")),
        other => Error::internal(other),
    }
}

/// Opens a role's private key: in an encrypted file, or in a token. The configuration has exactly one of the two.
///
/// # Errors
/// `Malformed`, naming the file or token, or what the configuration lacks.
pub fn open_signer(
    key_file: Option<&Path>,
    passphrase_file: Option<&SecretFile>,
    pkcs11: Option<&Pkcs11Config>,
    certificate: &Certificate,
) -> Result<Box<dyn Signer>> {
    match (key_file, passphrase_file, pkcs11) {
        (Some(key), Some(passphrase), None) => {
            Ok(Box::new(open_signing_key(key, passphrase, certificate)?))
        }
        (None, None, Some(token)) => Ok(Box::new(Pkcs11Key::open(token, certificate)?)),
        _ => Err(Error::malformed(format!(
            "the key of {}: give a key file with its passphrase file, or pkcs11",
            certificate.subject()
        ))),
    }
}

/// Opens an encrypted private key (PKCS#8, PEM) and checks that it is the certificate's.
///
/// # Errors
/// `Malformed`, naming the file.
pub fn open_signing_key(
    key_file: &Path,
    passphrase_file: &SecretFile,
    certificate: &Certificate,
) -> Result<MemoryKey> {
    let pem = zeroize::Zeroizing::new(read(key_file)?);
    let passphrase = passphrase_file.read()?;
    let bad = |e: &dyn std::fmt::Display| Error::malformed(format!("{}: {e}", key_file.display()));
    let pem = std::str::from_utf8(&pem).map_err(|e| bad(&e))?;
    let key =
        MemoryKey::from_encrypted_pem(pem, passphrase.expose().as_bytes()).map_err(|e| bad(&e))?;
    if key.public_key_der() != certificate.spki_der() {
        return Err(bad(&format_args!(
            "not the key of {}",
            certificate.subject()
        )));
    }
    Ok(key)
}

/// Opens the encrypted key (PKCS#8, PEM) of the log named `origin`.
///
/// # Errors
/// `Malformed`, naming the file.
pub fn open_log_key(origin: &str, key_file: &Path, passphrase_file: &SecretFile) -> Result<LogKey> {
    let pem = zeroize::Zeroizing::new(read(key_file)?);
    let passphrase = passphrase_file.read()?;
    let bad = |e: &dyn std::fmt::Display| Error::malformed(format!("{}: {e}", key_file.display()));
    let pem = std::str::from_utf8(&pem).map_err(|e| bad(&e))?;
    LogKey::from_encrypted_pem(origin, pem, passphrase.expose().as_bytes()).map_err(|e| bad(&e))
}

/// Reads a log's public key, `name+id+key` (signed-note).
///
/// # Errors
/// `Malformed`, naming the file.
pub fn read_log_verifier(file: &Path) -> Result<LogVerifier> {
    let bad = |e: &dyn std::fmt::Display| Error::malformed(format!("{}: {e}", file.display()));
    let text = String::from_utf8(read(file)?).map_err(|e| bad(&e))?;
    LogVerifier::parse(&text).map_err(|e| bad(&e))
}

/// Reads one certificate, PEM.
///
/// # Errors
/// `Malformed`, naming the file.
pub fn read_certificate(file: &Path) -> Result<Certificate> {
    match <[Certificate; 1]>::try_from(read_certificates(file)?) {
        Ok([certificate]) => Ok(certificate),
        Err(_) => Err(Error::malformed(format!(
            "{}: not one certificate",
            file.display()
        ))),
    }
}

/// Reads a file of certificates, PEM, in their order.
///
/// # Errors
/// `Malformed`, naming the file.
pub fn read_certificates(file: &Path) -> Result<Vec<Certificate>> {
    let bad = |e: &dyn std::fmt::Display| Error::malformed(format!("{}: {e}", file.display()));
    let pem = String::from_utf8(read(file)?).map_err(|e| bad(&e))?;
    Certificate::chain_from_pem(&pem).map_err(|e| bad(&e))
}

/// Reads a revocation list, PEM or DER.
///
/// # Errors
/// `Malformed`, naming the file.
pub fn read_crl(file: &Path) -> Result<Crl> {
    let bytes = read(file)?;
    let crl = match std::str::from_utf8(&bytes) {
        Ok(pem) if pem.starts_with("-----BEGIN") => Crl::from_pem(pem),
        _ => Crl::from_der(&bytes),
    };
    crl.map_err(|e| Error::malformed(format!("{}: {e}", file.display())))
}

fn read(file: &Path) -> Result<Vec<u8>> {
    use std::io::Read as _;

    let bad = |e: std::io::Error| Error::malformed(format!("{}: {e}", file.display()));
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(file).map_err(bad)?;
    opened
        .take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(bad)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(Error::malformed(format!(
            "{}: over {FILE_BYTES_MAX} bytes",
            file.display()
        )));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use probity_domain::Timestamp;
    use probity_pki::x509::{Addresses, CertificateTemplate, Profile, Subject, sign_certificate};

    fn certified(key: &MemoryKey) -> Certificate {
        let template = CertificateTemplate {
            profile: Profile::RootCa,
            serial: &[1; 16],
            subject: Subject::new("Root"),
            spki_der: key.public_key_der(),
            not_before: Timestamp::from_unix_ms(1_795_000_000_000),
            not_after: Timestamp::from_unix_ms(1_895_000_000_000),
            issuer: None,
            addresses: Addresses::default(),
            reliance_limit: None,
            instruction: None,
        };
        sign_certificate(&template.to_be_signed().unwrap(), key).unwrap()
    }

    #[test]
    fn key_certificate_and_passphrase_belong_together() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let (key, other) = (
            MemoryKey::generate().unwrap(),
            MemoryKey::generate().unwrap(),
        );
        let certificate = certified(&key);
        std::fs::write(
            path("key"),
            key.to_encrypted_pem(b"right").unwrap().as_bytes(),
        )
        .unwrap();
        std::fs::write(path("pass"), "right\n").unwrap();
        std::fs::write(path("wrong"), "wrong\n").unwrap();
        std::fs::write(path("cert"), certificate.to_pem().unwrap()).unwrap();
        let open = |pass: &str, certificate: &Certificate| {
            open_signing_key(&path("key"), &SecretFile::new(path(pass)), certificate)
        };
        assert!(open("pass", &certificate).is_ok());
        assert!(open("wrong", &certificate).is_err());
        assert!(open("pass", &certified(&other)).is_err());
        assert_eq!(read_certificate(&path("cert")).unwrap(), certificate);
        assert!(read_certificate(&path("key")).is_err());
        assert!(read_crl(&path("cert")).is_err());
        assert!(read_certificates(&path("absent")).is_err());
    }
}
