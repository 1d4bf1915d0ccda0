//! `[nats]` and how it becomes a connection.

use std::path::PathBuf;
use std::time::Duration;

use async_nats::ConnectOptions;
use serde::Deserialize;

use super::connection::Connections;
use crate::config::SecretFile;
use crate::{Error, Result};

/// Longest pause between two attempts to connect to a server that is away.
const RECONNECT_MS_MAX: u64 = 1_000;

/// `[nats]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BusConfig {
    /// One URL or several, separated by commas: `nats://host:4222` or `tls://host:4222`, without credentials.
    pub url: String,
    /// User name, with `password_file`.
    pub user: Option<String>,
    pub password_file: Option<SecretFile>,
    /// Seed of an NKey.
    pub nkey_file: Option<SecretFile>,
    /// `.creds` file: JWT and seed.
    pub credentials_file: Option<SecretFile>,
    /// PEM with the CAs that sign the servers' certificates; the system's otherwise.
    pub ca_file: Option<PathBuf>,
    /// PEM certificate and key that this process shows, for `verify_and_map`.
    pub certificate_file: Option<PathBuf>,
    pub key_file: Option<PathBuf>,
    /// Copies of each stream: 3 on a cluster.
    #[serde(default = "one")]
    pub replicas: usize,
}

fn one() -> usize {
    1
}

impl BusConfig {
    /// No authentication, no TLS, one copy: tests and the demo.
    #[must_use]
    pub fn plain(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            user: None,
            password_file: None,
            nkey_file: None,
            credentials_file: None,
            ca_file: None,
            certificate_file: None,
            key_file: None,
            replicas: 1,
        }
    }

    /// Refuses what contradicts itself, without opening a socket.
    ///
    /// # Errors
    /// `Malformed`.
    pub fn check(&self) -> Result<()> {
        let ways = [
            self.user.is_some(),
            self.nkey_file.is_some(),
            self.credentials_file.is_some(),
        ];
        if ways.iter().filter(|w| **w).count() > 1 {
            return Err(Error::malformed(
                "[nats]: user, nkey_file and credentials_file exclude each other",
            ));
        }
        if self.user.is_some() != self.password_file.is_some() {
            return Err(Error::malformed(
                "[nats]: user and password_file come together",
            ));
        }
        if self.certificate_file.is_some() != self.key_file.is_some() {
            return Err(Error::malformed(
                "[nats]: certificate_file and key_file come together",
            ));
        }
        if !(1..=5).contains(&self.replicas) {
            return Err(Error::malformed(format!(
                "[nats]: replicas = {} is not 1 to 5",
                self.replicas
            )));
        }
        self.servers().map(drop)
    }

    /// [`BusConfig::check`], and that the secrets can be read.
    ///
    /// # Errors
    /// `Malformed`.
    pub fn check_secrets(&self) -> Result<()> {
        self.check()?;
        let secrets = [&self.password_file, &self.nkey_file, &self.credentials_file];
        secrets
            .into_iter()
            .flatten()
            .try_for_each(|secret| secret.read().map(drop))
    }

    fn servers(&self) -> Result<Vec<async_nats::ServerAddr>> {
        // Not even said back: what stands before the `@` is a secret.
        if self.url.contains('@') {
            return Err(Error::malformed(
                "[nats]: url: put credentials into user and password_file, nkey_file or credentials_file",
            ));
        }
        let parse = |url: &str| {
            url.trim()
                .parse()
                .map_err(|e| Error::malformed(format!("[nats]: url {url:?}: {e}")))
        };
        self.url.split(',').map(parse).collect()
    }

    /// The client; connects in the background and for ever.
    pub(super) async fn open(
        &self,
        role: &str,
        connections: Connections,
    ) -> Result<async_nats::Client> {
        self.check()?;
        let mut options = ConnectOptions::new()
            .name(format!("probity-{role}"))
            .custom_inbox_prefix(super::permissions::inbox_prefix(role))
            .retry_on_initial_connect()
            .max_reconnects(None)
            .ping_interval(Duration::from_secs(10))
            .connection_timeout(Duration::from_secs(5))
            .reconnect_delay_callback(|attempts| {
                let doubled = 50_u64.saturating_mul(1 << attempts.min(6));
                Duration::from_millis(doubled.min(RECONNECT_MS_MAX))
            })
            .event_callback(move |event| {
                tracing::info!(%event, "nats");
                connections.note(&event);
                async {}
            });
        if let (Some(user), Some(password)) = (&self.user, &self.password_file) {
            options = options.user_and_password(user.clone(), password.read()?.expose().to_owned());
        }
        if let Some(seed) = &self.nkey_file {
            options = options.nkey(seed.read()?.expose().to_owned());
        }
        if let Some(credentials) = &self.credentials_file {
            let unusable = |e| Error::malformed(format!("[nats]: {credentials:?}: {e}"));
            options = options
                .credentials(credentials.read()?.expose())
                .map_err(unusable)?;
        }
        if let Some(ca) = &self.ca_file {
            options = options.add_root_certificates(ca.clone()).require_tls(true);
        }
        if let (Some(certificate), Some(key)) = (&self.certificate_file, &self.key_file) {
            options = options.add_client_certificate(certificate.clone(), key.clone());
        }
        options
            .connect(self.servers()?)
            .await
            .map_err(|e| Error::malformed(format!("[nats]: {e}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contradictions_are_refused() {
        BusConfig::plain("nats://127.0.0.1:4222").check().unwrap();
        BusConfig::plain("nats://a:1, nats://b:2").check().unwrap();
        for broken in [
            BusConfig {
                user: Some("u".into()),
                ..BusConfig::plain("nats://a:1")
            },
            BusConfig {
                replicas: 0,
                ..BusConfig::plain("nats://a:1")
            },
            BusConfig {
                key_file: Some("k".into()),
                ..BusConfig::plain("nats://a:1")
            },
            BusConfig {
                nkey_file: Some(SecretFile::new("n")),
                credentials_file: Some(SecretFile::new("c")),
                ..BusConfig::plain("nats://a:1")
            },
            BusConfig::plain("http://not nats"),
        ] {
            assert!(broken.check().is_err(), "{broken:?}");
        }
    }

    #[test]
    fn credentials_in_the_url_are_refused_and_not_repeated() {
        for url in [
            "nats://role:s3cret@a:1",
            "nats://s3cret@a:1",
            "nats://:s3cret@a:1",
            "nats://a:1,tls://role:s3cret@b:2",
            "role:s3cret@a:1",
            "nats://role:s3cret@a:not a port",
        ] {
            let refused = BusConfig::plain(url).check().unwrap_err();
            assert_eq!(refused.kind, crate::ErrorKind::Malformed);
            assert!(!refused.detail.contains("s3cret"), "{refused}");
        }
    }
}
