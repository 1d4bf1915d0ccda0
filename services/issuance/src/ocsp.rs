//! OCSP (RFC 6960, profiled by RFC 5019): the status of one certificate, as the store has it now.
//!
//! "good" is said of certificates that were issued and not revoked, of no others: a serial number that was never
//! issued, or only intended, is "unknown" (RFC 6960 2.2; the extended definition of "revoked" is not used).

mod edge;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use probity_domain::Timestamp;
use probity_pki::digest::HashAlgorithm;
use probity_pki::keys::Signer;
use probity_pki::ocsp::{CertStatus, OcspFailure, OcspRequest, Responder, ResponseTimes, failure};
use probity_pki::path::{Purpose, Revocation, validate_path};
use probity_pki::x509::Certificate;
use probity_platform::config::SecretFile;
use probity_platform::keys::{self, Pkcs11Config, Validity};
use probity_platform::{Error, Result};
use probity_proto::ledger::CertificateEvent;
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub(crate) use edge::routes;

use crate::revoke::{find_revocation, is_serial};
use crate::{CertificateState, Issuer};

/// How long an answer is given again to the same question. A revocation made by this process ends it at once.
const KEPT_MS_MAX: i64 = 60_000;
/// Answers kept; about 1.3 KiB each.
const KEPT_MAX: usize = 4_096;

/// Answers being made at a time, for each core: whoever asks is anybody, and issuing must find room beside them.
const ANSWERS_PER_CORE: usize = 4;
/// How long a question waits for a place before it is told to come later (RFC 6960 2.3).
const PLACE_WAIT: Duration = Duration::from_secs(1);

/// `[issuance.ocsp]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OcspConfig {
    /// Where relying parties ask; stands in every certificate.
    pub url: String,
    pub key_file: Option<PathBuf>,
    pub passphrase_file: Option<SecretFile>,
    /// Instead of the two: the key is in a token.
    pub pkcs11: Option<Pkcs11Config>,
    pub certificate_file: PathBuf,
    /// How long an answer may be relied on: its nextUpdate.
    #[serde(default = "hour_s")]
    pub validity_s: u32,
}

const fn hour_s() -> u32 {
    3_600
}

impl OcspConfig {
    /// # Errors
    /// `Malformed` for a validity that is not a minute to a week.
    pub fn check(&self) -> Result<()> {
        self.validity_ms().map(drop)
    }

    fn validity_ms(&self) -> Result<i64> {
        if !(60..=7 * 24 * 3_600).contains(&self.validity_s) {
            return Err(Error::malformed(
                "an OCSP answer is valid for 60 to 604800 s",
            ));
        }
        Ok(i64::from(self.validity_s) * 1_000)
    }
}

/// Answers for the issuing CA, with a key of its own.
pub struct OcspResponder {
    issuer: Arc<Issuer>,
    key: Arc<dyn Signer>,
    responder: Arc<Responder>,
    validity_ms: i64,
    /// Places for answers being made.
    at_once: Arc<Semaphore>,
    kept: Mutex<HashMap<Vec<u8>, Kept>>,
}

/// OCSPResponse in DER.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub der: Vec<u8>,
    /// For a signed answer that caches may give to others too.
    pub cacheable: Option<Cacheable>,
}

/// What caches go by (RFC 5019 6.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cacheable {
    pub produced_at: Timestamp,
    pub next_update: Timestamp,
    pub max_age_ms: i64,
}

struct Kept {
    answer: Answer,
    /// Number of the newest CRL then: another one may come from a revocation.
    crl: Option<u64>,
}

impl OcspResponder {
    /// Reads the files the configuration names.
    ///
    /// # Errors
    /// `Malformed`, naming the file or what is wrong with the certificate.
    pub fn open(config: &OcspConfig, issuer: Arc<Issuer>) -> Result<Self> {
        let certificate = keys::read_certificate(&config.certificate_file)?;
        let key = keys::open_signer(
            config.key_file.as_deref(),
            config.passphrase_file.as_ref(),
            config.pkcs11.as_ref(),
            &certificate,
        )?;
        Self::new(issuer, key, certificate, config.validity_ms()?)
    }

    /// From parts that are checked to belong together.
    ///
    /// # Errors
    /// `Malformed` when the certificate is no responder's of the issuing CA, or the key another's.
    pub fn new(
        issuer: Arc<Issuer>,
        key: Box<dyn Signer>,
        certificate: Certificate,
        validity_ms: i64,
    ) -> Result<Self> {
        if key.public_key_der() != certificate.spki_der() {
            return Err(Error::malformed("the key is not the OCSP responder's"));
        }
        let authority = &issuer.authority;
        validate_path(
            &certificate,
            std::slice::from_ref(&authority.certificate),
            std::slice::from_ref(&authority.root),
            // id-pkix-ocsp-nocheck (RFC 6960 4.2.2.2.1).
            Revocation::NotChecked,
            certificate.not_before(),
            Purpose::OcspSigning,
        )
        .map_err(|e| Error::malformed(format!("OCSP responder's certificate: {e}")))?;
        let responder = Responder {
            certificate,
            issuer: authority.certificate.clone(),
        };
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Ok(Self {
            issuer,
            key: key.into(),
            responder: Arc::new(responder),
            validity_ms,
            at_once: Arc::new(Semaphore::new(ANSWERS_PER_CORE * cores)),
            kept: Mutex::default(),
        })
    }

    /// How long the responder's certificate is good.
    #[must_use]
    pub fn validity(&self) -> Validity {
        Validity::of_certificate("OCSP responder certificate", &self.responder.certificate)
    }

    /// Answers an OCSPRequest, DER: with a status for each certificate, or with an unsigned failure.
    ///
    /// # Errors
    /// `Internal` when not even a failure can be written.
    pub async fn answer(&self, request: &[u8]) -> Result<Answer> {
        let Ok(asked) = OcspRequest::from_der(request) else {
            return refuse(OcspFailure::MalformedRequest);
        };
        // RFC 5019 2.2.3: not capable of answering authoritatively.
        if asked.serials_of(&self.responder.issuer).next().is_none() {
            return refuse(OcspFailure::Unauthorized);
        }
        let now = self.issuer.clock.now();
        let question = HashAlgorithm::Sha256.digest(request);
        let crl = self
            .issuer
            .crls
            .current(now)
            .ok()
            .and_then(|crl| crl.number());
        if let Some(answer) = self.kept(&question, crl, now) {
            return Ok(answer);
        }
        if !self.responder.certificate.is_valid_at(now) {
            tracing::error!("the OCSP responder's certificate is not valid now");
            return refuse(OcspFailure::TryLater);
        }
        let place = tokio::time::timeout(PLACE_WAIT, self.at_once.clone().acquire_owned()).await;
        let Ok(Ok(place)) = place else {
            tracing::warn!("too many OCSP answers are being made");
            return refuse(OcspFailure::TryLater);
        };
        let mut statuses = HashMap::new();
        for serial in asked.serials_of(&self.responder.issuer) {
            match self.status(serial, now).await {
                Ok(status) => statuses.insert(serial.to_vec(), status),
                Err(e) => {
                    tracing::warn!(error = %e, "a certificate's status could not be read");
                    return refuse(OcspFailure::TryLater);
                }
            };
        }
        let answer = match self.respond(asked, statuses, now, place).await {
            Err(e) if e.kind.is_transient() => {
                tracing::error!(error = %e, "the OCSP responder's key does not sign");
                return refuse(OcspFailure::TryLater);
            }
            answer => answer?,
        };
        if answer.cacheable.is_some() {
            self.keep(question, answer.clone(), crl);
        }
        Ok(answer)
    }

    /// The place is held until the work ends, whether or not anybody still waits for it.
    async fn respond(
        &self,
        asked: OcspRequest,
        statuses: HashMap<Vec<u8>, CertStatus>,
        now: Timestamp,
        place: OwnedSemaphorePermit,
    ) -> Result<Answer> {
        let next_update = now
            .plus_ms(self.validity_ms)
            .min(self.responder.certificate.not_after());
        let times = ResponseTimes {
            produced_at: now,
            this_update: now,
            next_update,
        };
        // What is unknown now may be issued in a moment.
        let settled = statuses
            .values()
            .all(|status| *status != CertStatus::Unknown);
        let cacheable = (settled && asked.nonce().is_none()).then_some(Cacheable {
            produced_at: now,
            next_update,
            max_age_ms: KEPT_MS_MAX.min(next_update.ms_since(now)),
        });
        let (responder, key) = (self.responder.clone(), self.key.clone());
        let signed = keys::signing(move || {
            let _place = place;
            let status =
                |serial: &[u8]| statuses.get(serial).copied().unwrap_or(CertStatus::Unknown);
            responder
                .respond(&asked, &*key, times, &status)
                .map_err(keys::unsigned)
        });
        let der = signed.await?;
        Ok(Answer { der, cacheable })
    }

    /// The decision in the repository first: it is there before the ledger knows.
    async fn status(&self, serial: &[u8], now: Timestamp) -> Result<CertStatus> {
        let serial = hex::encode(serial);
        // No certificate of this CA has a serial number of another length.
        if !is_serial(&serial) {
            return Ok(CertStatus::Unknown);
        }
        if let Some(revocation) = find_revocation(&*self.issuer.truth, &serial).await? {
            return Ok(CertStatus::Revoked {
                // Decided by another process, whose clock may be ahead.
                at: revocation.revoked_at.min(now),
                reason: Some(revocation.reason),
            });
        }
        if self.issuer.authority.made_in_ceremony(&serial) {
            return Ok(CertStatus::Good);
        }
        let history = self.issuer.ledger.read::<CertificateEvent>(&serial).await?;
        Ok(match CertificateState::of(&history.events).certificate {
            Some(_) => CertStatus::Good,
            None => CertStatus::Unknown,
        })
    }

    fn kept(&self, question: &[u8], crl: Option<u64>, now: Timestamp) -> Option<Answer> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = kept.get(question).filter(|kept| kept.crl == crl)?;
        let Cacheable {
            produced_at,
            max_age_ms,
            ..
        } = kept.answer.cacheable?;
        let age_ms = now.ms_since(produced_at);
        (0..max_age_ms)
            .contains(&age_ms)
            .then(|| kept.answer.clone())
    }

    fn keep(&self, question: Vec<u8>, answer: Answer, crl: Option<u64>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        kept.insert(question, Kept { answer, crl });
    }
}

fn refuse(reason: OcspFailure) -> Result<Answer> {
    Ok(Answer {
        der: failure(reason).map_err(Error::internal)?,
        cacheable: None,
    })
}
