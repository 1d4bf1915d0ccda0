//! A court of our own making: its keys, its certificates, its receipts.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use probity_delivery::delivery::Delivery;
use probity_domain::{RecipientId, Timestamp};
use probity_pki::cms::{CommitmentType, SignRequest, sign_detached};
use probity_pki::keys::{MemoryKey, SignatureAlgorithm, Signer};
use probity_pki::x509::{
    Addresses, Certificate, CertificateTemplate, Profile, Subject, sign_certificate,
};
use probity_platform::access::{Caller, CallerRole};
use probity_proto::http::{ReceiptDocument, RecipientDocument, SignedReceiptDocument};

use crate::fixture::{HOUR_MS, NOW};
use crate::world::caller;

/// A court's keys.
pub struct Court {
    pub id: RecipientId,
    pub encryption: (MemoryKey, Certificate),
    pub signing: (MemoryKey, Certificate),
}

pub fn court(name: &str) -> Court {
    let pair = |profile| {
        let key = MemoryKey::generate().unwrap();
        let certificate = certificate(profile, &key, NOW.plus_ms(24 * HOUR_MS));
        (key, certificate)
    };
    Court {
        id: RecipientId::parse(name).unwrap(),
        encryption: pair(Profile::CourtEncryption),
        signing: pair(Profile::CourtSigning),
    }
}

/// A certificate of some court's own authority.
pub fn certificate(profile: Profile, key: &dyn Signer, not_after: Timestamp) -> Certificate {
    let issue = |profile, key: &dyn Signer, issuer: Option<(&Certificate, &dyn Signer)>, until| {
        let template = CertificateTemplate {
            profile,
            serial: &[0x51; 16],
            subject: Subject::new("Court"),
            spki_der: key.public_key_der(),
            not_before: NOW.plus_ms(-HOUR_MS),
            not_after: until,
            issuer: issuer.map(|(certificate, _)| certificate),
            addresses: Addresses::default(),
            reliance_limit: None,
            instruction: None,
        };
        let signer = issuer.map_or(key, |(_, signer)| signer);
        sign_certificate(&template.to_be_signed().unwrap(), signer).unwrap()
    };
    let ca_key = MemoryKey::generate().unwrap();
    let ca = issue(Profile::RootCa, &ca_key, None, NOW.plus_ms(48 * HOUR_MS));
    issue(profile, key, Some((&ca, &ca_key)), not_after)
}

pub fn other_curve() -> MemoryKey {
    MemoryKey::generate_for(SignatureAlgorithm::EcdsaP256Sha256).unwrap()
}

impl Court {
    pub fn caller(&self) -> Caller {
        caller(CallerRole::Court {
            recipient: self.id.clone(),
        })
    }

    pub fn document(&self, endpoint: Option<&str>) -> RecipientDocument {
        RecipientDocument {
            name: format!("Court {}", self.id),
            place_of_business: "Beijing".to_owned(),
            encryption_certificate: self.encryption.1.to_pem().unwrap(),
            signing_certificate: self.signing.1.to_pem().unwrap(),
            channel: if endpoint.is_some() { "push" } else { "pull" }.to_owned(),
            endpoint: endpoint.map(str::to_owned),
            tls_ca: None,
            allow_private_address: false,
        }
    }

    pub fn open(&self, package: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let key = self.encryption.0.to_pkcs8_der().unwrap();
        probity_pki::envelope::decrypt(&mut &package[..], &key, &mut out).unwrap();
        out
    }

    /// The receipt for a delivery's latest package.
    pub fn receipt(&self, delivery: &Delivery, scope: &str) -> ReceiptDocument {
        let package = delivery.package().unwrap();
        ReceiptDocument {
            format: "probity.receipt/1".to_owned(),
            delivery: delivery.id.to_string(),
            recipient: delivery.recipient.to_string(),
            evidence: delivery.evidence.to_string(),
            package_sha256: package.sha256.to_hex(),
            content_sha3_256: (scope != "receipt_only").then(|| package.content_sha3_256.to_hex()),
            scope: scope.to_owned(),
            received_at: NOW.to_rfc3339(),
            place: "Beijing".to_owned(),
        }
    }

    pub fn sign(&self, receipt: &ReceiptDocument) -> SignedReceiptDocument {
        sign_with(
            &self.signing.0,
            &self.signing.1,
            &serde_json::to_vec(receipt).unwrap(),
        )
    }
}

pub fn sign_with(
    key: &MemoryKey,
    certificate: &Certificate,
    content: &[u8],
) -> SignedReceiptDocument {
    let request = SignRequest {
        content,
        signer: certificate,
        extra_certificates: &[],
        crls: &[],
        signing_time: NOW,
        commitment: CommitmentType::ProofOfReceipt,
        instruction_digest: None,
    };
    SignedReceiptDocument {
        receipt: STANDARD.encode(content),
        signature: STANDARD.encode(sign_detached(&request, key).unwrap()),
    }
}
