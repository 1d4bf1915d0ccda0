//! Times three ways to verify the same packages, one after the other, round by round, in one run:
//! `probity verify`, this library in one process, and an expert's script. Ratios count, not seconds.
//!
//! `bench DIR PROBITY SCRIPT COUNT LARGE_MIB`; see `infra/bench-verify.sh`.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a measuring program: what goes wrong ends it"
)]

/// Packages, as the verifier's own tests make them.
#[expect(
    dead_code,
    reason = "made for the verifier's tests; these need a part of it"
)]
#[path = "../tests/it/fixture.rs"]
mod fixture;

use std::fs::File;
use std::io::{BufReader, BufWriter, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use probity_domain::{Sha3_256, Sha256};
use probity_pki::asic::{ContainerWriter, Packing};
use probity_pki::package::{SEAL_MANIFEST, SEAL_SIGNATURE, SealedMember};
use probity_verify::{Overall, Policy, verify_package};
use sha3::Digest as _;

use fixture::{HOUR_MS, NOW, World, container, stated};

const ROUNDS: usize = 3;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, dir, probity, script, count, large_mib] = &arguments[..] else {
        eprintln!("bench DIR PROBITY SCRIPT COUNT LARGE_MIB");
        std::process::exit(3);
    };
    let absolute = |path: &str| Path::new(path).canonicalize().unwrap();
    let bench = Bench {
        dir: absolute(dir),
        probity: absolute(probity),
        script: absolute(script),
        world: World::new(),
    };
    bench.write_pins();
    let small: Vec<PathBuf> = (0..count.parse().unwrap())
        .map(|n| bench.write_small(n))
        .collect();
    let large = bench.write_large(large_mib.parse::<u64>().unwrap() << 20);
    println!("| packages | way | seconds | per package | ratio to the script |");
    println!("|---|---|---|---|---|");
    bench.compare(&format!("{count} small"), &small);
    bench.compare(&format!("one of {large_mib} MiB"), &[large]);
}

/// What is measured: a name, and how it verifies one package.
type Way<'w> = (&'static str, &'w dyn Fn(&Path));

struct Bench {
    dir: PathBuf,
    probity: PathBuf,
    script: PathBuf,
    world: World,
}

impl Bench {
    fn write_pins(&self) {
        let root = self.world.root.certificate.to_pem().unwrap();
        std::fs::write(self.dir.join("root.pem"), root).unwrap();
        std::fs::write(self.dir.join("log.vkey"), self.world.log.verifier_key()).unwrap();
    }

    fn write_small(&self, number: usize) -> PathBuf {
        let path = self.dir.join(format!("{number}.asice"));
        let members = self.world.members(&self.world.scenario());
        std::fs::write(&path, container(&members)).unwrap();
        path
    }

    /// One whose video is noise of this length.
    fn write_large(&self, bytes: u64) -> PathBuf {
        let mut scenario = self.world.scenario();
        scenario.artifacts.remove(1);
        let (mut sha3_256, mut sha256) = (sha3::Sha3_256::new(), sha2::Sha256::new());
        let (mut from, mut piece) = (Noise::new(bytes), vec![0; 1 << 20]);
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
        let mut members = self.world.members(&scenario);
        members.retain(|(name, _)| name != SEAL_MANIFEST && name != SEAL_SIGNATURE);
        self.world.seal_with(&scenario, &mut members, &[sealed]);
        let path = self.dir.join("large.asice");
        let file = BufWriter::new(File::create(&path).unwrap());
        let mut writer = ContainerWriter::new(file, NOW).unwrap();
        for (name, bytes) in &members {
            writer.add_bytes(name, bytes).unwrap();
        }
        let (name, size) = ("artifacts/video", Some(bytes));
        let mut noise = Noise::new(bytes);
        writer
            .add_reader(name, size, Packing::Plain, &mut noise)
            .unwrap();
        drop(writer.finish().unwrap());
        path
    }

    /// Every way in turn, several rounds; the median round of each counts.
    fn compare(&self, what: &str, packages: &[PathBuf]) {
        let ways: [Way<'_>; 3] = [
            ("unzip, OpenSSL and a script", &|package| {
                self.by_script(package)
            }),
            ("`probity verify`", &|package| self.by_command(package)),
            ("the library", &|package| self.by_library(package)),
        ];
        let mut times = vec![Vec::new(); ways.len()];
        for _ in 0..ROUNDS {
            for ((_, way), times) in ways.iter().zip(&mut times) {
                let start = Instant::now();
                packages.iter().for_each(|package| way(package));
                times.push(start.elapsed());
            }
        }
        let medians: Vec<Duration> = times
            .into_iter()
            .map(|mut times| {
                times.sort_unstable();
                times[times.len() / 2]
            })
            .collect();
        for ((way, _), time) in ways.iter().zip(&medians) {
            let seconds = time.as_secs_f64();
            let each = seconds * 1_000.0 / packages.len() as f64;
            let ratio = medians[0].as_secs_f64() / seconds;
            println!("| {what} | {way} | {seconds:.3} | {each:.2} ms | {ratio:.1} |");
        }
    }

    fn at() -> probity_domain::Timestamp {
        NOW.plus_ms(HOUR_MS)
    }

    fn by_command(&self, package: &Path) {
        let mut command = Command::new(&self.probity);
        command.arg("verify").arg(package).args(["--json", "--at"]);
        command.arg(Self::at().to_rfc3339());
        command.arg("--roots").arg(self.dir.join("root.pem"));
        command.arg("--log-key").arg(self.dir.join("log.vkey"));
        run(&mut command);
    }

    fn by_script(&self, package: &Path) {
        let mut command = Command::new(&self.script);
        command.arg(package).arg(self.dir.join("root.pem"));
        command.arg(self.dir.join("work"));
        command.env("ATTIME", Self::at().unix_s().to_string());
        run(&mut command);
    }

    fn by_library(&self, package: &Path) {
        let file = BufReader::new(File::open(package).unwrap());
        let policy: Policy = self.world.policy();
        assert_eq!(verify_package(file, &policy).overall, Overall::Valid);
    }
}

/// A way that does not find the package valid measures nothing.
fn run(command: &mut Command) {
    let status = command.stdout(Stdio::null()).status().unwrap();
    assert!(status.success(), "{command:?}: {status}");
}

/// Bytes that neither compress nor repeat soon.
struct Noise {
    left: u64,
    state: u64,
}

impl Noise {
    fn new(bytes: u64) -> Self {
        Self {
            left: bytes,
            state: 0x9e37_79b9_7f4a_7c15,
        }
    }
}

impl Read for Noise {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = buffer
            .len()
            .min(usize::try_from(self.left).unwrap_or(usize::MAX));
        // Whole words, so that the bytes do not depend on how they are asked for.
        let length = if length > 8 {
            length - length % 8
        } else {
            length
        };
        for piece in buffer[..length].chunks_mut(8) {
            self.state ^= self.state << 13;
            self.state ^= self.state >> 7;
            self.state ^= self.state << 17;
            piece.copy_from_slice(&self.state.to_le_bytes()[..piece.len()]);
        }
        self.left -= length as u64;
        Ok(length)
    }
}
