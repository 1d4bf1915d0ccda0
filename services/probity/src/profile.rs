//! A profile: where the platform is, as whom one speaks to it, whom one trusts.

use std::path::PathBuf;

use probity_client::{Endpoints, Secret, Vendor};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::files::{self, Readable};

/// `~/.config/probity/<name>.toml`, readable by its owner alone: it holds the credential.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    pub intake: String,
    pub identity: String,
    pub delivery: String,
    pub tenant: String,
    pub party: String,
    pub credential: String,
    /// PEM file of the CA that signed the platform's TLS certificates, instead of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_ca_file: Option<PathBuf>,
    /// Root certificates for `verify`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roots_file: Option<PathBuf>,
    /// The log's verifier key for `verify`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_key_file: Option<PathBuf>,
}

/// Where a profile of this name lies; names with a slash or `.toml` are paths.
pub fn path_of(name: &str) -> Result<PathBuf, Failure> {
    if name.contains('/') || name.ends_with(".toml") {
        return Ok(PathBuf::from(name));
    }
    let config = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from);
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".config"));
    let base = config.or(home).ok_or_else(|| Failure::usage("no HOME: give --profile a file"))?;
    Ok(base.join("probity").join(format!("{name}.toml")))
}

impl Profile {
    pub fn read(name: &str) -> Result<Self, Failure> {
        let path = path_of(name)?;
        let text = std::fs::read_to_string(&path)
            .map_err(|e| Failure::usage(format!("{}: {e}; `probity enroll` writes it", path.display())))?;
        toml::from_str(&text).map_err(|e| Failure::usage(format!("{}: {}", path.display(), e.message())))
    }

    pub fn write(&self, name: &str) -> Result<PathBuf, Failure> {
        let path = path_of(name)?;
        let value = serde_json::to_value(self)?;
        let mut text = String::new();
        for (key, value) in value.as_object().into_iter().flatten() {
            // A JSON string is a TOML basic string.
            text.push_str(&format!("{key} = {value}\n"));
        }
        files::write(&path, text.as_bytes(), Readable::ByOwner)?;
        Ok(path)
    }

    pub fn endpoints(&self) -> Endpoints {
        Endpoints {
            intake: self.intake.clone(),
            identity: self.identity.clone(),
            delivery: self.delivery.clone(),
        }
    }

    pub fn tls_ca(&self) -> Result<Option<String>, Failure> {
        self.tls_ca_file.as_deref().map(files::read_text).transpose()
    }

    pub fn vendor(&self) -> Result<Vendor, Failure> {
        let secret = Secret::new(&self.credential);
        Ok(Vendor::new(&self.endpoints(), &secret, self.tls_ca()?.as_deref())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let name = folder.path().join("p.toml").display().to_string();
        let profile = Profile {
            intake: "http://127.0.0.1:1".into(),
            identity: "http://127.0.0.1:2".into(),
            delivery: "http://127.0.0.1:3".into(),
            tenant: "acme".into(),
            party: "acme-ltd".into(),
            credential: "pk_\"quoted\"\\".into(),
            tls_ca_file: None,
            roots_file: Some("/a b/根.pem".into()),
            log_key_file: None,
        };
        profile.write(&name).unwrap();
        let read = Profile::read(&name).unwrap();
        assert_eq!((read.credential, read.roots_file), (profile.credential, profile.roots_file));
        assert!(Profile::read(&folder.path().join("absent.toml").display().to_string()).is_err());
    }
}
