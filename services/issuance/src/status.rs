//! What a certificate's events amount to, and how the repository tells it (L16).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use probity_domain::Timestamp;
use probity_pki::x509::Certificate;
use probity_platform::{Error, Result};
use probity_proto::ledger::{CertificateEvent, Envelope};
use serde::Serialize;

/// One certificate, folded from the ledger.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CertificateState {
    pub profile: Option<String>,
    pub party: Option<String>,
    pub submission: Option<String>,
    /// Base64 DER.
    pub certificate: Option<String>,
    /// Reason and time.
    pub revoked: Option<(String, String)>,
}

impl CertificateState {
    /// Folds a certificate's events.
    #[must_use]
    pub fn of(events: &[Envelope<CertificateEvent>]) -> Self {
        events.iter().fold(Self::default(), |mut state, envelope| {
            match &envelope.event {
                CertificateEvent::Intended {
                    profile,
                    party,
                    submission,
                    ..
                } => {
                    state.profile = Some(profile.clone());
                    state.party = Some(party.clone());
                    state.submission = Some(submission.clone());
                }
                CertificateEvent::Issued { certificate } => {
                    state.certificate = Some(certificate.clone());
                }
                CertificateEvent::Revoked { reason, revoked_at } => {
                    state
                        .revoked
                        .get_or_insert((reason.clone(), revoked_at.clone()));
                }
            }
            state
        })
    }
}

/// Answer to `GET /certificates/{serial}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CertificateStatusDocument {
    pub serial: String,
    /// `intended`, `issued`, `expired` or `revoked`.
    pub state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_after: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<String>,
    /// What the certificate may be used for.
    pub use_note: String,
    /// Base64 DER.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
}

impl CertificateStatusDocument {
    /// # Errors
    /// `NotFound` when nothing was ever intended under this serial, `Internal` when the stored certificate is broken.
    pub fn of(serial: &str, state: &CertificateState, now: Timestamp) -> Result<Self> {
        if state.profile.is_none() {
            return Err(Error::not_found("no certificate has this serial number"));
        }
        let certificate = state.certificate.as_deref().map(read).transpose()?;
        let not_after = certificate.as_ref().map(Certificate::not_after);
        let (word, use_note) = match (&state.revoked, not_after) {
            (Some((_, at)), _) => (
                "revoked",
                format!("for the verification of signatures made before {at} only"),
            ),
            (None, None) => ("intended", "not issued; not to be relied on".to_owned()),
            (None, Some(end)) if end < now => (
                "expired",
                format!(
                    "for the verification of signatures made before {} only",
                    end.to_rfc3339()
                ),
            ),
            (None, Some(_)) => ("issued", "for the instruction it names".to_owned()),
        };
        Ok(Self {
            serial: serial.to_owned(),
            state: word,
            not_after: not_after.map(Timestamp::to_rfc3339),
            reason: state.revoked.as_ref().map(|(reason, _)| reason.clone()),
            revoked_at: state.revoked.as_ref().map(|(_, at)| at.clone()),
            use_note,
            certificate: state.certificate.clone(),
        })
    }
}

fn read(base64: &str) -> Result<Certificate> {
    let der = STANDARD.decode(base64).map_err(Error::internal)?;
    Certificate::from_der(&der).map_err(Error::internal)
}
