//! Nothing verifies after any bit of what was signed has changed.

use probity_domain::Timestamp;
use probity_pki::Error;
use probity_pki::cms::{
    CommitmentType, SignRequest, SignedData, add_signature_time_stamp, sign_detached,
    verify_detached_content,
};
use probity_pki::crl::Crl;
use probity_pki::digest::HashAlgorithm;
use probity_pki::keys::{MemoryKey, P384Key, SignatureAlgorithm, Signer, verify_signature};
use probity_pki::ocsp::{CertStatus, OcspRequest, OcspResponse, Responder, ResponseTimes};
use probity_pki::tsp::{Imprint, TimeStampReq, TimeStampToken};
use probity_pki::x509::{Certificate, sign_certificate};

use crate::fixture::{HOUR_MS, Pki, template};

/// All one-bit changes and all truncations.
fn mutations(der: &[u8]) -> impl Iterator<Item = (String, Vec<u8>)> + '_ {
    let flips = (0..der.len()).flat_map(move |at| {
        [0, 3, 7].into_iter().map(move |bit| {
            let mut bytes = der.to_vec();
            bytes[at] ^= 1 << bit;
            (format!("byte {at} bit {bit}"), bytes)
        })
    });
    let cuts = (0..der.len()).map(|length| (format!("cut to {length}"), der[..length].to_vec()));
    let tail = core::iter::once(("a byte more".to_owned(), [der, &[0]].concat()));
    flips.chain(cuts).chain(tail)
}

/// The event signature with nothing in it but what is signed.
fn minimal(pki: &Pki, content: &[u8]) -> Vec<u8> {
    let request = SignRequest {
        content,
        signer: &pki.event.certificate,
        extra_certificates: &[],
        crls: &[],
        signing_time: pki.now,
        commitment: CommitmentType::ProofOfOrigin,
        instruction_digest: None,
    };
    sign_detached(&request, &pki.event.key).unwrap()
}

#[test]
fn certificates_and_lists() {
    let pki = Pki::new();
    for (what, bytes) in mutations(pki.event.certificate.der()) {
        let verified = Certificate::from_der(&bytes)
            .and_then(|certificate| certificate.verify_issued_by(&pki.issuing.certificate));
        assert!(verified.is_err(), "{what}");
    }
    for (what, bytes) in mutations(pki.issuing_crl.der()) {
        let verified = Crl::from_der(&bytes).and_then(|crl| crl.verify(&pki.issuing.certificate));
        assert!(verified.is_err(), "{what}");
    }
}

#[test]
fn signatures() {
    let pki = Pki::new();
    let der = minimal(&pki, b"manifest");
    for (what, bytes) in mutations(&der) {
        let verified = SignedData::from_der(&bytes)
            .and_then(|signed| verify_detached_content(&signed, b"manifest"));
        assert!(verified.is_err(), "{what}");
    }
    let signed = SignedData::from_der(&der).unwrap();
    assert!(verify_detached_content(&signed, b"Manifest").is_err());
    assert!(verify_detached_content(&signed, b"").is_err());
    let of_another = HashAlgorithm::Sha256.digest(b"manifest");
    assert!(probity_pki::cms::verify_detached(&signed, &of_another).is_err());
}

#[test]
fn tokens() {
    let pki = Pki::new();
    let der = pki.token(HashAlgorithm::Sha3_256, b"signature");
    let digest = HashAlgorithm::Sha3_256.digest(b"signature");
    let verify = |der: &[u8]| {
        TimeStampToken::from_der(der)
            .and_then(|token| token.verify(HashAlgorithm::Sha3_256, &digest))
    };
    verify(&der).unwrap();
    let original = TimeStampToken::from_der(&der).unwrap();
    for (what, bytes) in mutations(&der) {
        // Version numbers and the outer list of digest algorithms are signed by nobody, and in tokens of
        // others not all are as the RFC says: such a token says the same as before.
        if let Ok(certificate) = verify(&bytes) {
            let token = TimeStampToken::from_der(&bytes).unwrap();
            assert_eq!(token.tst_info(), original.tst_info(), "{what}");
            assert_eq!(certificate, pki.tsa.certificate, "{what}");
        }
    }
    let token = TimeStampToken::from_der(&der).unwrap();
    assert!(token.verify(HashAlgorithm::Sha256, &digest).is_err());
    assert!(token.verify(HashAlgorithm::Sha3_256, &[0; 32]).is_err());
}

#[test]
fn a_token_by_another_certificate_is_none() {
    let pki = Pki::new();
    let mut authority = pki.authority();
    authority.certificate = pki.event.certificate.clone();
    let imprint = Imprint::of(HashAlgorithm::Sha256, b"x");
    let request = TimeStampReq::make(imprint, None, true, None).unwrap();
    assert!(
        authority
            .token(&request, &pki.event.key, pki.now, &[1])
            .is_err()
    );
    // The right certificate and another's key.
    assert!(
        pki.authority()
            .token(&request, &pki.event.key, pki.now, &[1])
            .is_err()
    );
    // Outside the certificate's validity.
    let late = pki.now.plus_ms(48 * HOUR_MS);
    assert!(
        pki.authority()
            .token(&request, &pki.tsa.key, late, &[1])
            .is_err()
    );
    for serial in [&[][..], &[0, 0], &[1; 21]] {
        assert!(
            pki.authority()
                .token(&request, &pki.tsa.key, pki.now, serial)
                .is_err()
        );
    }
}

#[test]
fn a_token_without_certificates_needs_one_handed_in() {
    let pki = Pki::new();
    let imprint = Imprint::of(HashAlgorithm::Sha384, b"x");
    let request = TimeStampReq::make(imprint.clone(), None, false, None).unwrap();
    let der = pki
        .authority()
        .token(&request, &pki.tsa.key, pki.now, &[1])
        .unwrap();
    let token = TimeStampToken::from_der(&der).unwrap();
    assert!(token.certificates().is_empty());
    assert!(token.verify(imprint.algorithm, &imprint.digest).is_err());
    let others = [pki.event.certificate.clone(), pki.tsa.certificate.clone()];
    assert!(
        token
            .verify_with(imprint.algorithm, &imprint.digest, &others)
            .is_ok()
    );
}

#[test]
fn a_time_stamp_belongs_to_its_signature() {
    let pki = Pki::new();
    let (first, second) = (pki.sign(b"one"), pki.sign(b"two"));
    let value = SignedData::from_der(&first)
        .unwrap()
        .signature_value()
        .to_vec();
    let token = pki.token(HashAlgorithm::Sha384, &value);
    assert!(add_signature_time_stamp(&second, &token).is_err());
    let stamped = add_signature_time_stamp(&first, &token).unwrap();
    assert!(add_signature_time_stamp(&stamped, &token).is_err());
    let signed = SignedData::from_der(&stamped).unwrap();
    let found = signed.time_stamp_token().unwrap().unwrap();
    assert_eq!(found.der(), token);
    assert_eq!(found.tst_info().gen_time, pki.now);
    assert_eq!(signed.signature_value(), value);
    assert!(
        SignedData::from_der(&first)
            .unwrap()
            .time_stamp_token()
            .unwrap()
            .is_none()
    );
}

#[test]
fn a_signature_is_stamped_once() {
    let pki = Pki::new();
    let signature = pki.sign(b"one");
    let stamp = |cms: &[u8]| {
        let authority = pki.authority();
        authority.stamp_signature(cms, &pki.tsa.key, pki.now, &[3])
    };
    let stamped = stamp(&signature).unwrap();
    let signed = SignedData::from_der(&stamped).unwrap();
    let token = signed.time_stamp_token().unwrap().unwrap();
    let hash = token.tst_info().imprint.algorithm;
    let digest = hash.digest(signed.signature_value());
    assert_eq!(token.verify(hash, &digest).unwrap(), pki.tsa.certificate);
    assert!(matches!(stamp(&stamped), Err(Error::Unsupported { .. })));
    assert!(matches!(
        stamp(&signature[1..]),
        Err(Error::Malformed { .. })
    ));
}

#[test]
fn responses() {
    let pki = Pki::new();
    let (issuer, serial) = (&pki.issuing.certificate, pki.event.certificate.serial());
    let request = probity_pki::ocsp::make_request(issuer, serial, Some(&[5; 32])).unwrap();
    let request = OcspRequest::from_der(&request).unwrap();
    let times = ResponseTimes {
        produced_at: pki.now,
        this_update: pki.now,
        next_update: pki.now.plus_ms(HOUR_MS),
    };
    let respond = |certificate: &Certificate, key: &MemoryKey| {
        Responder {
            certificate: certificate.clone(),
            issuer: issuer.clone(),
        }
        .respond(&request, key, times, &|_| CertStatus::Good)
    };
    let verify = |der: &[u8]| {
        OcspResponse::from_der(der)
            .and_then(|response| response.verify(issuer, serial, Some(&[5; 32]), pki.now))
    };
    let der = respond(&pki.ocsp.certificate, &pki.ocsp.key).unwrap();
    assert_eq!(verify(&der).unwrap(), CertStatus::Good);
    for (what, bytes) in mutations(&der) {
        assert!(verify(&bytes).is_err(), "{what}");
    }
    // A certificate of the same CA without the right purpose, and the CA itself.
    let refused = respond(&pki.event.certificate, &pki.event.key).unwrap_err();
    assert!(refused.to_string().contains("ocsp_responder"), "{refused}");
    let der = respond(&pki.issuing.certificate, &pki.issuing.key).unwrap();
    assert_eq!(verify(&der).unwrap(), CertStatus::Good);
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "the backends themselves are tested"
)]
fn two_implementations_agree_on_signatures() {
    let memory = MemoryKey::generate().unwrap();
    let pkcs8 = memory.to_pkcs8_der().unwrap();
    let pure = P384Key::from_pkcs8_der(&pkcs8).unwrap();
    assert_eq!(memory.public_key_der(), pure.public_key_der());
    assert_eq!(
        pure.sign(b"message").unwrap(),
        pure.sign(b"message").unwrap()
    );
    let algorithm = SignatureAlgorithm::EcdsaP384Sha384;
    for signer in [&memory as &dyn Signer, &pure] {
        let signature = signer.sign(b"message").unwrap();
        let verify = |message: &[u8], signature: &[u8]| {
            verify_signature(signer.public_key_der(), algorithm, message, signature)
        };
        verify(b"message", &signature).unwrap();
        assert!(verify(b"massage", &signature).is_err());
        for (what, bytes) in mutations(&signature) {
            assert!(verify(b"message", &bytes).is_err(), "{what}");
        }
        let other = SignatureAlgorithm::EcdsaP256Sha256;
        assert!(verify_signature(signer.public_key_der(), other, b"message", &signature).is_err());
    }
    let small = MemoryKey::generate_for(SignatureAlgorithm::EcdsaP256Sha256).unwrap();
    let signature = small.sign(b"message").unwrap();
    verify_signature(
        small.public_key_der(),
        small.algorithm(),
        b"message",
        &signature,
    )
    .unwrap();
    assert!(!format!("{memory:?}{pure:?}").contains(&hex(&pkcs8[20..40])));
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn issuance_is_reproducible_and_strict() {
    use probity_pki::x509::{Profile, Subject};
    let pki = Pki::new();
    let spki = pki.event.certificate.spki_der();
    let issuer = Some(&pki.issuing.certificate);
    let good = template(pki.now, Profile::Event, "Party", &[1; 16], spki, issuer);
    let bytes = good.to_be_signed().unwrap();
    assert_eq!(bytes, good.to_be_signed().unwrap());
    let certificate = sign_certificate(&bytes, &pki.issuing.key).unwrap();
    assert_eq!(certificate.to_be_signed().unwrap(), bytes.as_bytes());
    assert_eq!(certificate.instruction(), Some(crate::fixture::INSTRUCTION));
    assert_eq!(certificate.common_name().as_deref(), Some("Party"));
    assert!(certificate.is_p384());
    let other_algorithm = MemoryKey::generate_for(SignatureAlgorithm::EcdsaP256Sha256).unwrap();
    assert!(sign_certificate(&bytes, &other_algorithm).is_err());

    let change = |change: &dyn Fn(&mut probity_pki::x509::CertificateTemplate<'_>)| {
        let mut bad = good.clone();
        change(&mut bad);
        bad.to_be_signed()
    };
    assert!(change(&|t| t.serial = &[0; 16]).is_err());
    assert!(change(&|t| t.serial = &[0xff; 20]).is_err());
    assert!(change(&|t| t.serial = &[1; 21]).is_err());
    assert!(change(&|t| t.not_after = t.not_before).is_err());
    assert!(change(&|t| t.issuer = None).is_err());
    assert!(change(&|t| t.profile = Profile::RootCa).is_err());
    assert!(change(&|t| t.subject = Subject::new("")).is_err());
    assert!(change(&|t| t.subject = Subject::new("x".repeat(65))).is_err());
    assert!(change(&|t| t.subject = Subject::new("a\u{0}b")).is_err());
    assert!(change(&|t| t.subject.country = Some("China".to_owned())).is_err());
    assert!(change(&|t| t.subject.serial_number = Some("证件".to_owned())).is_err());
    assert!(change(&|t| t.spki_der = &[0x30, 0]).is_err());
    assert!(change(&|t| t.reliance_limit = Some("责".repeat(201))).is_err());
    assert!(change(&|t| t.not_before = Timestamp::from_unix_ms(0)).is_err());
}
