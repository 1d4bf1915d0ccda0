//! Decoders of single formats: what is accepted is canonical, bounded, and comes out as it went in.

use probity_domain::{
    ArtifactName, CaseId, EvidenceId, MediaType, PartyId, Record, SubmissionId, Timestamp,
};
use probity_pki::asic::Manifest;
use probity_pki::attestation::StorageAttestation;
use probity_pki::cms::{SignedData, verify_detached_content};
use probity_pki::crl::{Crl, RevocationReason, RevokedEntry, build_crl};
use probity_pki::digest::HashAlgorithm;
use probity_pki::ocsp::{
    CertStatus, OcspRequest, OcspResponse, Responder, ResponseTimes, make_request,
};
use probity_pki::oid;
use probity_pki::package::{
    CHECKPOINT, EVENT_MANIFEST, EVENT_SIGNATURE, INCLUSION, Inclusion, SEAL_MANIFEST,
    SEAL_SIGNATURE, STATEMENT, STORAGE_ATTESTATION,
};
use probity_pki::statement::Statement;
use probity_pki::tlog::{
    Checkpoint, LogVerifier, check_inclusion, decode_bundle, decode_index, encode_bundle,
    encode_index, leaf_hash,
};
use probity_pki::tsp::{
    Imprint, PkiFailureInfo, TimeStampAuthority, TimeStampReq, TimeStampResp, TimeStampToken,
    refusal,
};
use probity_pki::x509::{Certificate, Csr, Subject, make_csr};

use crate::decoders::{Decoder, Known};
use crate::fixture::{EVENT_SERIAL, HOUR_MS, NOW};
use crate::tlv::Element;

macro_rules! decoders {
    ($($name:ident: $seeds:expr;)*) => {
        /// One line for each format: its name, which is also the property's, and good bytes.
        pub const DECODERS: &[Decoder] = &[
            $(Decoder { name: stringify!($name), check: $name, seeds: $seeds },)*
        ];
    };
}

decoders! {
    words: |known| [known.scenario.statement.evidence_number.to_string(),
        known.scenario.statement.submission.to_string(), NOW.to_rfc3339(), "artifacts/截图 1.png".to_owned(),
        "text/html; charset=utf-8".to_owned(), "(2026)京0491民初12345号".to_owned(), "acme-ltd".to_owned(),
        known.world.log.verifier_key().to_owned()].map(String::into_bytes).to_vec();
    record: |known| vec![known.record()];
    certificate: |known| known.certificates().iter().map(|c| c.der().to_vec()).collect();
    pem: |known| vec![known.certificates().iter().map(|c| c.to_pem().unwrap()).collect::<String>().into_bytes()];
    csr: |known| vec![make_csr(&known.court.key, &Subject::new("Acme")).unwrap()];
    crl: |known| vec![known.crl(), known.signature(EVENT_SIGNATURE).crls()[0].der().to_vec()];
    ocsp_request: |known| [None, Some(&[5; 32][..])].map(|nonce| known.ocsp_request(nonce)).to_vec();
    ocsp_response: |known| [None, Some(&[5; 32][..])].map(|nonce| known.ocsp_response(nonce)).to_vec();
    time_stamp_request: |known| known.time_stamp_requests().iter().map(|r| r.to_der().unwrap()).collect();
    time_stamp_response: |known| known.time_stamp_responses();
    time_stamp_token: |known| vec![known.world.token(SIGNED, NOW)];
    signed_data: |known| [EVENT_SIGNATURE, SEAL_SIGNATURE].map(|name| known.member(name)).to_vec();
    manifest: |known| [EVENT_MANIFEST, SEAL_MANIFEST].map(|name| known.member(name)).to_vec();
    statement: |known| vec![known.member(STATEMENT)];
    inclusion: |known| vec![known.member(INCLUSION)];
    checkpoint: |known| vec![known.member(CHECKPOINT)];
    storage_attestation: |known| vec![known.member(STORAGE_ATTESTATION)];
    entry_bundle: |known| vec![[vec![3], encode_bundle(&[known.record(), vec![], vec![7; 9]]).unwrap()].concat()];
    index_tile: |known| vec![encode_index(&[known.scenario.statement.evidence_number; 3])];
}

/// What the tokens that are made here cover.
const SIGNED: &[u8] = b"signature value";

impl Known {
    fn record(&self) -> Vec<u8> {
        let record = Record {
            evidence: self.scenario.statement.evidence_number,
            statement: self.member(STATEMENT),
            manifest: self.member(EVENT_MANIFEST),
            signature: self.member(EVENT_SIGNATURE),
        };
        record.encode().unwrap()
    }

    fn signature(&self, name: &str) -> SignedData {
        SignedData::from_der(&self.member(name)).unwrap()
    }

    fn certificates(&self) -> Vec<Certificate> {
        let world = &self.world;
        let made = [
            &world.root,
            &world.issuing,
            &world.tsa,
            &world.seal,
            &self.court,
        ];
        let event = self
            .signature(EVENT_SIGNATURE)
            .signer_certificate()
            .unwrap()
            .clone();
        made.map(|holder| holder.certificate.clone())
            .into_iter()
            .chain([event])
            .collect()
    }

    fn crl(&self) -> Vec<u8> {
        let revoked = RevokedEntry {
            serial: EVENT_SERIAL.to_vec(),
            at: NOW,
            reason: Some(RevocationReason::KeyCompromise),
            invalid_since: None,
        };
        let issuing = &self.world.issuing;
        let next = NOW.plus_ms(HOUR_MS);
        build_crl(&issuing.certificate, &issuing.key, 7, NOW, next, &[revoked]).unwrap()
    }

    fn ocsp_request(&self, nonce: Option<&[u8]>) -> Vec<u8> {
        make_request(&self.world.issuing.certificate, &EVENT_SERIAL, nonce).unwrap()
    }

    fn ocsp_answer(&self, request: &OcspRequest) -> Vec<u8> {
        let times = ResponseTimes {
            produced_at: NOW,
            this_update: NOW,
            next_update: NOW.plus_ms(HOUR_MS),
        };
        // The CA answers for itself (RFC 6960 4.2.2.2).
        let certificate = &self.world.issuing.certificate;
        let responder = Responder {
            certificate: certificate.clone(),
            issuer: certificate.clone(),
        };
        let status = |serial: &[u8]| match serial == EVENT_SERIAL {
            true => CertStatus::Good,
            false => CertStatus::Unknown,
        };
        responder
            .respond(request, &self.world.issuing.key, times, &status)
            .unwrap()
    }

    fn ocsp_response(&self, nonce: Option<&[u8]>) -> Vec<u8> {
        self.ocsp_answer(&OcspRequest::from_der(&self.ocsp_request(nonce)).unwrap())
    }

    fn authority(&self) -> TimeStampAuthority {
        TimeStampAuthority {
            certificate: self.world.tsa.certificate.clone(),
            chain: Vec::new(),
            policy: oid::POLICY_TIME_STAMP,
            accuracy_ms: 1_000,
        }
    }

    fn time_stamp_requests(&self) -> Vec<TimeStampReq> {
        let of = |algorithm| Imprint::of(algorithm, SIGNED);
        let policy = Some(oid::POLICY_TIME_STAMP);
        let make = TimeStampReq::make;
        HashAlgorithm::ALL
            .map(|algorithm| make(of(algorithm), Some(&[0xfe; 8]), true, policy).unwrap())
            .into_iter()
            .chain([make(of(HashAlgorithm::Sha256), None, false, None).unwrap()])
            .collect()
    }

    fn time_stamp_responses(&self) -> Vec<Vec<u8>> {
        let requests = self.time_stamp_requests();
        let granted = requests.iter().map(|request| {
            let authority = self.authority();
            authority
                .respond(request, &self.world.tsa.key, NOW, &[9])
                .unwrap()
        });
        let refused = refusal(PkiFailureInfo::TimeNotAvailable, "no clock").unwrap();
        granted.chain([refused]).collect()
    }
}

/// The rules of DER, by an implementation of their own.
#[track_caller]
fn assert_der(bytes: &[u8]) {
    let is_der = Element::parse(bytes, false).is_some_and(|element| element.is_der());
    assert!(is_der, "accepted, and not DER");
}

/// Identifiers, names and times: what is read is written in a form that reads the same.
fn words(_: &Known, bytes: &[u8]) {
    let Ok(text) = core::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(id) = EvidenceId::parse(text) {
        assert_eq!(EvidenceId::parse(&id.to_string()).unwrap(), id);
        assert_eq!(EvidenceId::from_bytes(id.to_bytes()).unwrap(), id);
    }
    if let Ok(id) = SubmissionId::parse(text) {
        assert_eq!(id.to_string(), text.to_ascii_lowercase());
    }
    if let Ok(at) = Timestamp::parse_rfc3339(text) {
        assert_eq!(Timestamp::parse_rfc3339(&at.to_rfc3339()).unwrap(), at);
    }
    if let Ok(name) = ArtifactName::parse(text) {
        assert_eq!(name.as_str(), text);
        assert!(
            !text.contains(['\\', '\0']) && !text.split('/').any(|s| matches!(s, "" | "." | ".."))
        );
    }
    if let Ok(kind) = MediaType::parse(text) {
        assert_eq!(MediaType::parse(kind.as_str()).unwrap(), kind);
    }
    for written in [
        CaseId::parse(text).map(|c| c.to_string()),
        PartyId::parse(text).map(|p| p.to_string()),
    ] {
        assert!(written.is_err() || written == Ok(text.to_owned()));
    }
    if let Ok(key) = LogVerifier::parse(text) {
        assert!(text.trim().starts_with(key.name()));
    }
}

fn record(_: &Known, bytes: &[u8]) {
    if let Ok(record) = Record::decode(bytes) {
        assert_eq!(record.encode().unwrap(), bytes);
    }
}

fn certificate(known: &Known, bytes: &[u8]) {
    let Ok(certificate) = Certificate::from_der(bytes) else {
        return;
    };
    assert_eq!(certificate.der(), bytes);
    assert_der(bytes);
    let pem = certificate.to_pem().unwrap();
    assert_eq!(Certificate::from_pem(&pem).unwrap(), certificate);
    let _ = (
        certificate.subject(),
        certificate.issuer(),
        certificate.common_name(),
    );
    let _ = (
        certificate.organization(),
        certificate.organization_identifier(),
    );
    assert!(
        certificate.is_valid_at(certificate.not_before())
            || certificate.not_after() < certificate.not_before()
    );
    if certificate
        .verify_issued_by(&known.world.issuing.certificate)
        .is_ok()
    {
        assert_eq!(
            certificate.issuer(),
            known.world.issuing.certificate.subject()
        );
    }
}

fn pem(_: &Known, bytes: &[u8]) {
    let Ok(text) = core::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(chain) = Certificate::chain_from_pem(text) {
        let again: String = chain.iter().map(|one| one.to_pem().unwrap()).collect();
        assert_eq!(Certificate::chain_from_pem(&again).unwrap(), chain);
    }
    let _ = (Csr::from_pem(text), Crl::from_pem(text));
}

fn csr(_: &Known, bytes: &[u8]) {
    if let Ok(csr) = Csr::from_der(bytes) {
        assert_der(bytes);
        assert_der(csr.spki_der());
        let _ = csr.subject();
    }
}

fn crl(known: &Known, bytes: &[u8]) {
    let Ok(crl) = Crl::from_der(bytes) else {
        return;
    };
    assert_eq!(crl.der(), bytes);
    assert_der(bytes);
    for entry in crl.revoked() {
        assert_eq!(crl.find(&entry.serial).unwrap().serial, entry.serial);
    }
    assert_eq!(Crl::from_pem(&crl.to_pem().unwrap()).unwrap(), crl);
    let _ = (crl.number(), crl.verify(&known.world.issuing.certificate));
}

/// Every accepted request gets an answer, and its asker can use it.
fn ocsp_request(known: &Known, bytes: &[u8]) {
    let Ok(request) = OcspRequest::from_der(bytes) else {
        return;
    };
    assert_der(bytes);
    let response = OcspResponse::from_der(&known.ocsp_answer(&request)).unwrap();
    let issuer = &known.world.issuing.certificate;
    assert!(request.serials_of(issuer).count() <= 64);
    for serial in request.serials_of(issuer) {
        if let Ok(status) = response.verify(issuer, serial, request.nonce(), NOW) {
            assert_eq!(status == CertStatus::Good, serial == EVENT_SERIAL);
        }
    }
}

fn ocsp_response(known: &Known, bytes: &[u8]) {
    let Ok(response) = OcspResponse::from_der(bytes) else {
        return;
    };
    assert_der(bytes);
    let issuer = &known.world.issuing.certificate;
    if let Ok(status) = response.verify(issuer, &EVENT_SERIAL, None, NOW) {
        assert_eq!((status, response.produced_at()), (CertStatus::Good, NOW));
    }
}

/// A request has one encoding, and what is accepted is stamped.
fn time_stamp_request(known: &Known, bytes: &[u8]) {
    let request = match TimeStampReq::from_der(bytes) {
        Ok(request) => request,
        Err(e) => {
            let failure = PkiFailureInfo::of(&e);
            assert_ne!(failure, PkiFailureInfo::SystemFailure, "{e}");
            return;
        }
    };
    assert_eq!(request.to_der().unwrap(), bytes);
    let response = known
        .authority()
        .respond(&request, &known.world.tsa.key, NOW, &[9]);
    match response {
        Ok(der) => {
            let response = TimeStampResp::from_der(&der).unwrap();
            // Without certReq the asker has the certificate already.
            assert!(!request.cert_req || response.token_for(&request).is_ok());
        }
        Err(e) => assert_eq!(
            PkiFailureInfo::of(&e),
            PkiFailureInfo::UnacceptedPolicy,
            "{e}"
        ),
    }
}

fn time_stamp_response(known: &Known, bytes: &[u8]) {
    match TimeStampResp::from_der(bytes) {
        Ok(TimeStampResp::Granted(token)) => time_stamp_token(known, token.der()),
        Ok(TimeStampResp::Refused { status, text, .. }) => {
            assert!(status > 1 && text.len() <= bytes.len() * 2);
        }
        Err(_) => {}
    }
}

/// A token that verifies by the key of the unit here is one of those that were made here.
fn time_stamp_token(known: &Known, bytes: &[u8]) {
    let Ok(token) = TimeStampToken::from_der(bytes) else {
        return;
    };
    assert_eq!(token.der(), bytes);
    let info = token.tst_info();
    let unit = token.verify(info.imprint.algorithm, &info.imprint.digest);
    if unit.is_ok_and(|unit| unit.spki_der() == known.world.tsa.certificate.spki_der()) {
        assert_eq!(info.imprint, Imprint::of(info.imprint.algorithm, SIGNED));
        assert_eq!((info.gen_time, info.accuracy_us), (NOW, Some(1_000_000)));
    }
}

/// One signature has one encoding, and holds for the manifest it was made over.
fn signed_data(known: &Known, bytes: &[u8]) {
    let Ok(signed) = SignedData::from_der(bytes) else {
        return;
    };
    assert_eq!(signed.der(), bytes);
    assert_der(bytes);
    let _ = signed.time_stamp_token();
    let manifests = [EVENT_MANIFEST, SEAL_MANIFEST].map(|name| known.member(name));
    for (manifest, serial) in manifests.iter().zip([EVENT_SERIAL, [0x45; 16]]) {
        if let Ok(signer) = verify_detached_content(&signed, manifest) {
            assert_eq!(signer.certificate.serial(), serial);
        }
    }
}

fn manifest(_: &Known, bytes: &[u8]) {
    if let Ok(manifest) = Manifest::parse(bytes) {
        assert_eq!(
            Manifest::parse(&manifest.to_xml().unwrap()).unwrap(),
            manifest
        );
        for reference in &manifest.references {
            assert_eq!(manifest.reference(&reference.member), Some(reference));
        }
    }
}

fn statement(_: &Known, bytes: &[u8]) {
    if let Ok(statement) = Statement::parse(bytes) {
        assert_eq!(
            Statement::parse(&statement.to_bytes().unwrap()).unwrap(),
            statement
        );
    }
}

fn inclusion(_: &Known, bytes: &[u8]) {
    if let Ok(inclusion) = Inclusion::parse(bytes) {
        assert_eq!(
            Inclusion::parse(&inclusion.to_bytes().unwrap()).unwrap(),
            inclusion
        );
        let (size, index) = (inclusion.tree_size, inclusion.leaf_index);
        // A path from this leaf leads to some root, and hardly to that of nothing.
        let root = probity_pki::tlog::EMPTY_ROOT;
        assert!(check_inclusion(&inclusion.hashes, size, root, index, leaf_hash(b"")).is_err());
    }
}

fn checkpoint(known: &Known, bytes: &[u8]) {
    let pinned = LogVerifier::parse(known.world.log.verifier_key()).unwrap();
    let parsed = Checkpoint::parse_unverified(bytes);
    if let Ok(verified) = Checkpoint::verify(bytes, &[pinned]) {
        assert_eq!(verified.origin, known.world.log.name());
        assert_eq!(parsed.unwrap(), verified);
    }
}

fn storage_attestation(known: &Known, bytes: &[u8]) {
    let pinned = LogVerifier::parse(known.world.log.verifier_key()).unwrap();
    let parsed = StorageAttestation::parse_unverified(bytes);
    if let Ok(verified) = StorageAttestation::verify(bytes, &[pinned]) {
        assert_eq!(verified.log.origin, known.world.log.name());
        assert_eq!(parsed.unwrap(), verified);
    }
    // No bytes are both.
    assert!(
        StorageAttestation::parse_unverified(bytes).is_err()
            || Checkpoint::parse_unverified(bytes).is_err()
    );
}

/// The first byte is the number of entries.
fn entry_bundle(_: &Known, bytes: &[u8]) {
    let Some((width, bytes)) = bytes.split_first() else {
        return;
    };
    if let Ok(entries) = decode_bundle(bytes, (*width).into()) {
        assert_eq!(encode_bundle(&entries).unwrap(), bytes);
    }
}

fn index_tile(_: &Known, bytes: &[u8]) {
    if let Ok(numbers) = decode_index(bytes) {
        assert_eq!(encode_index(&numbers), bytes);
    }
}
