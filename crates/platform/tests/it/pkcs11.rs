//! Keys in a token, with SoftHSM 2 as the token. Skipped, loudly, where it is missing.
//!
//! SoftHSM finds its store by an environment variable, which a test may not set for its own process: each test runs
//! itself again in a process of its own that has it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use cryptoki::context::Pkcs11;
use probity_domain::Timestamp;
use probity_pki::keys::{MemoryKey, Signer};
use probity_pki::x509::{
    Addresses, Certificate, CertificateTemplate, Profile, Subject, sign_certificate,
};
use probity_platform::keys::{Pkcs11Config, Pkcs11Key, open_signer};

use crate::conformance::conforms;

const DIR: &str = "PROBITY_TEST_TOKEN_DIR";
const MODULES: [&str; 4] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
];

fn module() -> Option<PathBuf> {
    MODULES.iter().map(PathBuf::from).find(|path| path.exists())
}

/// Runs one of the tests below in a process whose SoftHSM has a token with the key `unit`.
fn in_a_process_with_a_token(test: &str) {
    if module().is_none() || Command::new("softhsm2-util").arg("-v").output().is_err() {
        println!("SKIPPED: no SoftHSM 2 here, so no key in a token was tested: infra/tools.sh");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    std::fs::create_dir(path("tokens")).unwrap();
    let store = format!("directories.tokendir = {}\n", path("tokens").display());
    std::fs::write(path("softhsm2.conf"), store).unwrap();
    std::fs::write(path("pin"), "4711\n").unwrap();
    let key = MemoryKey::generate().unwrap();
    std::fs::write(path("cert.pem"), certified(&key).to_pem().unwrap()).unwrap();
    std::fs::write(path("key.der"), &*key.to_pkcs8_der().unwrap()).unwrap();
    let run = |program: &str, line: &str| {
        let output = Command::new(program)
            .args(line.split_whitespace())
            .current_dir(dir.path())
            .env("SOFTHSM2_CONF", path("softhsm2.conf"))
            .env(DIR, dir.path())
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let said = text(&output.stdout) + &text(&output.stderr);
        assert!(output.status.success(), "{program} {line}\n{said}");
        said
    };
    run("openssl", "pkey -inform DER -in key.der -out key.pem");
    run(
        "softhsm2-util",
        "--init-token --free --label hsm --so-pin 0815 --pin 4711",
    );
    run(
        "softhsm2-util",
        "--import key.pem --token hsm --label unit --id a1 --pin 4711",
    );
    let own = std::env::current_exe().unwrap().display().to_string();
    let said = run(
        &own,
        &format!("pkcs11::with_a_token::{test} --exact --ignored"),
    );
    assert!(said.contains("1 passed"), "{said}");
}

fn certified(key: &MemoryKey) -> Certificate {
    let template = CertificateTemplate {
        profile: Profile::RootCa,
        serial: &[0x71; 16],
        subject: Subject::new("Unit"),
        spki_der: key.public_key_der(),
        not_before: Timestamp::from_unix_ms(1_795_000_000_000),
        not_after: Timestamp::from_unix_ms(1_895_000_000_000),
        issuer: None,
        addresses: Addresses::default(),
        reliance_limit: None,
        instruction: None,
    };
    sign_certificate(&template.to_be_signed().unwrap(), key).unwrap()
}

#[test]
fn a_token_is_a_signer() {
    in_a_process_with_a_token("conforms_to_the_suite");
}

#[test]
fn a_lost_token_is_found_again() {
    in_a_process_with_a_token("signs_on_after_a_loss");
}

#[test]
fn what_does_not_fit_is_named() {
    in_a_process_with_a_token("refuses_what_does_not_fit");
}

mod with_a_token {
    use super::*;

    fn dir() -> PathBuf {
        PathBuf::from(std::env::var_os(DIR).unwrap())
    }

    fn certificate() -> Certificate {
        probity_platform::keys::read_certificate(&dir().join("cert.pem")).unwrap()
    }

    fn config(changes: &[(&str, &str)]) -> Pkcs11Config {
        let mut table = toml::Table::new();
        let pin = dir().join("pin");
        for (name, value) in [
            ("module", module().unwrap().to_str().unwrap()),
            ("token", "hsm"),
            ("key_label", "unit"),
            ("pin_file", pin.to_str().unwrap()),
        ] {
            table.insert(name.to_owned(), value.into());
        }
        for (name, value) in changes {
            table.insert((*name).to_owned(), (*value).into());
        }
        table.try_into().unwrap()
    }

    #[test]
    #[ignore = "needs SoftHSM's environment; the tests above run it"]
    fn conforms_to_the_suite() {
        let key = Pkcs11Key::open(&config(&[]), &certificate()).unwrap();
        assert!(!format!("{key:?} {:?}", config(&[])).contains("4711"));
        conforms("SoftHSM", Arc::new(key));
        let by_id = Pkcs11Key::open(&config(&[("key_id", "a1")]), &certificate()).unwrap();
        // A second key of the same module in one process, while the first may still be open.
        conforms("SoftHSM, by id", Arc::new(by_id));
        let token = config(&[]);
        let signer = open_signer(None, None, Some(&token), &certificate()).unwrap();
        assert_eq!(signer.public_key_der(), certificate().spki_der());
        let both = open_signer(Some(Path::new("key")), None, Some(&token), &certificate());
        assert!(both.is_err() && open_signer(None, None, None, &certificate()).is_err());
    }

    /// C_Finalize behind its back takes every session, the login and the slots with it, as a restarted token does.
    #[test]
    #[ignore = "needs SoftHSM's environment; the tests above run it"]
    fn signs_on_after_a_loss() {
        let key = Arc::new(Pkcs11Key::open(&config(&[]), &certificate()).unwrap());
        for _ in 0..3 {
            Pkcs11::new(module().unwrap()).unwrap().finalize().unwrap();
            conforms("SoftHSM after a loss", key.clone());
        }
    }

    #[test]
    #[ignore = "needs SoftHSM's environment; the tests above run it"]
    fn refuses_what_does_not_fit() {
        let other = certified(&MemoryKey::generate().unwrap());
        let wrong_pin = dir().join("wrong-pin");
        std::fs::write(&wrong_pin, "1234").unwrap();
        let wrong_pin = wrong_pin.to_str().unwrap();
        let refused = |changes: &[(&str, &str)], certificate: &Certificate, reason: &str| {
            let e = Pkcs11Key::open(&config(changes), certificate).unwrap_err();
            assert!(e.detail.contains(reason), "{reason}: {e}");
            assert!(
                !e.detail.contains("1234") && !e.detail.contains("4711"),
                "{e}"
            );
        };
        let own = certificate();
        refused(&[("module", "/nowhere.so")], &own, "/nowhere.so");
        refused(&[("token", "other")], &own, "no such token");
        refused(&[("key_label", "other")], &own, "no such private key");
        refused(&[("key_id", "a2")], &own, "no such private key");
        refused(&[("key_id", "zz")], &own, "key_id");
        refused(&[("pin_file", "/nowhere")], &own, "/nowhere");
        refused(&[], &other, "not the key of");
        // Whoever was refused has closed its session, and with the last one of a process the login ends.
        refused(&[("pin_file", wrong_pin)], &own, "login refused");
        assert!(toml::from_str::<Pkcs11Config>("module = 'm'\ntoken = 't'\npin = '1'").is_err());
    }
}
