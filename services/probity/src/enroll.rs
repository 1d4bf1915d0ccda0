//! `probity enroll`: from an application to a profile that can submit.

use std::path::PathBuf;

use probity_client::{Applicant, Endpoints, Officer, Secret, Vendor, digest_file};
use probity_proto::http::{
    AcceptanceDocument, CredentialRequestDocument, DecisionDocument, PartyApplicationDocument,
};
use sha3::Digest as _;

use crate::failure::Failure;
use crate::files;
use crate::profile::Profile;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Address of all edges, when one gateway serves them.
    #[arg(long, env = "PROBITY_URL")]
    platform: Option<String>,
    /// Address of the intake edge.
    #[arg(long)]
    intake: Option<String>,
    /// Address of the identity edge.
    #[arg(long)]
    identity: Option<String>,
    /// Address of the delivery edge.
    #[arg(long)]
    delivery: Option<String>,
    /// PEM file of the CA behind the platform's TLS certificates.
    #[arg(long)]
    tls_ca_file: Option<PathBuf>,
    /// The customer.
    #[arg(long)]
    tenant: String,
    /// The party that submits.
    #[arg(long)]
    party: String,
    /// `person` or `organization`.
    #[arg(long, default_value = "organization")]
    kind: String,
    /// Full name.
    #[arg(long)]
    name: String,
    /// Registration or document number.
    #[arg(long)]
    identifier: String,
    /// ISO 3166-1 alpha-2.
    #[arg(long, default_value = "CN")]
    country: String,
    /// Where one-time codes go.
    #[arg(long)]
    email: String,
    /// Organisations: the legal representative's name.
    #[arg(long)]
    legal_representative: Option<String>,
    /// Organisations: the handler's name.
    #[arg(long)]
    handler: Option<String>,
    /// Declares the above true, complete and accurate.
    #[arg(long)]
    declare_true: bool,
    /// A registration officer's credential: decides on the application and issues the credential at once.
    #[arg(long)]
    officer_key_file: Option<PathBuf>,
    /// A document the officer examined; may be given more than once.
    #[arg(long)]
    document: Vec<PathBuf>,
    /// A credential that was issued already.
    #[arg(long, conflicts_with = "officer_key_file")]
    credential_file: Option<PathBuf>,
    /// The agreement on electronic form, as `<agreement>/<version>`; its text is shown.
    #[arg(long)]
    agreement: Option<String>,
    /// Accepts that agreement.
    #[arg(long, requires = "agreement")]
    accept_agreement: bool,
    /// Root certificates to verify packages with, PEM; remembered in the profile.
    #[arg(long)]
    roots_file: Option<PathBuf>,
    /// The log's verifier key; remembered in the profile.
    #[arg(long)]
    log_key_file: Option<PathBuf>,
}

pub async fn run(profile: &str, args: Args) -> Result<u8, Failure> {
    let endpoints = endpoints(&args)?;
    let tls_ca = args.tls_ca_file.as_deref().map(files::read_text).transpose()?;
    let applicant = Applicant::new(&endpoints.identity, tls_ca.as_deref())?;
    let status = applicant.apply(&application(&args)?).await?;
    println!("{}: {}", status.party, status.state);

    let Some(credential) = credential(&args, &endpoints, tls_ca.as_deref()).await? else {
        println!("the application waits for the registration officer; come back with --credential-file");
        return Ok(0);
    };
    let profile_written = Profile {
        intake: endpoints.intake.clone(),
        identity: endpoints.identity.clone(),
        delivery: endpoints.delivery.clone(),
        tenant: args.tenant.clone(),
        party: args.party.clone(),
        credential: credential.clone(),
        tls_ca_file: args.tls_ca_file.clone(),
        roots_file: args.roots_file.clone(),
        log_key_file: args.log_key_file.clone(),
    };
    // Written before anything else can fail: the secret is shown once.
    let path = profile_written.write(profile)?;
    println!("profile: {}", path.display());
    if let Some(agreement) = &args.agreement {
        accept(&args, agreement, &applicant, &endpoints, &credential, tls_ca.as_deref()).await?;
    }
    Ok(0)
}

fn endpoints(args: &Args) -> Result<Endpoints, Failure> {
    let one = |given: &Option<String>, which: &str| {
        let url = given.as_ref().or(args.platform.as_ref());
        url.cloned().ok_or_else(|| Failure::usage(format!("give --platform, or --{which}")))
    };
    Ok(Endpoints {
        intake: one(&args.intake, "intake")?,
        identity: one(&args.identity, "identity")?,
        delivery: one(&args.delivery, "delivery")?,
    })
}

fn application(args: &Args) -> Result<PartyApplicationDocument, Failure> {
    if !args.declare_true {
        return Err(Failure::usage("--declare-true: declare the application true, complete and accurate"));
    }
    Ok(PartyApplicationDocument {
        party: args.party.clone(),
        tenant: args.tenant.clone(),
        kind: args.kind.clone(),
        name: args.name.clone(),
        identifier: args.identifier.clone(),
        country: args.country.clone(),
        email: args.email.clone(),
        legal_representative: args.legal_representative.clone(),
        handler: args.handler.clone(),
        declared_true: true,
    })
}

/// The credential: given, or issued after the officer's decision.
async fn credential(args: &Args, endpoints: &Endpoints, tls_ca: Option<&str>) -> Result<Option<String>, Failure> {
    if let Some(file) = &args.credential_file {
        return Ok(Some(files::read_text(file)?.trim().to_owned()));
    }
    let Some(file) = &args.officer_key_file else { return Ok(None) };
    let officer = Officer::new(endpoints, &Secret::new(&files::read_text(file)?), tls_ca)?;
    let mut documents = Vec::new();
    for document in &args.document {
        documents.push(digest_file(document).await?.digests.sha3_256.to_hex());
    }
    let decision = DecisionDocument {
        verified: true,
        method: "officer".to_owned(),
        document_sha3_256: documents,
        note: "decided at enrolment".to_owned(),
    };
    let status = officer.decide(&args.party, &decision).await?;
    println!("{}: {}", status.party, status.state);
    let request = CredentialRequestDocument {
        role: "vendor".to_owned(),
        tenant: Some(args.tenant.clone()),
        party: Some(args.party.clone()),
        recipient: None,
    };
    let issued = officer.issue_credential(&request).await?;
    println!("credential {} issued", issued.credential);
    Ok(Some(issued.secret))
}

/// Shows the text and, if asked to, accepts it by its digest.
async fn accept(
    args: &Args,
    agreement: &str,
    applicant: &Applicant,
    endpoints: &Endpoints,
    credential: &str,
    tls_ca: Option<&str>,
) -> Result<(), Failure> {
    let (id, version) =
        agreement.split_once('/').ok_or_else(|| Failure::usage("--agreement: <agreement>/<version>"))?;
    let document = applicant.agreement(id, version).await?;
    println!("--- {id} {version} ---\n{}\n---", document.text);
    if !args.accept_agreement {
        println!("not accepted; accept it with --accept-agreement");
        return Ok(());
    }
    let acceptance = AcceptanceDocument {
        agreement: id.to_owned(),
        version: version.to_owned(),
        sha3_256: hex::encode(sha3::Sha3_256::digest(document.text.as_bytes())),
    };
    let vendor = Vendor::new(endpoints, &Secret::new(credential), tls_ca)?;
    vendor.accept_agreement(&args.party, &acceptance).await?;
    println!("agreement {id} {version} accepted");
    Ok(())
}
