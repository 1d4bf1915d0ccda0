//! What must be accepted, and what is missing without being wrong.

use std::io::Cursor;

use probity_domain::{ArtifactRole, Purpose};
use probity_pki::crl::{RevocationReason, RevokedEntry};
use probity_verify::{CheckName, CheckResult, Overall, Policy, verify_package};

use crate::fixture::{EVENT_SERIAL, NAME, NOW, World, container, failed, result};

#[test]
fn a_complete_package_is_valid() {
    let world = World::new();
    let verdict = world.verify_scenario(&world.scenario());
    assert_eq!(
        verdict.overall,
        Overall::Valid,
        "{}",
        probity_verify::render(&verdict)
    );
    assert_eq!(verdict.exit_code(), 0);
    for check in &verdict.checks {
        let optional = [
            CheckName::SubmitterSignature,
            CheckName::ClockEvidence,
            CheckName::Receipt,
        ];
        let expected = match optional.contains(&check.name) {
            true => CheckResult::NotPresent,
            false => CheckResult::Passed,
        };
        assert_eq!(check.result, expected, "{check:?}");
    }
    assert_eq!(verdict.missing, []);
    assert_eq!(verdict.checks.len(), CheckName::ALL.len());
    assert_eq!(verdict.when, Some(NOW.plus_ms(1_000)));
    assert_eq!(verdict.accuracy_us, Some(1_000_000));
    let who = verdict.who.as_ref().unwrap();
    assert_eq!(who.name, NAME);
    assert!(who.certificate_subject.as_ref().unwrap().contains(NAME));
    assert_eq!(verdict.what.len(), 3);
    assert_eq!(verdict.log.as_ref().unwrap().leaf_index, 271);
}

/// T5: a certificate revoked after the signature was good when it counted.
#[test]
fn revocation_after_the_time_stamp_changes_nothing() {
    let world = World::new();
    let mut scenario = world.scenario();
    scenario.revoked = vec![RevokedEntry {
        serial: EVENT_SERIAL.to_vec(),
        at: NOW.plus_ms(600_000),
        reason: Some(RevocationReason::KeyCompromise),
        invalid_since: None,
    }];
    assert_eq!(world.verify_scenario(&scenario).overall, Overall::Valid);
}

/// W2: a missing assertion is printed, never silently left out.
#[test]
fn what_is_not_established_is_said() {
    let world = World::new();
    let mut scenario = world.scenario();
    scenario.statement.purpose = Purpose::Ownership;
    scenario.statement.submitter.verification = None;
    scenario.statement.agreement = None;
    scenario.statement.intent = None;
    let verdict = world.verify_scenario(&scenario);
    assert_eq!(verdict.overall, Overall::Valid);
    for name in [CheckName::Identity, CheckName::Agreement, CheckName::Intent] {
        assert_eq!(result(&verdict, name), CheckResult::NotPresent, "{name:?}");
    }
    let said: Vec<_> = verdict
        .not_proved
        .iter()
        .map(|text| text.en.as_str())
        .collect();
    assert!(
        said.iter()
            .any(|text| text.contains("intent is not proven")),
        "{said:?}"
    );
}

/// I1: against somebody else the will behind the instruction must be shown.
#[test]
fn infringement_without_intent_is_undecided_and_says_what_is_missing() {
    let world = World::new();
    let mut scenario = world.scenario();
    scenario.statement.intent = None;
    let verdict = world.verify_scenario(&scenario);
    assert_eq!(verdict.overall, Overall::Indeterminate);
    let missing: Vec<_> = verdict.missing.iter().map(|m| m.check).collect();
    assert_eq!(missing, [CheckName::Intent]);
    assert!(
        verdict.missing[0]
            .reason
            .en
            .contains("intent is not proven")
    );
}

/// C11: infringement without the course of the capture is weak; ownership does without.
#[test]
fn purpose_decides_whether_the_process_must_be_recorded() {
    let world = World::new();
    let mut scenario = world.scenario();
    for artifact in &mut scenario.statement.artifacts {
        artifact.role = ArtifactRole::Content;
    }
    let verdict = world.verify_scenario(&scenario);
    assert_eq!(verdict.overall, Overall::Indeterminate);
    assert_eq!(verdict.exit_code(), 2);
    assert_eq!(
        result(&verdict, CheckName::ProcessLog),
        CheckResult::Indeterminate
    );
    scenario.statement.purpose = Purpose::Ownership;
    let verdict = world.verify_scenario(&scenario);
    assert_eq!(verdict.overall, Overall::Valid);
    assert_eq!(
        result(&verdict, CheckName::ProcessLog),
        CheckResult::NotPresent
    );
}

#[test]
fn what_is_missing_is_undecided_and_not_valid() {
    let world = World::new();
    let missing = |alter: &dyn Fn(&mut crate::fixture::Scenario), name| {
        let mut scenario = world.scenario();
        alter(&mut scenario);
        let verdict = world.verify_scenario(&scenario);
        assert_eq!(verdict.overall, Overall::Indeterminate, "{name:?}");
        assert_eq!(result(&verdict, name), CheckResult::Indeterminate);
        assert_eq!(failed(&verdict), []);
    };
    missing(&|s| s.sealed = false, CheckName::DeliverySeal);
    missing(&|s| s.seal_stamped = false, CheckName::SealTimeStamp);
    missing(&|s| s.logged = false, CheckName::LogInclusion);
    missing(&|s| s.gen_time = None, CheckName::TimeStamp);
    missing(
        &|s| s.crl_next_update = NOW.plus_ms(-1_800_000),
        CheckName::CertificateStatus,
    );
}

#[test]
fn without_pins_nothing_is_decided() {
    let world = World::new();
    let bytes = container(&world.members(&world.scenario()));
    let policy = Policy {
        log_verifier_keys: Vec::new(),
        ..world.policy()
    };
    let verdict = verify_package(Cursor::new(&bytes), &policy);
    assert_eq!(verdict.overall, Overall::Indeterminate);
    assert_eq!(
        result(&verdict, CheckName::LogInclusion),
        CheckResult::Indeterminate
    );
    let policy = Policy {
        roots: Vec::new(),
        ..world.policy()
    };
    let verdict = verify_package(Cursor::new(&bytes), &policy);
    assert_eq!(verdict.overall, Overall::Indeterminate);
    assert_eq!(
        result(&verdict, CheckName::SigningCertificate),
        CheckResult::Indeterminate
    );
}
