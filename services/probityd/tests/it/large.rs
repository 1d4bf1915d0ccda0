//! The smallest and the largest artifact through a real intake process: nothing is refused, and five gibibytes cost no
//! more memory than a few parts of them.

use std::fs::{self, File};
use std::io::{Seek as _, SeekFrom, Write as _};

use crate::platform::{Platform, vendor_credential};

const MIB: u64 = 1024 * 1024;
/// What intake may need above what it needs when idle.
const MEMORY_BYTES_MAX: u64 = 256 * MIB;

/// A file of this length, most of it a hole, with something to find at the end of every 64 MiB.
fn artifact(platform: &Platform, size_bytes: u64) -> String {
    let path = platform.path("large.bin");
    let mut file = File::create(&path).unwrap();
    file.set_len(size_bytes).unwrap();
    for end in (1..=size_bytes / (64 * MIB)).map(|n| n * 64 * MIB) {
        file.seek(SeekFrom::Start(end - 8)).unwrap();
        file.write_all(&end.to_be_bytes()).unwrap();
    }
    path
}

/// Peak resident memory of a role's process.
fn peak_bytes(platform: &Platform, role: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", platform.pid(role))).unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap();
    let kib = line.split_whitespace().nth(1).unwrap();
    kib.parse::<u64>().unwrap() * 1024
}

async fn goes_through_in_bounded_memory(size_bytes: u64) {
    let platform = Platform::start().await;
    platform.enroll();
    let path = artifact(&platform, size_bytes);
    let idle = peak_bytes(&platform, "intake");
    platform.probity_ok(&[
        "submit",
        &path,
        "--case",
        "large",
        "--memory",
        &platform.path("memory"),
        "--out",
        &platform.path("numbers.jsonl"),
        "--wait",
    ]);
    let line = fs::read_to_string(platform.path("numbers.jsonl")).unwrap();
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    let number = line["evidence"].as_str().unwrap();
    assert_eq!(platform.log_size().await, 1, "{number} is deposited");

    // And back: the stream ends well only when its bytes have the digest that was signed.
    let url = format!(
        "{}/v1/evidence/{number}/artifacts/large.bin",
        platform.url("INTAKE")
    );
    let request = reqwest::Client::new().get(url);
    let answer = request
        .bearer_auth(vendor_credential(&platform))
        .send()
        .await;
    let mut answer = answer.unwrap().error_for_status().unwrap();
    let mut back_bytes = 0;
    while let Some(piece) = answer.chunk().await.unwrap() {
        back_bytes += piece.len() as u64;
    }
    assert_eq!(back_bytes, size_bytes);
    let peak = peak_bytes(&platform, "intake");
    println!(
        "intake: {} MiB idle, {} MiB at most",
        idle / MIB,
        peak / MIB
    );
    assert!(
        peak <= idle + MEMORY_BYTES_MAX,
        "{idle} bytes idle, {peak} bytes with {size_bytes} going through"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_mebibytes_in_bounded_memory() {
    goes_through_in_bounded_memory(200 * MIB).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "ten minutes and six gibibytes of disk"]
async fn five_gibibytes_in_bounded_memory() {
    goes_through_in_bounded_memory(5 * 1024 * MIB).await;
}

/// There is nothing to keep in an empty file, and its neighbours do not suffer from it.
#[tokio::test(flavor = "multi_thread")]
async fn an_empty_file_is_refused_by_name_and_the_others_go_on() {
    let platform = Platform::start().await;
    platform.enroll();
    let folder = platform.dir().join("captures");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("empty.txt"), "").unwrap();
    fs::write(folder.join("full.txt"), "something").unwrap();
    let submitted = platform.probity(&[
        "submit",
        folder.to_str().unwrap(),
        "--case",
        "empty",
        "--memory",
        &platform.path("memory"),
        "--out",
        &platform.path("numbers.jsonl"),
        "--wait",
    ]);
    let said = String::from_utf8_lossy(&submitted.stderr).into_owned();
    assert!(
        !submitted.status.success()
            && said.contains("refused: empty.txt")
            && said.contains("empty"),
        "{said}"
    );
    let lines = fs::read_to_string(platform.path("numbers.jsonl")).unwrap();
    let states: Vec<_> = lines
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["state"].clone())
        .collect();
    assert_eq!(states, ["refused", "accepted"]);
    assert_eq!(platform.log_size().await, 1);
}
