//! Nothing is tied to one curve, and no parser falls over.

use probity_domain::Timestamp;
use probity_pki::asic::{DataObjectReference, Manifest};
use probity_pki::cms::{
    CommitmentType, SignRequest, SignedData, add_signature_time_stamp, sign_detached,
    verify_detached_content,
};
use probity_pki::crl::{Crl, build_crl};
use probity_pki::digest::HashAlgorithm;
use probity_pki::keys::{MemoryKey, P384Key, SignatureAlgorithm, Signer};
use probity_pki::ocsp::{OcspRequest, OcspResponse};
use probity_pki::oid;
use probity_pki::path::{Purpose, Revocation, validate_path};
use probity_pki::tsp::{Imprint, TimeStampAuthority, TimeStampReq, TimeStampResp, TimeStampToken};
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

/// A second suite from end to end: P-256 with SHA-256 for every signature, SHA3-512 and SHA3-256 for every digest.
struct Suite {
    dir: tempfile::TempDir,
    now: Timestamp,
    root: (Certificate, MemoryKey),
    issuing: (Certificate, MemoryKey),
    unit: (Certificate, MemoryKey),
    event: (Certificate, MemoryKey),
}

impl Suite {
    fn new() -> Self {
        let now = crate::fixture::now();
        let issue = |profile, serial: u8, issuer: Option<&(Certificate, MemoryKey)>| {
            let key = MemoryKey::generate_for(SignatureAlgorithm::EcdsaP256Sha256).unwrap();
            let (serial, of) = (
                [0x40 | serial; 20],
                issuer.map(|(certificate, _)| certificate),
            );
            let template = template(now, profile, "P-256", &serial, key.public_key_der(), of);
            let to_be_signed = template.to_be_signed().unwrap();
            let by = issuer.map_or(&key, |(_, key)| key);
            let certificate = sign_certificate(&to_be_signed, by).unwrap();
            assert!(!certificate.is_p384());
            (certificate, key)
        };
        let root = issue(Profile::RootCa, 1, None);
        let issuing = issue(Profile::IssuingCa, 2, Some(&root));
        let unit = issue(Profile::Tsa, 3, Some(&root));
        let event = issue(Profile::Event, 4, Some(&issuing));
        let dir = tempfile::tempdir().unwrap();
        Self {
            dir,
            now,
            root,
            issuing,
            unit,
            event,
        }
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.dir.path().join(name), bytes).unwrap();
    }

    /// `None` without the program.
    fn openssl(&self, line: &str) -> Option<bool> {
        let output = std::process::Command::new("openssl")
            .args(line.split_whitespace())
            .current_dir(self.dir.path())
            .output();
        output.ok().map(|o| o.status.success())
    }

    fn sign(&self, manifest: &[u8]) -> Vec<u8> {
        let list = |(certificate, key): &(Certificate, MemoryKey)| {
            let until = self.now.plus_ms(HOUR_MS);
            Crl::from_der(&build_crl(certificate, key, 1, self.now, until, &[]).unwrap()).unwrap()
        };
        let request = SignRequest {
            content: manifest,
            signer: &self.event.0,
            extra_certificates: &[self.issuing.0.clone(), self.root.0.clone()],
            crls: &[list(&self.root), list(&self.issuing)],
            signing_time: self.now,
            commitment: CommitmentType::ProofOfApproval,
            instruction_digest: Some([1; 32]),
        };
        sign_detached(&request, &self.event.1).unwrap()
    }

    fn token(&self, over: &[u8], hash: HashAlgorithm) -> Vec<u8> {
        let authority = TimeStampAuthority {
            certificate: self.unit.0.clone(),
            chain: vec![],
            policy: oid::POLICY_TIME_STAMP,
            accuracy_ms: 1_000,
        };
        let request = TimeStampReq::make(Imprint::of(hash, over), None, true, None).unwrap();
        authority
            .token(&request, &self.unit.1, self.now, &[7; 16])
            .unwrap()
    }
}

#[test]
fn a_second_suite_from_end_to_end() {
    let suite = Suite::new();
    let reference = |member: &str, algorithm: HashAlgorithm| DataObjectReference {
        member: member.to_owned(),
        mime_type: None,
        algorithm,
        digest: algorithm.digest(member.as_bytes()),
    };
    for imprint in [HashAlgorithm::Sha3_256, HashAlgorithm::Sha3_512] {
        let manifest = Manifest {
            signature: "META-INF/signature001.p7s".to_owned(),
            signature_mime_type: None,
            references: vec![
                reference("statement.json", HashAlgorithm::Sha3_512),
                reference("artifacts/a", HashAlgorithm::Sha3_256),
            ],
        };
        let xml = manifest.to_xml().unwrap();
        assert_eq!(Manifest::parse(&xml).unwrap(), manifest);
        let cms = suite.sign(&xml);
        let value = SignedData::from_der(&cms)
            .unwrap()
            .signature_value()
            .to_vec();
        let token = suite.token(&value, imprint);
        let cms = add_signature_time_stamp(&cms, &token).unwrap();

        let signed = SignedData::from_der(&cms).unwrap();
        assert_eq!(signed.digest_algorithm(), HashAlgorithm::Sha256);
        let signer = verify_detached_content(&signed, &xml).unwrap();
        let stamped = signed.time_stamp_token().unwrap().unwrap();
        let unit = stamped.verify(imprint, &imprint.digest(&value)).unwrap();
        let crls = Revocation::Crls {
            crls: signed.crls(),
            tolerance_ms: 0,
        };
        let roots = [suite.root.0.clone()];
        let path = |leaf: &Certificate, chain: &[Certificate], purpose| {
            validate_path(leaf, chain, &roots, crls, suite.now, purpose)
        };
        path(
            &signer.certificate,
            signed.certificates(),
            Purpose::EventSigning,
        )
        .unwrap();
        path(&unit, stamped.certificates(), Purpose::TimeStamping).unwrap();
        assert!(verify_detached_content(&signed, &[&xml[..], b" "].concat()).is_err());

        suite.write("root.pem", suite.root.0.to_pem().unwrap().as_bytes());
        for (name, bytes) in [
            ("s.p7s", &cms),
            ("m.xml", &xml),
            ("t.der", &token),
            ("v.bin", &value),
        ] {
            suite.write(name, bytes);
        }
        suite.write("changed", b"changed");
        let cades = "cms -verify -cades -binary -inform DER -in s.p7s -CAfile root.pem -purpose any \
                     -out verified -content";
        let stamp = "ts -verify -token_in -in t.der -CAfile root.pem -data";
        let Some(accepted) = suite.openssl(&format!("{cades} m.xml")) else {
            println!("SKIPPED: no openssl program, so nobody judged this");
            return;
        };
        assert!(accepted, "{imprint:?}");
        assert_eq!(suite.openssl(&format!("{cades} changed")), Some(false));
        assert_eq!(
            suite.openssl(&format!("{stamp} v.bin")),
            Some(true),
            "{imprint:?}"
        );
        assert_eq!(suite.openssl(&format!("{stamp} changed")), Some(false));
    }
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
