//! `probity enroll`: from stranger to vendor.

use std::path::PathBuf;

use clap::Args;
use probity_client::{Applicant, Officer, Secret, Vendor};
use probity_domain::Sha3_256;
use probity_proto::http::{
    AcceptanceDocument, AgreementDocument, CredentialRequestDocument, DecisionDocument,
    PartyApplicationDocument,
};
use sha3::Digest as _;

use crate::failure::{Failure, at};
use crate::profile::{EndpointArgs, Profile, read_secret};

/// Applies; with an officer's credential at hand (a demonstration, or the officer's own desk) also decides and issues;
/// with a vendor credential accepts the agreement and writes the profile.
#[derive(Args)]
pub struct Enroll {
    #[command(flatten)]
    endpoints: EndpointArgs,
    /// Where the profile is written
    #[arg(long, default_value = "probity-profile.json", value_name = "FILE")]
    profile: PathBuf,
    /// Name of the party: a-z, 0-9 and hyphens
    #[arg(long)]
    party: String,
    /// Customer the party belongs to; its own name when left out
    #[arg(long)]
    tenant: Option<String>,
    /// person or organization
    #[arg(long, default_value = "organization")]
    kind: String,
    /// Registered name
    #[arg(long)]
    name: String,
    /// Registration or document number
    #[arg(long)]
    identifier: String,
    /// ISO 3166-1 alpha-2
    #[arg(long)]
    country: String,
    /// Where one-time codes go
    #[arg(long)]
    email: String,
    /// Legal representative, for organizations
    #[arg(long)]
    legal_representative: Option<String>,
    /// Who handles the application, for organizations
    #[arg(long)]
    handler: Option<String>,
    /// Declares that all of this is true, complete and accurate
    #[arg(long)]
    declare_true: bool,
    /// Credential the officer issued, when there is one already
    #[arg(long, value_name = "FILE", conflicts_with = "officer_key")]
    credential: Option<PathBuf>,
    /// Credential of a registration officer, who then decides right away
    #[arg(long, value_name = "FILE")]
    officer_key: Option<PathBuf>,
    /// Document the officer examined; only its digest is recorded; may be repeated
    #[arg(long = "document", value_name = "FILE")]
    documents: Vec<PathBuf>,
    /// The agreement on electronic form
    #[arg(long, default_value = "electronic-form")]
    agreement: String,
    #[arg(long, default_value = "1")]
    agreement_version: String,
    /// Text of the agreement; whoever is about to accept it must hold the text that was published
    #[arg(long, value_name = "FILE")]
    agreement_text: Option<PathBuf>,
    /// Accepts the agreement in the party's name
    #[arg(long)]
    accept: bool,
}

impl Enroll {
    pub async fn run(self) -> Result<(), Failure> {
        let tls_ca = self.endpoints.tls_ca()?;
        let endpoints = self.endpoints.endpoints();
        let tenant = self.tenant.clone().unwrap_or_else(|| self.party.clone());
        let applicant = Applicant::new(&endpoints.identity, tls_ca.as_deref())?;
        let applied = applicant.apply(&self.application(&tenant)).await?;
        println!("applied: {} is {}", applied.party, applied.state);

        let credential = match (&self.credential, &self.officer_key) {
            (Some(file), _) => std::fs::read_to_string(file)
                .map_err(at(file))?
                .trim()
                .to_owned(),
            (None, Some(key)) => {
                let officer = Officer::new(&endpoints, &read_secret(key)?, tls_ca.as_deref())?;
                self.decide_and_issue(&officer, &tenant).await?
            }
            (None, None) => {
                println!(
                    "next: a registration officer decides; then run this again with --credential FILE"
                );
                return Ok(());
            }
        };
        let vendor = Vendor::new(&endpoints, &Secret::new(&credential), tls_ca.as_deref())?;
        self.accept_agreement(&applicant, &vendor).await?;
        Profile::new(endpoints, &self.party, &tenant, credential, tls_ca).write(&self.profile)?;
        println!("profile: {}", self.profile.display());
        Ok(())
    }

    fn application(&self, tenant: &str) -> PartyApplicationDocument {
        PartyApplicationDocument {
            party: self.party.clone(),
            tenant: tenant.to_owned(),
            kind: self.kind.clone(),
            name: self.name.clone(),
            identifier: self.identifier.clone(),
            country: self.country.clone(),
            email: self.email.clone(),
            legal_representative: self.legal_representative.clone(),
            handler: self.handler.clone(),
            declared_true: self.declare_true,
        }
    }

    async fn decide_and_issue(&self, officer: &Officer, tenant: &str) -> Result<String, Failure> {
        if let Some(path) = &self.agreement_text {
            let text = std::fs::read_to_string(path).map_err(at(path))?;
            let agreement = AgreementDocument {
                agreement: self.agreement.clone(),
                version: self.agreement_version.clone(),
                text,
            };
            officer.publish_agreement(&agreement).await?;
            println!(
                "agreement: {} version {} is published",
                self.agreement, self.agreement_version
            );
        }
        let digest = |path: &PathBuf| {
            let bytes = std::fs::read(path).map_err(at(path))?;
            Ok(Sha3_256(sha3::Sha3_256::digest(bytes).into()).to_hex())
        };
        let decision = DecisionDocument {
            verified: true,
            method: "officer".to_owned(),
            document_sha3_256: self
                .documents
                .iter()
                .map(digest)
                .collect::<Result<_, Failure>>()?,
            note: "decided at the command line".to_owned(),
        };
        let decided = officer.decide(&self.party, &decision).await?;
        println!("decided: {} is {}", decided.party, decided.state);
        let request = CredentialRequestDocument {
            role: "vendor".to_owned(),
            tenant: Some(tenant.to_owned()),
            party: Some(self.party.clone()),
            recipient: None,
        };
        let issued = officer.issue_credential(&request).await?;
        println!(
            "credential: {} (its secret goes into the profile and is shown nowhere)",
            issued.credential
        );
        Ok(issued.secret)
    }

    async fn accept_agreement(
        &self,
        applicant: &Applicant,
        vendor: &Vendor,
    ) -> Result<(), Failure> {
        let published = applicant
            .agreement(&self.agreement, &self.agreement_version)
            .await?;
        let sha3_256 = Sha3_256(sha3::Sha3_256::digest(published.text.as_bytes()).into()).to_hex();
        if !self.accept {
            println!(
                "{}\n\nrun again with --accept to accept this text (SHA3-256 {sha3_256})",
                published.text
            );
            return Ok(());
        }
        let acceptance = AcceptanceDocument {
            agreement: self.agreement.clone(),
            version: self.agreement_version.clone(),
            sha3_256: sha3_256.clone(),
        };
        vendor.accept_agreement(&self.party, &acceptance).await?;
        println!(
            "accepted: {} version {}, SHA3-256 {sha3_256}",
            self.agreement, self.agreement_version
        );
        Ok(())
    }
}
