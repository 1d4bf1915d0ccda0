//! One edge: its address, the credential, time limits and repeated attempts.

use core::fmt;
use std::time::Duration;

use bytes::Bytes;
use reqwest::{Certificate, Client, RequestBuilder, Response, Url};
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::retry::{self, Repeat};
use crate::{Error, Problem, Result};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest silence while an answer is awaited or read.
const READ_TIMEOUT: Duration = Duration::from_secs(120);
/// An upload slower than this on the whole is given up.
const UPLOAD_BYTES_PER_S_MIN: u64 = 64 * 1024;
/// Documents; files are streamed instead.
const DOCUMENT_BYTES_MAX: usize = 64 * 1024 * 1024;
const PROBLEM_BYTES_MAX: usize = 64 * 1024;

/// A credential's secret: never printed, wiped when dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Wraps the text, without the white space files end with.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(Zeroizing::new(text.trim().to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Where the edges are. Behind one gateway all three are the same.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoints {
    pub intake: String,
    pub identity: String,
    pub delivery: String,
}

/// A client of one edge. Cheap to clone; connections are shared.
#[derive(Debug, Clone)]
pub struct Connection {
    http: Client,
    /// For bodies that take their time: the limit on silence would begin with the request, not with its last byte.
    uploads: Client,
    base: Url,
    credential: Option<Secret>,
    /// Nothing is sent again.
    once: bool,
}

impl Connection {
    /// Prepares a client; nothing is sent yet. `tls_ca_pem` replaces the system's roots.
    ///
    /// # Errors
    /// [`Error::Malformed`] for an address that is not http(s) or a broken certificate.
    pub fn new(base: &str, credential: Option<Secret>, tls_ca_pem: Option<&str>) -> Result<Self> {
        let malformed = |e: &dyn fmt::Display| Error::Malformed(format!("{base}: {e}"));
        let mut base_url = Url::parse(base).map_err(|e| malformed(&e))?;
        if !matches!(base_url.scheme(), "http" | "https") || base_url.host_str().is_none() {
            return Err(malformed(&"not an http or https address"));
        }
        if !base_url.path().ends_with('/') {
            base_url.set_path(&format!("{}/", base_url.path()));
        }
        let roots = match tls_ca_pem {
            Some(pem) => {
                Some(Certificate::from_pem_bundle(pem.as_bytes()).map_err(|e| malformed(&e))?)
            }
            None => None,
        };
        let client = || {
            let builder = Client::builder()
                .user_agent(concat!("probity/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(CONNECT_TIMEOUT)
                .redirect(reqwest::redirect::Policy::none());
            match roots.clone() {
                Some(roots) => builder.tls_certs_only(roots),
                None => builder,
            }
        };
        let http = client().read_timeout(READ_TIMEOUT).build();
        let uploads = client().build();
        Ok(Self {
            http: http.map_err(|e| malformed(&e))?,
            uploads: uploads.map_err(|e| malformed(&e))?,
            base: base_url,
            credential,
            once: false,
        })
    }

    /// The same, sending every request once: for callers who want to hear the refusal.
    pub(crate) fn asking_once(self) -> Self {
        Self { once: true, ..self }
    }

    /// The address of a path below the base; each segment is percent-encoded.
    pub(crate) fn url(&self, segments: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }

    pub(crate) fn get(&self, segments: &[&str]) -> RequestBuilder {
        self.http.get(self.url(segments))
    }

    pub(crate) fn head(&self, segments: &[&str]) -> RequestBuilder {
        self.http.head(self.url(segments))
    }

    pub(crate) fn post(&self, segments: &[&str]) -> RequestBuilder {
        self.http.post(self.url(segments))
    }

    pub(crate) fn put(&self, segments: &[&str]) -> RequestBuilder {
        self.http.put(self.url(segments))
    }

    pub(crate) fn delete(&self, segments: &[&str]) -> RequestBuilder {
        self.http.delete(self.url(segments))
    }

    /// As [`Self::put`], for a body of this length.
    pub(crate) fn upload(&self, segments: &[&str], size_bytes: u64) -> RequestBuilder {
        let time_max = upload_time_max(size_bytes);
        self.uploads.put(self.url(segments)).timeout(time_max)
    }

    /// Sends what `build` makes, again where that can help, and answers a response with a status of success.
    pub(crate) async fn send<F>(&self, repeat: Repeat, build: F) -> Result<Response>
    where
        F: AsyncFn() -> Result<RequestBuilder>,
    {
        let mut attempt = 1;
        loop {
            let (error, retry_after) = match self.send_once(build().await?).await {
                Ok(response) => return Ok(response),
                Err(failed) => failed,
            };
            if !self.again(attempt, repeat, &error, retry_after).await {
                return Err(error);
            }
            attempt += 1;
        }
    }

    /// Waits until it is time for the next attempt; `false` when there is none.
    pub(crate) async fn again(
        &self,
        attempt: u32,
        repeat: Repeat,
        error: &Error,
        retry_after: Option<Duration>,
    ) -> bool {
        let mut jitter = [0];
        let _ = getrandom::fill(&mut jitter);
        let [jitter] = jitter;
        let wait = retry::wait(attempt, repeat, error, retry_after, jitter);
        match wait.filter(|_| !self.once) {
            Some(wait) => tokio::time::sleep(wait).await,
            None => return false,
        }
        true
    }

    /// [`Self::send`] and reads the JSON document that comes back.
    pub(crate) async fn document<T, F>(&self, repeat: Repeat, build: F) -> Result<T>
    where
        T: DeserializeOwned,
        F: AsyncFn() -> Result<RequestBuilder>,
    {
        let response = self.send(repeat, build).await?;
        let body = read_bounded(response, DOCUMENT_BYTES_MAX).await?;
        serde_json::from_slice(&body).map_err(|e| Error::Answer(e.to_string()))
    }

    async fn send_once(
        &self,
        request: RequestBuilder,
    ) -> core::result::Result<Response, (Error, Option<Duration>)> {
        let request = match &self.credential {
            Some(Secret(secret)) => request.bearer_auth(secret.as_str()),
            None => request,
        };
        let response = request.send().await.map_err(|e| (transport(&e), None))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let retry_after = response
            .headers()
            .get(reqwest::header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.parse().ok())
            .map(Duration::from_secs);
        let body = read_bounded(response, PROBLEM_BYTES_MAX)
            .await
            .unwrap_or_default();
        Err((
            Error::Refused(Problem::read(status.as_u16(), &body)),
            retry_after,
        ))
    }
}

fn upload_time_max(size_bytes: u64) -> Duration {
    READ_TIMEOUT + Duration::from_secs(size_bytes / UPLOAD_BYTES_PER_S_MIN)
}

/// The error with its causes: the outermost alone rarely says what happened.
pub(crate) fn transport(error: &reqwest::Error) -> Error {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    Error::Transport(text)
}

async fn read_bounded(mut response: Response, bytes_max: usize) -> Result<Bytes> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| transport(&e))? {
        if body.len() + chunk.len() > bytes_max {
            return Err(Error::Answer(format!("longer than {bytes_max} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_uploads_are_given_hours_and_empty_ones_what_an_answer_takes() {
        assert_eq!(upload_time_max(0), READ_TIMEOUT);
        assert!(upload_time_max(5 << 30) > Duration::from_secs(20 * 3_600));
    }

    #[test]
    fn segments_are_encoded_and_bases_kept() {
        let connection = Connection::new("http://127.0.0.1:1/edge", None, None).unwrap();
        let url = connection.url(&["v1", "evidence", "a/b?c", "截.png"]);
        assert_eq!(
            url.as_str(),
            "http://127.0.0.1:1/edge/v1/evidence/a%2Fb%3Fc/%E6%88%AA.png"
        );
        let bare = Connection::new("https://example.com", None, None).unwrap();
        assert_eq!(bare.url(&["v1"]).as_str(), "https://example.com/v1");
        assert!(Connection::new("ftp://example.com", None, None).is_err());
    }

    #[test]
    fn secrets_do_not_print() {
        assert!(!format!("{:?}", Secret::new("pk_1_x\n")).contains("pk_"));
    }
}
