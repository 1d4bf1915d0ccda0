//! Issuing an event certificate.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use probity_domain::{PartyId, Submission, SubmissionId, TenantId, Timestamp};
use probity_pki::crl::Crl;
use probity_pki::keys::SignatureAlgorithm;
use probity_pki::lint::ToBeSigned;
use probity_pki::ocsp::{
    CertStatus, OcspRequest, OcspResponse, Responder, ResponseTimes, make_request,
};
use probity_pki::path::{Purpose, Revocation, validate_path};
use probity_pki::x509::{
    Certificate, CertificateTemplate, Csr, Profile, Subject, certified_name, sign_certificate,
};
use probity_platform::ledger::{Appended, History, Ledger};
use probity_platform::objects::Objects;
use probity_platform::{Clock, Error, Random, Result, keys};
use probity_proto::http::PartyApplicationDocument;
use probity_proto::ledger::{CertificateEvent, PartyEvent};
use probity_proto::registry::PartyState;
use probity_proto::stored::{SUBMISSION_BYTES_MAX, read_submission, submission_key};
use probity_proto::v1::{EventCertificate, IssueEventCertificateRequest};

use crate::{Authority, CrlPublisher};

pub(crate) const ACTOR: &str = "role:issuance";
/// Signer and time-stamping unit read different clocks.
const BACKDATED_MS: i64 = 60_000;
/// What event keys sign with.
const EVENT_KEYS: SignatureAlgorithm = SignatureAlgorithm::EcdsaP384Sha384;

/// Issues certificates under one authority.
pub struct Issuer {
    pub authority: Arc<Authority>,
    pub crls: Arc<CrlPublisher>,
    pub truth: Arc<dyn Objects>,
    pub ledger: Ledger,
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
}

/// A request that has been read and whose proof of possession holds.
struct Wanted {
    submission: SubmissionId,
    tenant: TenantId,
    party: PartyId,
    csr: Csr,
}

impl Issuer {
    /// Issues an event certificate for one instruction. Asked twice, it makes two.
    ///
    /// # Errors
    /// `Malformed` without proof of possession; `NotFound` without the submission; `Forbidden` when it is another
    /// party's or the party is not verified (W1); `Unavailable` while a CRL is out of date.
    pub async fn issue_event_certificate(
        &self,
        request: &IssueEventCertificateRequest,
    ) -> Result<EventCertificate> {
        let now = self.clock.now();
        // 1. The request reads, and whoever asks holds the private key (L1).
        let wanted = Wanted::read(request)?;
        // 2. The chain and both revocation lists are current.
        self.authority.check_current(now)?;
        let crl = self.crls.current(now)?;
        // 3. There is such an instruction, and it is this party's.
        self.check_submission(&wanted).await?;
        // 4. The party's identity is verified (W1).
        let applicant = self.verified(&wanted).await?;
        // 5. What will be signed has passed the lint and is on record before the CA's key touches it.
        let serial = self.serial();
        let to_be_signed = self.to_be_signed(&wanted, &applicant, &serial, now)?;
        let mut history = self.intend(&wanted, &serial, &to_be_signed).await?;
        // 6. Signed, and judged as a stranger would before anybody sees it.
        let (certificate, status) = self.sign(to_be_signed, crl.clone(), now).await?;
        // 7. On record as issued.
        let issued = CertificateEvent::Issued {
            certificate: STANDARD.encode(certificate.der()),
        };
        self.append(&mut history, &wanted, issued).await?;
        tracing::info!(serial = certificate.serial_hex(), submission = %wanted.submission, "issued");
        Ok(EventCertificate {
            certificate: certificate.der().to_vec().into(),
            chain: vec![
                self.authority.certificate.der().to_vec().into(),
                self.authority.root.der().to_vec().into(),
            ],
            ocsp_response: status.into(),
            crls: vec![
                crl.der().to_vec().into(),
                self.authority.root_crl.der().to_vec().into(),
            ],
        })
    }

    async fn sign(
        &self,
        to_be_signed: ToBeSigned,
        crl: Crl,
        now: Timestamp,
    ) -> Result<(Certificate, Vec<u8>)> {
        let authority = self.authority.clone();
        keys::signing(move || {
            let certificate =
                sign_certificate(&to_be_signed, &*authority.key).map_err(keys::unsigned)?;
            let status = authority.good(&certificate, now).map_err(keys::unsigned)?;
            authority.check_issued(&certificate, &crl, &status, now)?;
            Ok((certificate, status))
        })
        .await
    }

    async fn check_submission(&self, wanted: &Wanted) -> Result<Submission> {
        let id = wanted.submission;
        let object = self
            .truth
            .get(&submission_key(id), SUBMISSION_BYTES_MAX)
            .await?;
        let object = object.ok_or_else(|| Error::not_found(format!("submission {id}")))?;
        let submission = read_submission(&object.bytes).map_err(Error::internal)?;
        if submission.party != wanted.party || submission.tenant != wanted.tenant {
            return Err(Error::forbidden(format!(
                "submission {id} is another party's"
            )));
        }
        Ok(submission)
    }

    async fn verified(&self, wanted: &Wanted) -> Result<PartyApplicationDocument> {
        let party = &wanted.party;
        let history = self.ledger.read::<PartyEvent>(party.as_str()).await?;
        let state = PartyState::of(&history.events);
        match (state.is_verified(), state.application) {
            (true, Some(application)) if application.tenant == wanted.tenant.as_str() => {
                Ok(application)
            }
            (true, Some(_)) => Err(Error::forbidden(format!("{party} is of another tenant"))),
            _ => Err(Error::forbidden(format!(
                "the identity of {party} is not verified"
            ))),
        }
    }

    /// 158 random bits; the second highest bit is set so that the number has one length in every spelling.
    fn serial(&self) -> [u8; 20] {
        let mut serial = self.random.bytes::<20>();
        if let Some(first) = serial.first_mut() {
            *first = (*first & 0x7f) | 0x40;
        }
        serial
    }

    fn to_be_signed(
        &self,
        wanted: &Wanted,
        applicant: &PartyApplicationDocument,
        serial: &[u8; 20],
        now: Timestamp,
    ) -> Result<ToBeSigned> {
        let settings = &self.authority.settings;
        let template = CertificateTemplate {
            profile: Profile::Event,
            serial,
            subject: subject(applicant, &wanted.party),
            spki_der: wanted.csr.spki_der(),
            not_before: now.plus_ms(-BACKDATED_MS),
            not_after: now
                .plus_ms(settings.event_validity_ms)
                .min(self.authority.certificate.not_after()),
            issuer: Some(&self.authority.certificate),
            addresses: settings.addresses.clone(),
            reliance_limit: settings.reliance_limit.clone(),
            instruction: Some(wanted.submission.to_string()),
        };
        template.to_be_signed().map_err(Error::malformed)
    }

    async fn intend(
        &self,
        wanted: &Wanted,
        serial: &[u8; 20],
        to_be_signed: &ToBeSigned,
    ) -> Result<History<CertificateEvent>> {
        let mut history = History {
            id: hex::encode(serial),
            events: Vec::new(),
        };
        let intended = CertificateEvent::Intended {
            profile: "event".to_owned(),
            party: wanted.party.to_string(),
            submission: wanted.submission.to_string(),
            tbs_certificate: STANDARD.encode(to_be_signed.as_bytes()),
        };
        self.append(&mut history, wanted, intended).await?;
        Ok(history)
    }

    async fn append(
        &self,
        history: &mut History<CertificateEvent>,
        wanted: &Wanted,
        event: CertificateEvent,
    ) -> Result<()> {
        let cause = format!("submission:{}", wanted.submission);
        match self.ledger.append(history, ACTOR, &cause, event).await? {
            Appended::Appended => Ok(()),
            // A serial drawn twice, or revoked between intent and issue: nobody gets this certificate.
            Appended::Lost => Err(Error::unavailable(format!(
                "serial {} is taken",
                history.id
            ))),
        }
    }
}

impl Authority {
    /// The status of a certificate that this moment was issued. A list made before it says nothing of it: verifiers
    /// by ETSI EN 319 102-1 want a status no older than the certificate's notBefore.
    fn good(&self, certificate: &Certificate, now: Timestamp) -> probity_pki::Result<Vec<u8>> {
        let issuer = &self.certificate;
        let responder = Responder {
            certificate: issuer.clone(),
            issuer: issuer.clone(),
        };
        let request = make_request(issuer, certificate.serial(), None)?;
        let times = ResponseTimes {
            produced_at: now,
            this_update: now,
            next_update: now.plus_ms(self.settings.crl_validity_ms),
        };
        let request = OcspRequest::from_der(&request)?;
        responder.respond(&request, &*self.key, times, &|_| CertStatus::Good)
    }

    fn check_issued(
        &self,
        certificate: &Certificate,
        crl: &Crl,
        status: &[u8],
        now: Timestamp,
    ) -> Result<()> {
        let crls = [crl.clone(), self.root_crl.clone()];
        let status = OcspResponse::from_der(status).map_err(Error::internal)?;
        let revocation = Revocation::Kept {
            crls: &crls,
            ocsp: &[status],
            tolerance_ms: 0,
        };
        let roots = std::slice::from_ref(&self.root);
        let chain = std::slice::from_ref(&self.certificate);
        validate_path(
            certificate,
            chain,
            roots,
            revocation,
            now,
            Purpose::EventSigning,
        )
        .map_err(Error::internal)?;
        Ok(())
    }
}

impl Wanted {
    fn read(request: &IssueEventCertificateRequest) -> Result<Self> {
        let csr = Csr::from_der(&request.certification_request).map_err(Error::malformed)?;
        if csr.spki_der() != request.subject_public_key_info {
            return Err(Error::malformed(
                "the certification request is for another key",
            ));
        }
        let algorithm = SignatureAlgorithm::of_public_key(csr.spki_der());
        if algorithm.map_err(Error::malformed)? != EVENT_KEYS {
            return Err(Error::malformed("event keys are P-384"));
        }
        Ok(Self {
            submission: SubmissionId::parse(&request.submission_id)?,
            tenant: TenantId::parse(&request.tenant)?,
            party: PartyId::parse(&request.party)?,
            csr,
        })
    }
}

/// What identity verification found, as far as a certificate needs it: an organisation's register number is public
/// (ETSI EN 319 412-1 5.1.4), a person's document number is not, so persons of one name are told apart by their
/// party id.
fn subject(applicant: &PartyApplicationDocument, party: &PartyId) -> Subject {
    // The whole name stands in the statement.
    let name = certified_name(&applicant.name);
    let organization = applicant.kind == "organization";
    Subject {
        common_name: name.clone(),
        organization: organization.then_some(name),
        country: Some(applicant.country.clone()),
        serial_number: (!organization).then(|| party.to_string()),
        organization_identifier: organization
            .then(|| format!("NTR{}-{}", applicant.country, applicant.identifier)),
    }
}
