//! The command line as scripts meet it: exit codes, and what stands on which stream.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on must stop"
)]

/// Packages, as the verifier's own tests make them.
#[expect(
    dead_code,
    reason = "made for the verifier's tests; these need a part of it"
)]
#[path = "../../../../crates/verify/tests/it/fixture.rs"]
mod fixture;
mod large;
mod verify;

use std::path::Path;
use std::process::{Command, Output};

fn probity(args: &[&str], folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_probity"))
        .args(args)
        .current_dir(folder)
        .env_clear()
        .output()
        .unwrap()
}

#[test]
fn wrong_use_and_unreadable_input_exit_with_3() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("not-a-root.pem"), "nonsense").unwrap();
    for args in [
        &["verify"][..],
        &["verify", "missing.asice", "--roots", "missing.pem"],
        &["verify", "missing.asice", "--roots", "not-a-root.pem"],
        &["status", "PB1-00000"],
        &["nonsense"],
        &["submit", ".", "--case", "c", "--batch-size", "10001"],
    ] {
        let output = probity(args, folder.path());
        assert_eq!(output.status.code(), Some(3), "{args:?}: {output:?}");
        assert!(
            output.stdout.is_empty() && !output.stderr.is_empty(),
            "{args:?}"
        );
    }
    assert_eq!(probity(&["--help"], folder.path()).status.code(), Some(0));
}

#[test]
fn something_that_is_no_package_is_invalid_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let init = [
        "court",
        "init",
        "--dir",
        "court",
        "--recipient",
        "c",
        "--name",
        "C",
        "--place",
        "P",
    ];
    let made = probity(&init, folder.path());
    assert!(made.status.success(), "{made:?}");
    std::fs::write(folder.path().join("x.asice"), b"PK\x05\x06 not really").unwrap();
    let verify = ["verify", "x.asice", "--roots", "court/ca.crt.pem", "--json"];
    let output = probity(&verify, folder.path());
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let verdict: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(verdict.pointer("/overall").unwrap(), "invalid");
}

#[test]
fn a_court_is_never_made_twice() {
    let folder = tempfile::tempdir().unwrap();
    let init = [
        "court",
        "init",
        "--dir",
        "court",
        "--recipient",
        "c",
        "--name",
        "C",
        "--place",
        "P",
    ];
    assert!(probity(&init, folder.path()).status.success());
    let key = std::fs::read(folder.path().join("court/encryption.key.pem")).unwrap();
    assert!(!probity(&init, folder.path()).status.success());
    assert_eq!(
        std::fs::read(folder.path().join("court/encryption.key.pem")).unwrap(),
        key
    );
}
