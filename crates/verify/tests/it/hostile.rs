//! Bytes made to hurt the verifier rather than to deceive it.

use std::io::{Cursor, Read};

use probity_pki::asic::{ContainerWriter, Packing};
use probity_verify::{CheckName, CheckResult, Limits, Overall, Policy, verify_package};
use proptest::prelude::*;

use crate::fixture::{NOW, World, container, failed, result};

#[test]
fn what_is_no_package_fails_the_container_alone() {
    let policy = World::new().policy();
    for bytes in [
        Vec::new(),
        b"PK".to_vec(),
        b"%PDF-1.7".to_vec(),
        vec![0; 100_000],
    ] {
        let verdict = verify_package(Cursor::new(bytes), &policy);
        assert_eq!(verdict.overall, Overall::Invalid);
        assert_eq!(verdict.exit_code(), 1);
        assert_eq!(failed(&verdict), [CheckName::Container]);
        assert_eq!(
            result(&verdict, CheckName::Signature),
            CheckResult::Indeterminate
        );
    }
}

#[test]
fn an_empty_container_is_invalid() {
    let verdict = World::new().verify(&[]);
    assert_eq!(verdict.overall, Overall::Invalid);
    assert!(failed(&verdict).contains(&CheckName::MembersMatchManifest));
}

#[test]
fn bombs_are_refused_before_they_go_off() {
    let world = World::new();
    let mut writer = ContainerWriter::new(Vec::new(), NOW).unwrap();
    let mut zeros = std::io::repeat(0).take(256 << 20);
    writer
        .add_reader(
            "artifacts/a",
            Some(256 << 20),
            Packing::Deflated,
            &mut zeros,
        )
        .unwrap();
    let bytes = writer.finish().unwrap();
    let limits = Limits {
        total_bytes_max: 128 << 20,
        ..Limits::default()
    };
    let verdict = verify_package(
        Cursor::new(&bytes),
        &Policy {
            limits,
            ..world.policy()
        },
    );
    assert_eq!(failed(&verdict), [CheckName::Container]);
    let limits = Limits {
        ratio_max: 50,
        ..Limits::default()
    };
    let verdict = verify_package(
        Cursor::new(&bytes),
        &Policy {
            limits,
            ..world.policy()
        },
    );
    assert_eq!(failed(&verdict), [CheckName::Container]);
}

/// What is read as a whole is small, whatever a package puts under its name.
#[test]
fn a_huge_statement_is_not_read_into_memory() {
    let world = World::new();
    let mut members = world.members(&world.scenario());
    for (name, bytes) in &mut members {
        if name.ends_with(".json") || name.starts_with("META-INF/") {
            *bytes = vec![b' '; 8 << 20];
        }
    }
    assert_eq!(world.verify(&members).overall, Overall::Invalid);
}

#[test]
fn an_unreadable_stream_is_undecided() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("disk"))
        }
    }
    impl std::io::Seek for Broken {
        fn seek(&mut self, _: std::io::SeekFrom) -> std::io::Result<u64> {
            Err(std::io::Error::other("disk"))
        }
    }
    let verdict = verify_package(Broken, &World::new().policy());
    assert_eq!(verdict.overall, Overall::Indeterminate);
}

/// Deterministic noise over a whole package: no panic, and no other evidence passes as valid.
#[test]
fn noise_anywhere_never_makes_another_valid_package() {
    let world = World::new();
    let mut scenario = world.scenario();
    scenario.artifacts[1].1.truncate(100);
    scenario.statement.artifacts[1] =
        crate::fixture::stated("截图 1.png", &scenario.artifacts[1].1);
    let bytes = container(&world.members(&scenario));
    let good = verify_package(Cursor::new(&bytes), &world.policy());
    assert_eq!(good.overall, Overall::Valid);
    let mut state = 0x1234_5678_u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as usize
    };
    for _ in 0..600 {
        let mut changed = bytes.clone();
        for _ in 0..1 + next() % 3 {
            let at = next() % changed.len();
            changed[at] ^= (1 + next() % 255) as u8;
        }
        let verdict = verify_package(Cursor::new(changed), &world.policy());
        if verdict.overall == Overall::Valid {
            assert_eq!(
                (verdict.what, verdict.who),
                (good.what.clone(), good.who.clone())
            );
        }
    }
    for cut in (0..bytes.len()).step_by(97) {
        let verdict = verify_package(Cursor::new(&bytes[..cut]), &world.policy());
        assert_eq!(verdict.overall, Overall::Invalid, "{cut}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Any contents under the names the verifier parses.
    #[test]
    fn arbitrary_members_never_panic(
        picks in proptest::collection::vec((0..9usize, proptest::collection::vec(any::<u8>(), 0..300)), 0..9),
    ) {
        const NAMES: [&str; 9] = [
            "statement.json", "META-INF/ASiCManifest001.xml", "META-INF/signature001.p7s",
            "META-INF/ASiCManifest002.xml", "META-INF/signature002.p7s", "log/checkpoint.txt",
            "log/inclusion.json", "certificate.html", "artifacts/a",
        ];
        let mut members: Vec<(String, Vec<u8>)> = Vec::new();
        for (pick, bytes) in picks {
            if members.iter().all(|(name, _)| name != NAMES[pick]) {
                members.push((NAMES[pick].to_owned(), bytes));
            }
        }
        let policy = Policy::new(Vec::new(), vec!["no key".to_owned()], NOW);
        let verdict = verify_package(Cursor::new(container(&members)), &policy);
        prop_assert_eq!(verdict.overall, Overall::Invalid);
    }
}
