//! What a vendor does: upload, confirm, submit, ask, fetch, deliver.

use std::path::Path;

use probity_domain::{EvidenceId, Sha3_256};
use probity_proto::http::{
    AcceptanceDocument, BlobStoredDocument, DeliveriesDocument, DeliveryRequestDocument,
    EvidencePageDocument, EvidenceStatusDocument, IntentConfirmDocument, IntentRequestDocument,
    IntentRequestedDocument, PartyStatusDocument, SubmittedDocument,
};

use crate::file::{body_of, digests_of, save};
use crate::retry::Repeat;
use crate::{Connection, DigestedFile, Endpoints, ProblemKind, Result, Secret};

/// Which evidence to list; `None` leaves a field out of the question.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EvidenceQuery {
    pub case: Option<String>,
    /// RFC 3339, inclusive; a day before `until` when absent.
    pub from: Option<String>,
    /// RFC 3339, exclusive; now when absent. At most 31 days after `from`.
    pub until: Option<String>,
    /// `accepted`, `deposited` or `quarantined`.
    pub state: Option<String>,
    pub submission: Option<String>,
    pub page: Option<String>,
}

/// A vendor's calls. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Vendor {
    intake: Connection,
    identity: Connection,
    delivery: Connection,
}

impl Vendor {
    /// # Errors
    /// [`Error::Malformed`] for bad addresses or certificates.
    pub fn new(
        endpoints: &Endpoints,
        credential: &Secret,
        tls_ca_pem: Option<&str>,
    ) -> Result<Self> {
        let connect = |url: &str| Connection::new(url, Some(credential.clone()), tls_ca_pem);
        Ok(Self {
            intake: connect(&endpoints.intake)?,
            identity: connect(&endpoints.identity)?,
            delivery: connect(&endpoints.delivery)?,
        })
    }

    /// The same, making every call once: a refusal is the answer, and is not waited out.
    #[must_use]
    pub fn asking_once(self) -> Self {
        Self {
            intake: self.intake.asking_once(),
            identity: self.identity.asking_once(),
            delivery: self.delivery.asking_once(),
        }
    }

    /// Whether the bytes with this digest are uploaded already.
    ///
    /// # Errors
    /// As every call.
    pub async fn has_blob(&self, digest: &Sha3_256) -> Result<bool> {
        let hex = digest.to_hex();
        let asked = self
            .intake
            .send(Repeat::Harmless, async || {
                Ok(self.intake.head(&["v1", "blobs", &hex]))
            })
            .await;
        match asked {
            Ok(_) => Ok(true),
            Err(e) if e.kind() == Some(ProblemKind::NotFound) => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Uploads a file unless its bytes are there already; `sent` is told of every piece that leaves.
    ///
    /// # Errors
    /// As every call; the platform refuses bytes that are not what the digests say.
    pub async fn put_blob(
        &self,
        file: &DigestedFile,
        sent: impl Fn(u64) + Clone + Send + Sync + 'static,
    ) -> Result<BlobStoredDocument> {
        let hex = file.digests.sha3_256.to_hex();
        if self.has_blob(&file.digests.sha3_256).await? {
            sent(file.size_bytes);
            return Ok(BlobStoredDocument {
                sha3_256: hex,
                size_bytes: file.size_bytes,
                existed: true,
            });
        }
        self.intake
            .document(Repeat::Harmless, async || {
                let body = body_of(&file.path, sent.clone()).await?;
                Ok(self
                    .intake
                    .upload(&["v1", "blobs", &hex], file.size_bytes)
                    .header("content-type", "application/octet-stream")
                    .header("content-length", file.size_bytes)
                    .header("probity-sha256", file.digests.sha256.to_hex())
                    .body(body))
            })
            .await
    }

    /// Uploads bytes at hand; answers the digest they are kept under.
    ///
    /// # Errors
    /// As every call.
    pub async fn put_bytes(&self, bytes: &[u8]) -> Result<Sha3_256> {
        let digests = digests_of(bytes);
        let hex = digests.sha3_256.to_hex();
        self.intake
            .send(Repeat::Harmless, async || {
                Ok(self
                    .intake
                    .put(&["v1", "blobs", &hex])
                    .header("content-type", "application/octet-stream")
                    .header("content-length", bytes.len())
                    .header("probity-sha256", digests.sha256.to_hex())
                    .body(bytes.to_vec()))
            })
            .await?;
        Ok(digests.sha3_256)
    }

    /// Submits an instruction document, byte for byte. The same key and bytes again give the same numbers.
    ///
    /// # Errors
    /// As every call; [`ProblemKind::Conflict`] when the key was used for other bytes.
    pub async fn submit(
        &self,
        instruction: &[u8],
        idempotency_key: &str,
        intent: Option<&str>,
    ) -> Result<SubmittedDocument> {
        self.submit_signed(instruction, idempotency_key, intent, None)
            .await
    }

    /// [`Self::submit`], with the submitter's own signature on the instruction: `signature` names it, uploaded
    /// before ([`Self::put_bytes`]).
    ///
    /// # Errors
    /// As [`Self::submit`]; [`ProblemKind::Malformed`] and [`ProblemKind::Forbidden`] when it is not taken.
    pub async fn submit_signed(
        &self,
        instruction: &[u8],
        idempotency_key: &str,
        intent: Option<&str>,
        signature: Option<&Sha3_256>,
    ) -> Result<SubmittedDocument> {
        self.intake
            .document(Repeat::Harmless, async || {
                let mut request = self
                    .intake
                    .post(&["v1", "submissions"])
                    .header("content-type", "application/json")
                    .header("idempotency-key", idempotency_key);
                if let Some(intent) = intent {
                    request = request.header("probity-intent", intent);
                }
                if let Some(signature) = signature {
                    request = request.header("probity-submitter-signature", signature.to_hex());
                }
                Ok(request.body(instruction.to_vec()))
            })
            .await
    }

    /// Where each line of a submission stands.
    ///
    /// # Errors
    /// As every call.
    pub async fn submission(&self, submission: &str) -> Result<SubmittedDocument> {
        self.intake
            .document(Repeat::Harmless, async || {
                Ok(self.intake.get(&["v1", "submissions", submission]))
            })
            .await
    }

    /// Where one piece of evidence stands.
    ///
    /// # Errors
    /// As every call.
    pub async fn status(&self, evidence: &EvidenceId) -> Result<EvidenceStatusDocument> {
        let number = evidence.to_string();
        self.intake
            .document(Repeat::Harmless, async || {
                Ok(self.intake.get(&["v1", "evidence", &number]))
            })
            .await
    }

    /// One page of the tenant's evidence, oldest first.
    ///
    /// # Errors
    /// As every call.
    pub async fn list(&self, query: &EvidenceQuery) -> Result<EvidencePageDocument> {
        let pairs = [
            ("case", &query.case),
            ("from", &query.from),
            ("until", &query.until),
            ("state", &query.state),
            ("submission", &query.submission),
            ("page", &query.page),
        ];
        let pairs: Vec<_> = pairs
            .into_iter()
            .filter_map(|(k, v)| Some((k, v.as_ref()?)))
            .collect();
        self.intake
            .document(Repeat::Harmless, async || {
                Ok(self.intake.get(&["v1", "evidence"]).query(&pairs))
            })
            .await
    }

    /// Saves one artifact, checked against `digest` when given.
    ///
    /// # Errors
    /// As every call; [`Error::Digest`].
    pub async fn fetch_artifact(
        &self,
        evidence: &EvidenceId,
        name: &str,
        digest: Option<Sha3_256>,
        to: &Path,
    ) -> Result<u64> {
        let number = evidence.to_string();
        let mut segments = vec!["v1", "evidence", &number, "artifacts"];
        // Names are relative paths: their slashes are the address's own.
        segments.extend(name.split('/'));
        let response = self
            .intake
            .send(Repeat::Harmless, async || Ok(self.intake.get(&segments)))
            .await?;
        save(response, to, digest).await
    }

    /// Saves the evidence's package, in plaintext.
    ///
    /// # Errors
    /// As every call.
    pub async fn fetch_package(&self, evidence: &EvidenceId, to: &Path) -> Result<u64> {
        let number = evidence.to_string();
        let segments = ["v1", "evidence", &number, "package"];
        let response = self
            .delivery
            .send(Repeat::Harmless, async || Ok(self.delivery.get(&segments)))
            .await?;
        save(response, to, None).await
    }

    /// Asks for a one-time code bound to an instruction.
    ///
    /// # Errors
    /// As every call.
    pub async fn request_intent(
        &self,
        request: &IntentRequestDocument,
    ) -> Result<IntentRequestedDocument> {
        self.identity
            .document(Repeat::Counts, async || {
                Ok(self.identity.post(&["v1", "intents"]).json(request))
            })
            .await
    }

    /// Confirms it with the code. A code that is wrong counts, so a lost answer is not asked for again.
    ///
    /// # Errors
    /// As every call.
    pub async fn confirm_intent(
        &self,
        intent: &str,
        confirmation: &IntentConfirmDocument,
    ) -> Result<()> {
        let segments = ["v1", "intents", intent, "confirm"];
        self.identity
            .send(Repeat::Counts, async || {
                Ok(self.identity.post(&segments).json(confirmation))
            })
            .await
            .map(drop)
    }

    /// The party accepts a version of the agreement on electronic form (W5).
    ///
    /// # Errors
    /// As every call.
    pub async fn accept_agreement(
        &self,
        party: &str,
        acceptance: &AcceptanceDocument,
    ) -> Result<PartyStatusDocument> {
        let segments = ["v1", "parties", party, "acceptances"];
        self.identity
            .document(Repeat::Harmless, async || {
                Ok(self.identity.post(&segments).json(acceptance))
            })
            .await
    }

    /// Asks for deliveries; asking again answers the same ones.
    ///
    /// # Errors
    /// As every call.
    pub async fn deliver(&self, request: &DeliveryRequestDocument) -> Result<DeliveriesDocument> {
        self.delivery
            .document(Repeat::Harmless, async || {
                Ok(self.delivery.post(&["v1", "deliveries"]).json(request))
            })
            .await
    }

    /// One page of a case's deliveries.
    ///
    /// # Errors
    /// As every call.
    pub async fn deliveries(&self, case: &str, page: Option<&str>) -> Result<DeliveriesDocument> {
        let pairs: Vec<_> = [("case", Some(case)), ("page", page)]
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?)))
            .collect();
        self.delivery
            .document(Repeat::Harmless, async || {
                Ok(self.delivery.get(&["v1", "deliveries"]).query(&pairs))
            })
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    #[test]
    fn bad_addresses_are_errors_of_the_caller() {
        let endpoints = Endpoints {
            intake: "nonsense".into(),
            identity: "http://a".into(),
            delivery: "http://a".into(),
        };
        let made = Vendor::new(&endpoints, &Secret::new("x"), None);
        assert!(matches!(made, Err(Error::Malformed(_))));
    }
}
