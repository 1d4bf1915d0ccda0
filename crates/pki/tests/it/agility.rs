//! Nothing is tied to one curve, and no parser falls over.

use probity_domain::Timestamp;
use probity_pki::cms::{
    CommitmentType, SignRequest, SignedData, sign_detached, verify_detached_content,
};
use probity_pki::crl::{Crl, build_crl};
use probity_pki::digest::HashAlgorithm;
use probity_pki::keys::{MemoryKey, P384Key, SignatureAlgorithm, Signer};
use probity_pki::ocsp::{OcspRequest, OcspResponse};
use probity_pki::path::{Purpose, Revocation, validate_path};
use probity_pki::tsp::{TimeStampReq, TimeStampResp, TimeStampToken};
use probity_pki::x509::{Certificate, Csr, Profile, sign_certificate};
use proptest::prelude::*;

use crate::fixture::{HOUR_MS, Pki, template};

#[test]
fn curves_mix_in_one_path() {
    let now = Timestamp::from_unix_ms(1_800_000_000_000);
    let root_key = MemoryKey::generate_for(SignatureAlgorithm::EcdsaP256Sha256).unwrap();
    let issuing_key = P384Key::from_scalar(&[3; 48]).unwrap();
    let event_key = MemoryKey::generate_for(SignatureAlgorithm::EcdsaP256Sha256).unwrap();
    let issue = |profile, name, key: &dyn Signer, issuer, issuer_key: &dyn Signer| {
        let serial = [0x7f; 20];
        let template = template(now, profile, name, &serial, key.public_key_der(), issuer);
        sign_certificate(&template.to_be_signed().unwrap(), issuer_key).unwrap()
    };
    let root = issue(Profile::RootCa, "Root", &root_key, None, &root_key);
    let issuing = issue(
        Profile::IssuingCa,
        "Issuing",
        &issuing_key,
        Some(&root),
        &root_key,
    );
    let event = issue(
        Profile::Event,
        "Party",
        &event_key,
        Some(&issuing),
        &issuing_key,
    );
    assert!(issuing.is_p384() && !event.is_p384());

    let list = |issuer: &Certificate, key: &dyn Signer| {
        let der = build_crl(issuer, key, 1, now, now.plus_ms(HOUR_MS), &[]).unwrap();
        Crl::from_der(&der).unwrap()
    };
    let crls = [list(&root, &root_key), list(&issuing, &issuing_key)];
    let revocation = Revocation::Crls {
        crls: &crls,
        tolerance_ms: 0,
    };
    let (chain, roots) = ([issuing.clone()], [root]);
    validate_path(
        &event,
        &chain,
        &roots,
        revocation,
        now,
        Purpose::EventSigning,
    )
    .unwrap();

    let request = SignRequest {
        content: b"manifest",
        signer: &event,
        extra_certificates: &chain,
        crls: &crls,
        signing_time: now,
        commitment: CommitmentType::ProofOfDelivery,
        instruction_digest: None,
    };
    let signed = SignedData::from_der(&sign_detached(&request, &event_key).unwrap()).unwrap();
    assert_eq!(signed.digest_algorithm(), HashAlgorithm::Sha256);
    let signer = verify_detached_content(&signed, b"manifest").unwrap();
    assert_eq!(signer.signing_time, Some(now));
    assert_eq!(signer.commitment, Some(CommitmentType::ProofOfDelivery));
    assert!(sign_detached(&request, &root_key).is_err());
}

fn parse_all(bytes: &[u8]) {
    let _ = Certificate::from_der(bytes);
    let _ = Crl::from_der(bytes);
    let _ = Csr::from_der(bytes);
    let _ = SignedData::from_der(bytes);
    let _ = TimeStampReq::from_der(bytes);
    let _ = TimeStampResp::from_der(bytes);
    let _ = TimeStampToken::from_der(bytes);
    let _ = OcspRequest::from_der(bytes);
    let _ = OcspResponse::from_der(bytes);
    let text = String::from_utf8_lossy(bytes);
    let _ = Certificate::chain_from_pem(&text);
    let _ = MemoryKey::from_encrypted_pem(&text, b"x");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_are_refused_in_peace(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        parse_all(&bytes);
        let mut sequence = vec![0x30, 0x82];
        sequence.extend(u16::try_from(bytes.len()).unwrap().to_be_bytes());
        sequence.extend(bytes);
        parse_all(&sequence);
    }
}

#[test]
fn spliced_structures_are_refused_in_peace() {
    let pki = Pki::new();
    let signature = pki.sign(b"manifest");
    let token = pki.token(HashAlgorithm::Sha256, b"x");
    let certificate = pki.event.certificate.der();
    for whole in [&signature, &token, certificate] {
        for at in (0..whole.len()).step_by(7) {
            let (head, tail) = whole.split_at(at);
            parse_all(tail);
            parse_all(&[head, &token, tail].concat());
            parse_all(&[head, &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff], tail].concat());
        }
    }
}
