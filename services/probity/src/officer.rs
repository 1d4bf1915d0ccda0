//! `probity officer`: recipients and credentials.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use probity_client::Officer;
use probity_proto::http::{CredentialRequestDocument, RecipientDocument};

use crate::failure::{Failure, at};
use crate::files::{self, Readable};
use crate::profile::{EndpointArgs, read_secret};

#[derive(Subcommand)]
pub enum OfficerCommand {
    /// Store a court's profile, as `probity court init` writes it
    Recipient(Recipient),
    /// Issue a credential; its secret is written to a file and shown nowhere
    Credential(Credential),
    /// Revoke a credential; within seconds it is refused everywhere
    Revoke(Revoke),
}

#[derive(Args)]
pub struct Desk {
    #[command(flatten)]
    endpoints: EndpointArgs,
    /// The officer's credential
    #[arg(long, value_name = "FILE")]
    officer_key: PathBuf,
}

impl Desk {
    fn officer(&self) -> Result<Officer, Failure> {
        let tls_ca = self.endpoints.tls_ca()?;
        Ok(Officer::new(
            &self.endpoints.endpoints(),
            &read_secret(&self.officer_key)?,
            tls_ca.as_deref(),
        )?)
    }
}

#[derive(Args)]
pub struct Recipient {
    #[command(flatten)]
    desk: Desk,
    /// Name of the recipient: a-z, 0-9 and hyphens
    recipient: String,
    /// The profile document (JSON)
    #[arg(long, value_name = "FILE")]
    document: PathBuf,
}

#[derive(Args)]
pub struct Credential {
    #[command(flatten)]
    desk: Desk,
    /// vendor, court, officer, operator or auditor
    #[arg(long)]
    role: String,
    #[arg(long)]
    tenant: Option<String>,
    #[arg(long)]
    party: Option<String>,
    #[arg(long)]
    recipient: Option<String>,
    /// Where the secret goes
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Args)]
pub struct Revoke {
    #[command(flatten)]
    desk: Desk,
    /// What it is known by, as it was printed when it was issued; not its secret
    credential: String,
}

pub async fn run(command: OfficerCommand) -> Result<(), Failure> {
    match command {
        OfficerCommand::Recipient(r) => {
            let text = std::fs::read(&r.document).map_err(at(&r.document))?;
            let document: RecipientDocument = serde_json::from_slice(&text)
                .map_err(|e| Failure::usage(format!("{}: {e}", r.document.display())))?;
            r.desk
                .officer()?
                .put_recipient(&r.recipient, &document)
                .await?;
            println!(
                "recipient: {} ({}, {})",
                r.recipient, document.name, document.channel
            );
        }
        OfficerCommand::Credential(c) => {
            let request = CredentialRequestDocument {
                role: c.role,
                tenant: c.tenant,
                party: c.party,
                recipient: c.recipient,
            };
            let issued = c.desk.officer()?.issue_credential(&request).await?;
            files::write(&c.out, issued.secret.as_bytes(), Readable::ByOwner)?;
            println!("credential: {} in {}", issued.credential, c.out.display());
        }
        OfficerCommand::Revoke(r) => {
            r.desk.officer()?.revoke_credential(&r.credential).await?;
            println!("revoked: {}", r.credential);
        }
    }
    Ok(())
}
