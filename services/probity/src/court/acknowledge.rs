//! `probity court acknowledge`.

use std::path::PathBuf;

use probity_client::{Court, Secret, digest_file};
use probity_domain::DeliveryId;

use super::folder::{At, Folder};
use super::inbox::Inbox;
use super::trust::Trust;
use crate::failure::Failure;
use crate::files;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The delivery's id.
    #[arg(value_name = "DELIVERY")]
    id: String,
    /// The encrypted package; the one in the inbox when absent.
    #[arg(long)]
    package: Option<PathBuf>,
    #[command(flatten)]
    at: At,
    /// Address of the delivery edge.
    #[arg(long = "delivery", env = "PROBITY_DELIVERY", value_name = "URL")]
    delivery_url: String,
    /// PEM file of the CA behind the platform's TLS certificate.
    #[arg(long = "tls-ca", env = "PROBITY_TLS_CA", value_name = "FILE")]
    tls_ca_file: Option<PathBuf>,
    /// The court's credential; the one in the folder when absent.
    #[arg(long = "credential", value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Root certificates to verify with, PEM.
    #[arg(long)]
    roots: Vec<PathBuf>,
    /// The log's verifier key.
    #[arg(long)]
    log_key: Vec<PathBuf>,
}

pub async fn run(args: Args) -> Result<(), Failure> {
    let id = DeliveryId::parse(&args.id).map_err(Failure::usage)?;
    let folder = Folder::new(&args.at);
    let delivery = id.to_string();
    if let Some(package) = &args.package {
        folder.make_folders()?;
        std::fs::copy(package, folder.package(&delivery))?;
    }
    let file = digest_file(&folder.package(&delivery)).await?;
    let inbox = Inbox {
        folder: folder.clone(),
        trust: Trust::read(&args.roots, &args.log_key)?,
    };
    let handled =
        tokio::task::spawn_blocking(move || inbox.handle(&delivery, file.digests.sha256)).await??;
    let key_file = args.key_file.unwrap_or_else(|| folder.credential_path());
    let tls_ca = args
        .tls_ca_file
        .as_deref()
        .map(files::read_text)
        .transpose()?;
    let court = Court::new(
        &args.delivery_url,
        &Secret::new(&files::read_text(&key_file)?),
        tls_ca.as_deref(),
    )?;
    let document = court.acknowledge(&id, &handled.receipt).await?;
    println!(
        "{}  {}  {}",
        document.delivery,
        document.state,
        document.receipt_scope.unwrap_or_default()
    );
    Ok(())
}
