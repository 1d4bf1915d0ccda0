//! `probity verify` as scripts meet it: every output, every exit code.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use probity_pki::cms::{CommitmentType, SignRequest, sign_detached};
use probity_pki::crl::{Crl, RevocationReason, RevokedEntry, build_crl};
use probity_pki::digest::HashAlgorithm;
use probity_pki::x509::{Profile, Subject};
use serde_json::Value;

use crate::fixture::{EVENT_SERIAL, HOUR_MS, NOW, Scenario, World, certified, change, container};
use crate::probity;

const PINS: [&str; 4] = ["--roots", "root.pem", "--log-key", "log.vkey"];

/// A folder with a package and what it is verified by.
fn folder(world: &World, alter: impl FnOnce(&mut Scenario)) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut scenario = world.scenario();
    alter(&mut scenario);
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    write("p.asice", &container(&world.members(&scenario)));
    write(
        "root.pem",
        world.root.certificate.to_pem().unwrap().as_bytes(),
    );
    write("log.vkey", world.log.verifier_key().as_bytes());
    folder
}

/// Exit code and standard output, as of an hour after the evidence.
fn verify(folder: &Path, arguments: &[&str]) -> (i32, String) {
    let at = NOW.plus_ms(HOUR_MS).to_rfc3339();
    let arguments = [&["verify"], arguments, &["--at", &at]].concat();
    let output = probity(&arguments, folder);
    let text = String::from_utf8(output.stdout).unwrap();
    (output.status.code().unwrap(), text)
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn every_exit_code_with_its_document() {
    let world = World::new();
    let good = folder(&world, |_| {});
    let run = |arguments: &[&str]| verify(good.path(), &[arguments, &PINS, &["--json"]].concat());
    let (code, text) = run(&["p.asice"]);
    assert_eq!((code, &json(&text)["overall"]), (0, &"valid".into()));
    let mut bytes = std::fs::read(good.path().join("p.asice")).unwrap();
    bytes.push(0);
    std::fs::write(good.path().join("changed.asice"), &bytes).unwrap();
    let (code, text) = run(&["changed.asice"]);
    assert_eq!((code, &json(&text)["overall"]), (1, &"invalid".into()));
    let unsealed = folder(&world, |scenario| scenario.sealed = false);
    let (code, text) = verify(
        unsealed.path(),
        &[&["p.asice", "--json"], &PINS[..]].concat(),
    );
    let verdict = json(&text);
    assert_eq!((code, &verdict["overall"]), (2, &"indeterminate".into()));
    assert_eq!(verdict["missing"][0]["check"], "delivery_seal");
    for arguments in [
        &["missing.asice"][..],
        &["p.asice", "--nonsense"],
        &["p.asice", "--policy", "log.vkey"],
    ] {
        let (code, text) = run(arguments);
        assert_eq!(code, 3, "{arguments:?}");
        let document = json(&text);
        assert_eq!(document["format"], "probity.error/1", "{arguments:?}");
        assert!(!document["error"].as_str().unwrap().is_empty());
    }
}

#[test]
fn pages_and_details_in_both_languages() {
    let folder = folder(&World::new(), |_| {});
    for (flags, said) in [
        (&["--summary", "en"][..], "Who submitted it: Acme"),
        (&["--summary", "zh"], "提交人：Acme"),
        (&["--details", "zh"], "证书链至"),
        (&[], "leads to CN=Root"),
    ] {
        let (code, text) = verify(folder.path(), &[&["p.asice"], flags, &PINS].concat());
        assert_eq!(code, 0, "{text}");
        assert!(text.contains(said), "{text}");
    }
    let (code, _) = verify(
        folder.path(),
        &[
            "p.asice",
            "--json",
            "--summary",
            "en",
            "--roots",
            "root.pem",
        ],
    );
    assert_eq!(code, 3);
}

#[test]
fn diagnostic_data_are_judged_again_without_the_package() {
    let folder = folder(&World::new(), |_| {});
    let (code, data) = verify(
        folder.path(),
        &[&["p.asice", "--diagnostic"], &PINS[..]].concat(),
    );
    assert_eq!(code, 0);
    std::fs::write(folder.path().join("d.json"), &data).unwrap();
    std::fs::remove_file(folder.path().join("p.asice")).unwrap();
    let again = [&["--from-diagnostic", "d.json", "--json"], &PINS[..]].concat();
    let (code, text) = verify(folder.path(), &again);
    assert_eq!((code, &json(&text)["source"]), (0, &"diagnostic".into()));
    // Another policy: one that trusts somebody else.
    let printed = probity(&["policy"], folder.path());
    assert!(printed.status.success());
    std::fs::write(folder.path().join("other.json"), printed.stdout).unwrap();
    let other = [
        "--from-diagnostic",
        "d.json",
        "--json",
        "--policy",
        "other.json",
    ];
    let (code, text) = verify(folder.path(), &other);
    assert_eq!(code, 2, "{text}");
    let missing = json(&text)["missing"].to_string();
    assert!(
        missing.contains("no root certificate is pinned"),
        "{missing}"
    );
    std::fs::write(
        folder.path().join("d.json"),
        data.replacen("\"holds\"", "\"held\"", 1),
    )
    .unwrap();
    assert_eq!(verify(folder.path(), &again).0, 3);
}

#[test]
fn a_policy_with_its_pins_needs_no_flags() {
    let folder = folder(&World::new(), |_| {});
    let printed = probity(&[&["policy"], &PINS[..]].concat(), folder.path());
    std::fs::write(folder.path().join("policy.json"), printed.stdout).unwrap();
    let (code, text) = verify(
        folder.path(),
        &["p.asice", "--policy", "policy.json", "--json"],
    );
    assert_eq!(code, 0, "{text}");
    assert_eq!(json(&text)["policy"]["name"], "probity-default");
    assert_eq!(verify(folder.path(), &["p.asice"]).0, 3);
}

/// A list that was published since, in either form; and a root for time-stamps alone.
#[test]
fn newer_lists_and_other_roots_are_handed_in() {
    let (world, other) = (World::new(), World::new());
    let folder = folder(&world, |_| {});
    let path = |name: &str| folder.path().join(name);
    let entry = RevokedEntry {
        serial: EVENT_SERIAL.to_vec(),
        at: NOW.plus_ms(-60_000),
        reason: Some(RevocationReason::KeyCompromise),
        invalid_since: None,
    };
    let (this, next) = (NOW.plus_ms(HOUR_MS), NOW.plus_ms(2 * HOUR_MS));
    let (issuer, key) = (&world.issuing.certificate, &world.issuing.key);
    let der = build_crl(issuer, key, 9, this, next, &[entry]).unwrap();
    std::fs::write(path("new.crl"), &der).unwrap();
    let pem = Crl::from_der(&der).unwrap().to_pem().unwrap();
    std::fs::write(path("new.pem"), pem).unwrap();
    std::fs::write(path("tsa.pem"), other.root.certificate.to_pem().unwrap()).unwrap();
    let run = |flags: &[&str]| {
        let arguments = [&["p.asice", "--json"], flags, &PINS[..]].concat();
        let (code, text) = verify(folder.path(), &arguments);
        (code, json(&text))
    };
    assert_eq!(run(&[]).0, 0);
    for list in ["new.crl", "new.pem"] {
        let (code, verdict) = run(&["--crl", list]);
        assert_eq!(code, 1);
        assert_eq!(verdict["handed_in"]["revocation_lists"], 1);
    }
    let (code, verdict) = run(&["--tsa-roots", "tsa.pem"]);
    assert_eq!((code, &verdict["overall"]), (1, &"invalid".into()));
    for flags in [
        ["--crl", "p.asice"],
        ["--ocsp", "new.crl"],
        ["--recipient", "x"],
    ] {
        let (code, verdict) = run(&flags);
        assert_eq!((code, &verdict["format"]), (3, &"probity.error/1".into()));
    }
}

/// The receipt of `probity court` over this very package.
#[test]
fn a_receipt_is_checked_beside_the_package() {
    let (world, court) = (World::new(), World::new());
    let folder = folder(&world, |_| {});
    let path = |name: &str| folder.path().join(name);
    let package = std::fs::read(path("p.asice")).unwrap();
    let digest = HashAlgorithm::Sha3_256.digest(&package);
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let receipt = probity_proto::http::ReceiptDocument {
        format: probity_proto::http::RECEIPT_FORMAT.to_owned(),
        delivery: "0192d7a4-5b1e-7c3a-8f00-0123456789ab".to_owned(),
        recipient: "hangzhou".to_owned(),
        evidence: world.scenario().statement.evidence_number.to_string(),
        package_sha256: "ab".repeat(32),
        content_sha3_256: Some(hex),
        scope: "technical_conformity_confirmed".to_owned(),
        received_at: NOW.plus_ms(HOUR_MS / 2).to_rfc3339(),
        place: "Hangzhou".to_owned(),
    };
    let document = serde_json::to_vec(&receipt).unwrap();
    let subject = Subject::new("Court");
    let issuer = Some(&court.issuing);
    let signing = certified(Profile::CourtSigning, subject, &[9; 16], issuer, None);
    let request = SignRequest {
        content: &document,
        signer: &signing.certificate,
        extra_certificates: std::slice::from_ref(&court.issuing.certificate),
        crls: &court.crls(&court.scenario()),
        signing_time: NOW.plus_ms(HOUR_MS / 2),
        commitment: CommitmentType::ProofOfReceipt,
        instruction_digest: None,
    };
    let signature = sign_detached(&request, &signing.key).unwrap();
    let whole = serde_json::json!({
        "receipt": STANDARD.encode(&document), "signature": STANDARD.encode(&signature),
    });
    for (name, bytes) in [
        ("receipt.json", &document),
        ("receipt.p7s", &signature),
        ("whole.json", &serde_json::to_vec(&whole).unwrap()),
    ] {
        std::fs::write(path(name), bytes).unwrap();
    }
    std::fs::write(path("court.pem"), court.root.certificate.to_pem().unwrap()).unwrap();
    std::fs::write(path("signing.pem"), signing.certificate.to_pem().unwrap()).unwrap();
    let mut flags = vec![
        "p.asice",
        "--json",
        "--receipt",
        "receipt.json",
        "--receipt-signature",
        "receipt.p7s",
        "--recipient-roots",
        "court.pem",
    ];
    let checked = |flags: &[&str]| {
        let (_, text) = verify(folder.path(), &[flags, &PINS].concat());
        let verdict = json(&text);
        let mut checks = verdict["checks"].as_array().unwrap().iter();
        checks.find(|c| c["name"] == "receipt").unwrap()["result"].clone()
    };
    // Of one of the courts under that root, but of which?
    assert_eq!(checked(&flags), "indeterminate");
    flags.extend(["--recipient", "hangzhou=signing.pem"]);
    assert_eq!(checked(&flags), "passed");
    // As a court hands it out, in one file; and what is no such file is wrong use.
    let whole = [
        &["p.asice", "--json", "--receipt", "whole.json"],
        &flags[6..],
    ]
    .concat();
    assert_eq!(checked(&whole), "passed");
    let no_receipt = [
        &["p.asice", "--json", "--receipt", "receipt.p7s"],
        &flags[6..],
        &PINS[..],
    ]
    .concat();
    let (code, text) = verify(folder.path(), &no_receipt);
    assert_eq!(
        (code, &json(&text)["format"]),
        (3, &"probity.error/1".into())
    );
    // The same evidence in another package: other bytes, so not what was acknowledged.
    let mut members = world.members(&world.scenario());
    change(&mut members, "certificate.html", |bytes| bytes.push(b' '));
    std::fs::write(path("p.asice"), container(&members)).unwrap();
    assert_eq!(checked(&flags), "failed");
}
