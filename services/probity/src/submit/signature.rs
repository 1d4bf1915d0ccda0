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
            None => MemoryKey::from_pkcs8_der(&Zeroizing::new(from_pem("PRIVATE KEY", &pem)?)),
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
