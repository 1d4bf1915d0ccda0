//! Policy is data: printed, read back, and it changes verdicts.

use std::io::Cursor;

use probity_domain::Purpose;
use probity_verify::{
    ALWAYS, CheckName, CheckResult, Limits, Overall, Policy, judge, verify_package,
};

use crate::fixture::{NOW, World, check, container, failed, result};

/// The default is what is printed, and what is printed is read back.
#[test]
fn a_policy_is_its_document() {
    let world = World::new();
    let policy = world.policy();
    let read = Policy::parse(policy.to_json().as_bytes(), policy.at).unwrap();
    assert_eq!(read.to_json(), policy.to_json());
    assert_eq!(read.roots, policy.roots);
    assert_eq!(read.required, policy.required);
    assert_eq!(read.algorithms, policy.algorithms);
    assert_eq!(read.limits, policy.limits);
    let bytes = container(&world.members(&world.scenario()));
    let (one, two) = (
        verify_package(Cursor::new(&bytes), &policy),
        verify_package(Cursor::new(&bytes), &read),
    );
    assert_eq!(one, two);
    assert_eq!(one.policy.name, "probity-default");
}

#[test]
fn what_a_policy_does_not_know_is_refused_by_name() {
    let text = World::new().policy().to_json();
    let changes = [
        ("\"name\"", "\"nmae\"", "nmae"),
        ("policy/1", "policy/2", "policy/2"),
        ("\"process_log\"", "\"proces_log\"", "proces_log"),
        ("\"infringement\"", "\"infringment\"", "infringement"),
        (
            "\"members_max\": 1000",
            "\"members_max\": -1",
            "invalid value",
        ),
        ("\"ratio_max\"", "\"ratio_mx\"", "ratio_mx"),
        ("\"always\"", "\"neutral\"", "always"),
        ("60000", "-1", "clock_tolerance_ms"),
        ("BEGIN CERTIFICATE", "BEGIN NONSENSE", "malformed"),
        ("\"P-256\"", "\"P-384\"", "twice"),
        ("2030-12-31T", "2030-12-32T", "RFC 3339"),
        ("log.example/1+", "log.example/1-", "malformed"),
    ];
    for (from, to, said) in changes {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text, "{from}");
        let refused = Policy::parse(changed.as_bytes(), NOW).unwrap_err();
        let refused = refused.to_string();
        assert!(refused.contains(said), "{from} -> {to}: {refused}");
    }
    let huge = vec![b' '; 2 << 20];
    assert!(Policy::parse(&huge, NOW).is_err());
}

#[test]
fn a_policy_asks_for_more() {
    let world = World::new();
    let mut scenario = world.scenario();
    scenario.statement.purpose = Purpose::Ownership;
    scenario.statement.submitter.verification = None;
    let bytes = container(&world.members(&scenario));
    let mut policy = world.policy();
    let verdict = verify_package(Cursor::new(&bytes), &policy);
    assert_eq!(verdict.overall, Overall::Valid);
    let strict = [CheckName::Identity].into();
    policy.required.by_purpose.insert("ownership", strict);
    let verdict = verify_package(Cursor::new(&bytes), &policy);
    assert_eq!(verdict.overall, Overall::Indeterminate);
    assert_eq!(
        result(&verdict, CheckName::Identity),
        CheckResult::Indeterminate
    );
    assert_eq!(verdict.missing[0].check, CheckName::Identity);
}

/// A policy may do without a seal; never without signature, trust and time.
#[test]
fn a_policy_cannot_ask_for_less_than_evidence_needs() {
    let world = World::new();
    let mut scenario = world.scenario();
    scenario.sealed = false;
    scenario.logged = false;
    let bytes = container(&world.members(&scenario));
    let mut policy = world.policy();
    policy.required.always.clear();
    policy.required.by_purpose.clear();
    let verdict = verify_package(Cursor::new(&bytes), &policy);
    assert_eq!(verdict.overall, Overall::Valid);
    for name in [CheckName::DeliverySeal, CheckName::LogInclusion] {
        assert_eq!(result(&verdict, name), CheckResult::NotPresent);
    }
    policy.roots.clear();
    let verdict = verify_package(Cursor::new(&bytes), &policy);
    assert_eq!(verdict.overall, Overall::Indeterminate);
    for name in ALWAYS {
        assert!(policy.requires(name, None));
    }
    scenario.gen_time = None;
    let verdict = world.verify_scenario(&scenario);
    assert_eq!(verdict.overall, Overall::Indeterminate);
}

/// Limits hold when a package is read, and again when it is judged.
#[test]
fn limits_are_the_policys() {
    let world = World::new();
    let bytes = container(&world.members(&world.scenario()));
    let measured = probity_verify::examine(Cursor::new(&bytes), Limits::default());
    let usual = Limits::default();
    for (limits, said) in [
        (
            Limits {
                members_max: 5,
                ..usual
            },
            "number of members",
        ),
        (
            Limits {
                total_bytes_max: 1_000,
                ..usual
            },
            "unpacked size",
        ),
        (
            Limits {
                ratio_max: 1,
                ratio_free_bytes: 0,
                ..usual
            },
            "compression ratio",
        ),
    ] {
        let policy = Policy {
            limits,
            ..world.policy()
        };
        for verdict in [
            verify_package(Cursor::new(&bytes), &policy),
            judge(&measured, &policy),
        ] {
            assert_eq!(failed(&verdict), [CheckName::Container]);
            let reason = &check(&verdict, CheckName::Container).reason.en;
            assert!(reason.contains(said), "{reason}");
        }
    }
}
