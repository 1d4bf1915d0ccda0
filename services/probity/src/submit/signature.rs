//! The vendor's own signature on an instruction: detached CAdES-B over the manifest that a package will carry.

use std::path::PathBuf;

use clap::Args;
use probity_domain::Sha3_256;
use probity_pki::cms::{CommitmentType, SignRequest, sign_detached};
use probity_pki::keys::MemoryKey;
use probity_pki::package::submitter_manifest;
use probity_pki::x509::Certificate;
use sha3::Digest as _;
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::files::{from_pem, read_text};
use crate::now::now;

#[derive(Args)]
pub struct SignArgs {
    /// Signs each instruction with your own key as well; the platform checks it and every package carries it
    #[arg(long, requires_all = ["key", "certificate"])]
    sign: bool,
    /// Your private key: PEM, PKCS#8, P-384 or P-256
    #[arg(long, requires = "sign", value_name = "FILE")]
    key: Option<PathBuf>,
    /// The passphrase of an encrypted key
    #[arg(long, requires = "sign", value_name = "FILE")]
    key_passphrase_file: Option<PathBuf>,
    /// Your certificate, PEM
    #[arg(long, requires = "sign", value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// Certificates between yours and the root, PEM
    #[arg(long, requires = "sign", value_name = "FILE")]
    chain: Option<PathBuf>,
}

/// A vendor's key with its certificate.
pub struct Signatory {
    key: MemoryKey,
    certificate: Certificate,
    chain: Vec<Certificate>,
}

impl SignArgs {
    /// Opens the files; `None` when nothing is to be signed.
    pub fn signatory(&self) -> Result<Option<Signatory>, Failure> {
        let (true, Some(key), Some(certificate)) = (self.sign, &self.key, &self.certificate) else {
            return Ok(None);
        };
        let bad = |path: &PathBuf, e: probity_pki::Error| {
            Failure::usage(format!("{}: {e}", path.display()))
        };
        let pem = Zeroizing::new(read_text(key)?);
        let opened = match &self.key_passphrase_file {
            Some(file) => {
                let passphrase = Zeroizing::new(read_text(file)?);
                let passphrase = passphrase.trim_end_matches(['\r', '\n']);
                MemoryKey::from_encrypted_pem(&pem, passphrase.as_bytes())
            }
            None => {
                // `openssl ecparam -genkey` writes another form: `openssl pkcs8 -topk8 -nocrypt` makes it this one.
                let der = from_pem("PRIVATE KEY", &pem)
                    .map_err(|e| Failure::usage(format!("{}: {e} (PKCS#8)", key.display())))?;
                MemoryKey::from_pkcs8_der(&Zeroizing::new(der))
            }
        };
        let chain = match &self.chain {
            Some(file) => {
                Certificate::chain_from_pem(&read_text(file)?).map_err(|e| bad(file, e))?
            }
            None => Vec::new(),
        };
        let own = Certificate::chain_from_pem(&read_text(certificate)?);
        let own = own.map_err(|e| bad(certificate, e))?;
        let one = <[Certificate; 1]>::try_from(own);
        let [own] = one.map_err(|_| {
            Failure::usage(format!(
                "{}: not one certificate; others belong into --chain",
                certificate.display()
            ))
        })?;
        Ok(Some(Signatory {
            key: opened.map_err(|e| bad(key, e))?,
            certificate: own,
            chain,
        }))
    }
}

impl Signatory {
    /// Signs an instruction; answers DER.
    pub fn sign(&self, instruction: &[u8]) -> Result<Vec<u8>, Failure> {
        let digest = Sha3_256(sha3::Sha3_256::digest(instruction).into());
        let manifest = submitter_manifest(&digest).map_err(Failure::new)?;
        let request = SignRequest {
            content: &manifest,
            signer: &self.certificate,
            extra_certificates: &self.chain,
            crls: &[],
            signing_time: now(),
            commitment: CommitmentType::ProofOfApproval,
            instruction_digest: None,
        };
        sign_detached(&request, &self.key).map_err(Failure::new)
    }
}

#[cfg(test)]
mod tests {
    use probity_domain::Timestamp;
    use probity_pki::cms::{SignedData, verify_detached_content};
    use probity_pki::keys::Signer as _;
    use probity_pki::x509::{Addresses, CertificateTemplate, Profile, Subject, sign_certificate};

    use super::*;

    fn certified(key: &MemoryKey) -> Certificate {
        let ca_key = MemoryKey::generate().unwrap();
        let issue = |profile, key: &MemoryKey, issuer: Option<&Certificate>| {
            let template = CertificateTemplate {
                profile,
                serial: &[0x31; 16],
                subject: Subject::new("Acme"),
                spki_der: key.public_key_der(),
                not_before: Timestamp::from_unix_ms(1_795_000_000_000),
                not_after: Timestamp::from_unix_ms(1_895_000_000_000),
                issuer,
                addresses: Addresses::default(),
                reliance_limit: None,
                instruction: None,
            };
            sign_certificate(&template.to_be_signed().unwrap(), &ca_key).unwrap()
        };
        let ca = issue(Profile::RootCa, &ca_key, None);
        issue(Profile::CourtSigning, key, Some(&ca))
    }

    #[test]
    fn signs_what_the_platform_checks_and_names_what_does_not_fit() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let write = |name: &str, text: &str| std::fs::write(path(name), text).unwrap();
        let (key, other) = (
            MemoryKey::generate().unwrap(),
            MemoryKey::generate().unwrap(),
        );
        let certificate = certified(&key);
        write(
            "key",
            &crate::files::to_pem("PRIVATE KEY", &key.to_pkcs8_der().unwrap()),
        );
        write("sealed", &key.to_encrypted_pem(b"right").unwrap());
        write("right", "right\n");
        write("wrong", "wrong\n");
        write("certificate", &certificate.to_pem().unwrap());
        write("other", &certified(&other).to_pem().unwrap());
        let args = |key: &str, passphrase: Option<&str>, certificate: &str| SignArgs {
            sign: true,
            key: Some(path(key)),
            key_passphrase_file: passphrase.map(path),
            certificate: Some(path(certificate)),
            chain: None,
        };
        for (key, passphrase) in [("key", None), ("sealed", Some("right"))] {
            let signatory = args(key, passphrase, "certificate").signatory().unwrap();
            let cms = signatory.unwrap().sign(b"{}").unwrap();
            let signed = SignedData::from_der(&cms).unwrap();
            let digest = Sha3_256(sha3::Sha3_256::digest(b"{}").into());
            let manifest = submitter_manifest(&digest).unwrap();
            let signer = verify_detached_content(&signed, &manifest).unwrap();
            assert_eq!(signer.certificate, certificate);
            assert_eq!(signer.commitment, Some(CommitmentType::ProofOfApproval));
        }
        for (key, passphrase, certificate, named) in [
            ("sealed", Some("wrong"), "certificate", "sealed"),
            ("sealed", None, "certificate", "sealed"),
            ("certificate", None, "certificate", "certificate"),
            ("absent", None, "certificate", "absent"),
            ("key", None, "key", "key"),
        ] {
            let refused = args(key, passphrase, certificate).signatory();
            let said = refused.err().map(|e| e.to_string()).unwrap_or_default();
            assert!(said.contains(&format!("/{named}: ")), "{named}: {said}");
        }
        let of_other = args("key", None, "other").signatory().unwrap().unwrap();
        assert!(
            of_other.sign(b"{}").is_err(),
            "the certificate is of another key"
        );
        let none = SignArgs {
            sign: false,
            ..args("key", None, "certificate")
        };
        assert!(none.signatory().unwrap().is_none());
    }
}
