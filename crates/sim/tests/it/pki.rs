//! The public key infrastructure of a run: keys drawn from the seed and signatures by RFC 6979, so that the same seed gives
//! the same certificates, signatures and tokens, byte for byte.

use std::sync::Arc;

use probity_domain::Timestamp;
use probity_issuance::{Authority, CrlPublisher, Issuer, Settings};
use probity_pki::crl::{Crl, build_crl};
use probity_pki::keys::{P384Key, Signer};
use probity_pki::oid;
use probity_pki::tlog::{LogKey, LogVerifier};
use probity_pki::tsp::TimeStampAuthority;
use probity_pki::x509::{
    Addresses, Certificate, CertificateTemplate, Profile, Subject, sign_certificate,
};
use probity_platform::ledger::Ledger;
use probity_platform::objects::Objects;
use probity_platform::{Clock, Random};
use probity_timestamping::{ClockLease, TimeStamper};

use crate::chance::Chance;

/// When every run begins, but for the minutes a seed adds.
pub const EPOCH: Timestamp = Timestamp::from_unix_ms(1_795_000_000_000);
const DAY_MS: i64 = 24 * 3_600_000;
const LOG_NAME: &str = "log.example/1";

/// A key from a stream of randomness.
pub fn key_from(random: &dyn Random) -> P384Key {
    let mut scalar: [u8; 48] = random.bytes();
    // Below the order of the group, whatever was drawn.
    scalar[0] &= 0x7f;
    P384Key::from_scalar(&scalar).unwrap()
}

pub fn log_key() -> LogKey {
    LogKey::generate(LOG_NAME, &[7; 32]).unwrap()
}

pub fn log_verifier() -> LogVerifier {
    LogVerifier::parse(log_key().verifier_key()).unwrap()
}

/// What the ceremony made: the same for all seeds.
pub struct Pki {
    pub root: Certificate,
    root_crl: Crl,
    issuing: Holder,
    unit: Holder,
}

#[derive(Clone)]
struct Holder {
    key: Arc<P384Key>,
    certificate: Certificate,
}

impl Pki {
    pub fn new() -> Self {
        let root = issue(Profile::RootCa, "Root", 0x41, None);
        let issuing = issue(Profile::IssuingCa, "Issuing", 0x42, Some(&root));
        let unit = issue(Profile::Tsa, "TSA", 0x43, Some(&root));
        let (this, next) = (EPOCH.plus_ms(-DAY_MS), EPOCH.plus_ms(300 * DAY_MS));
        let root_crl = build_crl(&root.certificate, &root.key, 1, this, next, &[]).unwrap();
        Self {
            root_crl: Crl::from_der(&root_crl).unwrap(),
            root: root.certificate,
            issuing,
            unit,
        }
    }

    fn authority(&self) -> Arc<Authority> {
        let settings = Settings {
            addresses: Addresses {
                crl: Some("http://crl.example/issuing.crl".to_owned()),
                ..Addresses::default()
            },
            reliance_limit: None,
            event_validity_ms: DAY_MS,
            crl_validity_ms: 10 * DAY_MS,
            crl_period_ms: 5 * DAY_MS,
        };
        let Holder { key, certificate } = self.issuing.clone();
        let (root, list) = (self.root.clone(), self.root_crl.clone());
        Arc::new(Authority::new(Box::new(key), certificate, root, list, settings).unwrap())
    }

    /// Issuance as a process of its own has it; its list stands in the store already or is made now.
    pub async fn issuer(
        &self,
        truth: Arc<dyn Objects>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> probity_platform::Result<Issuer> {
        let authority = self.authority();
        let crls = CrlPublisher::new(authority.clone(), truth.clone(), clock.clone());
        crls.refresh().await?;
        Ok(Issuer {
            authority,
            crls: Arc::new(crls),
            ledger: Ledger::new(truth.clone(), clock.clone(), random.clone()),
            truth,
            clock,
            random,
        })
    }

    pub fn stamper(&self, lease: Arc<ClockLease>, random: Arc<dyn Random>) -> TimeStamper {
        let Holder { key, certificate } = self.unit.clone();
        let authority = TimeStampAuthority {
            certificate,
            chain: vec![],
            policy: oid::POLICY_TIME_STAMP,
            accuracy_ms: 1_000,
        };
        TimeStamper::new(authority, Box::new(key), lease, random).unwrap()
    }
}

fn issue(profile: Profile, name: &str, serial: u8, issuer: Option<&Holder>) -> Holder {
    let key = key_from(&Chance::new(u64::from(serial), name));
    let template = CertificateTemplate {
        profile,
        serial: &[serial; 16],
        subject: Subject::new(name),
        spki_der: key.public_key_der(),
        not_before: EPOCH.plus_ms(-DAY_MS),
        not_after: EPOCH.plus_ms(300 * DAY_MS),
        issuer: issuer.map(|i| &i.certificate),
        addresses: Addresses {
            crl: issuer.map(|_| "http://crl.example/".to_owned()),
            ..Addresses::default()
        },
        reliance_limit: None,
        instruction: None,
    };
    let to_be_signed = template.to_be_signed().unwrap();
    let signed_by: &dyn Signer = issuer.map_or(&key, |i| &i.key);
    let certificate = sign_certificate(&to_be_signed, signed_by).unwrap();
    Holder {
        key: Arc::new(key),
        certificate,
    }
}
