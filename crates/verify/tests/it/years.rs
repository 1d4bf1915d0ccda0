//! Decades later: every certificate has expired, every list is out of date.

use std::io::Cursor;

use probity_domain::Timestamp;
use probity_pki::crl::{RevocationReason, RevokedEntry};
use probity_pki::keys::{MemoryKey, SignatureAlgorithm};
use probity_verify::{CheckName, CheckResult, Overall, Policy, Verdict, verify_package};

use crate::fixture::{
    EVENT_SERIAL, HOUR_MS, NOW, Scenario, World, check, container, failed, result,
};

const TWENTY_YEARS_MS: i64 = 20 * 365 * 24 * HOUR_MS;

fn later() -> Timestamp {
    NOW.plus_ms(TWENTY_YEARS_MS)
}

fn verified_later(world: &World, scenario: &Scenario) -> Verdict {
    let policy = Policy {
        at: later(),
        ..world.policy()
    };
    let bytes = container(&world.members(scenario));
    verify_package(Cursor::new(bytes), &policy)
}

/// T5: judged at the proven time, by the lists that travel with the evidence.
#[test]
fn complete_evidence_is_as_valid_as_on_its_first_day() {
    let world = World::new();
    for certificate in [
        &world.root.certificate,
        &world.issuing.certificate,
        &world.tsa.certificate,
    ] {
        assert!(certificate.not_after() < later());
    }
    let verdict = verified_later(&world, &world.scenario());
    assert_eq!(
        verdict.overall,
        Overall::Valid,
        "{}",
        verdict.details_text(probity_verify::Lang::English)
    );
    assert_eq!(verdict.when, Some(NOW.plus_ms(1_000)));
}

/// Status is judged by lists that were current at genTime, not by whatever list there is.
#[test]
fn without_lists_of_that_time_it_says_what_is_missing() {
    let world = World::new();
    let mut scenario = world.scenario();
    scenario.crl_next_update = NOW.plus_ms(-1_800_000);
    let verdict = verified_later(&world, &scenario);
    assert_eq!(verdict.overall, Overall::Indeterminate);
    assert_eq!(failed(&verdict), []);
    let missing: Vec<_> = verdict.missing.iter().map(|m| m.check).collect();
    let expected = [
        CheckName::CertificateStatus,
        CheckName::TimeStampStatus,
        CheckName::DeliverySeal,
        CheckName::SealTimeStamp,
    ];
    assert_eq!(missing, expected);
    for missing in &verdict.missing {
        assert!(
            missing.reason.en.contains("no revocation list"),
            "{missing:?}"
        );
        assert!(missing.reason.zh.contains("吊销列表"), "{missing:?}");
    }
}

#[test]
fn a_revocation_of_that_time_still_counts() {
    let world = World::new();
    let mut scenario = world.scenario();
    scenario.revoked = vec![RevokedEntry {
        serial: EVENT_SERIAL.to_vec(),
        at: NOW.plus_ms(-60_000),
        reason: Some(RevocationReason::KeyCompromise),
        invalid_since: None,
    }];
    let verdict = verified_later(&world, &scenario);
    assert_eq!(failed(&verdict), [CheckName::CertificateStatus]);
}

/// EN 319 102-1 5.2.6: expired now, and nothing shows that it had not when it signed.
#[test]
fn an_expired_certificate_without_time_stamp_is_undecided() {
    let world = World::new();
    let mut scenario = world.scenario();
    scenario.gen_time = None;
    let verdict = verified_later(&world, &scenario);
    assert_eq!(verdict.overall, Overall::Indeterminate);
    assert_eq!(
        result(&verdict, CheckName::SigningCertificate),
        CheckResult::Indeterminate
    );
    let reason = &check(&verdict, CheckName::SigningCertificate).reason;
    assert!(reason.en.contains("expired"), "{reason:?}");
}

/// Whatever is relied on: authorities above a seal, whoever signs lists, and what stands beside the evidence.
#[test]
fn every_algorithm_that_is_relied_on_must_be_accepted() {
    let mut number = 0;
    // Of the root alone; then of none.
    let world = World::with_keys(&mut || {
        number += 1;
        MemoryKey::generate_for(match number {
            1 => SignatureAlgorithm::EcdsaP256Sha256,
            _ => SignatureAlgorithm::EcdsaP384Sha384,
        })
        .unwrap()
    });
    let bytes = container(&world.members(&world.scenario()));
    let mut policy = world.policy();
    let verdict = verify_package(Cursor::new(&bytes), &policy);
    assert_eq!(verdict.overall, Overall::Valid, "{:?}", failed(&verdict));
    policy
        .algorithms
        .retain(|accepted| accepted.name != "P-256");
    let verdict = verify_package(Cursor::new(&bytes), &policy);
    assert_eq!(failed(&verdict), [CheckName::Algorithms]);
    let reason = &check(&verdict, CheckName::Algorithms).reason.en;
    for place in ["seal", "time-stamp", "revocation data", "signature"] {
        let said = format!("P-256 ({place}) is not accepted");
        assert!(reason.contains(&said), "{said}: {reason}");
    }
}

/// An algorithm may end; what nothing newer covers must still be strong.
#[test]
fn an_ended_algorithm_needs_renewal() {
    let world = World::new();
    let mut policy = Policy {
        at: later(),
        ..world.policy()
    };
    let end = |policy: &mut Policy, name: &str, until| {
        let accepted = policy.algorithms.iter_mut();
        for algorithm in accepted.filter(|accepted| accepted.name == name) {
            algorithm.until = Some(until);
        }
    };
    let bytes = container(&world.members(&world.scenario()));
    let between = NOW.plus_ms(TWENTY_YEARS_MS / 2);
    end(&mut policy, "P-384", between);
    let verdict = verify_package(Cursor::new(&bytes), &policy);
    assert_eq!(verdict.overall, Overall::Indeterminate);
    let found = check(&verdict, CheckName::Algorithms);
    assert_eq!(found.result, CheckResult::Indeterminate);
    assert!(found.reason.en.contains("P-384 (time-stamp)"), "{found:?}");
    assert!(
        !found.reason.en.contains("P-384 (signature)"),
        "the key signed while it was strong: {found:?}"
    );
    // Ended before it was used.
    end(&mut policy, "P-384", NOW.plus_ms(-HOUR_MS));
    let verdict = verify_package(Cursor::new(&bytes), &policy);
    let found = check(&verdict, CheckName::Algorithms);
    assert!(found.reason.en.contains("P-384 (signature)"), "{found:?}");
    // Not accepted at all.
    policy
        .algorithms
        .retain(|accepted| accepted.name != "SHA3-256");
    let verdict = verify_package(Cursor::new(&bytes), &policy);
    assert_eq!(failed(&verdict), [CheckName::Algorithms]);
}
