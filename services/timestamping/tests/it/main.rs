//! Tokens for anybody, judged by OpenSSL.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::process::Command;
use std::sync::Arc;

use probity_domain::Timestamp;
use probity_pki::keys::{MemoryKey, Signer as _};
use probity_pki::oid;
use probity_pki::tsp::{TimeStampAuthority, TimeStampResp};
use probity_pki::x509::{Certificate, CertificateTemplate, Profile, Subject, sign_certificate};
use probity_platform::clock::{Clock as _, ManualClock, SystemClock};
use probity_platform::{ErrorKind, SystemRandom};
use probity_timestamping::{ClockLease, ClockReader, Reading, TimeStamper, router};

const DAY_MS: i64 = 24 * 3_600_000;

struct Standing(Arc<ManualClock>);

impl ClockReader for Standing {
    fn read(&self) -> Reading {
        Reading {
            wall: self.0.now(),
            monotonic_ms: self.0.now().unix_ms(),
        }
    }
}

struct Unit {
    root: Certificate,
    clock: Arc<ManualClock>,
    lease: Arc<ClockLease>,
    stamper: Arc<TimeStamper>,
}

fn issue(
    profile: Profile,
    key: &MemoryKey,
    issuer: Option<(&Certificate, &MemoryKey)>,
    now: Timestamp,
) -> Certificate {
    let template = CertificateTemplate {
        profile,
        serial: &[0x41; 16],
        subject: Subject::new(format!("{profile:?}")),
        spki_der: key.public_key_der(),
        not_before: now.plus_ms(-DAY_MS),
        not_after: now.plus_ms(DAY_MS),
        issuer: issuer.map(|(certificate, _)| certificate),
        crl_url: None,
        ocsp_url: None,
        cps_url: None,
        reliance_limit: None,
        instruction: None,
    };
    sign_certificate(
        &template.to_be_signed().unwrap(),
        issuer.map_or(key, |(_, key)| key),
    )
    .unwrap()
}

impl Unit {
    fn new() -> Self {
        // OpenSSL judges by the machine's clock.
        let now = SystemClock.now();
        let (root_key, key) = (
            MemoryKey::generate().unwrap(),
            MemoryKey::generate().unwrap(),
        );
        let root = issue(Profile::RootCa, &root_key, None, now);
        let certificate = issue(Profile::Tsa, &key, Some((&root, &root_key)), now);
        let clock = Arc::new(ManualClock::at(now));
        let lease = Arc::new(ClockLease::new(Box::new(Standing(clock.clone())), 100));
        let policy = oid::POLICY_TIME_STAMP;
        let authority = TimeStampAuthority {
            certificate,
            chain: vec![],
            policy,
            accuracy_ms: 1_000,
        };
        let stamper = TimeStamper::new(
            authority,
            Box::new(key),
            lease.clone(),
            Arc::new(SystemRandom),
        );
        Self {
            root,
            clock,
            lease,
            stamper: Arc::new(stamper.unwrap()),
        }
    }
}

fn openssl(arguments: &[&str], folder: &std::path::Path) -> String {
    let output = Command::new("openssl")
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(output.status.success(), "openssl {arguments:?}: {text}");
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openssl_asks_over_http_and_believes_the_answer() {
    let unit = Unit::new();
    unit.lease.renew();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/tsa", listener.local_addr().unwrap());
    let served = tokio::spawn(axum::serve(listener, router(unit.stamper.clone())).into_future());
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("data"), b"what is stamped").unwrap();
    std::fs::write(path("root.pem"), unit.root.to_pem().unwrap()).unwrap();
    for digest in ["-sha256", "-sha384", "-sha512"] {
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
    let refused = Command::new("curl")
        .args([
            "-s",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            "-H",
            "content-type: text/plain",
        ])
        .args(["--data-binary", "@q", &url])
        .current_dir(folder.path())
        .output();
    assert_eq!(refused.unwrap().stdout, b"415");
    served.abort();
}

#[test]
fn refusals_are_answers() {
    let unit = Unit::new();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("data"), b"x").unwrap();
    openssl(
        &["ts", "-query", "-data", "data", "-sha256", "-out", "q"],
        folder.path(),
    );
    let query = std::fs::read(folder.path().join("q")).unwrap();
    let refused =
        |request: &[u8]| match TimeStampResp::from_der(&unit.stamper.respond(request).unwrap()) {
            Ok(TimeStampResp::Refused { failure_bits, .. }) => Some(failure_bits),
            _ => None,
        };
    let stale = refused(&query).expect("no lease, no token");
    unit.lease.renew();
    assert_eq!(refused(&query), None);
    for nonsense in [&b""[..], b"nonsense", &query[..query.len() - 1]] {
        assert!(refused(nonsense).is_some_and(|bits| bits != stale));
    }
    unit.clock.advance_ms(1_001);
    assert_eq!(refused(&query), Some(stale));
    // The unit's certificate ends with its clock's lease intact.
    for _ in 0..25 {
        unit.clock.advance_ms(3_600_000);
        unit.lease.renew();
    }
    assert_eq!(refused(&query), Some(stale));
}

#[test]
fn only_a_time_stamping_unit_stamps() {
    let unit = Unit::new();
    let key = MemoryKey::generate().unwrap();
    let certificate = issue(Profile::RootCa, &key, None, unit.clock.now());
    let policy = oid::POLICY_TIME_STAMP;
    let authority = TimeStampAuthority {
        certificate,
        chain: vec![],
        policy,
        accuracy_ms: 1_000,
    };
    let refused = TimeStamper::new(authority, Box::new(key), unit.lease, Arc::new(SystemRandom));
    assert_eq!(refused.err().unwrap().kind, ErrorKind::Malformed);
}
