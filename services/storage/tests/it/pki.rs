//! A public key infrastructure in memory, with the roles' own code around it.

use std::sync::Arc;

use probity_domain::Timestamp;
use probity_issuance::{Authority, CrlPublisher, Issuer, Settings};
use probity_pki::crl::{Crl, build_crl};
use probity_pki::keys::{MemoryKey, Signer as _};
use probity_pki::oid;
use probity_pki::tsp::TimeStampAuthority;
use probity_pki::x509::{
    Addresses, Certificate, CertificateTemplate, Profile, Subject, sign_certificate,
};
use probity_platform::clock::ManualClock;
use probity_platform::ledger::Ledger;
use probity_platform::objects::Objects;
use probity_platform::{Clock, SystemRandom};
use probity_timestamping::{ClockLease, ClockReader, Reading, TimeStamper};

pub const NOW: Timestamp = Timestamp::from_unix_ms(1_795_000_000_000);
const DAY_MS: i64 = 24 * 3_600_000;

pub struct Holder {
    pub key: MemoryKey,
    pub certificate: Certificate,
}

pub fn issue(profile: Profile, name: &str, serial: u8, issuer: Option<&Holder>) -> Holder {
    let key = MemoryKey::generate().unwrap();
    let template = CertificateTemplate {
        profile,
        serial: &[serial; 16],
        subject: Subject::new(name),
        spki_der: key.public_key_der(),
        not_before: NOW.plus_ms(-DAY_MS),
        not_after: NOW.plus_ms(300 * DAY_MS),
        issuer: issuer.map(|i| &i.certificate),
        addresses: Addresses {
            crl: issuer.map(|_| "http://crl.example/".to_owned()),
            ..Addresses::default()
        },
        reliance_limit: None,
        instruction: None,
    };
    let tbs = template.to_be_signed().unwrap();
    let certificate = sign_certificate(&tbs, issuer.map_or(&key, |i| &i.key)).unwrap();
    Holder { key, certificate }
}

pub struct Pki {
    pub root: Holder,
    pub issuer: Issuer,
    pub stamper: TimeStamper,
    pub lease: Arc<ClockLease>,
}

/// Both clocks stand where the manual one stands.
struct Standing(Arc<ManualClock>);

impl ClockReader for Standing {
    fn read(&self) -> Reading {
        let wall = self.0.now();
        Reading {
            wall,
            monotonic_us: wall.unix_ms() * 1_000,
            gap_us: 0,
        }
    }
}

impl Pki {
    pub async fn new(truth: Arc<dyn Objects>, ledger: Ledger, clock: Arc<ManualClock>) -> Self {
        let root = issue(Profile::RootCa, "Root", 0x41, None);
        let issuing = issue(Profile::IssuingCa, "Issuing", 0x42, Some(&root));
        let tsa = issue(Profile::Tsa, "TSA", 0x43, Some(&root));
        let (this, next) = (NOW.plus_ms(-DAY_MS), NOW.plus_ms(300 * DAY_MS));
        let root_crl = build_crl(&root.certificate, &root.key, 1, this, next, &[]).unwrap();
        let settings = Settings {
            addresses: Addresses {
                crl: Some("http://crl.example/issuing.crl".to_owned()),
                ..Addresses::default()
            },
            reliance_limit: None,
            event_validity_ms: DAY_MS,
            crl_validity_ms: DAY_MS,
            crl_period_ms: 3_600_000,
        };
        let root_crl = Crl::from_der(&root_crl).unwrap();
        let (certificate, of) = (issuing.certificate, root.certificate.clone());
        let authority = Authority::new(Box::new(issuing.key), certificate, of, root_crl, settings);
        let authority = Arc::new(authority.unwrap());
        let crls = Arc::new(CrlPublisher::new(
            authority.clone(),
            truth.clone(),
            clock.clone(),
        ));
        crls.refresh().await.unwrap();
        let random = Arc::new(SystemRandom);
        let lease = Arc::new(ClockLease::for_tests(Box::new(Standing(clock.clone()))));
        let unit = TimeStampAuthority {
            certificate: tsa.certificate,
            chain: vec![],
            policy: oid::POLICY_TIME_STAMP,
            accuracy_ms: 1_000,
        };
        let stamper = TimeStamper::new(unit, Box::new(tsa.key), lease.clone(), random.clone());
        let issuer = Issuer {
            authority,
            crls,
            truth,
            ledger,
            clock,
            random,
        };
        Self {
            root,
            issuer,
            stamper: stamper.unwrap(),
            lease,
        }
    }
}
