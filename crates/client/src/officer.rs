//! What applicants, registration officers and operators do.

use probity_proto::http::{
    AgreementDocument, CredentialIssuedDocument, CredentialRequestDocument, DecisionDocument,
    PartyApplicationDocument, PartyStatusDocument, RecipientDocument,
};

use crate::retry::Repeat;
use crate::{Connection, Endpoints, Result, Secret};

/// An applicant's calls: made before there is a credential.
#[derive(Debug, Clone)]
pub struct Applicant {
    identity: Connection,
}

impl Applicant {
    /// # Errors
    /// [`crate::Error::Malformed`] for a bad address or certificate.
    pub fn new(identity: &str, tls_ca_pem: Option<&str>) -> Result<Self> {
        Ok(Self {
            identity: Connection::new(identity, None, tls_ca_pem)?,
        })
    }

    /// Applies to become a party; the same application again changes nothing.
    ///
    /// # Errors
    /// As every call.
    pub async fn apply(
        &self,
        application: &PartyApplicationDocument,
    ) -> Result<PartyStatusDocument> {
        self.identity
            .document(Repeat::Harmless, async || {
                Ok(self.identity.post(&["v1", "parties"]).json(application))
            })
            .await
    }

    /// The text of a published agreement.
    ///
    /// # Errors
    /// As every call.
    pub async fn agreement(&self, agreement: &str, version: &str) -> Result<AgreementDocument> {
        let segments = ["v1", "agreements", agreement, version];
        self.identity
            .document(Repeat::Harmless, async || Ok(self.identity.get(&segments)))
            .await
    }
}

/// An officer's or operator's calls.
#[derive(Debug, Clone)]
pub struct Officer {
    identity: Connection,
    delivery: Connection,
}

impl Officer {
    /// # Errors
    /// [`crate::Error::Malformed`] for bad addresses or certificates.
    pub fn new(
        endpoints: &Endpoints,
        credential: &Secret,
        tls_ca_pem: Option<&str>,
    ) -> Result<Self> {
        let connect = |url: &str| Connection::new(url, Some(credential.clone()), tls_ca_pem);
        Ok(Self {
            identity: connect(&endpoints.identity)?,
            delivery: connect(&endpoints.delivery)?,
        })
    }

    /// Records the decision on an application.
    ///
    /// # Errors
    /// As every call.
    pub async fn decide(
        &self,
        party: &str,
        decision: &DecisionDocument,
    ) -> Result<PartyStatusDocument> {
        let segments = ["v1", "parties", party, "decision"];
        self.identity
            .document(Repeat::Harmless, async || {
                Ok(self.identity.post(&segments).json(decision))
            })
            .await
    }

    /// Publishes a version of the agreement on electronic form.
    ///
    /// # Errors
    /// As every call.
    pub async fn publish_agreement(&self, agreement: &AgreementDocument) -> Result<()> {
        self.identity
            .send(Repeat::Harmless, async || {
                Ok(self.identity.post(&["v1", "agreements"]).json(agreement))
            })
            .await
            .map(drop)
    }

    /// Issues a credential; its secret stands in the answer and nowhere else.
    ///
    /// # Errors
    /// As every call.
    pub async fn issue_credential(
        &self,
        request: &CredentialRequestDocument,
    ) -> Result<CredentialIssuedDocument> {
        self.identity
            .document(Repeat::Counts, async || {
                Ok(self.identity.post(&["v1", "credentials"]).json(request))
            })
            .await
    }

    /// Ends a credential, by what it is known by; within seconds it is refused everywhere. Again changes nothing.
    ///
    /// # Errors
    /// As every call; [`crate::ProblemKind::NotFound`] for one never issued.
    pub async fn revoke_credential(&self, credential: &str) -> Result<()> {
        let segments = ["v1", "credentials", credential];
        self.identity
            .send(Repeat::Harmless, async || {
                Ok(self.identity.delete(&segments))
            })
            .await
            .map(drop)
    }

    /// Stores a recipient's profile.
    ///
    /// # Errors
    /// As every call.
    pub async fn put_recipient(&self, recipient: &str, profile: &RecipientDocument) -> Result<()> {
        let segments = ["v1", "recipients", recipient];
        self.delivery
            .send(Repeat::Harmless, async || {
                Ok(self.delivery.put(&segments).json(profile))
            })
            .await
            .map(drop)
    }
}
