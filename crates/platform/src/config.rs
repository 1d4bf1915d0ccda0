//! One TOML file per process, strict: unknown sections and fields are refused before a socket
//! opens.
//!
//! `[process]`, `[nats]`, `[s3]` and `[redis]` are read here; every other section belongs to the
//! role of that name, which parses it as strictly.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::bus::BusConfig;
use crate::cache::RedisConfig;
use crate::objects::S3Config;
use crate::secret::{self, SecretString};
use crate::{Error, Result};

/// A configuration file may be this long.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// `[process]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessConfig {
    /// Names the process in logs, traces and NATS.
    pub name: String,
    /// Where `/livez`, `/readyz` and `/metrics` are served. Never meets the internet.
    pub ops_listen: SocketAddr,
    #[serde(default)]
    pub log: LogFormat,
    /// `tracing` directives, such as `info,probity_storage=debug`.
    #[serde(default = "default_log_filter")]
    pub log_filter: String,
    /// Collector that takes spans over OTLP/gRPC; none means no spans leave the process.
    pub otlp_endpoint: Option<String>,
}

fn default_log_filter() -> String {
    "info".to_owned()
}

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    #[default]
    Json,
    Pretty,
}

/// A parsed file. The roles' sections are still opaque: each role parses its own.
#[derive(Debug, Clone)]
pub struct Config {
    pub process: ProcessConfig,
    pub nats: BusConfig,
    pub s3: S3Config,
    pub redis: RedisConfig,
    /// Sections by role name.
    pub roles: BTreeMap<String, Section>,
}

impl Config {
    /// Reads and parses a file; `roles` are the names a section may have.
    ///
    /// # Errors
    /// `Malformed`, naming the file and what is wrong in it.
    pub fn read(path: &Path, roles: &[&str]) -> Result<Self> {
        let text = read_bounded(path, FILE_BYTES_MAX)?;
        Self::parse(&text, roles)
            .map_err(|e| Error::malformed(format!("{}: {}", path.display(), e.detail)))
    }

    /// Parses the text of a file.
    ///
    /// # Errors
    /// `Malformed`, saying what is wrong.
    pub fn parse(text: &str, roles: &[&str]) -> Result<Self> {
        let mut file: toml::Table = text
            .parse()
            .map_err(|e: toml::de::Error| Error::malformed(e))?;
        let config = Self {
            process: take(&mut file, "process")?,
            nats: take(&mut file, "nats")?,
            s3: take(&mut file, "s3")?,
            redis: take(&mut file, "redis")?,
            roles: file.into_iter().collect(),
        };
        match config
            .roles
            .keys()
            .find(|name| !roles.contains(&name.as_str()))
        {
            Some(unknown) => Err(Error::malformed(format!("unknown section [{unknown}]"))),
            None => Ok(config),
        }
    }

    /// The section of a role; an empty one when the file has none, so that a role whose settings
    /// all have defaults needs no section.
    #[must_use]
    pub fn role(&self, name: &str) -> Section {
        self.roles
            .get(name)
            .cloned()
            .unwrap_or_else(|| toml::Value::Table(toml::Table::new()))
    }
}

/// A role's section, not yet parsed.
pub type Section = toml::Value;

/// Parses one role's section strictly.
///
/// # Errors
/// `Malformed`, naming the section.
pub fn parse_section<C: DeserializeOwned>(name: &str, section: Section) -> Result<C> {
    section
        .try_into()
        .map_err(|e: toml::de::Error| Error::malformed(format!("[{name}]: {}", e.message())))
}

fn take<C: DeserializeOwned>(file: &mut toml::Table, name: &str) -> Result<C> {
    let section = file
        .remove(name)
        .ok_or_else(|| Error::malformed(format!("section [{name}] is missing")))?;
    parse_section(name, section)
}

fn read_bounded(path: &Path, bytes_max: u64) -> Result<String> {
    use std::io::Read as _;

    let unreadable = |e: std::io::Error| Error::malformed(format!("{}: {e}", path.display()));
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut text = String::new();
    let read = file
        .take(bytes_max + 1)
        .read_to_string(&mut text)
        .map_err(unreadable)?;
    if u64::try_from(read).unwrap_or(u64::MAX) > bytes_max {
        return Err(Error::malformed(format!(
            "{}: longer than {bytes_max} bytes",
            path.display()
        )));
    }
    Ok(text)
}

/// Where a secret lies: a path, or `env:NAME` for an environment variable. Holds no secret itself,
/// so printing it gives nothing away.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct SecretFile(PathBuf);

impl SecretFile {
    /// A secret in the file at `path`.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Reads the secret, without the line end that editors leave.
    ///
    /// # Errors
    /// `Malformed` when there is none or it is empty.
    pub fn read(&self) -> Result<SecretString> {
        match self.0.to_str().and_then(|s| s.strip_prefix("env:")) {
            Some(name) => secret::read("secret", None, Some(name)),
            None => secret::read("secret", Some(&self.0), None),
        }
    }
}

impl fmt::Debug for SecretFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretFile({})", self.0.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_is_trimmed_and_never_printed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        std::fs::write(&path, "hunter2\r\n").unwrap();
        let secret = SecretFile::new(&path);
        assert_eq!(secret.read().unwrap().expose(), "hunter2");
        assert!(!format!("{secret:?}").contains("hunter2"));
        std::fs::write(&path, "\n").unwrap();
        assert!(secret.read().is_err());
        assert!(SecretFile::new(dir.path().join("absent")).read().is_err());
        assert!(
            SecretFile::new("env:PROBITY_NO_SUCH_VARIABLE")
                .read()
                .is_err()
        );
    }

    #[test]
    fn sections_are_strict() {
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Section {
            #[expect(dead_code, reason = "only parsed")]
            listen: SocketAddr,
        }
        let section = |text: &str| toml::Value::Table(text.parse().unwrap());
        parse_section::<Section>("intake", section("listen = '127.0.0.1:1'")).unwrap();
        let e = parse_section::<Section>("intake", section("listen = '127.0.0.1:1'\nlisen = 1"))
            .unwrap_err();
        assert!(
            e.detail.contains("[intake]") && e.detail.contains("lisen"),
            "{e}"
        );
    }
}
