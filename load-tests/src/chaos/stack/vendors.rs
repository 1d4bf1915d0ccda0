//! Who submits: parties, their profiles and their credentials.

use std::path::Path;

use probity_client::{Endpoints, Secret, Vendor};

use crate::Failure;

use super::{Stack, text};

/// Name of the party that submits during every fault.
pub const FIRST: &str = "chaos";
pub(super) const AGREEMENT: &str = "agreement on electronic form, for the fault laboratory\n";

/// A party's credential, in its two halves.
#[derive(Clone, Default)]
pub struct Enrolled {
    /// What the credential is known by.
    pub credential: String,
    pub secret: String,
}

impl Stack {
    /// Makes a party a vendor, as its own and the officer's hands would; answers its credential. The first that comes
    /// publishes the text of the agreement.
    pub async fn enrol(&self, party: &str, agreement: Option<&Path>) -> Result<Enrolled, Failure> {
        let edges = self.endpoints()?;
        let profile = self.path(&format!("{party}.json"));
        let profile_text = text(&profile);
        let officer = text(&self.path("secret/officer-key"));
        let email = format!("{party}@example.com");
        let mut arguments = vec!["enroll", "--declare-true", "--accept"];
        arguments.extend(["--intake", &edges.intake, "--identity", &edges.identity]);
        arguments.extend(["--delivery", &edges.delivery, "--officer-key", &officer]);
        arguments.extend([
            "--profile",
            &profile_text,
            "--party",
            party,
            "--name",
            party,
        ]);
        arguments.extend(["--identifier", party, "--country", "CN", "--email", &email]);
        arguments.extend(["--legal-representative", "L", "--handler", "H"]);
        let agreement = agreement.map(text);
        if let Some(agreement) = &agreement {
            arguments.extend(["--agreement-text", agreement]);
        }
        let said = self.run("probity", &arguments).await?;
        let line = said
            .lines()
            .find_map(|line| line.strip_prefix("credential: "));
        let credential = line.and_then(|line| line.split(' ').next());
        let credential = credential.ok_or_else(|| Failure::new("enrolled without a credential"))?;
        Ok(Enrolled {
            credential: credential.to_owned(),
            secret: secret_in(&profile)?,
        })
    }

    pub fn endpoints(&self) -> Result<Endpoints, Failure> {
        Ok(Endpoints {
            intake: self.url("intake")?,
            identity: self.url("identity")?,
            delivery: self.url("delivery")?,
        })
    }

    /// A vendor who calls with this secret.
    pub fn vendor(&self, secret: &str) -> Result<Vendor, Failure> {
        Vendor::new(&self.endpoints()?, &Secret::new(secret), None).map_err(Failure::new)
    }

    /// Runs a command of `probity officer`; answers what it printed.
    pub async fn officer(&self, command: &str, more: &[&str]) -> Result<String, Failure> {
        self.officer_as("secret/officer-key", command, more).await
    }

    /// The same with the credential in this file.
    pub(super) async fn officer_as(
        &self,
        key: &str,
        command: &str,
        more: &[&str],
    ) -> Result<String, Failure> {
        let edges = self.endpoints()?;
        let key = text(&self.path(key));
        let mut arguments = vec!["officer", command, "--officer-key", &key];
        arguments.extend(["--intake", &edges.intake, "--identity", &edges.identity]);
        arguments.extend(["--delivery", &edges.delivery]);
        arguments.extend(more);
        self.run("probity", &arguments).await
    }
}

fn secret_in(profile: &Path) -> Result<String, Failure> {
    let profile = std::fs::read(profile).map_err(Failure::new)?;
    let profile: serde_json::Value = serde_json::from_slice(&profile).map_err(Failure::new)?;
    let secret = profile.get("credential").and_then(|key| key.as_str());
    let secret = secret.ok_or_else(|| Failure::new("the profile has no credential"))?;
    Ok(secret.to_owned())
}
