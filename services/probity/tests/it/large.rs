//! Packages larger than memory: what the process that verifies them holds resident.

use std::fs::File;
use std::io::{BufWriter, Read};
use std::path::Path;
use std::process::Command;

use probity_domain::{Sha3_256, Sha256};
use probity_pki::asic::{ContainerWriter, Packing};
use probity_pki::package::{self, SealedMember};
use sha3::Digest as _;

use crate::fixture::{HOUR_MS, NOW, World, stated};

const RESIDENT_KIB_MAX: u64 = 64 * 1024;

/// Runs a command and prints the peak of its resident memory in KiB on standard error, last.
const MEASURE: &str = "
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
sys.exit(code)
";

#[test]
fn three_hundred_mib_in_64_mib_of_memory() {
    verify_in_little_memory(300 << 20);
}

/// Run alone: `cargo test -p probity five_gib -- --ignored`. Needs 5 GiB of disk.
#[test]
#[ignore = "slow and large"]
fn five_gib_in_64_mib_of_memory() {
    verify_in_little_memory(5 << 30);
}

fn verify_in_little_memory(bytes: u64) {
    let folder = tempfile::tempdir().unwrap();
    write_package(bytes, folder.path());
    let at = NOW.plus_ms(HOUR_MS).to_rfc3339();
    let output = Command::new("python3")
        .args(["-c", MEASURE, env!("CARGO_BIN_EXE_probity"), "verify"])
        .args([
            "package.asice",
            "--roots",
            "root.pem",
            "--log-key",
            "log.vkey",
        ])
        .args(["--at", &at, "--json"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert_eq!(output.status.code(), Some(0), "{out}{err}");
    let verdict: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(verdict["overall"], "valid");
    let resident: u64 = err.lines().last().unwrap().parse().unwrap();
    eprintln!("{bytes} bytes verified in {resident} KiB");
    assert!(resident < RESIDENT_KIB_MAX, "{resident} KiB");
}

fn zeros(bytes: u64) -> std::io::Take<std::io::Repeat> {
    std::io::repeat(0).take(bytes)
}

/// A valid package whose video is this long, with what it is verified by.
fn write_package(bytes: u64, folder: &Path) {
    let world = World::new();
    let mut scenario = world.scenario();
    scenario.artifacts.remove(1);
    let (mut sha3_256, mut sha256) = (sha3::Sha3_256::new(), sha2::Sha256::new());
    let mut piece = vec![0; 1 << 20];
    let mut from = zeros(bytes);
    loop {
        let read = from.read(&mut piece).unwrap();
        if read == 0 {
            break;
        }
        sha3_256.update(&piece[..read]);
        sha256.update(&piece[..read]);
    }
    let video = &mut scenario.statement.artifacts[1];
    *video = stated("video", b"");
    video.size_bytes = bytes;
    video.sha3_256 = Sha3_256(sha3_256.finalize().into());
    video.sha256 = Sha256(sha256.finalize().into());
    let sealed = SealedMember::artifact(&video.name, &video.media_type, video.sha3_256);

    let mut members = world.members(&scenario);
    members.retain(|(name, _)| name != package::SEAL_MANIFEST && name != package::SEAL_SIGNATURE);
    world.seal_with(&scenario, &mut members, &[sealed]);
    let file = File::create(folder.join("package.asice")).unwrap();
    let mut writer = ContainerWriter::new(BufWriter::new(file), NOW).unwrap();
    for (name, bytes) in &members {
        writer.add_bytes(name, bytes).unwrap();
    }
    writer
        .add_reader(
            "artifacts/video",
            Some(bytes),
            Packing::Plain,
            &mut zeros(bytes),
        )
        .unwrap();
    drop(writer.finish().unwrap());
    let root = world.root.certificate.to_pem().unwrap();
    std::fs::write(folder.join("root.pem"), root).unwrap();
    std::fs::write(folder.join("log.vkey"), world.log.verifier_key()).unwrap();
}
