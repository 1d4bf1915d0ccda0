//! A small public key infrastructure, made anew for every test.

use probity_domain::Timestamp;
use probity_pki::cms::{CommitmentType, SignRequest, sign_detached};
use probity_pki::crl::{Crl, RevokedEntry, build_crl};
use probity_pki::digest::HashAlgorithm;
use probity_pki::keys::{MemoryKey, Signer};
use probity_pki::oid;
use probity_pki::tsp::{Imprint, TimeStampAuthority, TimeStampReq};
use probity_pki::x509::{
    Addresses, Certificate, CertificateTemplate, Profile, Subject, sign_certificate,
};

pub const HOUR_MS: i64 = 3_600_000;
pub const INSTRUCTION: &str = "0192d7a4-5b1e-7c3a-8f00-0123456789ab";

/// The real time: the judges have no other.
#[expect(
    clippy::disallowed_methods,
    reason = "judges go by the machine's clock"
)]
pub fn now() -> Timestamp {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    Timestamp::from_unix_ms(i64::try_from(since.as_millis()).unwrap())
}

pub struct Holder {
    pub key: MemoryKey,
    pub certificate: Certificate,
}

pub struct Pki {
    pub now: Timestamp,
    pub root: Holder,
    pub issuing: Holder,
    pub tsa: Holder,
    pub event: Holder,
    pub seal: Holder,
    pub ocsp: Holder,
    pub root_crl: Crl,
    pub issuing_crl: Crl,
}

impl Pki {
    pub fn new() -> Self {
        let now = now();
        let root = issue(now, Profile::RootCa, "Probity Test Root", 1, None);
        let issuing = issue(
            now,
            Profile::IssuingCa,
            "Probity Test Issuing CA",
            2,
            Some(&root),
        );
        let tsa = issue(now, Profile::Tsa, "Probity Test TSA", 3, Some(&root));
        let event = issue(now, Profile::Event, "某某科技有限公司", 4, Some(&issuing));
        let seal = issue(
            now,
            Profile::Seal,
            "Probity Test Delivery",
            5,
            Some(&issuing),
        );
        let ocsp = issue(
            now,
            Profile::OcspResponder,
            "Probity Test OCSP",
            6,
            Some(&issuing),
        );
        let root_crl = crl(now, &root, &[]);
        let issuing_crl = crl(now, &issuing, &[]);
        Self {
            now,
            root,
            issuing,
            tsa,
            event,
            seal,
            ocsp,
            root_crl,
            issuing_crl,
        }
    }

    pub fn roots(&self) -> Vec<Certificate> {
        vec![self.root.certificate.clone()]
    }

    pub fn intermediates(&self) -> Vec<Certificate> {
        vec![self.issuing.certificate.clone()]
    }

    pub fn crls(&self) -> Vec<Crl> {
        vec![self.root_crl.clone(), self.issuing_crl.clone()]
    }

    pub fn authority(&self) -> TimeStampAuthority {
        TimeStampAuthority {
            certificate: self.tsa.certificate.clone(),
            chain: vec![],
            policy: oid::POLICY_TIME_STAMP,
            accuracy_ms: 1_500,
        }
    }

    /// A CAdES-B signature by the event key with everything a verifier needs.
    pub fn sign(&self, content: &[u8]) -> Vec<u8> {
        self.sign_as(&self.event, content)
    }

    /// The same by another holder.
    pub fn sign_as(&self, holder: &Holder, content: &[u8]) -> Vec<u8> {
        let request = SignRequest {
            content,
            signer: &holder.certificate,
            extra_certificates: &self.intermediates(),
            crls: &self.crls(),
            signing_time: self.now,
            commitment: CommitmentType::ProofOfApproval,
            instruction_digest: Some([7; 32]),
        };
        sign_detached(&request, &holder.key).unwrap()
    }

    pub fn token(&self, algorithm: HashAlgorithm, bytes: &[u8]) -> Vec<u8> {
        let imprint = Imprint::of(algorithm, bytes);
        let request = TimeStampReq::make(imprint, Some(&[0xfe; 8]), true, None).unwrap();
        self.authority()
            .token(&request, &self.tsa.key, self.now, &[0x80, 1])
            .unwrap()
    }
}

pub fn template<'a>(
    now: Timestamp,
    profile: Profile,
    name: &str,
    serial: &'a [u8],
    spki_der: &'a [u8],
    issuer: Option<&'a Certificate>,
) -> CertificateTemplate<'a> {
    CertificateTemplate {
        profile,
        serial,
        subject: Subject {
            country: Some("CN".to_owned()),
            organization: Some("Probity Test, Inc. \"+\" 公司".to_owned()),
            organization_identifier: Some("NTRCN-91310000".to_owned()),
            ..Subject::new(name)
        },
        spki_der,
        not_before: now.plus_ms(-HOUR_MS),
        not_after: now.plus_ms(24 * HOUR_MS),
        issuer,
        addresses: Addresses {
            crl: issuer.map(|_| "http://repository.example/ca.crl".to_owned()),
            ocsp: issuer.map(|_| "http://ocsp.example/".to_owned()),
            ca_issuers: issuer.map(|_| "http://repository.example/ca.cer".to_owned()),
            cps: Some("http://repository.example/cps".to_owned()),
        },
        reliance_limit: Some("Liability is limited. 责任限额".to_owned()),
        instruction: (profile == Profile::Event).then(|| INSTRUCTION.to_owned()),
    }
}

pub fn issue(
    now: Timestamp,
    profile: Profile,
    name: &str,
    serial: u8,
    issuer: Option<&Holder>,
) -> Holder {
    let key = MemoryKey::generate().unwrap();
    let serial = [0x80 | serial; 16];
    let template = template(
        now,
        profile,
        name,
        &serial,
        key.public_key_der(),
        issuer.map(|holder| &holder.certificate),
    );
    let to_be_signed = template.to_be_signed().unwrap();
    let signer = issuer.map_or(&key, |holder| &holder.key);
    let certificate = sign_certificate(&to_be_signed, signer).unwrap();
    Holder { key, certificate }
}

pub fn crl(now: Timestamp, issuer: &Holder, revoked: &[RevokedEntry]) -> Crl {
    // No list knows what comes after it.
    let made = now.plus_ms(-HOUR_MS);
    let this = revoked
        .iter()
        .map(|entry| entry.at)
        .fold(made, Timestamp::max);
    let next = now.plus_ms(HOUR_MS);
    let der = build_crl(&issuer.certificate, &issuer.key, 300, this, next, revoked).unwrap();
    Crl::from_der(&der).unwrap()
}
