//! What a court does: list, fetch, acknowledge.

use std::path::Path;

use probity_domain::{DeliveryId, Sha256};
use probity_proto::http::{DeliveriesDocument, DeliveryDocument, SignedReceiptDocument};

use crate::file::{Expected, save};
use crate::retry::Repeat;
use crate::{Connection, Result, Secret};

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
    /// [`crate::Error::Malformed`] for a bad address or certificate.
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

    /// Saves the encrypted package. The legal basis is kept in the access log (R7).
    ///
    /// # Errors
    /// As every call; [`crate::Error::Digest`] when the bytes are not what the platform announced.
    pub async fn fetch(
        &self,
        id: &DeliveryId,
        legal_basis: &str,
        to: &Path,
    ) -> Result<(u64, Option<Sha256>)> {
        let id = id.to_string();
        let segments = ["v1", "court", "deliveries", &id, "package"];
        // A header carries ASCII; a basis in Chinese travels percent-encoded.
        let basis = percent_encoded(legal_basis);
        let response = self
            .delivery
            .send(Repeat::Harmless, async || {
                Ok(self
                    .delivery
                    .get(&segments)
                    .header("probity-legal-basis", &basis))
            })
            .await?;
        let sha256 = response
            .headers()
            .get("probity-package-sha256")
            .and_then(|value| Sha256::parse_hex(value.to_str().ok()?).ok());
        let size_bytes = save(
            response,
            to,
            Expected {
                sha256,
                sha3_256: None,
            },
        )
        .await?;
        Ok((size_bytes, sha256))
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
