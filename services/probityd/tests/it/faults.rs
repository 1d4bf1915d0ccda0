//! Faults in the middle of a run: whatever was accepted is deposited, once, and no role is restarted by hand.

use std::collections::BTreeSet;
use std::fs;
use std::process::Stdio;
use std::time::Duration;

use probity_testkit::wait_until;

use crate::config::probityd;
use crate::platform::{Platform, ROLES};

/// Writes `count` small captures of different content.
fn captures(platform: &Platform, count: usize) -> String {
    let folder = platform.dir().join("captures");
    fs::create_dir(&folder).unwrap();
    for n in 0..count {
        fs::write(
            folder.join(format!("{n:05}.txt")),
            format!("capture number {n}\n").repeat(10),
        )
        .unwrap();
    }
    folder.to_str().unwrap().to_owned()
}

/// Submits in the background, so that faults can happen meanwhile.
fn submit(platform: &Platform, folder: &str, batch_size: usize) -> std::process::Child {
    let batch_size = batch_size.to_string();
    let log = fs::File::create(platform.dir().join("log/submit")).unwrap();
    platform
        .probity_command(&[
            "submit",
            folder,
            "--case",
            "faults",
            "--memory",
            &platform.path("memory"),
            "--out",
            &platform.path("numbers.jsonl"),
            "--wait",
            "--batch-size",
            &batch_size,
            "--patience",
            "900",
        ])
        .stdout(Stdio::from(log.try_clone().unwrap()))
        .stderr(Stdio::from(log))
        .spawn()
        .unwrap()
}

/// Every number that the vendor was given is in the log once, and nothing else is.
async fn audit(platform: &Platform, count: usize) {
    let lines = fs::read_to_string(platform.path("numbers.jsonl")).unwrap();
    let given: BTreeSet<String> = lines
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["evidence"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(given.len(), count);
    assert_eq!(
        platform.log_size().await,
        count as u64,
        "the log holds each accepted capture once"
    );
    let listed =
        platform.probity_ok(&["list", "--case", "faults", "--state", "deposited", "--json"]);
    let leaves: BTreeSet<u64> = listed
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .inspect(|e| assert!(given.contains(e["evidence"].as_str().unwrap())))
        .map(|e| e["leaf_index"].as_u64().unwrap())
        .collect();
    assert_eq!(leaves, (0..count as u64).collect());
    from_the_store_alone(platform, count);
}

/// The same by `probityd audit`, which asks no role: what callers were given, against everything in the buckets.
fn from_the_store_alone(platform: &Platform, count: usize) {
    let (config, report) = (platform.config("storage"), platform.path("audit.json"));
    let audited = probityd(&[
        "audit",
        "--config",
        config.to_str().unwrap(),
        "--receipts",
        &platform.path("numbers.jsonl"),
        "--report",
        &report,
    ]);
    let text = String::from_utf8_lossy(&audited.stdout);
    assert_eq!(audited.status.code(), Some(0), "{text}");
    let report: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(report).unwrap()).unwrap();
    for checked in ["receipts", "records", "items", "blobs"] {
        assert_eq!(report["checked"][checked], count, "{checked}: {report}");
    }
}

async fn log_reaches(platform: &Platform, size: u64) {
    wait_until(
        &format!("the log reaches {size}"),
        Duration::from_secs(600),
        || async { platform.log_size().await >= size },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bus_and_cache_wiped_in_the_middle_of_a_run() {
    const COUNT: usize = 2_000;
    let mut platform = Platform::start().await;
    platform.enroll();
    let folder = captures(&platform, COUNT);
    let mut vendor = submit(&platform, &folder, 250);
    for part in 1..=3u64 {
        log_reaches(&platform, part * 300).await;
        platform.world.wipe_nats().await;
        platform.world.flush_redis().await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        platform.world.start_nats().await;
    }
    let status = vendor.wait().unwrap();
    assert!(
        status.success(),
        "submit: {status}\n{}",
        platform.log("submit")
    );
    platform.assert_alive();
    audit(&platform, COUNT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_role_killed_in_the_middle_of_a_run() {
    const COUNT: usize = 700;
    let mut platform = Platform::start().await;
    platform.enroll();
    let folder = captures(&platform, COUNT);
    let mut vendor = submit(&platform, &folder, 100);
    for (role, part) in ROLES.into_iter().zip(1u64..) {
        log_reaches(&platform, part * 50).await;
        // kill -9, and the orchestrator starts it again.
        platform.kill(role);
        platform.start_role(role);
        platform.ready(role).await;
    }
    let status = vendor.wait().unwrap();
    assert!(
        status.success(),
        "submit: {status}\n{}",
        platform.log("submit")
    );
    audit(&platform, COUNT).await;
}
