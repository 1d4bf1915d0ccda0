//! Issuing and revoking against a store in memory.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod ocsp;
mod stalls;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use probity_domain::{
    Artifact, ArtifactName, ArtifactRole, CaseId, CredentialId, Digests, IdempotencyKey, Item,
    ItemOutcome, MediaType, PartyId, Purpose, Sha3_256, Sha256, Submission, SubmissionDraft,
    SubmissionId, TenantId, Timestamp,
};
use probity_issuance::{Authority, CertificateState, CrlPublisher, Issuer, Settings, revoke};
use probity_pki::crl::{Crl, RevocationReason, build_crl};
use probity_pki::keys::{MemoryKey, Signer};
use probity_pki::ocsp::{CertStatus, OcspResponse};
use probity_pki::x509::{
    Addresses, Certificate, CertificateTemplate, Profile, Subject, certified_name, make_csr,
    sign_certificate,
};
use probity_platform::clock::ManualClock;
use probity_platform::keys::StallingKey;
use probity_platform::ledger::Ledger;
use probity_platform::objects::{Fault, MemoryObjects, Objects as _, Verb};
use probity_platform::{ErrorKind, SystemRandom};
use probity_proto::http::PartyApplicationDocument;
use probity_proto::ledger::{CertificateEvent, PartyEvent};
use probity_proto::stored::{submission_key, write_submission};
use probity_proto::v1::IssueEventCertificateRequest;

const NOW: Timestamp = Timestamp::from_unix_ms(1_795_000_000_000);
const HOUR_MS: i64 = 3_600_000;

struct World {
    truth: Arc<MemoryObjects>,
    clock: Arc<ManualClock>,
    ledger: Ledger,
    issuer: Arc<Issuer>,
    /// The CA's.
    key: Arc<StallingKey>,
    /// The responder's and the seal's, as the ceremony makes them.
    responder: (Certificate, MemoryKey),
    seal: Certificate,
    root: Certificate,
}

fn made(
    now: Timestamp,
    profile: Profile,
    issuer: Option<(&Certificate, &dyn Signer)>,
) -> (Certificate, MemoryKey) {
    let key = MemoryKey::generate().unwrap();
    let template = CertificateTemplate {
        profile,
        serial: &[0x40 + profile as u8; 20],
        subject: Subject::new(format!("{profile:?}")),
        spki_der: key.public_key_der(),
        not_before: now.plus_ms(-HOUR_MS),
        not_after: now.plus_ms(9_000 * HOUR_MS),
        issuer: issuer.map(|(certificate, _)| certificate),
        addresses: Addresses::default(),
        reliance_limit: None,
        instruction: None,
    };
    let signer = issuer.map_or(&key as &dyn Signer, |(_, key)| key);
    let certificate = sign_certificate(&template.to_be_signed().unwrap(), signer).unwrap();
    (certificate, key)
}

impl World {
    async fn new() -> Self {
        Self::at(NOW)
    }

    fn at(now: Timestamp) -> Self {
        let truth = Arc::new(MemoryObjects::new());
        let clock = Arc::new(ManualClock::at(now));
        let ledger = Ledger::new(truth.clone(), clock.clone(), Arc::new(SystemRandom));
        let (root, root_key) = made(now, Profile::RootCa, None);
        let (certificate, key) = made(now, Profile::IssuingCa, Some((&root, &root_key)));
        let below = |profile| made(now, profile, Some((&certificate, &key)));
        let (responder, (seal, _)) = (below(Profile::OcspResponder), below(Profile::Seal));
        let root_crl =
            build_crl(&root, &root_key, 1, now, now.plus_ms(2_000 * HOUR_MS), &[]).unwrap();
        let root_crl = Crl::from_der(&root_crl).unwrap();
        let settings = Settings {
            addresses: Addresses {
                crl: Some("http://crl.example/".to_owned()),
                ocsp: Some("http://ocsp.example/".to_owned()),
                ..Addresses::default()
            },
            reliance_limit: None,
            event_validity_ms: 24 * HOUR_MS,
            crl_validity_ms: 24 * HOUR_MS,
            crl_period_ms: HOUR_MS,
        };
        let key = Arc::new(StallingKey::new(key));
        let authority = Authority::new(
            Box::new(key.clone()),
            certificate,
            root.clone(),
            root_crl,
            settings,
        );
        let ceremony = vec![responder.0.clone(), seal.clone()];
        let authority = authority.unwrap().with_ceremony_certificates(ceremony);
        let authority = Arc::new(authority.unwrap());
        let crls = Arc::new(CrlPublisher::new(
            authority.clone(),
            truth.clone(),
            clock.clone(),
        ));
        let issuer = Arc::new(Issuer {
            authority,
            crls,
            truth: truth.clone(),
            ledger: ledger.clone(),
            clock: clock.clone(),
            random: Arc::new(SystemRandom),
        });
        Self {
            truth,
            clock,
            ledger,
            issuer,
            key,
            responder,
            seal,
            root,
        }
    }

    async fn apply(&self, party: &str, kind: &str, verified: Option<bool>) {
        let application = PartyApplicationDocument {
            party: party.into(),
            tenant: "acme".into(),
            kind: kind.into(),
            name: "名".repeat(70),
            identifier: "91110000600037341L".into(),
            country: "CN".into(),
            email: "a@example.com".into(),
            legal_representative: None,
            handler: None,
            declared_true: true,
        };
        let mut history = self.ledger.read::<PartyEvent>(party).await.unwrap();
        let applied = PartyEvent::Applied(application);
        self.ledger
            .append(&mut history, "t", "t", applied)
            .await
            .unwrap();
        let Some(verified) = verified else { return };
        let decided = PartyEvent::Decided {
            verified,
            method: "officer".into(),
            verifier: "o".into(),
            document_sha3_256: vec![],
            note: String::new(),
        };
        self.ledger
            .append(&mut history, "t", "t", decided)
            .await
            .unwrap();
    }

    async fn submit(&self, party: &str) -> SubmissionId {
        let artifact = Artifact {
            name: ArtifactName::parse("a").unwrap(),
            media_type: MediaType::parse("text/plain").unwrap(),
            role: ArtifactRole::Content,
            size_bytes: 1,
            digests: Digests {
                sha3_256: Sha3_256([1; 32]),
                sha256: Sha256([2; 32]),
            },
        };
        let item = Item::new("t".into(), Purpose::Neutral, None, None, vec![artifact]).unwrap();
        let now = self.issuer.clock.now();
        let id = SubmissionId::new(now, [party.len() as u8; 10]);
        let submission = Submission::new(SubmissionDraft {
            id,
            tenant: TenantId::parse("acme").unwrap(),
            party: PartyId::parse(party).unwrap(),
            credential: CredentialId::new(NOW, [1; 10]),
            on_behalf_of: None,
            automated: false,
            case: CaseId::parse("c").unwrap(),
            intent: None,
            idempotency_key: IdempotencyKey::parse("k").unwrap(),
            instruction_sha256: Sha256([0; 32]),
            submitter_signature: None,
            received_at: NOW,
            items: vec![ItemOutcome::Accepted(item)],
        });
        let bytes = write_submission(&submission.unwrap());
        self.truth
            .create(&submission_key(id), bytes.into())
            .await
            .unwrap();
        id
    }
}

fn request(id: SubmissionId, party: &str) -> IssueEventCertificateRequest {
    let key = MemoryKey::generate().unwrap();
    IssueEventCertificateRequest {
        submission_id: id.to_string(),
        tenant: "acme".into(),
        party: party.into(),
        subject_public_key_info: key.public_key_der().to_vec().into(),
        certification_request: make_csr(&key, &Subject::new("a wish")).unwrap().into(),
    }
}

#[tokio::test]
async fn a_verified_party_gets_a_certificate_for_its_instruction() {
    let world = World::new().await;
    world.issuer.crls.refresh().await.unwrap();
    world.apply("org", "organization", Some(true)).await;
    world.apply("person", "person", Some(true)).await;
    for party in ["org", "person"] {
        let id = world.submit(party).await;
        let asked = request(id, party);
        let issued = world.issuer.issue_event_certificate(&asked).await.unwrap();
        let certificate = Certificate::from_der(&issued.certificate).unwrap();
        assert_eq!(certificate.instruction(), Some(id.to_string().as_str()));
        let name = certified_name(&"名".repeat(70));
        assert_eq!(certificate.common_name(), Some(name));
        // A person's document number is nobody's business.
        let named = certificate
            .der()
            .windows(18)
            .any(|bytes| bytes == b"91110000600037341L");
        assert_eq!(named, party == "org");
        // Up to the root, and with a status that is younger than the certificate.
        assert_eq!((issued.chain.len(), issued.crls.len()), (2, 2));
        let issuing = Certificate::from_der(&issued.chain[0]).unwrap();
        let root = Certificate::from_der(&issued.chain[1]).unwrap();
        certificate.verify_issued_by(&issuing).unwrap();
        issuing.verify_issued_by(&root).unwrap();
        let response = OcspResponse::from_der(&issued.ocsp_response).unwrap();
        let status = response.verify(&issuing, certificate.serial(), None, NOW);
        assert_eq!(status.unwrap(), CertStatus::Good);
        assert!(response.produced_at() >= certificate.not_before());
        assert!(
            response
                .verify(&root, certificate.serial(), None, NOW)
                .is_err()
        );
        // On record before and after, under the serial.
        let history = world
            .ledger
            .read::<CertificateEvent>(certificate.serial_hex())
            .await
            .unwrap();
        let facts: Vec<_> = history.facts().collect();
        let CertificateEvent::Intended {
            tbs_certificate,
            submission,
            ..
        } = facts[0]
        else {
            panic!("{facts:?}")
        };
        assert_eq!(
            STANDARD.decode(tbs_certificate).unwrap(),
            certificate.to_be_signed().unwrap()
        );
        assert_eq!(*submission, id.to_string());
        assert!(matches!(facts[1], CertificateEvent::Issued { .. }));
        // Asked again it makes another one.
        let again = world.issuer.issue_event_certificate(&asked).await.unwrap();
        assert_ne!(again.certificate, issued.certificate);
    }
}

#[tokio::test]
async fn each_missing_item_is_a_refusal_of_its_own() {
    let world = World::new().await;
    let id = world.submit("org").await;
    let kind = |request: IssueEventCertificateRequest| {
        let issuer = &world.issuer;
        async move {
            issuer
                .issue_event_certificate(&request)
                .await
                .unwrap_err()
                .kind
        }
    };
    assert_eq!(
        kind(request(id, "org")).await,
        ErrorKind::Unavailable,
        "no CRL yet"
    );
    world.issuer.crls.refresh().await.unwrap();
    assert_eq!(
        kind(request(id, "org")).await,
        ErrorKind::Forbidden,
        "nobody applied"
    );
    world.apply("org", "organization", None).await;
    assert_eq!(
        kind(request(id, "org")).await,
        ErrorKind::Forbidden,
        "not decided"
    );
    world.apply("org", "organization", Some(false)).await;
    assert_eq!(
        kind(request(id, "org")).await,
        ErrorKind::Forbidden,
        "refused"
    );
    world.apply("org", "organization", Some(true)).await;
    world.apply("other", "organization", Some(true)).await;
    assert_eq!(
        kind(request(id, "other")).await,
        ErrorKind::Forbidden,
        "another's submission"
    );
    let unknown = SubmissionId::new(NOW, [77; 10]);
    assert_eq!(kind(request(unknown, "org")).await, ErrorKind::NotFound);
    let mut stolen = request(id, "org");
    stolen.subject_public_key_info = request(id, "org").subject_public_key_info;
    assert_eq!(
        kind(stolen).await,
        ErrorKind::Malformed,
        "no possession of that key"
    );
    let mut broken = request(id, "org");
    let mut csr = broken.certification_request.to_vec();
    *csr.last_mut().unwrap() ^= 1;
    broken.certification_request = csr.into();
    assert_eq!(kind(broken).await, ErrorKind::Malformed, "no possession");
    let weaker = MemoryKey::generate_for(probity_pki::keys::SignatureAlgorithm::EcdsaP256Sha256);
    let weaker = weaker.unwrap();
    let mut other_curve = request(id, "org");
    other_curve.subject_public_key_info = weaker.public_key_der().to_vec().into();
    other_curve.certification_request = make_csr(&weaker, &Subject::new("x")).unwrap().into();
    assert_eq!(kind(other_curve).await, ErrorKind::Malformed, "not P-384");
    world.clock.advance_ms(2_001 * HOUR_MS);
    world.issuer.crls.refresh().await.unwrap();
    assert_eq!(
        kind(request(id, "org")).await,
        ErrorKind::Unavailable,
        "root CRL out of date"
    );
}

#[tokio::test]
async fn revocation_is_decided_once_and_published() {
    let world = World::new().await;
    world.issuer.crls.refresh().await.unwrap();
    world.apply("org", "organization", Some(true)).await;
    let id = world.submit("org").await;
    let issued = world
        .issuer
        .issue_event_certificate(&request(id, "org"))
        .await
        .unwrap();
    let certificate = Certificate::from_der(&issued.certificate).unwrap();
    let serial = certificate.serial_hex();
    let compromise = RevocationReason::KeyCompromise;
    let first = revoke(&world.issuer, serial, compromise, "credential:o")
        .await
        .unwrap();
    world.clock.advance_ms(60_000);
    let superseded = RevocationReason::Superseded;
    let again = revoke(&world.issuer, serial, superseded, "credential:p")
        .await
        .unwrap();
    assert_eq!(again, first, "the first decision stays");
    let crl = world.issuer.crls.current(NOW).unwrap();
    assert_eq!(
        crl.find(certificate.serial()).unwrap().reason,
        Some(compromise)
    );
    assert_eq!(
        crl.number(),
        Some(2),
        "the second request found a list that says so already"
    );
    let history = world.ledger.read::<CertificateEvent>(serial).await.unwrap();
    assert!(CertificateState::of(&history.events).revoked.is_some());
    assert_eq!(history.events.len(), 3);
    for unknown in [
        "00".repeat(20),
        "x".to_owned(),
        String::new(),
        "../".to_owned(),
    ] {
        let refused = revoke(&world.issuer, &unknown, compromise, "o")
            .await
            .unwrap_err();
        assert_eq!(refused.kind, ErrorKind::NotFound, "{unknown}");
    }
}

#[tokio::test]
async fn a_revocation_cut_short_is_completed_by_whoever_comes_next() {
    let world = World::new().await;
    world.issuer.crls.refresh().await.unwrap();
    world.apply("org", "organization", Some(true)).await;
    let id = world.submit("org").await;
    let issued = world
        .issuer
        .issue_event_certificate(&request(id, "org"))
        .await
        .unwrap();
    let certificate = Certificate::from_der(&issued.certificate).unwrap();
    // Dies right after the decision.
    world.truth.set_faults(|verb, key| {
        let later = key.starts_with("ledger/certificate") || key.contains("/crl/");
        (verb == Verb::Create && later).then_some(Fault::Refuse)
    });
    let reason = RevocationReason::Unspecified;
    revoke(&world.issuer, certificate.serial_hex(), reason, "o")
        .await
        .unwrap_err();
    world.truth.clear_faults();
    let (authority, truth) = (world.issuer.authority.clone(), world.truth.clone());
    let other = CrlPublisher::new(authority, truth, world.clock.clone());
    let revoked = other.refresh().await.unwrap();
    assert_eq!(revoked[0].serial, certificate.serial_hex());
    assert!(
        other
            .current(NOW)
            .unwrap()
            .find(certificate.serial())
            .is_some()
    );
}

#[tokio::test]
async fn lists_are_numbered_once_and_renewed_in_time() {
    let world = World::new().await;
    let publisher = || {
        let (authority, truth) = (world.issuer.authority.clone(), world.truth.clone());
        CrlPublisher::new(authority, truth, world.clock.clone())
    };
    let (one, two) = (publisher(), publisher());
    let numbers = |publisher: &CrlPublisher| publisher.current(NOW).unwrap().number().unwrap();
    one.refresh().await.unwrap();
    two.refresh().await.unwrap();
    assert_eq!((numbers(&one), numbers(&two)), (1, 1));
    world.clock.advance_ms(HOUR_MS);
    two.refresh().await.unwrap();
    one.refresh().await.unwrap();
    assert_eq!((numbers(&one), numbers(&two)), (2, 2));
    assert_eq!(
        publisher().current(NOW).unwrap_err().kind,
        ErrorKind::Unavailable
    );
    let later = NOW.plus_ms(26 * HOUR_MS);
    assert_eq!(one.current(later).unwrap_err().kind, ErrorKind::Unavailable);
}
