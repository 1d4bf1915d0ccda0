//! Whom a court trusts when it verifies what it received.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use probity_domain::Timestamp;
use probity_pki::x509::Certificate;
use probity_verify::{Policy, Verdict, verify_package};

use crate::failure::{Failure, at};
use crate::files;

/// Pinned roots and log keys. Without roots nothing is verified, and receipts say so by their scope.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    pub roots: Vec<Certificate>,
    pub log_keys: Vec<String>,
}

impl Trust {
    pub fn read(roots: &[PathBuf], log_keys: &[PathBuf]) -> Result<Self, Failure> {
        let mut trust = Self::default();
        for file in roots {
            let chain = Certificate::chain_from_pem(&files::read_text(file)?)
                .map_err(|e| Failure::usage(format!("{}: {e}", file.display())))?;
            trust.roots.extend(chain);
        }
        for file in log_keys {
            trust
                .log_keys
                .push(files::read_text(file)?.trim().to_owned());
        }
        Ok(trust)
    }

    pub fn verify(&self, file: &Path, when: Timestamp) -> Result<Verdict, Failure> {
        let opened = File::open(file).map_err(at(file))?;
        let policy = Policy::new(self.roots.clone(), self.log_keys.clone(), when);
        Ok(verify_package(BufReader::new(opened), &policy))
    }
}
