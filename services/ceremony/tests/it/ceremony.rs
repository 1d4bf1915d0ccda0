//! The executable as an operator runs it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

use tempfile::TempDir;

pub(crate) const PASSPHRASE: &str = "correct horse battery";
pub(crate) const ROOT_PASSPHRASE: &str = "staple of another kind";

pub(crate) struct Ceremony {
    folder: TempDir,
}

/// Made once: sealing and opening keys is slow by intent.
static MADE: LazyLock<Ceremony> = LazyLock::new(Ceremony::make_new);

impl Ceremony {
    /// A copy of a ceremony, to tamper with.
    pub(crate) fn new() -> Self {
        let copy = Self {
            folder: TempDir::new().unwrap(),
        };
        let copied = Command::new("cp")
            .arg("-rp")
            .arg(MADE.folder.path().join("."))
            .arg(copy.folder.path())
            .status();
        assert!(copied.unwrap().success());
        copy
    }

    /// The one that nobody changes.
    pub(crate) fn made() -> &'static Self {
        &MADE
    }

    fn make_new() -> Self {
        // A static is never dropped: the build's own folder for such things keeps it.
        let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let ceremony = Self { folder };
        fs::write(
            ceremony.folder.path().join("passphrase"),
            format!("{PASSPHRASE}\n"),
        )
        .unwrap();
        fs::write(ceremony.folder.path().join("root"), ROOT_PASSPHRASE).unwrap();
        let made = ceremony.make(&[]);
        assert!(made.status.success(), "{made:?}");
        ceremony
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("out").join(name)
    }

    fn make(&self, more: &[&str]) -> Output {
        let out = self.path("");
        let fixed = [
            "make",
            "--operator-name=存证科技有限公司",
            "--operator-country=CN",
            "--operator-id=NTRCN-91110000",
            "--witness=Chen Wei",
            "--witness=Li Na",
            "--log-name=log.example/1",
            "--crl-url=http://crl.example/issuing.crl",
            "--ocsp-url=http://ocsp.example",
        ];
        let mut command = Command::new(env!("CARGO_BIN_EXE_probity-ceremony"));
        command
            .args(fixed)
            .arg("--out")
            .arg(out.components().as_path());
        self.passphrases(&mut command);
        command.args(more).output().unwrap()
    }

    pub(crate) fn verify(&self) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_probity-ceremony"));
        command.arg("verify").arg("--dir").arg(self.path(""));
        self.passphrases(&mut command);
        command.output().unwrap()
    }

    fn passphrases(&self, command: &mut Command) {
        command
            .arg("--passphrase-file")
            .arg(self.folder.path().join("passphrase"));
        command
            .arg("--root-passphrase-file")
            .arg(self.folder.path().join("root"));
    }

    pub(crate) fn renew_ocsp(&self, more: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_probity-ceremony"));
        command.arg("ocsp").arg("--dir").arg(self.path(""));
        command
            .arg("--passphrase-file")
            .arg(self.folder.path().join("passphrase"));
        command.args(more).output().unwrap()
    }

    pub(crate) fn next_crl(&self, more: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_probity-ceremony"));
        command.arg("crl").arg("--dir").arg(self.path(""));
        command
            .arg("--root-passphrase-file")
            .arg(self.folder.path().join("root"));
        command.args(more).output().unwrap()
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn text(output: &Output) -> String {
    let both = [output.stdout.as_slice(), &output.stderr].concat();
    String::from_utf8(both).unwrap()
}

#[test]
fn what_was_made_verifies_and_is_never_overwritten() {
    let ceremony = Ceremony::new();
    let verified = ceremony.verify();
    assert!(verified.status.success(), "{}", text(&verified));
    let keys = text(&verified)
        .matches("is the key of its certificate")
        .count();
    assert_eq!(keys, 5, "{}", text(&verified));
    let before = fs::read(ceremony.path("public/root-ca.crt.pem")).unwrap();
    let again = ceremony.make(&[]);
    assert!(!again.status.success());
    assert!(
        text(&again).contains("overwrites nothing"),
        "{}",
        text(&again)
    );
    assert_eq!(
        fs::read(ceremony.path("public/root-ca.crt.pem")).unwrap(),
        before
    );
}

#[test]
fn each_role_gets_its_own_keys_for_its_owner_alone() {
    let ceremony = Ceremony::new();
    let expected = [
        ("root", &["root-ca.crt.pem", "root-ca.key.pem"][..]),
        (
            "issuance",
            &[
                "issuing-ca.crt.pem",
                "issuing-ca.key.pem",
                "ocsp.crt.pem",
                "ocsp.key.pem",
            ][..],
        ),
        ("timestamping", &["tsa.crt.pem", "tsa.key.pem"][..]),
        ("delivery", &["seal.crt.pem", "seal.key.pem"][..]),
        ("storage", &["log.key.pem"][..]),
    ];
    for (role, files) in expected {
        let folder = ceremony.path(role);
        assert_eq!(mode(&folder), 0o700, "{role}");
        let mut found = Vec::new();
        for entry in fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            if name.ends_with(".key.pem") {
                assert_eq!(mode(&entry.path()), 0o600, "{name}");
                let pem = fs::read_to_string(entry.path()).unwrap();
                assert!(
                    pem.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"),
                    "{name}"
                );
            }
            found.push(name);
        }
        found.sort();
        assert_eq!(found, files, "{role}");
    }
    let public = fs::read_dir(ceremony.path("public")).unwrap();
    assert!(
        public
            .flatten()
            .all(|e| !e.file_name().to_string_lossy().contains("key.pem"))
    );
}

type Tamper = fn(&Ceremony);

fn swap(a: &Path, b: &Path) {
    let (x, y) = (fs::read(a).unwrap(), fs::read(b).unwrap());
    fs::write(a, y).unwrap();
    fs::write(b, x).unwrap();
}

#[test]
fn any_tampering_is_found() {
    let cases: [(&str, &str, Tamper); 5] = [
        ("a name in the record", "record is signed", |ceremony| {
            let path = ceremony.path("public/ceremony-record.json");
            let record = fs::read_to_string(&path).unwrap();
            fs::write(&path, record.replace("Chen Wei", "Chen Wai")).unwrap();
        }),
        (
            "two keys swapped",
            "issuance/ocsp.key.pem is the key",
            |ceremony| {
                swap(
                    &ceremony.path("issuance/ocsp.key.pem"),
                    &ceremony.path("issuance/issuing-ca.key.pem"),
                );
            },
        ),
        ("a readable key", "delivery/ holds", |ceremony| {
            let mode = fs::Permissions::from_mode(0o644);
            fs::set_permissions(ceremony.path("delivery/seal.key.pem"), mode).unwrap();
        }),
        (
            "a key where it does not belong",
            "delivery/ holds",
            |ceremony| {
                let from = ceremony.path("timestamping/tsa.key.pem");
                fs::copy(from, ceremony.path("delivery/tsa.key.pem")).unwrap();
            },
        ),
        ("another log", "log's verifier key", |ceremony| {
            let path = ceremony.path("public/log.vkey");
            let key = fs::read_to_string(&path).unwrap();
            fs::write(path, key.replace("log.example", "log.elsewhere")).unwrap();
        }),
    ];
    for (what, line, tamper) in cases {
        let ceremony = Ceremony::new();
        tamper(&ceremony);
        let verified = ceremony.verify();
        assert!(!verified.status.success(), "{what}");
        let found = text(&verified);
        assert!(
            found
                .lines()
                .any(|l| l.starts_with("FAILED") && l.contains(line)),
            "{what}: {found}"
        );
    }
}

#[test]
fn a_revoked_certificate_fails_and_the_root_remembers_it() {
    let ceremony = Ceremony::new();
    let renewed = ceremony.next_crl(&[]);
    assert!(renewed.status.success(), "{}", text(&renewed));
    assert!(ceremony.verify().status.success());
    let tsa = ceremony.path("public/tsa.crt.pem");
    let revoke = [
        "--revoke",
        tsa.to_str().unwrap(),
        "--reason",
        "key-compromise",
    ];
    let revoked = ceremony.next_crl(&revoke);
    assert!(
        text(&revoked).contains("list 3: 1 revoked"),
        "{}",
        text(&revoked)
    );
    let verified = ceremony.verify();
    assert!(
        text(&verified).contains("public/tsa.crt.pem is revoked"),
        "{}",
        text(&verified)
    );
    assert!(
        !ceremony.next_crl(&revoke).status.success(),
        "revoked twice"
    );
    let seal = ceremony.path("public/seal.crt.pem");
    let not_ours = ["--revoke", seal.to_str().unwrap(), "--reason", "superseded"];
    assert!(
        !ceremony.next_crl(&not_ours).status.success(),
        "not issued by the root"
    );
}

#[test]
fn a_short_passphrase_leaves_nothing_behind() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("short");
    fs::write(&file, "secret\n").unwrap();
    let out = folder.path().join("out");
    let made = Command::new(env!("CARGO_BIN_EXE_probity-ceremony"))
        .args(["make", "--operator-name=X", "--out"])
        .arg(&out)
        .arg("--passphrase-file")
        .arg(&file)
        .output()
        .unwrap();
    assert!(!made.status.success());
    assert!(text(&made).contains("at least 12 bytes"), "{}", text(&made));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn the_ocsp_certificate_is_renewed_with_the_same_key_or_a_new_one() {
    let ceremony = Ceremony::new();
    let file = |name: &str| fs::read(ceremony.path(name)).unwrap();
    let (first, key) = (file("public/ocsp.crt.pem"), file("issuance/ocsp.key.pem"));
    let renewed = ceremony.renew_ocsp(&[]);
    assert!(renewed.status.success(), "{}", text(&renewed));
    assert!(text(&renewed).contains("key kept"), "{}", text(&renewed));
    let second = file("public/ocsp.crt.pem");
    assert!(second != first && file("issuance/ocsp.key.pem") == key);
    let kept: Vec<_> = fs::read_dir(ceremony.path("public"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| fs::read(path).unwrap() == first)
        .collect();
    assert_eq!(kept.len(), 1, "the one before it is kept: {kept:?}");
    let verified = ceremony.verify();
    assert!(verified.status.success(), "{}", text(&verified));

    let renewed = ceremony.renew_ocsp(&["--new-key"]);
    assert!(text(&renewed).contains("key new"), "{}", text(&renewed));
    assert_ne!(file("issuance/ocsp.key.pem"), key);
    assert_eq!(mode(&ceremony.path("issuance/ocsp.key.pem")), 0o600);
    let verified = ceremony.verify();
    assert!(verified.status.success(), "{}", text(&verified));

    // What somebody else issued is no renewal.
    fs::copy(
        ceremony.path("public/tsa.crt.pem"),
        ceremony.path("public/ocsp.crt.pem"),
    )
    .unwrap();
    let verified = ceremony.verify();
    assert!(
        text(&verified).contains("FAILED  public/ocsp.crt.pem is the one recorded"),
        "{}",
        text(&verified)
    );
}
