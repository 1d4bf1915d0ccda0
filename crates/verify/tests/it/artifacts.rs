//! Packages left in a folder for programs that we did not write (docs/judges.md):
//! `PROBITY_ARTIFACTS_DIR` names it, without it a scratch folder is used.

use std::path::PathBuf;

use probity_pki::crl::{RevocationReason, RevokedEntry};
use probity_verify::Overall;

use crate::fixture::{EVENT_SERIAL, HOUR_MS, NOW, World, container};

#[test]
fn left_for_the_judges() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = std::env::var_os("PROBITY_ARTIFACTS_DIR")
        .map_or_else(|| scratch.path().to_owned(), PathBuf::from)
        .join("packages");
    let write = |path: &str, bytes: &[u8]| {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    };
    let world = World::new();
    let root = world.root.certificate.to_pem().unwrap();
    write("trust/root.pem", root.as_bytes());
    write("trust/log.vkey", world.log.verifier_key().as_bytes());
    // The fixture's clock stands still: judges are told when it is.
    let at = NOW.plus_ms(HOUR_MS / 2).to_rfc3339();
    write("trust/time", at.as_bytes());

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
        write(&format!("{name}/package.asice"), &container(&members));
    }
}
