//! One capture's way, from the vendor's folder to the court's receipt.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use probity_testkit::wait_until;

use crate::grpc::both_edges_answer;
use crate::platform::{Platform, ROLES, run};

const CASE: &str = "(2026)京0491民初1号";

fn samples() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../samples")
        .to_str()
        .unwrap()
        .to_owned()
}

fn numbers(platform: &Platform) -> Vec<String> {
    let lines = fs::read_to_string(platform.path("numbers.jsonl")).unwrap();
    let number = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["state"], "accepted", "{line}");
        line["evidence"].as_str().unwrap().to_owned()
    };
    lines.lines().map(number).collect()
}

fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = walk(folder)
        .into_iter()
        .filter(|p| p.to_str().unwrap().ends_with(ending))
        .collect();
    found.sort();
    found
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    entries
        .flat_map(|p| if p.is_dir() { walk(&p) } else { vec![p] })
        .collect()
}

/// A court with its profile stored; `endpoint` makes it one that is pushed to.
pub fn court(platform: &Platform, name: &str, endpoint: Option<&str>) {
    let dir = platform.path(name);
    let display = format!("{name} court");
    let mut args = vec![
        "court",
        "init",
        "--dir",
        &dir,
        "--recipient",
        name,
        "--name",
        &display,
        "--place",
        "Beijing, China",
        "--allow-private-address",
        "--channel",
    ];
    match endpoint {
        Some(url) => args.extend(["push", "--endpoint", url]),
        None => args.push("pull"),
    }
    platform.probity_ok(&args);
    // On loopback: private addresses are an operator's to allow.
    let operator = platform.path("secret/operator-key");
    platform.probity_ok(&[
        "officer",
        "recipient",
        "--officer-key",
        &operator,
        name,
        "--document",
        &platform.path(&format!("{name}/recipient.json")),
    ]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_capture_from_vendor_to_court() {
    let mut platform = Platform::start().await;
    platform.enroll();
    platform.probity_ok(&[
        "submit",
        &samples(),
        "--case",
        CASE,
        "--purpose",
        "ownership",
        "--memory",
        &platform.path("memory"),
        "--out",
        &platform.path("numbers.jsonl"),
        "--wait",
    ]);
    let all = numbers(&platform);
    assert_eq!(platform.log_size().await, all.len() as u64);

    submitting_again_gives_the_same_numbers(&platform, &all);
    pushed_and_pulled(&mut platform, &all).await;
    for package in [
        files(&platform.dir().join("pushed"), ".asice"),
        files(&platform.dir().join("pulled"), ".asice"),
    ] {
        assert_eq!(package.len(), all.len());
        let verdict = platform.probity_ok(&["verify", package[0].to_str().unwrap(), "--json"]);
        let verdict: serde_json::Value = serde_json::from_str(&verdict).unwrap();
        assert_eq!(verdict["overall"], "valid", "{verdict:#}");
        one_byte_flipped_is_noticed(&platform, &package[0]);
    }
    openssl_judges(&platform);
    left_for_the_judges(&platform).await;
    both_edges_answer(&platform, &all).await;
    the_index_is_rebuilt_by_one_command(&platform, all.len()).await;
    the_store_is_examined_and_read_again(&platform);
    for role in ROLES {
        let status = platform.terminate(role).await;
        assert!(
            status.success(),
            "{role} after SIGTERM: {status}\n{}",
            platform.log(role)
        );
    }
}

fn submitting_again_gives_the_same_numbers(platform: &Platform, first: &[String]) {
    platform.probity_ok(&[
        "submit",
        &samples(),
        "--case",
        CASE,
        "--purpose",
        "ownership",
        "--memory",
        &platform.path("memory"),
        "--out",
        &platform.path("numbers.jsonl"),
    ]);
    assert_eq!(numbers(platform), first);
}

async fn pushed_and_pulled(platform: &mut Platform, all: &[String]) {
    let endpoint = platform.url("COURT").replace("http://", "https://");
    let listen = endpoint.trim_start_matches("https://").to_owned();
    court(platform, "pushed", Some(&endpoint));
    court(platform, "pulled", None);
    let serve = [
        "court",
        "serve",
        "--dir",
        &platform.path("pushed"),
        "--listen",
        &listen,
        "--roots",
        &platform.path("keys/public/root-ca.crt.pem"),
        "--log-key",
        &platform.path("keys/public/log.vkey"),
    ]
    .map(str::to_owned);
    platform.start_program("court", "probity", &serve);
    wait_until("the court listens", Duration::from_secs(120), || async {
        tokio::net::TcpStream::connect(&listen).await.is_ok()
    })
    .await;
    platform.probity_ok(&[
        "deliver",
        "--case",
        CASE,
        "--to",
        "pushed",
        "--wait",
        "acknowledged",
        "--patience",
        "600",
    ]);

    platform.probity_ok(&[
        "deliver",
        "--case",
        CASE,
        "--to",
        "pulled",
        "--wait",
        "prepared",
        "--patience",
        "600",
    ]);
    let credential = platform.path("pulled/credential");
    platform.probity_ok(&[
        "officer",
        "credential",
        "--officer-key",
        &platform.path("secret/officer-key"),
        "--role",
        "court",
        "--recipient",
        "pulled",
        "--out",
        &credential,
    ]);
    platform.probity_ok(&[
        "court",
        "pull",
        "--dir",
        &platform.path("pulled"),
        "--delivery",
        &platform.url("DELIVERY"),
        "--credential",
        &credential,
        "--legal-basis",
        CASE,
        "--roots",
        &platform.path("keys/public/root-ca.crt.pem"),
        "--log-key",
        &platform.path("keys/public/log.vkey"),
    ]);
    let deliver = platform.probity_ok(&[
        "deliver",
        "--case",
        CASE,
        "--to",
        "pulled",
        "--wait",
        "acknowledged",
    ]);
    assert!(
        deliver.contains(&format!("acknowledged {}", all.len())),
        "{deliver}"
    );
}

/// What an operator files about the store, and a lap of the scrubber beside the running platform: nothing is found.
fn the_store_is_examined_and_read_again(platform: &Platform) {
    let config = platform.config("storage");
    let probityd = |arguments: &[&str]| {
        let said = run(Command::new(env!("CARGO_BIN_EXE_probityd"))
            .args(arguments)
            .arg("--config")
            .arg(&config));
        String::from_utf8(said).unwrap()
    };
    let report = platform.path("store.json");
    let said = probityd(&["probe-store", "--small", "--report", &report]);
    assert!(said.contains("FIT for evidence"), "{said}");
    let filed: serde_json::Value = serde_json::from_slice(&fs::read(&report).unwrap()).unwrap();
    assert_eq!(filed["verdict"], "fit");
    assert_eq!(filed["truth_keeps"]["versions"], true);
    let said = probityd(&["scrub", "--once"]);
    assert!(said.ends_with("0 findings\n"), "{said}");
    for area in ["blobs", "log", "kept", "versions"] {
        assert!(said.contains(area), "{said}");
    }
}

/// Twice, with Redis emptied before: the same answer, and the vendor's list says the same as before.
async fn the_index_is_rebuilt_by_one_command(platform: &Platform, entries: usize) {
    let listed = || platform.probity_ok(&["list", "--case", CASE, "--json"]);
    let before = listed();
    platform.world.flush_redis().await;
    let config = platform.config("storage");
    for _ in 0..2 {
        let said = run(Command::new(env!("CARGO_BIN_EXE_probityd"))
            .args(["rebuild-index", "--config"])
            .arg(&config));
        let said = String::from_utf8(said).unwrap();
        assert!(
            said.starts_with(&format!("indexed {entries} entries of the log ")),
            "{said}"
        );
    }
    assert_eq!(listed(), before);
    let intake = platform.config("intake");
    let refused = Command::new(env!("CARGO_BIN_EXE_probityd"))
        .args(["rebuild-index", "--config"])
        .arg(&intake)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(
        !refused.status.success() && said.contains("[storage]"),
        "{said}"
    );
}

fn one_byte_flipped_is_noticed(platform: &Platform, package: &Path) {
    let mut bytes = fs::read(package).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let bad = platform.path("flipped.asice");
    fs::write(&bad, bytes).unwrap();
    let verdict = platform.probity(&["verify", &bad]);
    assert_eq!(
        verdict.status.code(),
        Some(1),
        "{}",
        String::from_utf8_lossy(&verdict.stdout)
    );
}

/// The script that the demonstration ends with, on what the court holds.
fn openssl_judges(platform: &Platform) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../infra/judge.sh");
    let said = run(Command::new(script).arg(platform.dir()).arg("pulled"));
    let said = String::from_utf8(said).unwrap();
    assert!(
        said.contains("CAdES Verification successful") && said.contains("Verification: OK"),
        "{said}"
    );
}

/// What judges/prepare.py makes cases of, if somebody wants them: public keys, the newest list, the courts' folders.
async fn left_for_the_judges(platform: &Platform) {
    let Some(folder) = std::env::var_os("PROBITY_ARTIFACTS_DIR") else {
        return;
    };
    let folder = Path::new(&folder).join("platform/raw");
    fs::create_dir_all(&folder).unwrap();
    let list = reqwest::get(format!("{}/crl/issuing.crl", platform.url("ISSUANCE")));
    let list = list.await.unwrap().bytes().await.unwrap();
    fs::write(folder.join("issuing.crl"), list).unwrap();
    let sources = ["keys/public", "pulled", "pushed"].map(|name| platform.path(name));
    run(Command::new("cp").arg("-R").args(sources).arg(&folder));
}
