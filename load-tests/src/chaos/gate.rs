//! A gate before an edge: every call goes past it, and whoever keeps the gate sees what was asked and what was answered.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::header::{CONNECTION, CONTENT_LENGTH, HOST, RETRY_AFTER, TRANSFER_ENCODING};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum_server::tls_rustls::RustlsConfig;
use bytes::Bytes;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::task::JoinHandle;

use crate::Failure;

/// Larger than any package of the laboratory's captures.
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What is said of a refusal.
const REFUSAL_CHARS_MAX: usize = 300;

/// One call that went past.
pub struct Exchange {
    pub began: Instant,
    pub method: Method,
    pub path: String,
    pub headers: HeaderMap,
    /// `None` when it broke off.
    pub body: Option<Bytes>,
    /// `None` when the edge gave none.
    pub answer: Option<Answer>,
}

#[derive(Clone)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// Certificate and key, both PEM; the edge behind the gate shows the same certificate.
pub struct Tls {
    pub certificate: String,
    pub key: String,
}

/// Listens on a port of 127.0.0.1 until it is dropped.
pub struct Gate(JoinHandle<()>);

impl Drop for Gate {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Is told of every exchange when it is over.
pub type Seen = dyn Fn(&Exchange) + Send + Sync;

#[derive(Clone)]
struct Keeper {
    http: reqwest::Client,
    upstream: String,
    seen: Arc<Seen>,
}

impl Gate {
    /// Passes everything on to the edge at `upstream`, a URL without a path.
    pub fn start(
        port: u16,
        tls: Option<&Tls>,
        upstream: String,
        seen: Arc<Seen>,
    ) -> Result<Self, Failure> {
        let mut http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none());
        if let Some(tls) = tls {
            let roots = reqwest::Certificate::from_pem_bundle(tls.certificate.as_bytes());
            http = http.tls_certs_only(roots.map_err(Failure::new)?);
        }
        let keeper = Keeper {
            http: http.build().map_err(Failure::new)?,
            upstream,
            seen,
        };
        let service = Router::new().fallback(pass).with_state(keeper);
        let service = service.into_make_service();
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port));
        let listener = listener.map_err(|e| Failure::new(format!("no port for a gate: {e}")))?;
        listener.set_nonblocking(true).map_err(Failure::new)?;
        let serving = match tls {
            Some(tls) => {
                let server = axum_server::from_tcp_rustls(listener, server_config(tls)?);
                let server = server.map_err(Failure::new)?;
                tokio::spawn(async move { ended(server.serve(service).await) })
            }
            None => {
                let server = axum_server::from_tcp(listener).map_err(Failure::new)?;
                tokio::spawn(async move { ended(server.serve(service).await) })
            }
        };
        Ok(Self(serving))
    }
}

fn ended(served: std::io::Result<()>) {
    if let Err(e) = served {
        eprintln!("chaos: a gate is closed: {e}");
    }
}

fn server_config(tls: &Tls) -> Result<RustlsConfig, Failure> {
    let certificates = CertificateDer::pem_slice_iter(tls.certificate.as_bytes());
    let certificates = certificates.collect::<Result<Vec<_>, _>>();
    let key = PrivateKeyDer::from_pem_slice(tls.key.as_bytes()).map_err(Failure::new)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(Failure::new)?
        .with_no_client_auth()
        .with_single_cert(certificates.map_err(Failure::new)?, key)
        .map_err(Failure::new)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(RustlsConfig::from_config(Arc::new(config)))
}

/// Goes on when the caller has gone: what reached the edge is seen in any case.
async fn pass(State(keeper): State<Keeper>, request: Request) -> Response {
    let passing = tokio::spawn(async move { Box::pin(keeper.pass(request)).await });
    passing
        .await
        .unwrap_or_else(|e| (StatusCode::INTERNAL_SERVER_ERROR, e.to_string()).into_response())
}

impl Keeper {
    async fn pass(self, request: Request) -> Response {
        let began = Instant::now();
        let (head, body) = request.into_parts();
        let mut exchange = Exchange {
            began,
            path: head.uri.path().to_owned(),
            method: head.method,
            headers: head.headers,
            body: to_bytes(body, BODY_BYTES_MAX).await.ok(),
            answer: None,
        };
        if let Some(body) = exchange.body.clone() {
            let target = head
                .uri
                .path_and_query()
                .map_or("/", |target| target.as_str());
            let asked = self
                .http
                .request(
                    exchange.method.clone(),
                    format!("{}{target}", self.upstream),
                )
                .headers(end_to_end(&exchange.headers))
                .body(body);
            let answered = answer(asked).await;
            say_refusal(&exchange, &answered);
            exchange.answer = answered.ok();
        }
        (self.seen)(&exchange);
        match exchange.answer {
            Some(answer) => {
                (answer.status, end_to_end(&answer.headers), answer.body).into_response()
            }
            // As a gateway says it whose server does not answer.
            None => (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "1")]).into_response(),
        }
    }
}

async fn answer(asked: reqwest::RequestBuilder) -> reqwest::Result<Answer> {
    let answer = asked.send().await?;
    Ok(Answer {
        status: answer.status(),
        headers: answer.headers().clone(),
        body: answer.bytes().await?,
    })
}

/// As the vendor says which batch it repeats.
fn say_refusal(exchange: &Exchange, answered: &reqwest::Result<Answer>) {
    let what = match answered {
        Ok(answer) if answer.status.is_success() => return,
        Ok(answer) => format!(
            "{} {}",
            answer.status,
            String::from_utf8_lossy(&answer.body)
        ),
        Err(e) => format!("{e:?}"),
    };
    let what: String = what.chars().take(REFUSAL_CHARS_MAX).collect();
    let (method, path) = (&exchange.method, &exchange.path);
    let after_ms = exchange.began.elapsed().as_millis();
    eprintln!("chaos: {method} {path} after {after_ms} ms: {what}");
}

/// Without what is about one connection alone, and what follows from the body.
fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    for name in [CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING] {
        headers.remove(name);
    }
    headers
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use axum::routing::{get, post};
    use probity_testkit::free_port;

    use super::*;

    #[tokio::test]
    async fn what_is_asked_and_answered_is_seen_and_passed_on() {
        let edge = Router::new()
            .route(
                "/turned",
                post(|body: String| async move { body.chars().rev().collect::<String>() }),
            )
            .route(
                "/full",
                get(|| async { (StatusCode::TOO_MANY_REQUESTS, [(RETRY_AFTER, "7")]) }),
            );
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = format!("http://{}", listener.local_addr().unwrap());
        let edge = tokio::spawn(async move { axum::serve(listener, edge).await });
        let seen = Arc::new(Mutex::new(Vec::new()));
        let own = seen.clone();
        let keep = move |exchange: &Exchange| {
            let status = exchange
                .answer
                .as_ref()
                .map(|answer| answer.status.as_u16());
            own.lock().unwrap().push((exchange.path.clone(), status));
        };
        let port = free_port();
        let _gate = Gate::start(port, None, upstream, Arc::new(keep)).unwrap();
        let url = |path: &str| format!("http://127.0.0.1:{port}{path}");
        let http = reqwest::Client::new();
        let turned = http
            .post(url("/turned?a=b"))
            .body("abc")
            .send()
            .await
            .unwrap();
        assert_eq!(turned.text().await.unwrap(), "cba");
        let full = http.get(url("/full")).send().await.unwrap();
        assert_eq!(full.headers()[RETRY_AFTER], "7");
        edge.abort();
        assert!(edge.await.is_err());
        let away = http.get(url("/full")).send().await.unwrap();
        assert_eq!(away.status(), StatusCode::SERVICE_UNAVAILABLE);
        let wanted = [
            ("/turned", Some(200)),
            ("/full", Some(429)),
            ("/full", None),
        ];
        let wanted: Vec<_> = wanted
            .map(|(path, status)| (path.to_owned(), status))
            .into();
        assert_eq!(*seen.lock().unwrap(), wanted);
    }
}
