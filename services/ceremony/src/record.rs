//! The record of a ceremony: who made which certificates, when and with what.

use probity_pki::digest::HashAlgorithm;
use probity_pki::x509::{Certificate, Subject};
use serde::{Deserialize, Serialize};

pub(crate) const FORMAT: &str = "probity.ceremony-record/1";

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    pub format: String,
    /// RFC 3339, by the clock of the machine.
    pub at: String,
    pub operator: Operator,
    pub witnesses: Vec<String>,
    pub software: Software,
    pub certificates: Vec<CertificateEntry>,
    pub log: LogEntry,
    pub root_crl: FileEntry,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Operator {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Software {
    pub name: String,
    pub version: String,
    /// Of the executable that ran.
    pub sha256: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CertificateEntry {
    pub file: String,
    pub subject: String,
    pub issuer: String,
    pub serial: String,
    pub not_before: String,
    pub not_after: String,
    /// Of the certificate in DER.
    pub sha256: String,
    /// Where the key was written, encrypted; absent if it was destroyed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogEntry {
    pub name: String,
    pub verifier_key: String,
    pub key_file: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileEntry {
    pub file: String,
    pub sha256: String,
}

impl Operator {
    /// How a certificate names this operator's `title`.
    pub(crate) fn subject(&self, title: &str) -> Subject {
        Subject {
            common_name: format!("Probity {title}"),
            organization: Some(self.name.clone()),
            country: self.country.clone(),
            serial_number: None,
            organization_identifier: self.id.clone(),
        }
    }
}

impl CertificateEntry {
    pub(crate) fn new(file: String, certificate: &Certificate, key_file: Option<String>) -> Self {
        Self {
            file,
            subject: certificate.subject(),
            issuer: certificate.issuer(),
            serial: certificate.serial_hex().to_owned(),
            not_before: certificate.not_before().to_rfc3339(),
            not_after: certificate.not_after().to_rfc3339(),
            sha256: hex::encode(certificate.sha256()),
            key_file,
        }
    }
}

impl Record {
    /// JSON with a final newline: these bytes are signed.
    pub(crate) fn to_bytes(&self) -> serde_json::Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec_pretty(self)?;
        bytes.push(b'\n');
        Ok(bytes)
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex::encode(HashAlgorithm::Sha256.digest(bytes))
}

/// This program, as it lies on the disk.
pub(crate) fn software() -> Software {
    let executable = std::env::current_exe().and_then(std::fs::read);
    Software {
        name: env!("CARGO_PKG_NAME").to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        sha256: executable.map_or_else(|_| "unknown".to_owned(), |bytes| sha256(&bytes)),
    }
}
