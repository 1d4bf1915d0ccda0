//! A court's folder: keys, certificates, what came in, and the receipts for it.

use std::path::{Path, PathBuf};

use probity_pki::keys::MemoryKey;
use probity_pki::x509::Certificate;
use probity_proto::http::RecipientDocument;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::files::{self, Readable};

/// Which folder.
#[derive(Debug, Clone, clap::Args)]
pub struct At {
    /// The court's folder.
    #[arg(long, default_value = "court")]
    pub dir: PathBuf,
}

/// `court.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub recipient: String,
    pub place_of_business: String,
}

/// The folder.
#[derive(Debug, Clone)]
pub struct Folder(PathBuf);

const SETTINGS: &str = "court.json";
const PRIVATE_KEY: &str = "PRIVATE KEY";

impl Folder {
    pub fn new(at: &At) -> Self {
        Self(at.dir.clone())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub fn is_made(&self) -> bool {
        self.path(SETTINGS).exists()
    }

    pub fn write_settings(&self, settings: &Settings) -> Result<(), Failure> {
        files::write(
            &self.path(SETTINGS),
            &serde_json::to_vec_pretty(settings)?,
            Readable::ByAll,
        )
    }

    pub fn settings(&self) -> Result<Settings, Failure> {
        let path = self.path(SETTINGS);
        let text = std::fs::read_to_string(&path).map_err(|e| {
            Failure::usage(format!(
                "{}: {e}; `probity court init` makes it",
                path.display()
            ))
        })?;
        serde_json::from_str(&text).map_err(|e| Failure::usage(format!("{}: {e}", path.display())))
    }

    pub fn write_key(&self, name: &str, key: &MemoryKey) -> Result<(), Failure> {
        let pem = files::to_pem(PRIVATE_KEY, &key.to_pkcs8_der()?);
        files::write(
            &self.path(&format!("{name}.key.pem")),
            pem.as_bytes(),
            Readable::ByOwner,
        )
    }

    pub fn write_certificate(&self, name: &str, certificate: &Certificate) -> Result<(), Failure> {
        files::write(
            &self.path(&format!("{name}.crt.pem")),
            certificate.to_pem()?.as_bytes(),
            Readable::ByAll,
        )
    }

    pub fn write_tls(&self, certificate_pem: &str, key_pem: &str) -> Result<(), Failure> {
        files::write(
            &self.path("tls.crt.pem"),
            certificate_pem.as_bytes(),
            Readable::ByAll,
        )?;
        files::write(
            &self.path("tls.key.pem"),
            key_pem.as_bytes(),
            Readable::ByOwner,
        )
    }

    /// PKCS#8, DER.
    pub fn key_der(&self, name: &str) -> Result<Vec<u8>, Failure> {
        files::from_pem(
            PRIVATE_KEY,
            &files::read_text(&self.path(&format!("{name}.key.pem")))?,
        )
    }

    pub fn signing_key(&self) -> Result<MemoryKey, Failure> {
        Ok(MemoryKey::from_pkcs8_der(&self.key_der("signing")?)?)
    }

    /// `None` where the authority's key is kept elsewhere.
    pub fn authority_key(&self) -> Result<Option<MemoryKey>, Failure> {
        if !self.path("ca.key.pem").exists() {
            return Ok(None);
        }
        Ok(Some(MemoryKey::from_pkcs8_der(&self.key_der("ca")?)?))
    }

    pub fn certificate(&self, name: &str) -> Result<Certificate, Failure> {
        Ok(Certificate::from_pem(&files::read_text(
            &self.path(&format!("{name}.crt.pem")),
        )?)?)
    }

    /// Certificate and key of the HTTPS server, PEM.
    pub fn tls(&self) -> Result<(String, String), Failure> {
        Ok((
            files::read_text(&self.path("tls.crt.pem"))?,
            files::read_text(&self.path("tls.key.pem"))?,
        ))
    }

    pub fn write_profile(&self, profile: &RecipientDocument) -> Result<PathBuf, Failure> {
        let path = self.path("recipient.json");
        files::write(&path, &serde_json::to_vec_pretty(profile)?, Readable::ByAll)?;
        Ok(path)
    }

    pub fn credential_path(&self) -> PathBuf {
        self.path("credential")
    }

    /// Encrypted, as it arrived.
    pub fn package(&self, delivery: &str) -> PathBuf {
        self.path("inbox").join(format!("{delivery}.p7m"))
    }

    /// Decrypted.
    pub fn opened(&self, delivery: &str) -> PathBuf {
        self.path("opened").join(format!("{delivery}.asice"))
    }

    pub fn verdict(&self, delivery: &str) -> PathBuf {
        self.path("opened").join(format!("{delivery}.verdict.json"))
    }

    pub fn receipt(&self, delivery: &str) -> PathBuf {
        self.path("receipts").join(format!("{delivery}.json"))
    }

    pub fn make_folders(&self) -> Result<(), Failure> {
        for name in ["inbox", "opened", "receipts"] {
            let path = self.path(name);
            std::fs::create_dir_all(&path)
                .map_err(|e| Failure::new(format!("{}: {e}", path.display())))?;
        }
        Ok(())
    }
}

impl AsRef<Path> for Folder {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}
