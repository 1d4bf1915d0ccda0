//! A package larger than memory.

use std::io::{BufWriter, Read};

use probity_domain::{Sha3_256, Sha256};
use probity_pki::asic::{ContainerWriter, Packing};
use probity_pki::package::{self, SealedMember};
use probity_verify::{Overall, render, verify_package};
use sha3::Digest as _;

use crate::fixture::{NOW, World, stated};

const SIZE: u64 = 5 << 30;

fn zeros() -> std::io::Take<std::io::Repeat> {
    std::io::repeat(0).take(SIZE)
}

/// Peak of resident memory in KiB, as Linux tells.
fn peak_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Run alone: `cargo test -p probity-verify five_gib -- --ignored`. Needs 5 GiB of disk.
#[test]
#[ignore = "slow and large"]
fn five_gib_in_64_mib_of_memory() {
    let world = World::new();
    let mut scenario = world.scenario();
    scenario.artifacts.remove(1);
    let (mut sha3_256, mut sha256) = (sha3::Sha3_256::new(), sha2::Sha256::new());
    let mut piece = vec![0; 1 << 20];
    let mut from = zeros();
    while from.read(&mut piece).unwrap() > 0 {
        sha3_256.update(&piece);
        sha256.update(&piece);
    }
    let video = &mut scenario.statement.artifacts[1];
    *video = stated("video", b"");
    video.size_bytes = SIZE;
    video.sha3_256 = Sha3_256(sha3_256.finalize().into());
    video.sha256 = Sha256(sha256.finalize().into());
    let sealed = SealedMember::artifact(&video.name, &video.media_type, video.sha3_256);

    let mut members = world.members(&scenario);
    members.retain(|(name, _)| name != package::SEAL_MANIFEST && name != package::SEAL_SIGNATURE);
    world.seal_with(&scenario, &mut members, &[sealed]);
    let mut file = tempfile::tempfile().unwrap();
    let mut writer = ContainerWriter::new(BufWriter::new(&mut file), NOW).unwrap();
    for (name, bytes) in &members {
        writer.add_bytes(name, bytes).unwrap();
    }
    writer
        .add_reader("artifacts/video", Some(SIZE), Packing::Plain, &mut zeros())
        .unwrap();
    drop(writer.finish().unwrap());

    let verdict = verify_package(&file, &world.policy());
    assert_eq!(verdict.overall, Overall::Valid, "{}", render(&verdict));
    match peak_kib() {
        Some(peak) => assert!(peak < 64 * 1024, "{peak} KiB"),
        None => eprintln!("NOT MEASURED: no /proc/self/status"),
    }
}
