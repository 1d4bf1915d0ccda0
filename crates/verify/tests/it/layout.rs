//! Containers that two programs could read in two ways: each trick, and what the verifier says.

use std::io::Cursor;

use probity_verify::{CheckName, Overall, verify_package};

use crate::fixture::{World, check, container, failed};

const STAND_IN: &str = "artifacts/00";
const END_BYTES: usize = 22;

fn find(bytes: &[u8], pattern: &[u8]) -> usize {
    let mut windows = bytes.windows(pattern.len());
    windows.position(|window| window == pattern).unwrap()
}

fn find_last(bytes: &[u8], pattern: &[u8]) -> usize {
    let mut windows = bytes.windows(pattern.len());
    windows.rposition(|window| window == pattern).unwrap()
}

/// Where the central directory begins, as the end record says.
fn directory_at(bytes: &[u8]) -> usize {
    let at = bytes.len() - END_BYTES + 16;
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
}

/// Inserts bytes; the end record still says where the directory is.
fn insert(bytes: &mut Vec<u8>, at: usize, more: &[u8]) {
    let directory = directory_at(bytes) + more.len();
    bytes.splice(at..at, more.iter().copied());
    let end = bytes.len() - END_BYTES;
    bytes[end + 16..end + 20].copy_from_slice(&(directory as u32).to_le_bytes());
}

fn overwrite(bytes: &mut [u8], at: usize, with: &[u8]) {
    bytes[at..at + with.len()].copy_from_slice(with);
}

type Trick<'t> = &'t dyn Fn(&mut Vec<u8>);

/// The stand-in's headers hold its name at these places.
const NAME_IN_LOCAL: usize = 30;
const NAME_IN_CENTRAL: usize = 46;

#[test]
fn no_trick_with_the_layout_is_let_pass() {
    let world = World::new();
    let mut members = world.members(&world.scenario());
    members.push((STAND_IN.to_owned(), b"stand-in".to_vec()));
    let good = container(&members);
    let stand_in = STAND_IN.as_bytes();
    let in_central =
        |bytes: &[u8], field: usize| find_last(bytes, stand_in) - NAME_IN_CENTRAL + field;
    let in_local = |bytes: &[u8], field: usize| find(bytes, stand_in) - NAME_IN_LOCAL + field;
    let rows: [(&str, Trick<'_>); 16] = [
        ("does not end with an end-of-directory record", &|b| {
            b.push(0)
        }),
        ("does not end with an end-of-directory record", &|b| {
            b.extend_from_slice(b"#!/bin/sh");
        }),
        ("comment", &|b| {
            // A comment that is itself an end record.
            let end = b.split_off(b.len() - END_BYTES);
            b.extend_from_slice(&end[..20]);
            b.extend_from_slice(&(END_BYTES as u16).to_le_bytes());
            b.extend_from_slice(&end);
            let at = b.len() - 2;
            b[at] = 1;
        }),
        ("does not reach", &|b| {
            let end = b[b.len() - END_BYTES..].to_vec();
            b.extend(end);
        }),
        ("does not reach", &|b| {
            b.splice(0..0, *b"MZ");
        }),
        ("where the directory says", &|b| insert(b, 0, b"MZ")),
        ("something else than a descriptor", &|b| {
            let at = directory_at(b);
            insert(b, at, b"between");
        }),
        ("local header", &|b| {
            let at = in_local(b, NAME_IN_LOCAL);
            b[at + 11] = b'1';
        }),
        ("local header", &|b| {
            let at = in_local(b, 8);
            b[at] ^= 8;
        }),
        ("something else than a descriptor", &|b| {
            // A size that only the directory has; the local header defers to a descriptor.
            let at = in_central(b, 24);
            b[at] ^= 1;
        }),
        ("link or device", &|b| {
            let at = in_central(b, 38);
            overwrite(b, at, &(0o120_777u32 << 16).to_le_bytes());
        }),
        ("encrypted", &|b| {
            let at = in_central(b, 8);
            b[at] |= 1;
        }),
        ("method 12", &|b| {
            let at = in_central(b, 10);
            b[at] = 12;
        }),
        ("several disks", &|b| {
            let at = b.len() - END_BYTES + 4;
            b[at] = 1;
        }),
        ("disk", &|b| {
            let at = in_central(b, 34);
            b[at] = 1;
        }),
        ("without extra field", &|b| {
            let at = find(b, b"mimetype");
            overwrite(b, at, b"mimetypo");
            let at = find_last(b, b"mimetype");
            overwrite(b, at, b"mimetypo");
        }),
    ];
    for (said, trick) in rows {
        let mut bytes = good.clone();
        trick(&mut bytes);
        assert_ne!(bytes, good, "{said}");
        let verdict = verify_package(Cursor::new(bytes), &world.policy());
        assert_eq!(verdict.overall, Overall::Invalid, "{said}");
        assert_eq!(failed(&verdict), [CheckName::Container], "{said}");
        let reason = &check(&verdict, CheckName::Container).reason.en;
        assert!(reason.contains(said), "{said}: {reason}");
    }
}

/// Names that would leave the folder a court unpacks into, or overwrite another file there.
#[test]
fn no_trick_with_a_name_is_let_pass() {
    let world = World::new();
    let mut members = world.members(&world.scenario());
    members.push((STAND_IN.to_owned(), b"stand-in".to_vec()));
    let good = container(&members);
    for (name, said) in [
        ("../../../etc", "segments"),
        ("/etc/passwd0", "segments"),
        ("artifacts/..", "segments"),
        ("artifacts//0", "segments"),
        ("artifacts/./", "segments"),
        ("artifacts\\00", "backslash"),
        ("C:/artifact0", "drive letter"),
        ("artifacts/\u{1}0", "control"),
        ("artifacts/\u{7f}0", "control"),
        ("STATEMENT.js", "in no manifest"),
    ] {
        assert_eq!(name.len(), STAND_IN.len());
        let mut bytes = good.clone();
        for at in [
            find(&bytes, STAND_IN.as_bytes()),
            find_last(&bytes, STAND_IN.as_bytes()),
        ] {
            overwrite(&mut bytes, at, name.as_bytes());
        }
        let verdict = verify_package(Cursor::new(bytes), &world.policy());
        let responsible = failed(&verdict)[0];
        let reason = &check(&verdict, responsible).reason.en;
        assert!(reason.contains(said), "{name}: {reason}");
    }
}
