//! What a court does: list, fetch, acknowledge.

use std::path::Path;

use probity_domain::{DeliveryId, Sha256};
use probity_proto::http::{DeliveriesDocument, DeliveryDocument, SignedReceiptDocument};
use reqwest::header::{IF_RANGE, RANGE};
use reqwest::{Response, StatusCode};

use crate::resume::Partial;
use crate::retry::Repeat;
use crate::{Connection, Error, Result, Secret};

/// A fetch that brings less than this before it breaks off counts as one more attempt that came to nothing: each is
/// a read on the platform's record.
const PROGRESS_BYTES: u64 = 1024 * 1024;

/// Which deliveries to list; `None` leaves a field out of the question.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeliveryQuery {
    /// A delivery state, or `open` for everything that can be fetched and is not acknowledged.
    pub state: Option<String>,
    pub case: Option<String>,
    pub page: Option<String>,
}

/// A court's calls. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Court {
    delivery: Connection,
}

impl Court {
    /// # Errors
    /// [`Error::Malformed`] for a bad address or certificate.
    pub fn new(delivery: &str, credential: &Secret, tls_ca_pem: Option<&str>) -> Result<Self> {
        Ok(Self {
            delivery: Connection::new(delivery, Some(credential.clone()), tls_ca_pem)?,
        })
    }

    /// One page of this court's deliveries, oldest first.
    ///
    /// # Errors
    /// As every call.
    pub async fn list(&self, query: &DeliveryQuery) -> Result<DeliveriesDocument> {
        let pairs = [
            ("state", &query.state),
            ("case", &query.case),
            ("page", &query.page),
        ];
        let pairs: Vec<_> = pairs
            .into_iter()
            .filter_map(|(k, v)| Some((k, v.as_ref()?)))
            .collect();
        let segments = ["v1", "court", "deliveries"];
        self.delivery
            .document(Repeat::Harmless, async || {
                Ok(self.delivery.get(&segments).query(&pairs))
            })
            .await
    }

    /// Saves the encrypted package; answers its length and SHA-256. The legal basis is kept in the access log (R7).
    ///
    /// A fetch that breaks off is gone on with, also by a later call for the same file: what came so far stays beside
    /// it as `<name>.<sha256>.part`.
    ///
    /// # Errors
    /// As every call; [`Error::Digest`] when the bytes are not what the platform announced.
    pub async fn fetch(
        &self,
        id: &DeliveryId,
        legal_basis: &str,
        to: &Path,
    ) -> Result<(u64, Sha256)> {
        let mut partial = Partial::left_of(to).await?;
        let mut attempt = 1;
        loop {
            let asked = self.ask_for(id, legal_basis, partial.as_ref()).await;
            let (answer, had) = match (asked, partial.take()) {
                (Ok(answer), had) => (answer, had),
                // What came so far reaches the end of the package or past it: not a beginning of it, then.
                (Err(Error::Refused(problem)), Some(stale)) if problem.status == 416 => {
                    stale.discard().await;
                    continue;
                }
                (Err(error), _) => return Err(error),
            };
            let mut taking = fitting(&answer, had, to).await?;
            let had = taking.size_bytes();
            let Err(error) = taking.take(answer).await else {
                return taking.finish(to).await;
            };
            if taking.size_bytes() >= had + PROGRESS_BYTES {
                attempt = 1;
            }
            let again = self.delivery.again(attempt, Repeat::Harmless, &error, None);
            if !again.await {
                return Err(error);
            }
            partial = Some(taking);
            attempt += 1;
        }
    }

    /// The package, or what is missing of it.
    async fn ask_for(
        &self,
        id: &DeliveryId,
        legal_basis: &str,
        had: Option<&Partial>,
    ) -> Result<Response> {
        let id = id.to_string();
        let segments = ["v1", "court", "deliveries", &id, "package"];
        // A header carries ASCII; a basis in Chinese travels percent-encoded.
        let basis = percent_encoded(legal_basis);
        let had = had.map(|had| (had.size_bytes(), had.sha256()));
        self.delivery
            .send(Repeat::Harmless, async || {
                let request = self.delivery.get(&segments);
                let request = request.header("probity-legal-basis", &basis);
                Ok(match had {
                    Some((size_bytes, sha256)) => request
                        .header(RANGE, format!("bytes={size_bytes}-"))
                        .header(IF_RANGE, format!("\"{sha256}\"")),
                    None => request,
                })
            })
            .await
    }

    /// Hands in a signed receipt; handing it in again changes nothing.
    ///
    /// # Errors
    /// As every call.
    pub async fn acknowledge(
        &self,
        id: &DeliveryId,
        receipt: &SignedReceiptDocument,
    ) -> Result<DeliveryDocument> {
        let id = id.to_string();
        let segments = ["v1", "court", "deliveries", &id, "receipt"];
        self.delivery
            .document(Repeat::Harmless, async || {
                Ok(self.delivery.post(&segments).json(receipt))
            })
            .await
    }
}

/// What the answer goes on with; nothing yet when it begins anew, because the package is another one by now or its
/// ranges are not given.
async fn fitting(answer: &Response, had: Option<Partial>, to: &Path) -> Result<Partial> {
    let sha256 = answer
        .headers()
        .get("probity-package-sha256")
        .and_then(|value| Sha256::parse_hex(value.to_str().ok()?).ok())
        .ok_or_else(|| Error::Answer("a package without its digest".to_owned()))?;
    match had {
        Some(had) if had.goes_on_in(answer, sha256) => Ok(had),
        _ if answer.status() != StatusCode::OK => {
            Err(Error::Answer("other bytes than were asked for".to_owned()))
        }
        had => {
            if let Some(stale) = had {
                stale.discard().await;
            }
            Partial::begin(to, sha256).await
        }
    }
}

/// Bytes outside visible ASCII, and the percent sign itself, as `%XX`.
fn percent_encoded(text: &str) -> String {
    text.bytes()
        .fold(String::with_capacity(text.len()), |mut out, byte| {
            match byte {
                b'%' => out.push_str("%25"),
                b' '..=b'~' => out.push(char::from(byte)),
                _ => out.push_str(&format!("%{byte:02X}")),
            }
            out
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_basis_in_any_script_fits_a_header() {
        assert_eq!(percent_encoded("Art. 93, 100%"), "Art. 93, 100%25");
        assert_eq!(percent_encoded("法\n"), "%E6%B3%95%0A");
    }
}
