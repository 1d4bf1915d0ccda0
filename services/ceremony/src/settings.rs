//! The command line.

use std::path::{Path, PathBuf};

use clap::Args;
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::folder;
use crate::record::Operator;

#[derive(Args)]
pub(crate) struct Make {
    /// Folder to make; must not exist yet
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Registered name of the operator: organization of every certificate
    #[arg(long, value_name = "NAME")]
    pub operator_name: String,
    /// Country of the operator, two capitals
    #[arg(long, value_name = "CC")]
    pub operator_country: Option<String>,
    /// Register number of the operator, such as NTRHK-12345678
    #[arg(long, value_name = "ID")]
    pub operator_id: Option<String>,
    /// Person present at the ceremony; may be repeated
    #[arg(long = "witness", value_name = "NAME")]
    pub witnesses: Vec<String>,
    /// File whose first line encrypts the roles' keys
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: PathBuf,
    /// File whose first line encrypts the root key; without it the roles' one does
    #[arg(long, value_name = "FILE")]
    pub root_passphrase_file: Option<PathBuf>,
    /// Name of the log, its origin in every checkpoint; no spaces, no plus sign
    #[arg(long, value_name = "NAME", default_value = "log.probity.invalid/1")]
    pub log_name: String,
    /// URL of the issuing CA's revocation list; the root's lies beside it as root.crl
    #[arg(long, value_name = "URL")]
    pub crl_url: Option<String>,
    /// URL of the issuing CA's certificate, DER; the root's lies beside it as root.cer
    #[arg(long, value_name = "URL")]
    pub ca_issuers_url: Option<String>,
    /// URL of the OCSP responder of the issuing CA
    #[arg(long, value_name = "URL")]
    pub ocsp_url: Option<String>,
    /// URL of the practice statement
    #[arg(long, value_name = "URL")]
    pub cps_url: Option<String>,
    /// Validity of the root; the others are valid for at most 10 (issuing CA, TSA), 3 (seal), 1 (OCSP)
    #[arg(long, value_name = "YEARS", default_value_t = 20,
        value_parser = clap::value_parser!(u8).range(1..=40))]
    pub years: u8,
    /// Validity of the root's revocation list
    #[arg(long, value_name = "DAYS", default_value_t = CRL_DAYS,
        value_parser = clap::value_parser!(u16).range(1..=800))]
    pub crl_days: u16,
}

#[derive(Args)]
pub(crate) struct Verify {
    /// Folder of the ceremony, or what of it is at hand: at least its folder `public`
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// Opens the roles' keys too
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
    /// Opens the root key too
    #[arg(long, value_name = "FILE")]
    pub root_passphrase_file: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct Crl {
    /// Folder of the ceremony, with `root` and `public`
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// File whose first line opens the root key
    #[arg(long, value_name = "FILE")]
    pub root_passphrase_file: PathBuf,
    /// Certificate issued by the root, to revoke now
    #[arg(long, value_name = "FILE", requires = "reason")]
    pub revoke: Option<PathBuf>,
    /// Why it is revoked
    #[arg(long, value_enum, requires = "revoke")]
    pub reason: Option<Reason>,
    /// Validity of the list
    #[arg(long, value_name = "DAYS", default_value_t = CRL_DAYS,
        value_parser = clap::value_parser!(u16).range(1..=800))]
    pub crl_days: u16,
}

#[derive(Args)]
pub(crate) struct Ocsp {
    /// Folder of the ceremony, with `issuance` and `public`
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// File whose first line opens the issuing CA's key, and encrypts a new one
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: PathBuf,
    /// Make a new key, in the place of the one in `issuance`; otherwise the key stays
    #[arg(long, conflicts_with = "request")]
    pub new_key: bool,
    /// Certification request (PKCS#10, PEM) of a new key that a token made
    #[arg(long, value_name = "FILE")]
    pub request: Option<PathBuf>,
    /// URL of the practice statement
    #[arg(long, value_name = "URL")]
    pub cps_url: Option<String>,
}

/// The reasons that make sense for what a root issues (RFC 5280 5.3.1).
#[derive(Clone, Copy, clap::ValueEnum)]
pub(crate) enum Reason {
    KeyCompromise,
    CaCompromise,
    Superseded,
    CessationOfOperation,
}

impl Make {
    pub(crate) fn operator(&self) -> Operator {
        Operator {
            name: self.operator_name.clone(),
            country: self.operator_country.clone(),
            id: self.operator_id.clone(),
        }
    }
}

/// A year and a month: time to hold the next yearly session late.
const CRL_DAYS: u16 = 396;
const PASSPHRASE_BYTES_MIN: usize = 12;

/// First line of a file.
pub(crate) fn passphrase(path: &Path) -> Result<Zeroizing<Vec<u8>>> {
    let text = Zeroizing::new(folder::read(path)?);
    let line = text
        .split(|byte| matches!(byte, b'\n' | b'\r'))
        .next()
        .unwrap_or_default();
    if line.len() < PASSPHRASE_BYTES_MIN {
        return Err(Error::Refused(format!(
            "{}: a passphrase has at least {PASSPHRASE_BYTES_MIN} bytes",
            path.display()
        )));
    }
    Ok(Zeroizing::new(line.to_vec()))
}
