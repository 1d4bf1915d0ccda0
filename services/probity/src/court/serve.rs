//! `probity court serve`: the reference recipient.
//!
//! `POST /deliveries/{id}` takes an encrypted package, streams it to disk, opens and verifies it and answers the
//! signed receipt, all within the one request. The delivery's id makes it idempotent: the same bytes again get the
//! same receipt, and are not opened again.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum_server::tls_rustls::RustlsConfig;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::StreamExt as _;
use probity_domain::{DeliveryId, Sha256};
use probity_pki::envelope::{CONTENT_BYTES_MAX, PARTS_MAX};
use probity_proto::http::SignedReceiptDocument;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::Digest as _;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::Semaphore;

use super::folder::{At, Folder};
use super::inbox::Inbox;
use super::trust::Trust;
use crate::failure::Failure;
use crate::now::random;

/// The largest package that a platform can be configured to make, and some room for each envelope.
const PACKAGE_BYTES_MAX: u64 = PARTS_MAX * (CONTENT_BYTES_MAX + 64 * 1024);
/// Packages opened at once.
const OPENED_AT_ONCE: usize = 4;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    at: At,
    #[arg(long, default_value = "127.0.0.1:8443")]
    listen: SocketAddr,
    /// Root certificates to verify with, PEM. Without any, receipts confirm the digest alone.
    #[arg(long)]
    roots: Vec<PathBuf>,
    /// The log's verifier key.
    #[arg(long)]
    log_key: Vec<PathBuf>,
}

#[derive(Clone)]
struct Recipient {
    inbox: Arc<Inbox>,
    opening: Arc<Semaphore>,
}

pub async fn run(args: Args) -> Result<(), Failure> {
    let folder = Folder::new(&args.at);
    folder.settings()?;
    folder.make_folders()?;
    let tls = tls(&folder)?;
    let inbox = Inbox {
        folder,
        trust: Trust::read(&args.roots, &args.log_key)?,
    };
    let router = router(inbox);
    let handle = axum_server::Handle::new();
    let stop = handle.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            stop.graceful_shutdown(Some(std::time::Duration::from_secs(20)));
        }
    });
    println!("listening on https://{}", args.listen);
    axum_server::bind_rustls(args.listen, tls)
        .handle(handle)
        .serve(router.into_make_service())
        .await?;
    Ok(())
}

fn tls(folder: &Folder) -> Result<RustlsConfig, Failure> {
    let (certificates, key) = folder.tls()?;
    let certificates =
        CertificateDer::pem_slice_iter(certificates.as_bytes()).collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes())?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(certificates, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(RustlsConfig::from_config(Arc::new(config)))
}

fn router(inbox: Inbox) -> Router {
    let recipient = Recipient {
        inbox: Arc::new(inbox),
        opening: Arc::new(Semaphore::new(OPENED_AT_ONCE)),
    };
    Router::new()
        .route("/deliveries/{delivery}", post(receive))
        .route("/livez", get(|| async { "ok" }))
        .with_state(recipient)
}

async fn receive(
    State(recipient): State<Recipient>,
    Path(delivery): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let Ok(id) = DeliveryId::parse(&delivery) else {
        return (StatusCode::BAD_REQUEST, "not a delivery id").into_response();
    };
    match take(&recipient, &id.to_string(), &headers, body).await {
        Ok(receipt) => axum::Json(receipt).into_response(),
        Err((status, reason)) => {
            eprintln!("{id}: {status}: {reason}");
            (status, reason).into_response()
        }
    }
}

type Refusal = (StatusCode, String);

async fn take(
    recipient: &Recipient,
    delivery: &str,
    headers: &HeaderMap,
    body: Body,
) -> Result<SignedReceiptDocument, Refusal> {
    let announced = announced(headers);
    let inbox = recipient.inbox.clone();
    let sha256 = store(&inbox, delivery, announced, body).await?;
    let _place = recipient.opening.acquire().await.map_err(internal)?;
    let name = delivery.to_owned();
    let handled = tokio::task::spawn_blocking(move || inbox.handle(&name, sha256))
        .await
        .map_err(internal)?;
    let handled = handled.map_err(|e| (StatusCode::UNPROCESSABLE_ENTITY, e.sentence))?;
    let verdict = match (&handled.overall, handled.repeated) {
        (_, true) => "received again",
        (Some(overall), _) => overall.as_str(),
        (None, _) => "not verified",
    };
    println!("{delivery}  {sha256}  {verdict}");
    Ok(handled.receipt)
}

fn internal(e: impl std::fmt::Display) -> Refusal {
    (StatusCode::INTERNAL_SERVER_ERROR, e.to_string())
}

/// `Content-Digest: sha-256=:<base64>:` (RFC 9530 section 2).
fn announced(headers: &HeaderMap) -> Option<Sha256> {
    let value = headers.get("content-digest")?.to_str().ok()?;
    let text = value.strip_prefix("sha-256=:")?.strip_suffix(':')?;
    Some(Sha256(STANDARD.decode(text).ok()?.try_into().ok()?))
}

/// Streams the body to the inbox; what stands there afterwards is whole.
async fn store(
    inbox: &Inbox,
    delivery: &str,
    announced: Option<Sha256>,
    body: Body,
) -> Result<Sha256, Refusal> {
    let suffix = random::<8>().map_err(internal)?;
    let path = inbox.folder.package(delivery);
    // Two pushes of one delivery may overlap: each writes a part of its own.
    let part = path.with_extension(format!("{}.part", hex::encode(suffix)));
    let stored = write(&part, body).await;
    let kept = match stored {
        Ok(sha256) if announced.is_some_and(|a| a != sha256) => Err((
            StatusCode::BAD_REQUEST,
            "the bytes are not those of the content-digest".to_owned(),
        )),
        Ok(sha256) => tokio::fs::rename(&part, &path)
            .await
            .map(|()| sha256)
            .map_err(internal),
        Err(e) => Err(e),
    };
    if kept.is_err() {
        let _ = tokio::fs::remove_file(&part).await;
    }
    kept
}

async fn write(part: &std::path::Path, body: Body) -> Result<Sha256, Refusal> {
    let mut file = tokio::fs::File::create(part).await.map_err(internal)?;
    let mut digest = sha2::Sha256::new();
    let mut size_bytes = 0;
    let mut pieces = body.into_data_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|e| (StatusCode::BAD_REQUEST, e.to_string()))?;
        size_bytes += piece.len() as u64;
        if size_bytes > PACKAGE_BYTES_MAX {
            return Err((
                StatusCode::PAYLOAD_TOO_LARGE,
                "larger than a package may be".to_owned(),
            ));
        }
        digest.update(&piece);
        file.write_all(&piece).await.map_err(internal)?;
    }
    file.sync_all().await.map_err(internal)?;
    Ok(Sha256(digest.finalize().into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_digests() {
        let mut headers = HeaderMap::new();
        assert_eq!(announced(&headers), None);
        headers.insert(
            "content-digest",
            format!("sha-256=:{}:", STANDARD.encode([7; 32]))
                .parse()
                .unwrap(),
        );
        assert_eq!(announced(&headers), Some(Sha256([7; 32])));
        headers.insert("content-digest", "sha-256=:AAAA:".parse().unwrap());
        assert_eq!(announced(&headers), None);
    }

    #[tokio::test]
    async fn bytes_that_are_not_the_announced_ones_leave_nothing() {
        let (_dir, folder) = super::super::init::tests::made();
        let inbox = Inbox {
            folder,
            trust: Trust::default(),
        };
        let refused = store(&inbox, "d", Some(Sha256([1; 32])), Body::from("x"))
            .await
            .unwrap_err();
        assert_eq!(refused.0, StatusCode::BAD_REQUEST);
        assert_eq!(
            std::fs::read_dir(inbox.folder.package("d").parent().unwrap())
                .unwrap()
                .count(),
            0
        );
        let sha256 = store(&inbox, "d", None, Body::from("x")).await.unwrap();
        assert!(inbox.handle("d", sha256).is_err(), "not an envelope");
        assert!(inbox.known("d", &sha256).is_none(), "and no receipt for it");
    }

    #[test]
    fn the_server_takes_the_keys_that_init_made() {
        let (_dir, folder) = super::super::init::tests::made();
        assert!(tls(&folder).is_ok());
    }
}
