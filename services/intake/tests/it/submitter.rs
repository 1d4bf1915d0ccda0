//! The submitter's own signature on its instruction: taken, kept, and refused for each reason.

use std::process::Command;

use axum::body::Body;
use http::Method;
use probity_domain::{Sha3_256, SubmissionId, Timestamp};
use probity_intake::submitter;
use probity_pki::cms::{CommitmentType, SignRequest, sign_detached};
use probity_pki::digest::HashAlgorithm;
use probity_pki::keys::{MemoryKey, Signer as _};
use probity_pki::package::submitter_manifest;
use probity_pki::x509::{
    Addresses, Certificate, CertificateTemplate, Profile, Subject, sign_certificate,
};
use probity_platform::objects::Objects as _;
use probity_platform::{ErrorKind, Result};
use probity_proto::stored::{read_submission, submission_key};
use serde_json::{Value, json};

use crate::world::{World, digest, instruction, item, request};

const NOW: Timestamp = Timestamp::from_unix_ms(1_795_000_000_000);
const DAY_MS: i64 = 24 * 3_600_000;

struct Holder {
    key: MemoryKey,
    certificate: Certificate,
}

fn issue(profile: Profile, issuer: Option<&Holder>, not_after: Timestamp) -> Holder {
    let key = MemoryKey::generate().unwrap();
    let template = CertificateTemplate {
        profile,
        serial: &[0x61; 16],
        subject: Subject::new("Acme Ltd"),
        spki_der: key.public_key_der(),
        not_before: NOW.plus_ms(-10 * DAY_MS),
        not_after,
        issuer: issuer.map(|holder| &holder.certificate),
        addresses: Addresses::default(),
        reliance_limit: None,
        instruction: None,
    };
    let to_be_signed = template.to_be_signed().unwrap();
    let signer = issuer.map_or(&key, |holder| &holder.key);
    let certificate = sign_certificate(&to_be_signed, signer).unwrap();
    Holder { key, certificate }
}

/// A vendor with a certificate of its own authority.
struct Vendor {
    ca: Holder,
    own: Holder,
}

impl Vendor {
    fn new() -> Self {
        let ca = issue(Profile::RootCa, None, NOW.plus_ms(900 * DAY_MS));
        let own = issue(Profile::CourtSigning, Some(&ca), NOW.plus_ms(DAY_MS));
        Self { ca, own }
    }

    fn sign(&self, instruction: &[u8]) -> Vec<u8> {
        sign(&self.own, instruction, CommitmentType::ProofOfApproval)
    }

    fn roots(&self) -> Vec<Certificate> {
        vec![self.ca.certificate.clone()]
    }
}

fn sha3(bytes: &[u8]) -> Sha3_256 {
    let digest = HashAlgorithm::Sha3_256.digest(bytes);
    Sha3_256(digest.try_into().unwrap())
}

fn sign(by: &Holder, instruction: &[u8], commitment: CommitmentType) -> Vec<u8> {
    let request = SignRequest {
        content: &submitter_manifest(&sha3(instruction)).unwrap(),
        signer: &by.certificate,
        extra_certificates: &[],
        crls: &[],
        signing_time: NOW.min(by.certificate.not_after()),
        commitment,
        instruction_digest: None,
    };
    sign_detached(&request, &by.key).unwrap()
}

async fn world_trusting(vendor: &Vendor) -> (World, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let roots = dir.path().join("roots.pem");
    std::fs::write(&roots, vendor.ca.certificate.to_pem().unwrap()).unwrap();
    let world = World::start_with(json!({"submitter_roots_file": roots})).await;
    (world, dir)
}

async fn submit_signed(world: &World, instruction: &[u8], signature: &str) -> (u16, Value) {
    let intent = world.intent(instruction).await;
    let request = request(Method::POST, "/v1/submissions", &world.vendor)
        .header("idempotency-key", "key-1")
        .header("probity-intent", intent)
        .header("probity-submitter-signature", signature)
        .body(Body::from(instruction.to_vec()))
        .unwrap();
    let (status, _, bytes) = world.send(request).await;
    let answer = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    (status.as_u16(), answer)
}

#[tokio::test]
async fn a_signed_instruction_is_kept_with_its_signature() {
    let vendor = Vendor::new();
    let (world, _dir) = world_trusting(&vendor).await;
    let instruction = instruction("c", vec![item(vec![world.upload(b"one").await])]);
    let cms = vendor.sign(&instruction);
    let digest = sha3(&cms).to_hex();
    // Named before it is there.
    let (status, problem) = submit_signed(&world, &instruction, &digest).await;
    assert_eq!(status, 400, "{problem}");
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("upload them first"),
        "{problem}"
    );
    assert!(
        world
            .truth
            .list("submissions/", None, 10)
            .await
            .unwrap()
            .is_empty()
    );

    world.upload(&cms).await;
    let (status, submitted) = submit_signed(&world, &instruction, &digest).await;
    assert_eq!(status, 200, "{submitted}");
    let id = SubmissionId::parse(submitted["submission"].as_str().unwrap()).unwrap();
    let object = world
        .truth
        .get(&submission_key(id), 1 << 20)
        .await
        .unwrap()
        .unwrap();
    let kept = read_submission(&object.bytes)
        .unwrap()
        .submitter_signature
        .clone()
        .unwrap();
    assert_eq!(
        (kept.sha3_256, kept.instruction_sha3_256),
        (sha3(&cms), sha3(&instruction))
    );
    assert_eq!(kept.signer, vendor.own.certificate.subject());
    for bytes in [&cms, &instruction] {
        let key = format!("blobs/acme/{}", sha3(bytes).to_hex());
        let object = world.truth.get(&key, 1 << 20).await.unwrap().unwrap();
        assert_eq!(object.bytes, *bytes);
    }
    // Again, with a signature made again: the same submission.
    let again = vendor.sign(&instruction);
    world.upload(&again).await;
    let answer = submit_signed(&world, &instruction, &sha3(&again).to_hex()).await;
    assert_eq!(answer, (200, submitted));
}

#[tokio::test]
async fn a_signature_is_not_added_later() {
    let vendor = Vendor::new();
    let (world, _dir) = world_trusting(&vendor).await;
    let instruction = instruction("c", vec![item(vec![world.upload(b"one").await])]);
    let intent = world.intent(&instruction).await;
    assert_eq!(
        world.submit(&instruction, "key-1", Some(&intent)).await.0,
        200
    );
    let cms = vendor.sign(&instruction);
    world.upload(&cms).await;
    let (status, problem) = submit_signed(&world, &instruction, &sha3(&cms).to_hex()).await;
    assert_eq!(status, 409, "{problem}");
}

#[tokio::test]
async fn oversize_and_nonsense_are_refused_before_they_are_read() {
    let vendor = Vendor::new();
    let (world, _dir) = world_trusting(&vendor).await;
    let instruction = instruction("c", vec![item(vec![world.upload(b"one").await])]);
    let large = vec![0x30; 65 * 1024];
    world.put(digest(&large), &large).await;
    let (status, problem) = submit_signed(&world, &instruction, &sha3(&large).to_hex()).await;
    assert_eq!(status, 400);
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("at most 65536"),
        "{problem}"
    );
    assert_eq!(
        submit_signed(&world, &instruction, "not-a-digest").await.0,
        400
    );
    // Without roots none is taken, good or not.
    let world = World::start().await;
    let cms = vendor.sign(&instruction);
    world.upload(&cms).await;
    world.upload(b"one").await;
    let (status, problem) = submit_signed(&world, &instruction, &sha3(&cms).to_hex()).await;
    assert_eq!(status, 403, "{problem}");
    assert!(
        problem["detail"].as_str().unwrap().contains("no roots"),
        "{problem}"
    );
}

/// One row per reason.
#[test]
fn each_reason_to_refuse() {
    let (vendor, stranger) = (Vendor::new(), Vendor::new());
    let instruction = b"{}";
    let good = vendor.sign(instruction);
    let until = |days: i64| NOW.plus_ms(days * DAY_MS);
    let expired = issue(Profile::CourtSigning, Some(&vendor.ca), until(-1));
    let unit = issue(Profile::Tsa, Some(&vendor.ca), until(1));
    let approval = CommitmentType::ProofOfApproval;
    let mut wrong_key = good.clone();
    let value = probity_pki::cms::SignedData::from_der(&good).unwrap();
    let of_other = vendor.sign(instruction);
    let other = probity_pki::cms::SignedData::from_der(&of_other).unwrap();
    let at = good
        .windows(value.signature_value().len())
        .position(|w| w == value.signature_value())
        .unwrap();
    let last = at + value.signature_value().len() - 1;
    wrong_key[last] ^= 1;
    assert_ne!(value.signature_value(), other.signature_value());
    // Indefinite length (X.690 8.1.3.6) instead of 82 xx xx.
    let ber = [&[0x30, 0x80], &good[4..], &[0, 0]].concat();
    use ErrorKind::{Forbidden, Malformed};
    let rows: [(&str, Vec<u8>, ErrorKind, &str); 10] = [
        ("wrong key", wrong_key, Malformed, "not made by this key"),
        (
            "altered instruction",
            vendor.sign(b"{ }"),
            Malformed,
            "message digest differs",
        ),
        (
            "expired",
            sign(&expired, instruction, approval),
            Forbidden,
            "has expired",
        ),
        (
            "unknown root",
            stranger.sign(instruction),
            Forbidden,
            "trusted",
        ),
        (
            "time-stamping unit",
            sign(&unit, instruction, approval),
            Forbidden,
            "no purpose that",
        ),
        (
            "a carrier's commitment",
            sign(&vendor.own, instruction, CommitmentType::ProofOfDelivery),
            Malformed,
            "another purpose",
        ),
        ("BER", ber, Malformed, "malformed"),
        (
            "trailing bytes",
            [&good[..], &[0]].concat(),
            Malformed,
            "malformed",
        ),
        (
            "cut",
            good[..good.len() - 1].to_vec(),
            Malformed,
            "malformed",
        ),
        ("nothing", Vec::new(), Malformed, "malformed"),
    ];
    let verify = |cms: &[u8]| -> Result<Certificate> {
        submitter::verify(cms, &sha3(instruction), &vendor.roots(), NOW)
    };
    assert_eq!(verify(&good).unwrap(), vendor.own.certificate);
    for (why, cms, kind, reason) in rows {
        let e = verify(&cms).unwrap_err();
        assert_eq!(e.kind, kind, "{why}: {e}");
        assert!(e.detail.contains(reason), "{why}: {e}");
        assert!(e.detail.starts_with("submitter signature"), "{why}: {e}");
    }
}

/// A vendor needs none of our programs: the manifest is a small XML document, the rest is OpenSSL.
#[test]
fn a_signature_made_by_openssl_is_taken() {
    let vendor = Vendor::new();
    let Some(cms) = signed_by_openssl(&vendor.own, b"{}") else {
        return;
    };
    let signer = submitter::verify(&cms, &sha3(b"{}"), &vendor.roots(), NOW).unwrap();
    assert_eq!(signer, vendor.own.certificate);
    assert!(submitter::verify(&cms, &sha3(b"{ }"), &vendor.roots(), NOW).is_err());
}

/// Our own signing refuses a certificate for encryption; another program does not.
#[test]
fn a_certificate_for_encryption_does_not_sign() {
    let vendor = Vendor::new();
    let until = NOW.plus_ms(DAY_MS);
    let encryption = issue(Profile::CourtEncryption, Some(&vendor.ca), until);
    let Some(cms) = signed_by_openssl(&encryption, b"{}") else {
        return;
    };
    let refused = submitter::verify(&cms, &sha3(b"{}"), &vendor.roots(), NOW).unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Forbidden, "{refused}");
    assert!(refused.detail.contains("keyUsage"), "{refused}");
}

fn signed_by_openssl(by: &Holder, instruction: &[u8]) -> Option<Vec<u8>> {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(dir.path().join(name), bytes).unwrap();
    write("key.der", &by.key.to_pkcs8_der().unwrap());
    write("cert.pem", by.certificate.to_pem().unwrap().as_bytes());
    let manifest = submitter_manifest(&sha3(instruction)).unwrap();
    write("manifest.xml", &manifest);
    let openssl = |line: &str| {
        let output = Command::new("openssl")
            .args(line.split_whitespace())
            .current_dir(dir.path())
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        Ok::<_, std::io::Error>((output.status.success(), said))
    };
    let Ok((made, said)) = openssl("pkey -inform DER -in key.der -out key.pem") else {
        println!("SKIPPED: no openssl program, so nobody else signed");
        return None;
    };
    assert!(made, "{said}");
    let (signed, said) = openssl(
        "cms -sign -cades -binary -nosmimecap -md sha384 -outform DER -in manifest.xml -signer cert.pem \
         -inkey key.pem -out s.p7s",
    )
    .unwrap();
    assert!(signed, "{said}");
    Some(std::fs::read(dir.path().join("s.p7s")).unwrap())
}
