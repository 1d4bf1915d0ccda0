//! Packages left in a folder for programs that we did not write (docs/judges.md):
//! `PROBITY_ARTIFACTS_DIR` names it, without it a scratch folder is used.

use std::io::Cursor;
use std::path::PathBuf;

use probity_pki::crl::{RevocationReason, RevokedEntry};
use probity_verify::{Overall, verify_package};

use crate::beside::{Other, with_submitter_signature};
use crate::fixture::{EVENT_SERIAL, HOUR_MS, NOW, World, container};

#[test]
fn left_for_the_judges() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = std::env::var_os("PROBITY_ARTIFACTS_DIR")
        .map_or_else(|| scratch.path().to_owned(), PathBuf::from);
    let write = |path: &str, bytes: &[u8]| {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    };
    of_one_root(&write);
    signed_by_the_submitter(&write);
}

/// What the judges of a group trust, and when it is: the fixture's clock stands still.
fn trust(write: &dyn Fn(&str, &[u8]), group: &str, world: &World) {
    let root = world.root.certificate.to_pem().unwrap();
    write(&format!("{group}/trust/root.pem"), root.as_bytes());
    let log = world.log.verifier_key().as_bytes();
    write(&format!("{group}/trust/log.vkey"), log);
    let at = NOW.plus_ms(HOUR_MS / 2).to_rfc3339();
    write(&format!("{group}/trust/time"), at.as_bytes());
}

fn of_one_root(write: &dyn Fn(&str, &[u8])) {
    let world = World::new();
    trust(write, "packages", &world);
    let mut revoked = world.scenario();
    revoked.revoked.push(RevokedEntry {
        serial: EVENT_SERIAL.to_vec(),
        at: NOW.plus_ms(-HOUR_MS / 2),
        reason: Some(RevocationReason::KeyCompromise),
        invalid_since: None,
    });
    let impostor = World::new();
    for (verdict, name, members) in [
        (
            Overall::Valid,
            "accept/package/whole",
            world.members(&world.scenario()),
        ),
        (
            Overall::Invalid,
            "refuse/package/revoked-signer",
            world.members(&revoked),
        ),
        (
            Overall::Invalid,
            "refuse/package/of-an-impostor",
            impostor.members(&impostor.scenario()),
        ),
    ] {
        let ours = world.verify(&members);
        assert_eq!(ours.overall, verdict, "{name}: {ours:?}");
        write(
            &format!("packages/{name}/package.asice"),
            &container(&members),
        );
    }
}

/// With a third signature, over the instruction; the submitter's certificate is of the same root, since judges trust but one.
fn signed_by_the_submitter(write: &dyn Fn(&str, &[u8])) {
    let vendor = Other::new("Vendor");
    let world = &vendor.world;
    trust(write, "submitter", world);
    let mut policy = world.policy();
    policy.submitter_roots = vendor.roots();
    let impostor = Other::new("Vendor");
    let over_something_else = |_: &[u8]| vendor.sign(b"something else", NOW);
    for (verdict, name, package) in [
        (
            Overall::Valid,
            "accept/package/signed-by-the-submitter",
            with_submitter_signature(world, |m| vendor.sign(m, NOW), |_, _| {}),
        ),
        (
            Overall::Invalid,
            "refuse/package/submitter-signed-something-else",
            with_submitter_signature(world, over_something_else, |_, _| {}),
        ),
        (
            Overall::Invalid,
            "refuse/package/submitter-of-another-root",
            with_submitter_signature(world, |m| impostor.sign(m, NOW), |_, _| {}),
        ),
    ] {
        let ours = verify_package(Cursor::new(&package), &policy);
        assert_eq!(ours.overall, verdict, "{name}: {ours:?}");
        write(&format!("submitter/{name}/package.asice"), &package);
    }
}
