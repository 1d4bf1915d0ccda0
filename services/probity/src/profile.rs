//! A vendor's profile: where the platform is, who one is there, and the credential. Readable by its owner alone.

use std::path::{Path, PathBuf};

use clap::Args;
use probity_client::{Endpoints, Secret, Vendor};
use serde::{Deserialize, Serialize};

use crate::failure::{Failure, at};
use crate::files::{self, Readable};

const FORMAT: &str = "probity.profile/1";

/// Which profile a command uses.
#[derive(Args, Clone)]
pub struct ProfileArg {
    /// Profile written by `probity enroll`
    #[arg(
        long,
        env = "PROBITY_PROFILE",
        default_value = "probity-profile.json",
        value_name = "FILE"
    )]
    pub profile: PathBuf,
}

impl ProfileArg {
    /// Reads it and prepares the client.
    pub fn vendor(&self) -> Result<(Profile, Vendor), Failure> {
        let profile = Profile::read(&self.profile)?;
        let vendor = Vendor::new(
            &profile.endpoints,
            &Secret::new(&profile.credential),
            profile.tls_ca.as_deref(),
        )?;
        Ok((profile, vendor))
    }
}

/// Where the edges are.
#[derive(Args, Clone)]
pub struct EndpointArgs {
    /// Base URL of intake
    #[arg(long, env = "PROBITY_INTAKE", value_name = "URL")]
    pub intake: String,
    /// Base URL of identity
    #[arg(long, env = "PROBITY_IDENTITY", value_name = "URL")]
    pub identity: String,
    /// Base URL of delivery
    #[arg(long, env = "PROBITY_DELIVERY", value_name = "URL")]
    pub delivery: String,
    /// PEM file with the CA of the platform's TLS certificates, unless the system knows it
    #[arg(long, env = "PROBITY_TLS_CA", value_name = "FILE")]
    pub tls_ca: Option<PathBuf>,
}

impl EndpointArgs {
    /// As the client wants them.
    pub fn endpoints(&self) -> Endpoints {
        Endpoints {
            intake: self.intake.clone(),
            identity: self.identity.clone(),
            delivery: self.delivery.clone(),
        }
    }

    /// The CA's PEM text, when one is named.
    pub fn tls_ca(&self) -> Result<Option<String>, Failure> {
        let read = |path: &PathBuf| std::fs::read_to_string(path).map_err(at(path));
        self.tls_ca.as_ref().map(read).transpose()
    }
}

/// The profile's content.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    pub format: String,
    pub endpoints: Endpoints,
    pub party: String,
    pub tenant: String,
    pub credential: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_ca: Option<String>,
}

impl Profile {
    /// A profile of this version.
    pub fn new(
        endpoints: Endpoints,
        party: &str,
        tenant: &str,
        credential: String,
        tls_ca: Option<String>,
    ) -> Self {
        Self {
            format: FORMAT.to_owned(),
            endpoints,
            party: party.to_owned(),
            tenant: tenant.to_owned(),
            credential,
            tls_ca,
        }
    }

    fn read(path: &Path) -> Result<Self, Failure> {
        let text = std::fs::read(path).map_err(at(path))?;
        let profile: Self = serde_json::from_slice(&text)
            .map_err(|e| Failure::usage(format!("{}: {e}", path.display())))?;
        if profile.format != FORMAT {
            return Err(Failure::usage(format!(
                "{}: not a {FORMAT}",
                path.display()
            )));
        }
        Ok(profile)
    }

    /// Writes it, readable by the owner alone.
    pub fn write(&self, path: &Path) -> Result<(), Failure> {
        files::write(
            path,
            &serde_json::to_vec_pretty(self).map_err(Failure::new)?,
            Readable::ByOwner,
        )
    }
}

/// Reads a credential's secret.
pub fn read_secret(path: &Path) -> Result<Secret, Failure> {
    std::fs::read_to_string(path)
        .map(|text| Secret::new(&text))
        .map_err(at(path))
}
