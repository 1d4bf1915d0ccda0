//! Packages, judged by the offline verifier and by OpenSSL.

use std::io::Cursor;
use std::process::Command;
use std::sync::Arc;

use probity_domain::Timestamp;
use probity_pki::asic::{ContainerReader, Limits};
use probity_pki::cms::{
    CommitmentType, SignRequest, SignedData, sign_detached, verify_detached_content,
};
use probity_pki::package::{
    SUBMITTER_INSTRUCTION, SUBMITTER_MANIFEST, SUBMITTER_SIGNATURE, submitter_manifest,
};
use probity_pki::statement::SubmitterSignature;
use probity_platform::ErrorKind;
use probity_platform::objects::{Buckets, MemoryObjects};
use probity_proto::stored::blob_key;
use probity_verify::{CheckName, CheckResult, Overall, Policy, verify_package};

use crate::fixture;
use crate::world::{Platform, court, proof, tenant};

fn policy(platform: &Platform) -> Policy {
    let world = &platform.evidence_world;
    let keys = vec![world.log.verifier_key().to_owned()];
    Policy::new(vec![world.root.certificate.clone()], keys, platform.now())
}

#[tokio::test]
async fn the_court_opens_a_valid_package_with_a_valid_seal() {
    let platform = Platform::new().await;
    let delivery = platform.prepared().await;
    let opened = platform
        .hangzhou
        .open(&platform.package_bytes(&delivery).await);
    let verdict = verify_package(Cursor::new(&opened), &policy(&platform));
    assert_eq!(
        verdict.overall,
        Overall::Valid,
        "{}",
        probity_verify::render(&verdict)
    );
    assert_eq!(
        verdict.check(CheckName::DeliverySeal).unwrap().result,
        CheckResult::Passed
    );
    assert_eq!(
        verdict.check(CheckName::LogInclusion).unwrap().result,
        CheckResult::Passed
    );
    let digest = fixture::stated("x", &opened).sha3_256;
    assert_eq!(delivery.package().unwrap().content_sha3_256, digest);
}

/// Over the bound of what is kept between measuring and encrypting, so that the container is made twice.
#[tokio::test]
async fn large_packages_are_made_twice_the_same() {
    let large: Vec<u8> = (0..6_000_000u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    let artifacts = vec![
        ("video.mp4".to_owned(), large),
        ("page.html".to_owned(), b"<html>".repeat(20_000)),
        ("log.jsonl".to_owned(), b"{}".to_vec()),
    ];
    let platform = Platform::with_artifacts(artifacts).await;
    let delivery = platform.prepared().await;
    let opened = platform
        .hangzhou
        .open(&platform.package_bytes(&delivery).await);
    let verdict = verify_package(Cursor::new(&opened), &policy(&platform));
    assert_eq!(
        verdict.overall,
        Overall::Valid,
        "{}",
        probity_verify::render(&verdict)
    );
}

#[tokio::test]
async fn openssl_opens_it_and_verifies_the_seal() {
    let platform = Platform::new().await;
    let delivery = platform.prepared().await;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let court = &platform.hangzhou;
    std::fs::write(path("p.p7m"), platform.package_bytes(&delivery).await).unwrap();
    std::fs::write(path("cert.pem"), court.encryption.1.to_pem().unwrap()).unwrap();
    std::fs::write(
        path("key.der"),
        &*court.encryption.0.to_pkcs8_der().unwrap(),
    )
    .unwrap();
    let root = platform.evidence_world.root.certificate.to_pem().unwrap();
    std::fs::write(path("root.pem"), root).unwrap();
    let run = |program: &str, args: &[&str]| {
        let output = Command::new(program)
            .args(args)
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{program} {args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    run(
        "openssl",
        &[
            "pkey", "-inform", "DER", "-in", "key.der", "-out", "key.pem",
        ],
    );
    run(
        "openssl",
        &[
            "cms", "-decrypt", "-binary", "-inform", "DER", "-in", "p.p7m", "-recip", "cert.pem",
            "-inkey", "key.pem", "-out", "p.asice",
        ],
    );
    let opened = std::fs::read(path("p.asice")).unwrap();
    let mut container = probity_pki::asic::ContainerReader::open(
        Cursor::new(opened),
        probity_pki::asic::Limits::default(),
    )
    .unwrap();
    for (member, file) in [
        (probity_pki::package::SEAL_MANIFEST, "seal.xml"),
        (probity_pki::package::SEAL_SIGNATURE, "seal.p7s"),
        (probity_pki::package::CERTIFICATE, "certificate.html"),
    ] {
        std::fs::write(path(file), container.read(member).unwrap()).unwrap();
    }
    // The fixture's certificates are of a fixed day.
    let at = (platform.now().unix_s()).to_string();
    run(
        "openssl",
        &[
            "cms",
            "-verify",
            "-cades",
            "-binary",
            "-inform",
            "DER",
            "-in",
            "seal.p7s",
            "-content",
            "seal.xml",
            "-CAfile",
            "root.pem",
            "-purpose",
            "any",
            "-attime",
            &at,
            "-out",
            "/dev/null",
        ],
    );
    let page = std::fs::read_to_string(path("certificate.html")).unwrap();
    assert!(page.contains(&platform.evidence.to_string()) && page.contains("log.example/1 #271"));
}

/// What a vendor signed before it submitted is in the package, whole and under the seal, and OpenSSL takes it.
#[tokio::test]
async fn the_submitters_own_signature_travels_along() {
    let truth = Arc::new(MemoryObjects::new());
    let buckets = Buckets {
        truth: truth.clone(),
        work: Arc::new(MemoryObjects::new()),
    };
    let artifacts = fixture::World::new().scenario().artifacts;
    let platform = Platform::on(buckets, artifacts).await;
    let (vendor, instruction) = (court("vendor"), br#"{"format":"probity.instruction/1"}"#);
    let sha3 = |bytes: &[u8]| fixture::stated("x", bytes).sha3_256;
    let manifest = submitter_manifest(&sha3(instruction)).unwrap();
    let request = SignRequest {
        content: &manifest,
        signer: &vendor.signing.1,
        extra_certificates: &[],
        crls: &[],
        signing_time: fixture::NOW,
        commitment: CommitmentType::ProofOfApproval,
        instruction_digest: None,
    };
    let cms = sign_detached(&request, &vendor.signing.0).unwrap();
    let key = |bytes: &[u8]| blob_key(&tenant("acme"), &sha3(bytes));
    for bytes in [&cms[..], &instruction[..]] {
        let bytes = bytes::Bytes::copy_from_slice(bytes);
        platform.truth.create(&key(&bytes), bytes).await.unwrap();
    }
    let mut scenario = platform.evidence_world.scenario();
    scenario.statement.submitter_signature = Some(SubmitterSignature {
        sha3_256: sha3(&cms),
        instruction_sha3_256: sha3(instruction),
        signer: vendor.signing.1.subject(),
    });
    *platform.outside.proof.lock().unwrap() = Some(proof(&platform.evidence_world, &scenario));
    let delivery = platform.prepared().await;
    let opened = platform
        .hangzhou
        .open(&platform.package_bytes(&delivery).await);
    let verdict = verify_package(Cursor::new(&opened), &policy(&platform));
    for check in [
        CheckName::MembersMatchManifest,
        CheckName::DeliverySeal,
        CheckName::LogInclusion,
        CheckName::StorageAttestation,
    ] {
        assert_eq!(verdict.check(check).unwrap().result, CheckResult::Passed);
    }
    let mut container = ContainerReader::open(Cursor::new(opened), Limits::default()).unwrap();
    let read = |container: &mut ContainerReader<_>, name| container.read(name).unwrap();
    assert_eq!(read(&mut container, SUBMITTER_INSTRUCTION), instruction);
    let manifest = read(&mut container, SUBMITTER_MANIFEST);
    let signed = SignedData::from_der(&read(&mut container, SUBMITTER_SIGNATURE)).unwrap();
    let signer = verify_detached_content(&signed, &manifest).unwrap();
    assert_eq!(signer.certificate, vendor.signing.1);

    // Without the instruction's own bytes nothing goes out.
    truth.forget(&key(instruction));
    let other = bytes::Bytes::from_static(b"{}");
    platform
        .truth
        .create(&key(instruction), other)
        .await
        .unwrap();
    let again = platform.request(&platform.beijing).await.id;
    let refused = platform.courier.deliver(again).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Internal, "{refused}");
}

#[tokio::test]
async fn bytes_that_are_not_their_digest_never_go_out() {
    let platform = Platform::new().await;
    let artifact = fixture::stated("log.jsonl", b"{}");
    let key = blob_key(&tenant("acme"), &artifact.sha3_256);
    platform.truth.remove(&key).await.unwrap();
    platform
        .truth
        .create(&key, bytes::Bytes::from_static(b"[]"))
        .await
        .unwrap();
    let id = platform.request(&platform.hangzhou).await.id;
    let refused = platform.courier.deliver(id).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Internal, "{refused}");
    assert!(
        platform
            .courier
            .delivery(id)
            .await
            .unwrap()
            .packages
            .is_empty()
    );
    assert!(
        platform
            .work
            .list("packages/", None, 10)
            .await
            .unwrap()
            .is_empty(),
        "nothing is left over"
    );
}

#[tokio::test]
async fn a_proof_of_something_else_is_refused() {
    let platform = Platform::new().await;
    let id = platform.request(&platform.hangzhou).await.id;
    let good = platform.outside.proof.lock().unwrap().clone().unwrap();
    let (checkpoint, inclusion) = fixture::proof_of_another(&platform.evidence_world);
    let inclusion = probity_pki::package::Inclusion::parse(&inclusion).unwrap();
    let mut other_log = good.clone();
    other_log.checkpoint = checkpoint.into();
    let hashes = inclusion
        .hashes
        .iter()
        .map(|h| bytes::Bytes::copy_from_slice(&h.0));
    other_log.hashes = hashes.collect();
    let mut short_hash = good.clone();
    short_hash.hashes[0] = bytes::Bytes::from_static(b"short");
    let mut no_record = good.clone();
    no_record.record = bytes::Bytes::from_static(b"no record");
    for bad in [other_log, short_hash, no_record] {
        *platform.outside.proof.lock().unwrap() = Some(bad);
        assert_eq!(
            platform.courier.deliver(id).await.unwrap_err().kind,
            ErrorKind::Internal
        );
    }
    *platform.outside.proof.lock().unwrap() = Some(good);
    platform.courier.deliver(id).await.unwrap();
}

/// A package goes out with storage's attestation of this evidence, or not yet.
#[tokio::test]
async fn without_storages_attestation_nothing_goes_out() {
    let platform = Platform::new().await;
    let id = platform.request(&platform.hangzhou).await.id;
    let world = &platform.evidence_world;
    let good = platform.outside.attestation.lock().unwrap().take();
    let silent = platform.courier.deliver(id).await.unwrap_err();
    assert_eq!(silent.kind, ErrorKind::Unavailable, "{silent}");
    let statement = world.scenario().statement;
    let mut another = fixture::attestation(&statement, 271, 300);
    another.evidence_number.item += 1;
    let elsewhere = fixture::attestation(&statement, 270, 300);
    for wrong in [another, elsewhere] {
        let note = wrong.sign(&world.log).unwrap();
        *platform.outside.attestation.lock().unwrap() = Some(note.into());
        let refused = platform.courier.deliver(id).await.unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Internal, "{refused}");
    }
    *platform.outside.attestation.lock().unwrap() = good;
    platform.courier.deliver(id).await.unwrap();
    let delivery = platform.courier.delivery(id).await.unwrap();
    let bytes = platform.package_bytes(&delivery).await;
    let opened = platform.hangzhou.open(&bytes);
    let verdict = verify_package(Cursor::new(&opened), &policy(&platform));
    let attested = verdict.check(CheckName::StorageAttestation).unwrap();
    assert_eq!(attested.result, CheckResult::Passed, "{attested:?}");
}

#[tokio::test]
async fn preparing_twice_at_once_leaves_one_package() {
    let platform = Platform::new().await;
    let id = platform.request(&platform.hangzhou).await.id;
    let other = platform.restarted();
    let (one, two) = tokio::join!(platform.courier.deliver(id), other.deliver(id));
    one.unwrap();
    two.unwrap();
    let delivery = platform.courier.delivery(id).await.unwrap();
    assert_eq!(delivery.packages.len(), 1);
    let left = platform.work.list("packages/", None, 10).await.unwrap();
    assert_eq!(
        left.iter().map(|l| l.key.clone()).collect::<Vec<_>>(),
        [delivery.package().unwrap().object.clone()]
    );
}

#[tokio::test]
async fn a_package_that_was_cleared_away_is_made_again() {
    let platform = Platform::new().await;
    let first = platform.prepared().await;
    let object = &first.package().unwrap().object;
    platform.work.remove(object).await.unwrap();
    let court = platform.hangzhou.caller();
    let fetch = platform.courier.fetch(&court, first.id, Some("case 1"));
    let given = platform.courier.give(fetch.await.unwrap(), None).await;
    assert_eq!(given.err().unwrap().kind, ErrorKind::Unavailable);
    assert_eq!(
        platform.outside.hints.lock().unwrap().last(),
        Some(&first.id),
        "somebody is told"
    );
    platform.courier.deliver(first.id).await.unwrap();
    let second = platform.courier.delivery(first.id).await.unwrap();
    assert_eq!(second.packages.len(), 2);
    // A receipt for the first one still counts.
    let receipt = platform
        .hangzhou
        .sign(&platform.hangzhou.receipt(&first, "receipt_only"));
    let signed = probity_delivery::receipt::SignedReceipt::decode(&receipt).unwrap();
    let done = platform
        .courier
        .hand_in(&platform.hangzhou.caller(), first.id, &signed)
        .await
        .unwrap();
    assert!(done.state.is_terminal());
}

#[tokio::test]
async fn an_expired_seal_seals_nothing() {
    let platform = Platform::new().await;
    let id = platform.request(&platform.hangzhou).await.id;
    let later = Arc::clone(&platform.clock);
    later.advance_ms(23 * fixture::HOUR_MS + fixture::HOUR_MS / 2);
    assert!(platform.evidence_world.seal.certificate.not_after() > Timestamp::from_unix_ms(0));
    later.advance_ms(fixture::HOUR_MS);
    // Recipient certificates end with it, which is found first and suspends.
    platform.courier.deliver(id).await.unwrap();
    let delivery = platform.courier.delivery(id).await.unwrap();
    assert_eq!(delivery.state.as_str(), "suspended");
    assert!(delivery.packages.is_empty());
    // Asked for again it starts over, though there is no package to start over with.
    let again = platform.request(&platform.hangzhou).await;
    assert_eq!((again.id, again.state.as_str()), (id, "requested"));
}
