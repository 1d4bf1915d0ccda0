//! Packages that are consistent in themselves but not what they claim.

use std::io::Cursor;

use probity_pki::crl::{RevocationReason, RevokedEntry};
use probity_pki::package::{
    self, CHECKPOINT, EVENT_MANIFEST, EVENT_SIGNATURE, INCLUSION, STATEMENT,
};
use probity_pki::statement::PartyKind;
use probity_pki::tlog::LogKey;
use probity_pki::x509::{Profile, certified_name};
use probity_verify::{CheckName, CheckResult, Overall, Policy, verify_package};

use crate::fixture::{
    EVENT_SERIAL, HOUR_MS, Members, NOW, SEAL_SERIAL, Scenario, World, change, container, failed,
    proof_of_another, result, stated,
};

fn altered(world: &World, alter: impl FnOnce(&mut Scenario)) -> Vec<CheckName> {
    let mut scenario = world.scenario();
    alter(&mut scenario);
    let verdict = world.verify_scenario(&scenario);
    assert_ne!(verdict.overall, Overall::Valid);
    failed(&verdict)
}

#[test]
fn another_world_is_not_trusted() {
    let (world, forger) = (World::new(), World::new());
    let verdict = world.verify(&forger.members(&forger.scenario()));
    let expected = [
        CheckName::SigningCertificate,
        CheckName::TimeStampAuthority,
        CheckName::DeliverySeal,
        CheckName::SealTimeStamp,
    ];
    assert_eq!(failed(&verdict), expected);
}

/// Whom a verifier trusts for time it need not trust for anything else, nor the other way round.
#[test]
fn time_stamps_have_roots_of_their_own() {
    let (world, other) = (World::new(), World::new());
    let bytes = container(&world.members(&world.scenario()));
    let judged = |roots: &World, tsa_roots: &World| {
        let policy = Policy {
            roots: vec![roots.root.certificate.clone()],
            tsa_roots: vec![tsa_roots.root.certificate.clone()],
            ..world.policy()
        };
        let again = Policy::parse(policy.to_json().as_bytes(), policy.at).unwrap();
        assert_eq!(again.tsa_roots, policy.tsa_roots);
        failed(&verify_package(Cursor::new(&bytes), &policy))
    };
    assert_eq!(judged(&world, &world), []);
    let time_stamps = [CheckName::TimeStampAuthority, CheckName::SealTimeStamp];
    assert_eq!(judged(&world, &other), time_stamps);
    let others = [CheckName::SigningCertificate, CheckName::DeliverySeal];
    assert_eq!(judged(&other, &world), others);
}

#[test]
fn another_logs_key_is_not_trusted() {
    let world = World::new();
    let bytes = container(&world.members(&world.scenario()));
    for (name, seed) in [("log.example/1", [6; 32]), ("log.example/2", [5; 32])] {
        let other = LogKey::generate(name, &seed)
            .unwrap()
            .verifier_key()
            .to_owned();
        let policy = Policy {
            log_verifier_keys: vec![other],
            ..world.policy()
        };
        let verdict = verify_package(Cursor::new(&bytes), &policy);
        let signed = [CheckName::LogInclusion, CheckName::StorageAttestation];
        assert_eq!(failed(&verdict), signed);
    }
}

/// Statement, manifest and seal are made anew around a changed file; the event signature stays.
#[test]
fn a_new_manifest_does_not_go_with_the_old_signature() {
    let world = World::new();
    let mut scenario = world.scenario();
    let honest = world.members(&scenario);
    let signature = honest
        .iter()
        .find(|(name, _)| name == EVENT_SIGNATURE)
        .unwrap()
        .1
        .clone();
    scenario.artifacts[0].1 = b"<html>other</html>".to_vec();
    scenario.statement.artifacts[0] = stated("page.html", b"<html>other</html>");
    scenario.sealed = false;
    let mut members = world.members(&scenario);
    change(&mut members, EVENT_SIGNATURE, |bytes| *bytes = signature);
    world.seal(&scenario, &mut members);
    let verdict = world.verify(&members);
    assert_eq!(
        failed(&verdict),
        [CheckName::Signature, CheckName::LogInclusion]
    );
}

#[test]
fn a_time_stamp_of_another_signature_does_not_count() {
    let world = World::new();
    let mut scenario = world.scenario();
    scenario.gen_time = None;
    scenario.sealed = false;
    let mut members = world.members(&scenario);
    // The library refuses to add such a token, so the right one is put in and its signature replaced.
    let manifest = members
        .iter()
        .find(|(name, _)| name == EVENT_MANIFEST)
        .unwrap()
        .1
        .clone();
    scenario.gen_time = Some(NOW);
    let mut stamped = world.event_signature(&scenario, &manifest);
    let signed = probity_pki::cms::SignedData::from_der(&stamped).unwrap();
    let value = signed.signature_value().to_vec();
    let at = stamped
        .windows(value.len())
        .position(|window| window == value)
        .unwrap();
    stamped[at + value.len() - 1] ^= 1;
    change(&mut members, EVENT_SIGNATURE, |bytes| *bytes = stamped);
    world.seal(&scenario, &mut members);
    let verdict = world.verify(&members);
    assert!(
        failed(&verdict).contains(&CheckName::TimeStamp),
        "{:?}",
        failed(&verdict)
    );
    assert_eq!(verdict.when, None);
}

#[test]
fn times_that_cannot_be() {
    let world = World::new();
    let future = NOW.plus_ms(2 * HOUR_MS);
    assert!(altered(&world, |s| s.gen_time = Some(future)).contains(&CheckName::TimeStamp));
    let before_issue = |s: &mut Scenario| s.gen_time = Some(NOW.plus_ms(-HOUR_MS / 2));
    let received_after = [CheckName::Statement, CheckName::Intent];
    assert_eq!(altered(&world, before_issue), received_after);
    let sealed_early = |s: &mut Scenario| s.sealed_at = NOW.plus_ms(-HOUR_MS / 2);
    let early = [CheckName::DeliverySeal, CheckName::StorageAttestation];
    assert_eq!(altered(&world, sealed_early), early);
    let sealed_late = |s: &mut Scenario| s.sealed_at = future;
    let late = [CheckName::DeliverySeal, CheckName::SealTimeStamp];
    assert_eq!(altered(&world, sealed_late), late);
}

#[test]
fn a_certificate_revoked_before_does_not_count() {
    let world = World::new();
    let revoke = |serial: &[u8]| {
        let (serial, at) = (serial.to_vec(), NOW.plus_ms(-60_000));
        vec![RevokedEntry {
            serial,
            at,
            reason: Some(RevocationReason::KeyCompromise),
            invalid_since: None,
        }]
    };
    let event = altered(&world, |s| s.revoked = revoke(&EVENT_SERIAL));
    assert_eq!(event, [CheckName::CertificateStatus]);
    let seal = altered(&world, |s| s.revoked = revoke(&SEAL_SERIAL));
    assert_eq!(seal, [CheckName::DeliverySeal]);
}

#[test]
fn a_certificate_for_something_else_does_not_count() {
    let world = World::new();
    let failed = altered(&world, |s| s.event_profile = Profile::Seal);
    assert_eq!(failed, [CheckName::KeyUsage, CheckName::Statement]);
}

#[test]
fn a_certificate_of_another_party_or_instruction_does_not_count() {
    let world = World::new();
    let name = altered(&world, |s| s.certified_name = "Other".to_owned());
    assert_eq!(name, [CheckName::Statement]);
    let other = "0192d7a4-5b1e-7c3a-8f00-0123456789ab".to_owned();
    let submission = altered(&world, |s| s.certified_instruction = other);
    assert_eq!(submission, [CheckName::Statement]);
    let instruction = altered(&world, |s| s.signed_instruction = [5; 32]);
    assert_eq!(instruction, [CheckName::Statement]);
}

/// No part of a name or number stands for the whole, and what one side leaves out differs.
#[test]
fn an_identity_that_differs_in_part_does_not_count() {
    let world = World::new();
    let identified = |identifier: Option<&str>| {
        let identifier = identifier.map(str::to_owned);
        altered(&world, |s| s.statement.submitter.identifier = identifier)
    };
    // The certificate says NTRCN-91110000600037341L.
    for other in [
        Some("600037341L"),
        Some("NTRCN-91110000600037341L"),
        Some(""),
        None,
    ] {
        assert_eq!(identified(other), [CheckName::Statement], "{other:?}");
    }
    // Beyond what a certificate has room for.
    let long = |end: &str| format!("{}{end}", "名".repeat(64));
    let certified = |name: String| {
        let mut scenario = world.scenario();
        scenario.statement.submitter.name = long("甲");
        scenario.certified_name = name;
        world.verify_scenario(&scenario)
    };
    let good = certified(certified_name(&long("甲")));
    assert_eq!(good.overall, Overall::Valid, "{:?}", failed(&good));
    for other in [long(""), certified_name(&long("乙"))] {
        assert_eq!(failed(&certified(other)), [CheckName::Statement]);
    }
    // A person's certificate names no organization, and tells persons of one name apart.
    let person = |party: &str| {
        let mut scenario = world.scenario();
        scenario.statement.submitter.kind = PartyKind::Person;
        scenario.certified_party = Some(party.to_owned());
        world.verify_scenario(&scenario)
    };
    let good = person("acme-ltd");
    assert_eq!(good.overall, Overall::Valid, "{:?}", failed(&good));
    assert_eq!(failed(&person("acme-lt")), [CheckName::Statement]);
    let organization = altered(&world, |s| s.statement.submitter.kind = PartyKind::Person);
    assert_eq!(organization, [CheckName::Statement]);
}

/// I2: a code for instruction A confirms nothing about B.
#[test]
fn an_intent_for_another_instruction_fails() {
    let world = World::new();
    let other = altered(&world, |s| {
        s.statement.intent.as_mut().unwrap().instruction_sha256 = probity_domain::Sha256([9; 32]);
    });
    assert_eq!(other, [CheckName::Intent]);
    let late = altered(&world, |s| {
        s.statement.intent.as_mut().unwrap().confirmed_at = NOW.plus_ms(HOUR_MS / 2);
    });
    assert_eq!(late, [CheckName::Intent]);
}

#[test]
fn a_statement_that_lies_about_files_fails() {
    let world = World::new();
    let size = altered(&world, |s| s.statement.artifacts[1].size_bytes += 1);
    assert_eq!(size, [CheckName::Statement]);
    let sha256 = altered(&world, |s| s.statement.artifacts[1].sha256.0[0] ^= 1);
    assert_eq!(sha256, [CheckName::Statement]);
    let sha3 = altered(&world, |s| s.statement.artifacts[1].sha3_256.0[0] ^= 1);
    assert_eq!(
        sha3,
        [CheckName::MembersMatchManifest, CheckName::Statement]
    );
}

#[test]
fn a_proof_of_another_entry_does_not_count() {
    let world = World::new();
    let mut scenario = world.scenario();
    scenario.sealed = false;
    let honest = world.members(&scenario);
    let (checkpoint, inclusion) = proof_of_another(&world);
    let sealed = |change_log: &dyn Fn(&mut Members)| {
        let mut members = honest.clone();
        change_log(&mut members);
        world.seal(&scenario, &mut members);
        failed(&world.verify(&members))
    };
    let both = sealed(&|members| {
        change(members, CHECKPOINT, |bytes| bytes.clone_from(&checkpoint));
        change(members, INCLUSION, |bytes| bytes.clone_from(&inclusion));
    });
    assert_eq!(both, [CheckName::LogInclusion]);
    let one = sealed(&|members| change(members, CHECKPOINT, |bytes| bytes.clone_from(&checkpoint)));
    assert_eq!(one, [CheckName::LogInclusion]);
    let moved = sealed(&|members| {
        change(members, INCLUSION, |bytes| {
            *bytes = String::from_utf8_lossy(bytes)
                .replace("271", "270")
                .into_bytes();
        });
    });
    assert_eq!(moved, [CheckName::LogInclusion]);
    let half = sealed(&|members| members.retain(|(name, _)| name != INCLUSION));
    assert_eq!(half, [CheckName::LogInclusion]);
}

/// A statement nobody signed: the manifest names the artifacts alone.
#[test]
fn an_unsigned_statement_is_refused() {
    let world = World::new();
    let mut scenario = world.scenario();
    scenario.sealed = false;
    let mut members = world.members(&scenario);
    let bytes = scenario.statement.to_bytes().unwrap();
    let xml = package::event_manifest(&scenario.statement, &bytes).unwrap();
    let mut manifest = probity_pki::asic::Manifest::parse(&xml).unwrap();
    manifest
        .references
        .retain(|reference| reference.member != STATEMENT);
    let xml = manifest.to_xml().unwrap();
    let signature = world.event_signature(&scenario, &xml);
    change(&mut members, EVENT_MANIFEST, |bytes| *bytes = xml);
    change(&mut members, EVENT_SIGNATURE, |bytes| *bytes = signature);
    world.seal(&scenario, &mut members);
    let verdict = world.verify(&members);
    assert_eq!(result(&verdict, CheckName::Signature), CheckResult::Passed);
    assert!(failed(&verdict).contains(&CheckName::MembersMatchManifest));
}
