//! A package with its policy, measurements and verdict, and the formats inside it, as an earlier version wrote them.

use std::io::Cursor;
use std::sync::LazyLock;

use probity_domain::Record;
use probity_pki::asic::ContainerReader;
use probity_pki::attestation::StorageAttestation;
use probity_pki::cms::SignedData;
use probity_pki::package::{
    EVENT_MANIFEST, EVENT_SIGNATURE, INCLUSION, Inclusion, STATEMENT, event_manifest,
};
use probity_pki::statement::Statement;
use probity_pki::tlog::{
    Checkpoint, LogVerifier, decode_bundle, decode_index, encode_bundle, encode_index,
};
use probity_testkit::Golden;
use probity_verify::{
    Diagnostic, Limits, Overall, Policy, Verdict, examine, judge, verify_package,
};
use serde_json::{Value, json};

use crate::fixture::{World, attestation, container};

/// One for all tests here: files that are missing are made from one world.
static WORLD: LazyLock<World> = LazyLock::new(World::new);

fn golden(name: &str, today: impl FnOnce() -> Vec<u8>) -> Vec<u8> {
    Golden::of(env!("CARGO_MANIFEST_DIR")).read(name, today)
}

/// Packages of different days: the first, and one with storage's attestation inside.
const DAYS: [&str; 2] = ["", "attested/"];

fn package(day: &str) -> Vec<u8> {
    golden(&format!("{day}evidence.asice"), || {
        container(&WORLD.members(&WORLD.scenario()))
    })
}

fn policy(day: &str) -> Vec<u8> {
    golden(&format!("{day}policy.json"), || {
        WORLD.policy().to_json().into_bytes()
    })
}

fn diagnostic(day: &str) -> Vec<u8> {
    golden(&format!("{day}diagnostic.json"), || {
        let bytes = package(day);
        let measured = examine(Cursor::new(&bytes), Limits::default());
        measured.to_json().into_bytes()
    })
}

/// What may not change: the verdict, and what every check of that day came to.
fn outcome(verdict: &Verdict) -> Value {
    let checks = verdict.checks.iter();
    let results =
        checks.map(|check| (check.name.as_str().to_owned(), json!(check.result.as_str())));
    json!({
        "overall": verdict.overall.as_str(),
        "checks": results.collect::<serde_json::Map<_, _>>(),
    })
}

#[track_caller]
fn as_then(verdict: &Verdict, then: &Value) {
    let now = outcome(verdict);
    assert_eq!(now["overall"], then["overall"], "{verdict:?}");
    for (check, result) in then["checks"].as_object().unwrap() {
        assert_eq!(now["checks"].get(check), Some(result), "{check}");
    }
}

#[test]
fn yesterdays_package_has_yesterdays_verdict() {
    for day in DAYS {
        let bytes = package(day);
        let policy = policy(day);
        let policy_read = Policy::parse(&policy, WORLD.policy().at).unwrap();
        assert_eq!(policy_read.to_json().as_bytes(), policy);
        let verdict = verify_package(Cursor::new(&bytes), &policy_read);
        let then = golden(&format!("{day}outcome.json"), || {
            outcome(&verdict).to_string().into_bytes()
        });
        let then: Value = serde_json::from_slice(&then).unwrap();
        assert_eq!(then["overall"], "valid");
        as_then(&verdict, &then);
        let attested = then["checks"].get("storage_attestation");
        let passed = json!("passed");
        assert_eq!(attested, (!day.is_empty()).then_some(&passed));

        let diagnostic = diagnostic(day);
        let read = Diagnostic::parse(&diagnostic).unwrap();
        assert_eq!(read.to_json().as_bytes(), diagnostic);
        as_then(&judge(&read, &policy_read), &then);

        // Yesterday's trust does not make today's forgery good.
        let mut changed = bytes;
        let middle = changed.len() / 2;
        changed[middle] ^= 1;
        let verdict = verify_package(Cursor::new(&changed), &policy_read);
        assert_ne!(verdict.overall, Overall::Valid);
    }
}

#[test]
fn newer_documents_are_refused_by_name() {
    let newer = |bytes: Vec<u8>, name: &str| {
        let text = String::from_utf8(bytes).unwrap();
        let newer = text.replacen(&format!("{name}/1"), &format!("{name}/2"), 1);
        assert_ne!(newer, text);
        newer
    };
    let policy = newer(policy(""), "probity.policy");
    let refused = Policy::parse(policy.as_bytes(), WORLD.policy().at).unwrap_err();
    assert!(
        refused.to_string().contains("probity.policy/2"),
        "{refused}"
    );
    let diagnostic = newer(diagnostic(""), "probity.diagnostic");
    let refused = Diagnostic::parse(diagnostic.as_bytes()).err().unwrap();
    assert!(
        refused.to_string().contains("probity.diagnostic/2"),
        "{refused}"
    );
    let bytes = package("");
    let mut members = ContainerReader::open(Cursor::new(&bytes), Limits::default()).unwrap();
    let statement = newer(members.read(STATEMENT).unwrap(), "probity.statement");
    let refused = Statement::parse(statement.as_bytes()).unwrap_err();
    assert!(
        refused.to_string().contains("probity.statement/2"),
        "{refused}"
    );
}

/// What is read from yesterday's package is written again the same.
#[test]
fn yesterdays_members_are_written_the_same() {
    let bytes = package("");
    let mut members = ContainerReader::open(Cursor::new(&bytes), Limits::default()).unwrap();
    let mut member = |name: &str| members.read(name).unwrap();
    let (statement, manifest) = (member(STATEMENT), member(EVENT_MANIFEST));
    let (signature, inclusion) = (member(EVENT_SIGNATURE), member(INCLUSION));
    let stated = Statement::parse(&statement).unwrap();
    assert_eq!(stated.to_bytes().unwrap(), statement);
    assert_eq!(event_manifest(&stated, &statement).unwrap(), manifest);
    let signed = SignedData::from_der(&signature).unwrap();
    assert_eq!(signed.der(), signature);
    let proved = Inclusion::parse(&inclusion).unwrap();
    assert_eq!(proved.to_bytes().unwrap(), inclusion);

    let record = Record {
        evidence: stated.evidence_number,
        statement,
        manifest,
        signature,
    };
    let entry = golden("record.bin", || record.encode().unwrap());
    assert_eq!(record.encode().unwrap(), entry);
    assert_eq!(Record::decode(&entry).unwrap(), record);
    let bundle = golden("bundle.bin", || encode_bundle(&[&entry, &entry]).unwrap());
    assert_eq!(encode_bundle(&[&entry, &entry]).unwrap(), bundle);
    assert_eq!(decode_bundle(&bundle, 2).unwrap(), [&entry, &entry]);
    let numbers = [stated.evidence_number, stated.evidence_number];
    let index = golden("index.bin", || encode_index(&numbers));
    assert_eq!(encode_index(&numbers), index);
    assert_eq!(decode_index(&index).unwrap(), numbers);
}

/// Ed25519 signs the same the same, so the note is a format to the last byte.
#[test]
fn yesterdays_checkpoint_is_signed_the_same() {
    let world = &*WORLD;
    let checkpoint = Checkpoint {
        origin: "log.example/1".to_owned(),
        size: 70_000,
        root: probity_pki::tlog::leaf_hash(b"a root"),
    };
    let note = golden("checkpoint", || checkpoint.sign(&world.log).unwrap());
    assert_eq!(checkpoint.sign(&world.log).unwrap(), note);
    let pinned = [LogVerifier::parse(world.log.verifier_key()).unwrap()];
    let read = Checkpoint::verify(&note, &pinned).unwrap();
    assert_eq!((read.size, read.root), (checkpoint.size, checkpoint.root));
}

/// So is storage's attestation.
#[test]
fn yesterdays_attestation_is_signed_the_same() {
    let world = &*WORLD;
    let told = attestation(&world.scenario().statement, 271, 300);
    let note = golden("attestation", || told.sign(&world.log).unwrap());
    assert_eq!(told.sign(&world.log).unwrap(), note);
    let pinned = [LogVerifier::parse(world.log.verifier_key()).unwrap()];
    assert_eq!(StorageAttestation::verify(&note, &pinned).unwrap(), told);
}
