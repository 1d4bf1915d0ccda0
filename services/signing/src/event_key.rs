//! A key for one instruction, and the certificate that binds it to the submitter.

use probity_domain::{Submission, Timestamp};
use probity_pki::crl::Crl;
use probity_pki::keys::{MemoryKey, Signer};
use probity_pki::ocsp::OcspResponse;
use probity_pki::x509::{Certificate, Subject, make_csr};
use probity_platform::{Error, Result};
use probity_proto::v1::{EventCertificate, IssueEventCertificateRequest};

/// A list longer than this is left out of signatures, which have the certificate's own status as well: a log entry
/// must not grow with what others had revoked.
const CRL_BYTES_MAX: usize = 2 * 1024;

/// An event key with its certificate. The private key never leaves this value and is overwritten when it is dropped.
pub struct EventKey {
    pub(crate) key: Box<dyn Signer>,
    pub(crate) certificate: Certificate,
    pub(crate) chain: Vec<Certificate>,
    pub(crate) crls: Vec<Crl>,
    pub(crate) status: OcspResponse,
}

/// A key that waits for its certificate.
pub struct UncertifiedKey {
    key: Box<dyn Signer>,
    submission: String,
}

impl UncertifiedKey {
    /// A new P-384 key for this instruction, and what to ask issuance.
    ///
    /// # Errors
    /// `Internal` when the random source or the backend fails.
    pub fn generate(submission: &Submission) -> Result<(Self, IssueEventCertificateRequest)> {
        let key = MemoryKey::generate().map_err(Error::internal)?;
        Self::with_key(Box::new(key), submission)
    }

    /// With a key that was made elsewhere and signs nothing else; `generate` is what the role does.
    ///
    /// # Errors
    /// `Internal` when the backend fails.
    pub fn with_key(
        key: Box<dyn Signer>,
        submission: &Submission,
    ) -> Result<(Self, IssueEventCertificateRequest)> {
        // A wish only: issuance takes the name from the registry.
        let subject = Subject::new(submission.party.as_str());
        let request = IssueEventCertificateRequest {
            submission_id: submission.id.to_string(),
            tenant: submission.tenant.to_string(),
            party: submission.party.to_string(),
            subject_public_key_info: key.public_key_der().to_vec().into(),
            certification_request: make_csr(&*key, &subject).map_err(Error::internal)?.into(),
        };
        Ok((
            Self {
                key,
                submission: submission.id.to_string(),
            },
            request,
        ))
    }

    /// With the certificate that issuance answered.
    ///
    /// # Errors
    /// `Internal` when it is for another key or another instruction.
    pub fn certified(self, issued: &EventCertificate) -> Result<EventKey> {
        let bad = |e: probity_pki::Error| Error::internal(format!("issuance answered: {e}"));
        let certificate = Certificate::from_der(&issued.certificate).map_err(bad)?;
        if certificate.spki_der() != self.key.public_key_der() {
            return Err(Error::internal("the event certificate is for another key"));
        }
        if certificate.instruction() != Some(self.submission.as_str()) {
            return Err(Error::internal(
                "the event certificate is for another instruction",
            ));
        }
        let chain = issued.chain.iter().map(|der| Certificate::from_der(der));
        let crls = issued.crls.iter().map(|der| Crl::from_der(der));
        let crls = crls.collect::<probity_pki::Result<Vec<_>>>().map_err(bad)?;
        let is_kept =
            |crl: &Crl| crl.der().len() <= CRL_BYTES_MAX || crl.issuer() != certificate.issuer();
        Ok(EventKey {
            key: self.key,
            chain: chain.collect::<probity_pki::Result<_>>().map_err(bad)?,
            crls: crls.into_iter().filter(is_kept).collect(),
            status: OcspResponse::from_der(&issued.ocsp_response).map_err(bad)?,
            certificate,
        })
    }
}

impl EventKey {
    /// Certificate, lists and status are still good for a signature made, and time-stamped, soon after `now`.
    #[must_use]
    pub fn is_usable(&self, now: Timestamp, margin_ms: i64) -> bool {
        let then = now.plus_ms(margin_ms);
        let lists = self.crls.iter().all(|crl| then < crl.next_update());
        let status = self.status.next_update().is_none_or(|next| then < next);
        self.certificate.is_valid_at(then) && lists && status
    }
}
