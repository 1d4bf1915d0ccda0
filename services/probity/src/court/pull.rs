//! `probity court pull`: list, fetch, open, verify, acknowledge.

use std::path::PathBuf;
use std::time::Duration;

use futures::StreamExt as _;
use probity_client::{Court, DeliveryQuery, Secret, digest_file};
use probity_domain::DeliveryId;
use probity_proto::http::DeliveryDocument;

use super::folder::{At, Folder};
use super::inbox::Inbox;
use super::trust::Trust;
use crate::failure::Failure;
use crate::files;

/// Packages on their way, being opened or being acknowledged at once: each spends most of its time waiting for the
/// platform's store, the rest on one core of this machine.
const AT_ONCE: usize = 8;

#[derive(Debug, clap::Args)]
pub struct Args {
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
    /// Why the evidence is read; kept in the platform's access log (R7).
    #[arg(long)]
    legal_basis: String,
    /// Only this case's.
    #[arg(long)]
    case: Option<String>,
    /// Root certificates to verify with, PEM. Without any, receipts confirm the digest alone.
    #[arg(long)]
    roots: Vec<PathBuf>,
    /// The log's verifier key.
    #[arg(long)]
    log_key: Vec<PathBuf>,
    /// Goes on for ever, looking again after this many seconds.
    #[arg(long, value_name = "SECONDS")]
    watch: Option<u64>,
    /// Goes on until this many were acknowledged, then ends; with --watch.
    #[arg(long, requires = "watch")]
    until: Option<usize>,
}

pub async fn run(args: Args) -> Result<(), Failure> {
    let folder = Folder::new(&args.at);
    folder.settings()?;
    folder.make_folders()?;
    let key_file = args
        .key_file
        .clone()
        .unwrap_or_else(|| folder.credential_path());
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
    let inbox = Inbox {
        folder,
        trust: Trust::read(&args.roots, &args.log_key)?,
    };
    let mut acknowledged = 0;
    loop {
        let (done, failed) = round(&court, &inbox, &args).await?;
        acknowledged += done;
        let enough = args.until.is_some_and(|until| acknowledged >= until);
        match args.watch {
            Some(seconds) if !enough => tokio::time::sleep(Duration::from_secs(seconds)).await,
            _ if failed > 0 => {
                return Err(Failure::new(format!(
                    "{failed} packages were not acknowledged"
                )));
            }
            _ => return Ok(()),
        }
    }
}

/// Everything that is open now; answers how many were acknowledged and how many were not.
async fn round(court: &Court, inbox: &Inbox, args: &Args) -> Result<(usize, usize), Failure> {
    let mut query = DeliveryQuery {
        state: Some("open".to_owned()),
        case: args.case.clone(),
        page: None,
    };
    let (mut done, mut failed) = (0, 0);
    loop {
        let page = court.list(&query).await?;
        let pulled = page.deliveries.iter().map(|delivery| async move {
            let pulled = one(court, inbox, delivery, &args.legal_basis).await;
            (delivery, pulled)
        });
        let mut pulled = futures::stream::iter(pulled).buffer_unordered(AT_ONCE);
        while let Some((delivery, pulled)) = pulled.next().await {
            match pulled {
                Ok(line) => {
                    println!("{line}");
                    done += 1;
                }
                // One that cannot be opened does not keep the others waiting.
                Err(e) => {
                    eprintln!("{}: {}", delivery.delivery, e.sentence);
                    failed += 1;
                }
            }
        }
        if page.next_page.is_none() {
            return Ok((done, failed));
        }
        query.page = page.next_page;
    }
}

async fn one(
    court: &Court,
    inbox: &Inbox,
    delivery: &DeliveryDocument,
    legal_basis: &str,
) -> Result<String, Failure> {
    let id = DeliveryId::parse(&delivery.delivery)?;
    let name = id.to_string();
    let package = inbox.folder.package(&name);
    let announced = delivery.sha256.clone().unwrap_or_default();
    let mut file = digest_file(&package).await.ok();
    if file
        .as_ref()
        .is_none_or(|f| f.digests.sha256.to_hex() != announced)
    {
        court.fetch(&id, legal_basis, &package).await?;
        file = Some(digest_file(&package).await?);
    }
    let Some(file) = file else {
        return Err(Failure::new("not fetched"));
    };
    let (handler, handled_name) = (inbox.clone(), name.clone());
    let handled =
        tokio::task::spawn_blocking(move || handler.handle(&handled_name, file.digests.sha256))
            .await??;
    let document = court.acknowledge(&id, &handled.receipt).await?;
    let overall = handled.overall.map_or("", probity_verify::Overall::as_str);
    let scope = document.receipt_scope.unwrap_or_default();
    Ok(format!(
        "{name}  {}  {}  {scope}  {overall}",
        delivery.evidence, document.state
    ))
}
