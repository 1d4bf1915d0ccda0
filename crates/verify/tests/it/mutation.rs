//! Every member changed, taken away, doubled and added: never valid, and the right check says so.

use std::io::Cursor;

use probity_pki::package::{EVENT_MANIFEST, EVENT_SIGNATURE, SEAL_MANIFEST, SEAL_SIGNATURE};
use probity_verify::{CheckName, CheckResult, Overall, verify_package};

use crate::fixture::{World, change, check, container, failed, result};

/// The check that must name a change of this member.
fn responsible(member: &str) -> CheckName {
    match member {
        SEAL_MANIFEST | SEAL_SIGNATURE => CheckName::DeliverySeal,
        _ => CheckName::MembersMatchManifest,
    }
}

#[test]
fn a_flipped_byte_in_any_member_is_named() {
    let world = World::new();
    let members = world.members(&world.scenario());
    for (name, bytes) in &members {
        for at in [0, bytes.len() / 3, bytes.len() / 2, bytes.len() - 1] {
            let mut changed = members.clone();
            change(&mut changed, name, |bytes| bytes[at] ^= 1);
            let verdict = world.verify(&changed);
            assert_eq!(verdict.overall, Overall::Invalid, "{name} at {at}");
            if responsible(name) == CheckName::DeliverySeal {
                let seal = [CheckName::DeliverySeal, CheckName::SealTimeStamp];
                let failed = failed(&verdict);
                assert!(failed.iter().any(|f| seal.contains(f)), "{name} at {at}");
                continue;
            }
            let found = check(&verdict, responsible(name));
            assert_eq!(found.result, CheckResult::Failed, "{name} at {at}");
            let reason = &found.reason.en;
            assert!(reason.contains(name.as_str()), "{reason}");
        }
    }
}

#[test]
fn every_byte_of_the_event_signature_counts() {
    let world = World::new();
    let members = world.members(&world.scenario());
    let length = members
        .iter()
        .find(|(name, _)| name == EVENT_SIGNATURE)
        .unwrap()
        .1
        .len();
    for at in (0..length).step_by(7) {
        let mut changed = members.clone();
        change(&mut changed, EVENT_SIGNATURE, |bytes| bytes[at] ^= 0x10);
        assert_eq!(world.verify(&changed).overall, Overall::Invalid, "{at}");
    }
}

#[test]
fn a_missing_member_is_named() {
    let world = World::new();
    let members = world.members(&world.scenario());
    for (name, _) in &members {
        let rest: Vec<_> = members
            .iter()
            .filter(|(member, _)| member != name)
            .cloned()
            .collect();
        let verdict = world.verify(&rest);
        assert_eq!(verdict.overall, Overall::Invalid, "{name}");
        assert!(
            failed(&verdict).contains(&responsible(name)),
            "{name}: {:?}",
            failed(&verdict)
        );
    }
}

/// C3: deleting the process log is found by name.
#[test]
fn the_process_log_cannot_be_dropped() {
    let world = World::new();
    let mut members = world.members(&world.scenario());
    members.retain(|(name, _)| name != "artifacts/log.jsonl");
    let verdict = world.verify(&members);
    for name in [CheckName::MembersMatchManifest, CheckName::Statement] {
        let found = check(&verdict, name);
        assert_eq!(found.result, CheckResult::Failed);
        assert!(found.reason.en.contains("log.jsonl"), "{}", found.reason.en);
    }
}

#[test]
fn an_added_member_is_named() {
    let world = World::new();
    let members = world.members(&world.scenario());
    for name in [
        "extra.txt",
        "artifacts/extra.png",
        "META-INF/ASiCManifest003.xml",
        "log/x",
    ] {
        let mut more = members.clone();
        more.push((name.to_owned(), b"extra".to_vec()));
        let verdict = world.verify(&more);
        let found = check(&verdict, CheckName::MembersMatchManifest);
        assert_eq!(found.result, CheckResult::Failed, "{name}");
        assert!(found.reason.en.contains(name), "{}", found.reason.en);
    }
}

/// The platform's own seal cannot put files under the submitter's name.
#[test]
fn an_artifact_under_the_seal_alone_is_refused() {
    let world = World::new();
    let mut scenario = world.scenario();
    scenario.sealed = false;
    let mut members = world.members(&scenario);
    members.push(("artifacts/extra.png".to_owned(), b"extra".to_vec()));
    world.seal(&scenario, &mut members);
    let verdict = world.verify(&members);
    assert_eq!(
        result(&verdict, CheckName::DeliverySeal),
        CheckResult::Passed
    );
    let refused = [CheckName::MembersMatchManifest, CheckName::Statement];
    assert_eq!(failed(&verdict), refused);
}

#[test]
fn a_doubled_member_is_refused() {
    let world = World::new();
    let members = world.members(&world.scenario());
    for (name, _) in &members {
        // Written under a name of the same length, which is then changed in both headers.
        let stand_in = format!("{}~", &name[..name.char_indices().last().unwrap().0]);
        if stand_in.len() != name.len() {
            continue;
        }
        let mut more = members.clone();
        more.push((stand_in.clone(), b"second".to_vec()));
        let mut bytes = container(&more);
        let length = name.len();
        for at in 0..bytes.len() - length {
            if &bytes[at..at + length] == stand_in.as_bytes() {
                bytes[at..at + length].copy_from_slice(name.as_bytes());
            }
        }
        let verdict = verify_package(Cursor::new(bytes), &world.policy());
        assert_eq!(failed(&verdict), [CheckName::Container], "{name}");
        assert!(
            check(&verdict, CheckName::Container)
                .reason
                .en
                .contains("twice")
        );
    }
}

#[test]
fn members_that_changed_places_are_refused() {
    let world = World::new();
    let mut members = world.members(&world.scenario());
    let at = |name: &str| {
        members
            .iter()
            .position(|(member, _)| member == name)
            .unwrap()
    };
    let (first, second) = (at(EVENT_MANIFEST), at(SEAL_MANIFEST));
    let moved = members[first].1.clone();
    members[first].1 = std::mem::replace(&mut members[second].1, moved);
    assert_eq!(world.verify(&members).overall, Overall::Invalid);
}
