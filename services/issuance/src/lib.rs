//! issuance: the issuing CA.
//!
//! | | |
//! |---|---|
//! | does | issues event certificates for one instruction each, revokes, publishes the CRL and the CA's repository, answers OCSP |
//! | wakes on | questions on `issuance.event_certificate`; HTTP requests; the CRL period |
//! | needs | ledger (parties, certificates), submissions in `truth` |
//! | makes | ledger `certificate/<serial>`, `repository/revocations/<serial>.json`, `repository/crl/issuing/<number>.crl` |
//! | asks | nobody |
//! | holds | the issuing CA's key, the OCSP responder's |
//! | refuses when | the party is not verified (W1), the submission is another party's, possession of the key is not proved, the root CRL or the own CRL is out of date |
//!
//! The order of issuing is a story told in [`issue`]; revocation and its publication in [`revoke`],
//! [`crl`] and [`ocsp`]. No key touches bytes that `probity_pki::lint` did not pass.

mod authority;
mod crl;
mod issue;
mod ocsp;
mod revoke;
mod router;
mod serve;
mod status;

use std::net::SocketAddr;
use std::path::PathBuf;

use probity_platform::Result;
use probity_platform::config::SecretFile;
use probity_platform::keys::Pkcs11Config;
use serde::Deserialize;

pub use authority::{Authority, Settings};
pub use crl::CrlPublisher;
pub use issue::Issuer;
pub use ocsp::{Answer, Cacheable, OcspConfig, OcspResponder};
pub use revoke::{Revocation, revoke};
pub use router::router;
pub use serve::serve;
pub use status::CertificateState;

/// `[issuance]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub listen: SocketAddr,
    pub issuing_key_file: Option<PathBuf>,
    pub issuing_passphrase_file: Option<SecretFile>,
    /// Instead of the two: the key is in a token.
    pub issuing_pkcs11: Option<Pkcs11Config>,
    pub issuing_certificate_file: PathBuf,
    pub root_certificate_file: PathBuf,
    pub root_crl_file: PathBuf,
    /// Certificates the issuing CA signed in the ceremony: they have a status though no ledger names them.
    #[serde(default)]
    pub ceremony_certificate_files: Vec<PathBuf>,
    /// Where relying parties fetch the issuing CA's CRL; stands in every certificate.
    pub crl_url: String,
    /// Where they fetch the issuing CA's certificate (EN 319 412-2 4.4.1): `/certificates/ca/issuing.cer` here, or a copy of it.
    pub ca_issuers_url: Option<String>,
    /// Where the practice statement is published, if anywhere yet.
    pub cps_url: Option<String>,
    /// User notice in every certificate (L4).
    pub reliance_limit: Option<String>,
    #[serde(default = "hours_24")]
    pub event_validity_hours: u32,
    #[serde(default = "hours_24")]
    pub crl_validity_hours: u32,
    /// A new CRL is made this often, revocations or not.
    #[serde(default = "hour_s")]
    pub crl_period_s: u32,
    /// Without it no status is given online, and no certificate names an address for it.
    pub ocsp: Option<OcspConfig>,
}

impl Config {
    /// # Errors
    /// `Malformed`, naming the bound that is broken.
    pub fn check(&self) -> Result<()> {
        Settings::of(self)?;
        let tokens = [
            self.issuing_pkcs11.as_ref(),
            self.ocsp.as_ref().and_then(|ocsp| ocsp.pkcs11.as_ref()),
        ];
        tokens
            .into_iter()
            .flatten()
            .try_for_each(Pkcs11Config::check)?;
        self.ocsp.as_ref().map_or(Ok(()), OcspConfig::check)
    }
}

const fn hours_24() -> u32 {
    24
}

const fn hour_s() -> u32 {
    3_600
}
