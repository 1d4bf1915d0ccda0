//! Storage's attestation: whose it is, what it speaks of, and what a policy may ask of it.

use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use probity_pki::attestation::{AttestedFinding, StorageAttestation};
use probity_pki::package::STORAGE_ATTESTATION;
use probity_pki::tlog::LogKey;
use probity_verify::{CheckName, CheckResult, Lang, Overall, Verdict};

use crate::fixture::{HOUR_MS, NOW, Scenario, World, attestation, change, check, result};
use crate::schema::Published;

/// A package whose attestation was made otherwise, sealed all the same.
fn attested(
    world: &World,
    scenario: &Scenario,
    key: &LogKey,
    change: impl FnOnce(&mut StorageAttestation),
) -> Verdict {
    let mut told = attestation(&scenario.statement, 271, 300);
    change(&mut told);
    with_note(world, told.sign(key).unwrap())
}

fn with_note(world: &World, note: Vec<u8>) -> Verdict {
    let mut scenario = world.scenario();
    scenario.sealed = false;
    let mut members = world.members(&scenario);
    members.push((STORAGE_ATTESTATION.to_owned(), note));
    world.seal(&scenario, &mut members);
    world.verify(&members)
}

const NAME: CheckName = CheckName::StorageAttestation;

#[test]
fn a_good_one_is_told_in_both_languages() {
    let world = World::new();
    let verdict = world.verify_scenario(&world.scenario());
    assert_eq!(verdict.overall, Overall::Valid);
    let found = check(&verdict, NAME);
    assert_eq!(found.result, CheckResult::Passed);
    let (en, zh) = (&found.reason.en, &found.reason.zh);
    for word in ["locked until", "3 of 3 files in a replica", "read again by"] {
        assert!(en.contains(word), "{en}");
    }
    assert!(zh.contains("3 个文件中 3 个存有副本"), "{zh}");
    let details = verdict.details_text(Lang::Chinese);
    assert!(details.contains("storage_attestation"), "{details}");
}

/// Packages made before there were attestations stay what they were; a policy may ask for one.
#[test]
fn none_is_needed_unless_a_policy_says_so() {
    let world = World::new();
    let mut scenario = world.scenario();
    scenario.attested = false;
    let verdict = world.verify_scenario(&scenario);
    assert_eq!(result(&verdict, NAME), CheckResult::NotPresent);
    assert_eq!(verdict.overall, Overall::Valid);
    let mut policy = world.policy();
    policy.required.always.insert(NAME);
    let judged = |scenario: &Scenario| {
        let bytes = crate::fixture::container(&world.members(scenario));
        probity_verify::verify_package(std::io::Cursor::new(bytes), &policy)
    };
    let verdict = judged(&scenario);
    assert_eq!(verdict.overall, Overall::Indeterminate);
    assert_eq!(verdict.missing[0].check, NAME);
    assert_eq!(judged(&world.scenario()).overall, Overall::Valid);
}

#[test]
fn it_is_of_this_evidence_at_this_time_by_this_log() {
    let world = World::new();
    let scenario = world.scenario();
    type Changed = fn(&mut StorageAttestation);
    let wrong: [(&str, Changed); 6] = [
        ("of evidence", |a| a.evidence_number.item = 4),
        ("of entry 270", |a| a.log.leaf_index = 270),
        ("files it speaks of", |a| drop(a.artifacts.pop())),
        ("another size", |a| a.artifacts[0].size_bytes = Some(1)),
        ("before the evidence", |a| {
            a.attested_at = NOW.plus_ms(-61_000)
        }),
        ("after the package", |a| {
            a.attested_at = NOW.plus_ms(HOUR_MS / 2);
        }),
    ];
    for (reason, change) in wrong {
        let verdict = attested(&world, &scenario, &world.log, change);
        let found = check(&verdict, NAME);
        assert_eq!(found.result, CheckResult::Failed, "{reason}");
        assert!(found.reason.en.contains(reason), "{}", found.reason.en);
        assert_eq!(verdict.overall, Overall::Invalid, "{reason}");
    }
    let same = attested(&world, &scenario, &world.log, |_| {});
    assert_eq!(same.overall, Overall::Valid);
    // The seal's key is delivery's: it makes no attestation good.
    let other = LogKey::generate("log.example/1", &[6; 32]).unwrap();
    let forged = attested(&world, &scenario, &other, |_| {});
    assert_eq!(result(&forged, NAME), CheckResult::Failed);
    assert_eq!(
        result(&forged, CheckName::DeliverySeal),
        CheckResult::Passed
    );
    let garbage = with_note(&world, b"nothing".to_vec());
    assert_eq!(result(&garbage, NAME), CheckResult::Failed);
}

/// Storage says so itself: nothing was forged, and nothing is established.
#[test]
fn defects_that_it_tells_of_leave_it_open() {
    let world = World::new();
    let scenario = world.scenario();
    let verdict = attested(&world, &scenario, &world.log, |a| {
        a.artifacts[1].finding = Some(AttestedFinding {
            what: "wrong".to_owned(),
            found_at: NOW,
            repaired_at: None,
        });
    });
    let found = check(&verdict, NAME);
    assert_eq!(found.result, CheckResult::Indeterminate);
    assert!(found.reason.en.contains("defects"), "{}", found.reason.en);
    assert_eq!(verdict.overall, Overall::Valid);
    let mut changed = world.members(&scenario);
    change(&mut changed, STORAGE_ATTESTATION, |note| note[60] ^= 1);
    assert_eq!(world.verify(&changed).overall, Overall::Invalid);
}

#[test]
fn it_is_of_the_published_schema() {
    let schema = Published::new(include_str!("../../schema/storage-attestation.schema.json"));
    let world = World::new();
    let mut told = attestation(&world.scenario().statement, 271, 300);
    let json = |told: &StorageAttestation| {
        let note = String::from_utf8(told.sign(&world.log).unwrap()).unwrap();
        serde_json::from_str::<serde_json::Value>(note.lines().nth(1).unwrap()).unwrap()
    };
    assert_eq!(schema.objection(&json(&told)), None);
    told.artifacts[0].finding = Some(AttestedFinding {
        what: "second_version".to_owned(),
        found_at: NOW,
        repaired_at: Some(NOW),
    });
    (told.artifacts[0].versions, told.artifacts[0].retain_until) = (None, None);
    (told.replica, told.scrub) = (None, None);
    let bare = json(&told);
    assert_eq!(schema.objection(&bare), None);
    let mut more = bare;
    more["more"] = 1.into();
    assert!(schema.objection(&more).is_some());
}

/// The note's text and signature, judged by OpenSSL with the log's public key alone.
#[test]
fn openssl_verifies_the_note_and_refuses_a_changed_one() {
    let world = World::new();
    let told = attestation(&world.scenario().statement, 271, 300);
    let note = String::from_utf8(told.sign(&world.log).unwrap()).unwrap();
    let (text, signatures) = note.rsplit_once("\n\n").unwrap();
    let text = format!("{text}\n");
    // Four bytes name the key, sixty-four are the signature (C2SP signed-note).
    let signature = signatures.trim_end().rsplit(' ').next().unwrap();
    let signature = STANDARD.decode(signature).unwrap();
    let public = world.log.verifier_key().rsplit('+').next().unwrap();
    let public = STANDARD.decode(public).unwrap();
    // RFC 8410: SubjectPublicKeyInfo of an Ed25519 key.
    let spki = [
        &[
            0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
        ],
        &public[1..],
    ]
    .concat();
    let place = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = place.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let key = file("log.der", &spki);
    let signature = file("signature", &signature[4..]);
    let verifies = |text: &str| {
        let text = file("text", text.as_bytes());
        let judged = Command::new("openssl")
            .args(["pkeyutl", "-verify", "-rawin", "-pubin", "-keyform", "DER"])
            .arg("-inkey")
            .arg(&key)
            .arg("-sigfile")
            .arg(&signature)
            .arg("-in")
            .arg(&text)
            .output()
            .unwrap();
        judged.status.success()
    };
    assert!(verifies(&text));
    assert!(!verifies(&text.replace("compliance", "governance")));
}
