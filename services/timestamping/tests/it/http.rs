//! Tokens for anybody, judged by OpenSSL.

use std::process::Command;
use std::sync::Arc;

use probity_pki::digest::HashAlgorithm;
use probity_pki::keys::MemoryKey;
use probity_pki::oid;
use probity_pki::tsp::{Imprint, TimeStampAuthority, TimeStampReq, TimeStampResp};
use probity_pki::x509::Profile;
use probity_platform::{ErrorKind, SystemRandom};
use probity_timestamping::{ClockReader as _, TimeStamper, router};

use crate::fixture::{Unit, issue};

const QUERY_TYPE: &str = "content-type: application/timestamp-query";

fn run(arguments: &[&str], folder: &std::path::Path) -> std::process::Output {
    let mut command = Command::new("openssl");
    command
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap()
}

fn openssl_accepts(arguments: &[&str], folder: &std::path::Path) -> bool {
    run(arguments, folder).status.success()
}

fn openssl(arguments: &[&str], folder: &std::path::Path) -> String {
    let output = run(arguments, folder);
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(output.status.success(), "openssl {arguments:?}: {text}");
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openssl_asks_over_http_and_believes_the_answer() {
    let unit = Unit::new();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/tsa", listener.local_addr().unwrap());
    let served = tokio::spawn(
        axum::serve(listener, router(unit.stamper.clone(), unit.truth.clone())).into_future(),
    );
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("data"), b"what is stamped").unwrap();
    std::fs::write(path("root.pem"), unit.root.to_pem().unwrap()).unwrap();
    for digest in [
        "-sha256",
        "-sha384",
        "-sha512",
        "-sha3-256",
        "-sha3-384",
        "-sha3-512",
    ] {
        openssl(
            &[
                "ts", "-query", "-data", "data", digest, "-cert", "-out", "q",
            ],
            folder.path(),
        );
        let sent = Command::new("curl")
            .args([
                "-sf",
                "-H",
                "content-type: application/timestamp-query",
                "--data-binary",
                "@q",
            ])
            .args(["-o", "r", &url])
            .current_dir(folder.path())
            .status();
        assert!(sent.unwrap().success());
        let verify = [
            "ts",
            "-verify",
            "-queryfile",
            "q",
            "-in",
            "r",
            "-CAfile",
            "root.pem",
        ];
        assert!(openssl(&verify, folder.path()).contains("Verification: OK"));
    }
    let text = openssl(&["ts", "-reply", "-in", "r", "-text"], folder.path());
    assert!(text.contains("1.3.6.1.4.1.32473.20.5"), "{text}");
    assert!(!text.contains("critical"), "{text}");
    let mut changed = std::fs::read(path("r")).unwrap();
    let record = b"clock/test/";
    let at = changed.windows(record.len()).position(|w| w == record);
    changed[at.unwrap()] ^= 1;
    std::fs::write(path("r"), changed).unwrap();
    let verify = [
        "ts",
        "-verify",
        "-queryfile",
        "q",
        "-in",
        "r",
        "-CAfile",
        "root.pem",
    ];
    assert!(!openssl_accepts(&verify, folder.path()));
    std::fs::write(path("large"), vec![0x30; 4_097]).unwrap();
    for (arguments, status) in [
        (
            &["-H", "content-type: text/plain", "--data-binary", "@q"][..],
            "415",
        ),
        (&["-H", QUERY_TYPE, "--data-binary", "@large"], "413"),
        (&["-X", "GET"], "405"),
        (
            &["-X", "PUT", "-H", QUERY_TYPE, "--data-binary", "@q"],
            "405",
        ),
    ] {
        let answered = Command::new("curl")
            .args(["-s", "-o", "/dev/null", "-w", "%{http_code} %header{allow}"])
            .args(arguments)
            .arg(&url)
            .current_dir(folder.path())
            .output();
        let answered = String::from_utf8(answered.unwrap().stdout).unwrap();
        assert!(answered.starts_with(status), "{arguments:?}: {answered}");
        assert_eq!(status == "405", answered.contains("POST"), "{answered}");
    }
    served.abort();
}

/// The bits of PKIFailureInfo that refuse; `None` for a token.
fn refused(unit: &Unit, request: &[u8]) -> Option<u32> {
    let response = unit.stamper.respond(request).unwrap();
    match TimeStampResp::from_der(&response).unwrap() {
        TimeStampResp::Refused {
            status,
            failure_bits,
            text,
        } => {
            assert!(status == 2 && !text.is_empty());
            Some(failure_bits)
        }
        TimeStampResp::Granted(_) => None,
    }
}

#[test]
fn without_a_lease_the_answer_is_time_not_available() {
    const TIME_NOT_AVAILABLE: Option<u32> = Some(1 << 14);
    const BAD_DATA_FORMAT: Option<u32> = Some(1 << 5);
    let unit = Unit::new();
    let imprint = Imprint::of(HashAlgorithm::Sha256, b"x");
    let request = TimeStampReq::make(imprint, Some(&[7; 8]), true, None).unwrap();
    let query = request.to_der().unwrap();
    assert_eq!(refused(&unit, &query), None);
    for nonsense in [&b""[..], b"nonsense", &query[..query.len() - 1]] {
        assert_eq!(refused(&unit, nonsense), BAD_DATA_FORMAT);
    }
    unit.clocks.advance_ms(901);
    assert_eq!(refused(&unit, &query), TIME_NOT_AVAILABLE);
    unit.lease.renew();
    assert_eq!(refused(&unit, &query), None);
    // The unit's certificate ends with its clock's lease intact.
    for _ in 0..25 {
        unit.clocks.advance_ms(3_600_000);
        unit.lease.renew();
    }
    assert_eq!(refused(&unit, &query), TIME_NOT_AVAILABLE);
}

#[test]
fn only_a_time_stamping_unit_stamps() {
    let unit = Unit::new();
    let key = MemoryKey::generate().unwrap();
    let certificate = issue(Profile::RootCa, &key, None, unit.clocks.read().wall);
    let authority = TimeStampAuthority {
        certificate,
        chain: vec![],
        policy: oid::POLICY_TIME_STAMP,
        accuracy_ms: 1_000,
    };
    let refused = TimeStamper::new(authority, Box::new(key), unit.lease, Arc::new(SystemRandom));
    assert_eq!(refused.err().unwrap().kind, ErrorKind::Malformed);
}
