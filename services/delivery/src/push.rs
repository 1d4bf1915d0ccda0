//! Sending a package to a court's system over HTTPS.

use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use probity_platform::{Error, Result};
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Certificate, Client, Identity, Response};

use crate::answer::{ANSWER_BYTES_MAX, Answer};
use crate::delivery::listed;
use crate::endpoint::Endpoint;
use crate::ports::{Parcel, Push};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A court's system that takes bytes slower than this is not waited for.
const BYTES_PER_SECOND_MIN: u64 = 256 * 1024;

/// Pushes over HTTPS: no redirects, no proxies, the resolved and checked addresses only.
pub struct HttpsPush {
    timeout: Duration,
    identity: Option<Identity>,
}

impl HttpsPush {
    /// `identity_pem` is the client certificate and key for mutual TLS.
    ///
    /// # Errors
    /// `Malformed` when it does not parse.
    pub fn new(timeout: Duration, identity_pem: Option<&str>) -> Result<Self> {
        let identity = identity_pem
            .map(|pem| Identity::from_pem(pem.as_bytes()))
            .transpose();
        let identity = identity.map_err(|e| Error::malformed(format!("tls_identity_file: {e}")))?;
        Ok(Self { timeout, identity })
    }

    async fn client(&self, endpoint: &Endpoint, tls_ca: Option<&str>) -> Result<Client> {
        let addresses = endpoint.resolve().await?;
        let mut builder = Client::builder()
            .user_agent(concat!("probity-delivery/", env!("CARGO_PKG_VERSION")))
            .https_only(true)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .resolve_to_addrs(endpoint.host(), &addresses);
        if let Some(pem) = tls_ca {
            let roots = Certificate::from_pem_bundle(pem.as_bytes()).map_err(Error::internal)?;
            builder = builder.tls_certs_only(roots);
        }
        if let Some(identity) = &self.identity {
            builder = builder.identity(identity.clone());
        }
        builder.build().map_err(Error::internal)
    }

    async fn send(&self, endpoint: &Endpoint, tls_ca: Option<&str>, parcel: Parcel) -> Answer {
        let client = match self.client(endpoint, tls_ca).await {
            Ok(client) => client,
            Err(e) => return Answer::Failed(e.detail),
        };
        let digest = format!("sha-256=:{}:", STANDARD.encode(parcel.sha256));
        let request = client
            .post(endpoint.delivery_url(&parcel.delivery.to_string()))
            .header("probity-delivery-id", parcel.delivery.to_string())
            .header("probity-evidence-number", parcel.evidence.to_string())
            .header("probity-recipient", parcel.recipient)
            .header("probity-parts", listed(&parcel.part_bytes))
            // RFC 9530 section 2.
            .header("content-digest", digest)
            .header(CONTENT_TYPE, "application/cms")
            .header(CONTENT_LENGTH, parcel.size_bytes)
            .body(reqwest::Body::wrap_stream(parcel.body));
        match request.send().await {
            Ok(response) => read(response).await,
            Err(e) if e.is_timeout() => Answer::TimedOut,
            Err(e) => Answer::Failed(with_causes(&e)),
        }
    }
}

#[async_trait]
impl Push for HttpsPush {
    async fn push(&self, endpoint: &Endpoint, tls_ca: Option<&str>, parcel: Parcel) -> Answer {
        let time_max = self.time_max(parcel.size_bytes);
        tokio::time::timeout(time_max, self.send(endpoint, tls_ca, parcel))
            .await
            .unwrap_or(Answer::TimedOut)
    }

    fn time_max(&self, size_bytes: u64) -> Duration {
        self.timeout + Duration::from_secs(size_bytes / BYTES_PER_SECOND_MIN)
    }
}

async fn read(mut response: Response) -> Answer {
    let status = response.status().as_u16();
    let retry_after = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|v| v.to_str().ok()?.parse::<i64>().ok());
    let retry_after_ms = retry_after.map(|s| s.clamp(0, 86_400) * 1_000);
    let mut body = Vec::new();
    while body.len() < ANSWER_BYTES_MAX {
        match response.chunk().await {
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => break,
            Err(e) if e.is_timeout() => return Answer::TimedOut,
            // The status is known: what it means does not hang on the rest, except that there is no receipt.
            Err(_) => {
                body.clear();
                break;
            }
        }
    }
    body.truncate(ANSWER_BYTES_MAX);
    Answer::Response {
        status,
        retry_after_ms,
        body: Bytes::from(body),
    }
}

/// The outermost error alone rarely says what happened.
fn with_causes(error: &reqwest::Error) -> String {
    let mut text = String::new();
    let mut source: Option<&dyn std::error::Error> = Some(error);
    while let Some(cause) = source {
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
