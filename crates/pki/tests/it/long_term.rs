//! Signatures that are judged by their own bytes, long after (ETSI EN 319 122-1, level B-LT).

use std::process::Command;

use probity_domain::Timestamp;
use probity_pki::cms::{
    CommitmentType, SignRequest, SignedData, add_signature_time_stamp, sign_detached_with_status,
    sign_manifest, verify_detached_content,
};
use probity_pki::crl::{Crl, RevocationReason, build_crl};
use probity_pki::digest::HashAlgorithm;
use probity_pki::keys::KnownSignatures;
use probity_pki::ocsp::{
    CertStatus, OcspRequest, OcspResponse, Responder, ResponseTimes, make_request,
};
use probity_pki::path::{
    PathError, Purpose, Revocation, validate_path, validate_path_unless_known,
};
use probity_pki::{Error, Result};

use crate::fixture::{HOUR_MS, Pki};

const MANIFEST: &[u8] = b"<manifest/>";

/// The issuing CA's own answer about the event certificate.
fn status(pki: &Pki, status: CertStatus) -> OcspResponse {
    let issuer = &pki.issuing.certificate;
    let request = make_request(issuer, pki.event.certificate.serial(), None).unwrap();
    let responder = Responder {
        certificate: issuer.clone(),
        issuer: issuer.clone(),
    };
    let times = ResponseTimes {
        produced_at: pki.now,
        this_update: pki.now,
        next_update: pki.now.plus_ms(HOUR_MS),
    };
    let request = OcspRequest::from_der(&request).unwrap();
    let answer = |_: &[u8]| status;
    let der = responder.respond(&request, &pki.issuing.key, times, &answer);
    OcspResponse::from_der(&der.unwrap()).unwrap()
}

/// As the platform signs: whole path, root list, and the certificate's own status.
fn signed(pki: &Pki, of: CertStatus, crls: &[Crl]) -> Vec<u8> {
    let chain = [
        pki.issuing.certificate.clone(),
        pki.root.certificate.clone(),
    ];
    let request = SignRequest {
        content: MANIFEST,
        signer: &pki.event.certificate,
        extra_certificates: &chain,
        crls,
        signing_time: pki.now,
        commitment: CommitmentType::ProofOfApproval,
        instruction_digest: Some([4; 32]),
    };
    let cms = sign_detached_with_status(&request, &[status(pki, of)], &pki.event.key).unwrap();
    let value = SignedData::from_der(&cms).unwrap();
    let token = pki.token(HashAlgorithm::Sha3_256, value.signature_value());
    add_signature_time_stamp(&cms, &token).unwrap()
}

/// By nothing but the signature's bytes and one pinned root.
fn judged(pki: &Pki, cms: &[u8], at: Timestamp) -> Result<()> {
    judged_unless_known(pki, cms, at, None)
}

fn judged_unless_known(
    pki: &Pki,
    cms: &[u8],
    at: Timestamp,
    known: Option<&KnownSignatures>,
) -> Result<()> {
    let value = SignedData::from_der(cms)?;
    let signer = verify_detached_content(&value, MANIFEST)?;
    let kept = Revocation::Kept {
        crls: value.crls(),
        ocsp: value.ocsp_responses(),
        tolerance_ms: 0,
    };
    let roots = pki.roots();
    let path = |leaf, chain, purpose| match known {
        Some(_) => validate_path_unless_known(leaf, chain, &roots, kept, at, purpose, known),
        None => validate_path(leaf, chain, &roots, kept, at, purpose),
    };
    path(
        &signer.certificate,
        value.certificates(),
        Purpose::EventSigning,
    )?;
    let token = value.time_stamp_token()?.unwrap();
    let unit = token.verify(
        HashAlgorithm::Sha3_256,
        &HashAlgorithm::Sha3_256.digest(value.signature_value()),
    )?;
    path(&unit, token.certificates(), Purpose::TimeStamping).map(drop)
}

#[test]
fn everything_is_inside() {
    let pki = Pki::new();
    let cms = signed(&pki, CertStatus::Good, std::slice::from_ref(&pki.root_crl));
    judged(&pki, &cms, pki.now).unwrap();
    let value = SignedData::from_der(&cms).unwrap();
    assert_eq!(value.certificates().len(), 3);
    assert!(value.certificates().contains(&pki.root.certificate));
    assert_eq!((value.crls().len(), value.ocsp_responses().len()), (1, 1));
    // What one status costs, whatever else the issuer revoked.
    let bytes = value.ocsp_responses()[0].der().len();
    assert!(bytes < 512, "{bytes}");
    let other = Pki::new();
    assert!(judged(&other, &cms, pki.now).is_err(), "another root");
}

/// What is remembered of good ones helps no other: changed, revoked or out of date, it is refused as it was before.
#[test]
fn what_was_verified_before_is_computed_once_and_decides_nothing() {
    let pki = Pki::new();
    let known = KnownSignatures::new(1_000);
    let lists = std::slice::from_ref(&pki.root_crl);
    let good = signed(&pki, CertStatus::Good, lists);
    judged_unless_known(&pki, &good, pki.now, Some(&known)).unwrap();
    // The certificates of signer, issuing CA and time-stamping unit, the root's list, and the response.
    assert_eq!(known.len(), 5);
    judged_unless_known(&pki, &good, pki.now, Some(&known)).unwrap();
    assert_eq!(known.len(), 5);
    let value = SignedData::from_der(&good).unwrap();
    let unit = value.time_stamp_token().unwrap().unwrap().certificates()[0].clone();
    let parts = [
        pki.event.certificate.der(),
        pki.issuing.certificate.der(),
        pki.root_crl.der(),
        value.ocsp_responses()[0].der(),
        unit.der(),
    ];
    let mut cases: Vec<(Vec<u8>, Timestamp)> = Vec::new();
    for part in parts {
        let mut changed = good.clone();
        let at = changed.windows(part.len()).position(|w| w == part).unwrap();
        changed[at + part.len() - 1] ^= 1;
        cases.push((changed, pki.now));
    }
    let revoked = CertStatus::Revoked {
        at: pki.now.plus_ms(-1_000),
        reason: Some(RevocationReason::KeyCompromise),
    };
    cases.push((signed(&pki, revoked, lists), pki.now));
    cases.push((signed(&pki, CertStatus::Good, &[]), pki.now));
    for ms in [HOUR_MS + 1_000, -400 * 24 * HOUR_MS, 4_000 * 24 * HOUR_MS] {
        cases.push((good.clone(), pki.now.plus_ms(ms)));
    }
    for (n, (cms, at)) in cases.iter().enumerate() {
        let (before, with) = (
            judged(&pki, cms, *at).unwrap_err(),
            judged_unless_known(&pki, cms, *at, Some(&known)).unwrap_err(),
        );
        assert_eq!(before.to_string(), with.to_string(), "{n}");
    }
    let other = Pki::new();
    assert!(judged_unless_known(&other, &good, other.now, Some(&known)).is_err());
}

#[test]
fn a_status_is_needed_and_believed() {
    let pki = Pki::new();
    let root_list = [pki.root_crl.clone()];
    let error = |cms: &[u8], at| match judged(&pki, cms, at) {
        Err(Error::Path(e)) => e,
        other => panic!("{other:?}"),
    };
    let revoked = CertStatus::Revoked {
        at: pki.now.plus_ms(-1_000),
        reason: Some(RevocationReason::KeyCompromise),
    };
    // Revoked by the response although a list, made earlier, says nothing.
    let both = [pki.root_crl.clone(), pki.issuing_crl.clone()];
    let found = error(&signed(&pki, revoked, &both), pki.now);
    assert!(matches!(found, PathError::Revoked { .. }), "{found}");
    let found = error(&signed(&pki, CertStatus::Unknown, &root_list), pki.now);
    assert!(
        matches!(found, PathError::RevocationUnknown { .. }),
        "{found}"
    );
    // No list for the issuing CA itself.
    let found = error(&signed(&pki, CertStatus::Good, &[]), pki.now);
    assert!(
        matches!(found, PathError::RevocationUnknown { .. }),
        "{found}"
    );
    // Out of date at the time asked, while the certificates are not.
    let good = signed(&pki, CertStatus::Good, &root_list);
    let found = error(&good, pki.now.plus_ms(HOUR_MS + 1_000));
    assert!(
        matches!(found, PathError::RevocationUnknown { .. }),
        "{found}"
    );
    // Not yet revoked at the time asked.
    let later = CertStatus::Revoked {
        at: pki.now,
        reason: Some(RevocationReason::Superseded),
    };
    let before = pki.now.plus_ms(-1_000);
    judged(&pki, &signed(&pki, later, &root_list), before).unwrap();
}

#[test]
fn another_responder_is_not_believed() {
    let (pki, stranger) = (Pki::new(), Pki::new());
    let chain = [
        pki.issuing.certificate.clone(),
        pki.root.certificate.clone(),
    ];
    let request = SignRequest {
        content: MANIFEST,
        signer: &pki.event.certificate,
        extra_certificates: &chain,
        crls: std::slice::from_ref(&pki.root_crl),
        signing_time: pki.now,
        commitment: CommitmentType::ProofOfApproval,
        instruction_digest: None,
    };
    let foreign = [status(&stranger, CertStatus::Good)];
    let cms = sign_detached_with_status(&request, &foreign, &pki.event.key).unwrap();
    let value = SignedData::from_der(&cms).unwrap();
    let token = pki.token(HashAlgorithm::Sha3_256, value.signature_value());
    let cms = add_signature_time_stamp(&cms, &token).unwrap();
    assert!(judged(&pki, &cms, pki.now).is_err());
}

/// A manifest's signature with this list and a response.
fn bound(pki: &Pki, manifest: &[u8], crls: &[Crl]) -> Vec<u8> {
    let chain = [
        pki.issuing.certificate.clone(),
        pki.root.certificate.clone(),
    ];
    let request = SignRequest {
        content: manifest,
        signer: &pki.event.certificate,
        extra_certificates: &chain,
        crls,
        signing_time: pki.now,
        commitment: CommitmentType::ProofOfDelivery,
        instruction_digest: None,
    };
    sign_manifest(&request, &[status(pki, CertStatus::Good)], &pki.event.key).unwrap()
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let at = bytes.windows(from.len()).position(|found| found == from);
    let mut bytes = bytes.to_vec();
    bytes[at.unwrap()..][..from.len()].copy_from_slice(to);
    bytes
}

/// A list of this length by this key: the time, not what was revoked, is what differs.
fn list(pki: &Pki, length: usize, this: Timestamp) -> Crl {
    loop {
        let (root, key) = (&pki.root.certificate, &pki.root.key);
        let der = build_crl(root, key, 300, this, pki.now.plus_ms(HOUR_MS), &[]).unwrap();
        if der.len() == length {
            return Crl::from_der(&der).unwrap();
        }
    }
}

/// Revocation data lie outside of what CMS signs (RFC 5652 5.4), so that anybody could put an earlier list in a later
/// one's place.
#[test]
fn a_manifests_signature_binds_its_lists() {
    let pki = Pki::new();
    let member = probity_pki::package::SealedMember::of("a.txt", "text/plain", b"a");
    let manifest = probity_pki::package::seal_manifest(&[member]).unwrap();
    let later = list(&pki, pki.root_crl.der().len(), pki.now);
    let cms = bound(&pki, &manifest, std::slice::from_ref(&later));
    let read = |cms: &[u8]| SignedData::from_der(cms).unwrap();
    let value = read(&cms);
    verify_detached_content(&value, &manifest).unwrap();
    assert!(value.binds_status());
    assert_eq!(value.bound_crls(), [&later]);
    assert_eq!(value.bound_ocsp_responses().len(), 1);
    // Set members in the same place: both begin alike up to their times.
    let earlier = list(&pki, later.der().len(), pki.now.plus_ms(-HOUR_MS));
    let swapped = read(&replaced(&cms, later.der(), earlier.der()));
    let refused = verify_detached_content(&swapped, &manifest).unwrap_err();
    assert!(
        refused.to_string().contains("it binds is missing"),
        "{refused}"
    );
    // The token's and other signatures bind nothing.
    let unbound = read(&signed(&pki, CertStatus::Good, &[later]));
    assert!(!unbound.binds_status() && unbound.bound_crls().is_empty());
    openssl_takes(&pki, &manifest, &cms);
}

fn openssl_takes(pki: &Pki, manifest: &[u8], cms: &[u8]) {
    let dir = tempfile::tempdir().unwrap();
    let root = pki.root.certificate.to_pem().unwrap();
    for (name, bytes) in [("m", manifest), ("s", cms), ("r", root.as_bytes())] {
        std::fs::write(dir.path().join(name), bytes).unwrap();
    }
    let line =
        "cms -verify -cades -binary -inform DER -in s -content m -CAfile r -purpose any -out v";
    let output = Command::new("openssl")
        .args(line.split_whitespace())
        .current_dir(dir.path())
        .output();
    match output {
        Ok(output) => assert!(output.status.success(), "{output:?}"),
        Err(_) => println!("SKIPPED: no openssl program, so nobody judged this"),
    }
}

/// RFC 5652 5.1: version 5, because a status in another format is among the lists.
#[test]
fn openssl_reads_and_verifies_it() {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::new();
    let cms = signed(&pki, CertStatus::Good, std::slice::from_ref(&pki.root_crl));
    let write = |name: &str, bytes: &[u8]| std::fs::write(dir.path().join(name), bytes).unwrap();
    write("s.p7s", &cms);
    write("m.xml", MANIFEST);
    write("changed.xml", b"<manifest />");
    write(
        "root.pem",
        pki.root.certificate.to_pem().unwrap().as_bytes(),
    );
    let openssl = |line: &str| {
        let output = Command::new("openssl")
            .args(line.split_whitespace())
            .current_dir(dir.path())
            .output();
        output.ok().map(|o| {
            (
                o.status.success(),
                String::from_utf8_lossy(&o.stdout).into_owned(),
            )
        })
    };
    let verify = |content: &str| {
        openssl(&format!(
            "cms -verify -cades -binary -inform DER -in s.p7s -content {content} -CAfile root.pem \
             -purpose any -out verified"
        ))
    };
    let Some((accepted, _)) = verify("m.xml") else {
        println!("SKIPPED: no openssl program, so nobody judged this");
        return;
    };
    assert!(accepted);
    assert!(!verify("changed.xml").unwrap().0);
    let (_, printed) = openssl("cms -cmsout -print -noout -inform DER -in s.p7s").unwrap();
    assert!(printed.contains("version: 5"), "{printed}");
    assert!(
        printed.contains("1.3.6.1.5.5.7.16.2") || printed.contains("other"),
        "{printed}"
    );
}
