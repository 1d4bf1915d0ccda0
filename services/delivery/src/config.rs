//! `[delivery]` of the process's configuration file.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use probity_pki::envelope::{CONTENT_BYTES_MAX, CONTENT_BYTES_USUAL};
use probity_platform::config::SecretFile;
use probity_platform::keys::Pkcs11Config;
use probity_platform::{Error, Result};
use serde::Deserialize;

/// Less makes packages of many envelopes, and of no more than 4 MiB.
const ENVELOPE_CONTENT_BYTES_MIN: u64 = 64 * 1024;

/// What delivery needs to know.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// HTTP/JSON edge for courts, vendors and operators.
    pub listen: SocketAddr,
    /// gRPC edge for courts.
    pub grpc_listen: SocketAddr,
    /// The seal's private key: PKCS#8, encrypted, PEM.
    pub seal_key_file: Option<PathBuf>,
    pub seal_passphrase_file: Option<SecretFile>,
    /// Instead of the two: the key is in a token.
    pub seal_pkcs11: Option<Pkcs11Config>,
    /// The seal's certificate, PEM.
    pub seal_certificate_file: PathBuf,
    /// Certificates between it and the root, without the root, PEM.
    #[serde(default)]
    pub seal_chain_files: Vec<PathBuf>,
    /// Revocation lists that change seldom (the root's), PEM or DER; the issuing CA's is read from the repository.
    #[serde(default)]
    pub seal_crl_files: Vec<PathBuf>,
    /// Client certificate and key shown to courts' systems (mutual TLS), both in one PEM file.
    #[serde(default)]
    pub tls_identity_file: Option<SecretFile>,
    /// How long a court's system may take to answer, on top of what sending the bytes takes.
    #[serde(default = "push_timeout_s")]
    pub push_timeout_s: u64,
    /// Deliveries this process works on at once.
    #[serde(default = "push_concurrency")]
    pub push_concurrency: usize,
    /// Deliveries to one recipient at once: a court that hangs holds no more than these.
    #[serde(default = "push_concurrency_per_recipient")]
    pub push_concurrency_per_recipient: usize,
    /// What one envelope of a package carries, in bytes; a larger package goes out as several envelopes, at most 64.
    /// OpenSSL takes 2.7 times as much memory to open one.
    #[serde(default = "envelope_content_bytes")]
    pub envelope_content_bytes: u64,
}

const fn push_timeout_s() -> u64 {
    30
}

const fn push_concurrency() -> usize {
    64
}

const fn push_concurrency_per_recipient() -> usize {
    4
}

const fn envelope_content_bytes() -> u64 {
    CONTENT_BYTES_USUAL
}

impl Config {
    /// # Errors
    /// `Malformed` for bounds that make no sense.
    pub fn check(&self) -> Result<()> {
        let lanes = 1..=self.push_concurrency;
        if !(1..=1024).contains(&self.push_concurrency)
            || !lanes.contains(&self.push_concurrency_per_recipient)
        {
            return Err(Error::malformed(
                "[delivery] push_concurrency is 1 to 1024, push_concurrency_per_recipient 1 up to it",
            ));
        }
        if !(1..=600).contains(&self.push_timeout_s) {
            return Err(Error::malformed("[delivery] push_timeout_s is 1 to 600"));
        }
        if !(ENVELOPE_CONTENT_BYTES_MIN..=CONTENT_BYTES_MAX).contains(&self.envelope_content_bytes)
        {
            return Err(Error::malformed(format!(
                "[delivery] envelope_content_bytes is {ENVELOPE_CONTENT_BYTES_MIN} to {CONTENT_BYTES_MAX}"
            )));
        }
        self.seal_pkcs11
            .as_ref()
            .map_or(Ok(()), Pkcs11Config::check)
    }

    pub(crate) const fn push_timeout(&self) -> Duration {
        Duration::from_secs(self.push_timeout_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = r#"
        listen = "127.0.0.1:8083"
        grpc_listen = "127.0.0.1:9083"
        seal_key_file = "seal.key.pem"
        seal_passphrase_file = "seal.pass"
        seal_certificate_file = "seal.pem"
    "#;

    #[test]
    fn defaults_and_bounds() {
        let config: Config = toml::from_str(SAMPLE).unwrap();
        config.check().unwrap();
        assert_eq!(config.push_timeout(), Duration::from_secs(30));
        assert_eq!(config.envelope_content_bytes, 256 << 20);
        for bad in [
            "push_timeout_s = 0",
            "push_concurrency = 0",
            "push_concurrency_per_recipient = 65",
            "envelope_content_bytes = 65535",
            "envelope_content_bytes = 1073741825",
        ] {
            let config: Config = toml::from_str(&format!("{SAMPLE}\n{bad}")).unwrap();
            assert!(config.check().is_err(), "{bad}");
        }
        assert!(toml::from_str::<Config>(&format!("{SAMPLE}\nlisten_on = 1")).is_err());
    }
}
