//! Keys and certificates of the floor: a signer under an issuing CA and a time-stamping unit, as the platform has them.

use probity_domain::Timestamp;
use probity_pki::cms::{CommitmentType, SignRequest, sign_detached};
use probity_pki::digest::HashAlgorithm;
use probity_pki::keys::{MemoryKey, Signer as _};
use probity_pki::oid;
use probity_pki::tsp::{Imprint, TimeStampAuthority, TimeStampReq};
use probity_pki::x509::{
    Addresses, Certificate, CertificateTemplate, Profile, Subject, sign_certificate,
};
use probity_platform::{Random, SystemRandom};

use crate::Failure;

const DAY_MS: i64 = 24 * 3_600_000;

struct Holder {
    key: MemoryKey,
    certificate: Certificate,
}

/// Whoever signs and stamps.
pub struct Holders {
    event: Holder,
    chain: Vec<Certificate>,
    tsa_key: MemoryKey,
    pub authority: TimeStampAuthority,
}

impl Holders {
    /// Makes all keys and certificates, good for a day.
    pub fn make(now: Timestamp) -> Result<Self, Failure> {
        let root = issue(now, Profile::RootCa, None)?;
        let issuing = issue(now, Profile::IssuingCa, Some(&root))?;
        let event = issue(now, Profile::Event, Some(&issuing))?;
        let tsa = issue(now, Profile::Tsa, Some(&root))?;
        Ok(Self {
            event,
            chain: vec![issuing.certificate],
            tsa_key: tsa.key,
            authority: TimeStampAuthority {
                certificate: tsa.certificate,
                chain: Vec::new(),
                policy: oid::POLICY_TIME_STAMP,
                accuracy_ms: 1_000,
            },
        })
    }

    /// A CAdES-B signature over a manifest.
    pub fn sign(&self, manifest: &[u8], at: Timestamp) -> Result<Vec<u8>, Failure> {
        let request = SignRequest {
            content: manifest,
            signer: &self.event.certificate,
            extra_certificates: &self.chain,
            crls: &[],
            signing_time: at,
            commitment: CommitmentType::ProofOfApproval,
            instruction_digest: Some([7; 32]),
        };
        sign_detached(&request, &self.event.key).map_err(Failure::new)
    }

    /// An RFC 3161 token over bytes.
    pub fn token_over(&self, bytes: &[u8], at: Timestamp) -> Result<Vec<u8>, Failure> {
        let imprint = Imprint::of(HashAlgorithm::Sha384, bytes);
        let request = TimeStampReq::make(imprint, None, true, None).map_err(Failure::new)?;
        self.authority
            .token(&request, &self.tsa_key, at, &serial())
            .map_err(Failure::new)
    }
}

/// Positive and random: 19 bytes after a fixed first.
fn serial() -> [u8; 20] {
    let random: &dyn Random = &SystemRandom;
    let mut serial = random.bytes::<20>();
    if let Some(first) = serial.first_mut() {
        *first = 1;
    }
    serial
}

fn issue(now: Timestamp, profile: Profile, issuer: Option<&Holder>) -> Result<Holder, Failure> {
    let key = MemoryKey::generate().map_err(Failure::new)?;
    let serial = serial();
    let template = CertificateTemplate {
        profile,
        serial: &serial,
        subject: Subject::new(format!("floor {profile:?}")),
        spki_der: key.public_key_der(),
        not_before: now.plus_ms(-DAY_MS),
        not_after: now.plus_ms(DAY_MS),
        issuer: issuer.map(|holder| &holder.certificate),
        addresses: Addresses::default(),
        reliance_limit: None,
        instruction: (profile == Profile::Event)
            .then(|| "0192d7a4-5b1e-7c3a-8f00-0123456789ab".to_owned()),
    };
    let to_be_signed = template.to_be_signed().map_err(Failure::new)?;
    let signer = issuer.map_or(&key, |holder| &holder.key);
    let certificate = sign_certificate(&to_be_signed, signer).map_err(Failure::new)?;
    Ok(Holder { key, certificate })
}
