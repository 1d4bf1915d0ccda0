//! Configuration decides before any socket opens, and the configuration that is shipped is right.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::platform::{ROLES, run};

pub fn probityd(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_probityd"))
        .args(arguments)
        .output()
        .unwrap()
}

fn check(text: &str) -> (bool, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("probity.toml");
    std::fs::write(&path, text).unwrap();
    let output = probityd(&["check-config", "--config", path.to_str().unwrap()]);
    (
        output.status.success(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../infra/local")
}

/// A template with its places filled: ports are numbers, the rest is words.
fn filled(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    let mut filled = String::new();
    for (place, piece) in text.split('@').enumerate() {
        match place % 2 {
            0 => filled.push_str(piece),
            _ if piece.ends_with("PORT") => filled.push_str("4222"),
            _ => filled.push_str("somewhere"),
        }
    }
    filled
}

const COMMON: &str = r#"
[process]
name = "test"
ops_listen = "127.0.0.1:1"
[nats]
url = "nats://127.0.0.1:1"
[redis]
url = "redis://127.0.0.1:1"
[s3]
endpoint = "http://127.0.0.1:1"
region = "us-east-1"
truth_bucket = "probity-truth"
work_bucket = "probity-work"
access_key_file = "/nowhere"
secret_key_file = "/nowhere"
"#;

#[test]
fn what_is_shipped_parses() {
    let common = filled(&shipped().join("common.toml.in"));
    let roles = String::from_utf8(probityd(&["roles"]).stdout).unwrap();
    assert_eq!(roles.lines().count(), 7);
    for role in roles
        .lines()
        .map(|line| line.split_whitespace().next().unwrap())
    {
        let section = filled(&shipped().join(format!("{role}.toml.in")));
        let (ok, said) = check(&format!("{common}\n{section}"));
        assert!(ok, "{role}: {said}");
    }
}

#[test]
fn numbers_out_of_bounds_are_refused_by_name() {
    let common = filled(&shipped().join("common.toml.in"));
    for (role, setting, value) in [
        ("intake", "inflight_bytes_max", "1"),
        ("intake", "store_writes_max", "1"),
        ("intake", "uploads_per_second_max", "0"),
        ("intake", "backlog_max", "0"),
        ("identity", "attempts_max", "0"),
        ("issuance", "event_validity_hours", "0"),
        ("issuance", "crl_validity_hours", "9000"),
        ("signing", "concurrency", "0"),
        ("signing", "items_max", "0"),
        ("timestamping", "concurrency", "65"),
        ("storage", "concurrency", "65"),
        ("storage", "append_max", "0"),
        ("storage", "lease_ms", "1"),
        ("delivery", "push_timeout_s", "601"),
    ] {
        let section = filled(&shipped().join(format!("{role}.toml.in")));
        let header = format!("[{role}]\n");
        let kept: Vec<_> = section
            .split_inclusive('\n')
            .filter(|line| !line.starts_with(&format!("{setting} ")))
            .collect();
        let set = format!("{header}{setting} = {value}\n");
        let section = kept.concat().replacen(&header, &set, 1);
        assert!(section.contains(&set), "{role}: {section}");
        let (ok, said) = check(&format!("{common}\n{section}"));
        assert!(!ok && said.contains(setting), "{role} {setting}: {said:?}");
    }
}

/// The containers' set-up, run here.
fn set_up(out: &Path) -> String {
    let programs = Path::new(env!("CARGO_BIN_EXE_probityd")).parent().unwrap();
    let path = std::env::join_paths(
        [programs.to_owned()]
            .into_iter()
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
    );
    let script = shipped().join("../container-set-up.sh");
    let said = run(Command::new(script)
        .arg(out)
        .env("PATH", path.unwrap())
        .env("PUBLIC_ISSUANCE", "http://repository.example"));
    String::from_utf8(said).unwrap()
}

#[test]
fn what_containers_are_given_parses_and_is_each_roles_own() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path();
    set_up(out);
    let compose = std::fs::read_to_string(shipped().join("../compose.yaml")).unwrap();
    for role in ROLES {
        let own = out.join(role);
        let config = own.join("probity.toml");
        let checked = probityd(&["check-config", "--config", config.to_str().unwrap()]);
        let said = String::from_utf8_lossy(&checked.stderr);
        assert!(checked.status.success(), "{role}: {said}");
        let text = std::fs::read_to_string(&config).unwrap();
        for on_one_machine in [
            "listen = \"127",
            "nats://127",
            "redis://127",
            "endpoint = \"http://127",
        ] {
            assert!(!text.contains(on_one_machine), "{role}: {text}");
        }
        let named = text
            .split('"')
            .filter_map(|word| word.strip_prefix("/etc/probity/"));
        for file in named {
            assert!(own.join(file).exists(), "{role} has no {file}");
        }
        for other in ROLES.iter().filter(|other| **other != role) {
            let theirs = [format!("secret/nats-{other}"), format!("keys/{other}")];
            assert!(theirs.iter().all(|file| !own.join(file).exists()));
        }
        assert!(!own.join("keys/root").exists());
        let command = format!("command: [\"run\", \"{role}\", ");
        assert!(compose.contains(&command), "compose.yaml runs no {role}");
    }
    let issuance = std::fs::read_to_string(out.join("issuance/probity.toml")).unwrap();
    assert!(issuance.contains("\"http://repository.example/crl/issuing.crl\""));
    let nats = probity_testkit::tool("nats-server");
    run(Command::new(nats)
        .args(["-t", "-c"])
        .arg(out.join("nats/nats.conf")));
    // A second run keeps every key.
    let seed = std::fs::read(out.join("signing/secret/nats-signing")).unwrap();
    assert!(set_up(out).contains("set up already"));
    let kept = std::fs::read(out.join("signing/secret/nats-signing")).unwrap();
    assert_eq!(seed, kept);
}

#[test]
fn what_is_unknown_or_missing_is_refused_by_name() {
    assert!(check(COMMON).0, "{}", check(COMMON).1);
    for (text, named) in [
        (format!("{COMMON}\n[clerk]\n"), "[clerk]"),
        (format!("{COMMON}\nfrobnicate = 1\n"), "frobnicate"),
        (
            format!("{COMMON}\n[signing]\nfrobnicate = 1\n"),
            "[signing]",
        ),
        (
            format!("{COMMON}\n[intake]\nlisten = \"nowhere\"\n"),
            "[intake]",
        ),
        (COMMON.replace("[nats]", "[nuts]"), "[nats]"),
        (
            COMMON.replace("url = \"nats:", "replicas = 9\nurl = \"nats:"),
            "replicas",
        ),
        (
            COMMON.replace("127.0.0.1:1\"\n[nats]", "here\"\n[nats]"),
            "[process]",
        ),
        ("[process".to_owned(), "probity.toml"),
    ] {
        let (ok, said) = check(&text);
        assert!(!ok && said.contains(named), "{named} not in {said:?}");
    }
}

#[test]
fn wrong_arguments_and_secrets_end_before_a_socket_opens() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("probity.toml");
    std::fs::write(&path, COMMON).unwrap();
    let path = path.to_str().unwrap();
    let unknown = probityd(&["run", "clerk", "--config", path]);
    assert!(!unknown.status.success());
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("no role \"clerk\""));
    // The secret does not exist, and the start ends on that, not on the store nobody runs.
    let secret = probityd(&["run", "signing", "--config", path]);
    assert!(!secret.status.success());
    assert!(String::from_utf8_lossy(&secret.stderr).contains("/nowhere"));
    let officer = probityd(&["bootstrap-officer", "--role", "vendor", "--config", path]);
    assert!(!officer.status.success());
}
