//! RFC 3161 tokens per second on one core: parsed request to verified response, with either signature backend, beside
//! `openssl ts -reply` with a key of the same type.
//!
//! `cargo bench -p probity-pki --bench tokens`. Compare within one run on a quiet machine; nothing else means anything.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement")]

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use probity_domain::Timestamp;
use probity_pki::digest::HashAlgorithm;
use probity_pki::keys::{MemoryKey, P384Key, Signer};
use probity_pki::oid;
use probity_pki::tsp::{ClockEvidence, GenTime, Imprint, TimeStampAuthority, TimeStampReq};
use probity_pki::x509::{
    Addresses, Certificate, CertificateTemplate, Profile, Subject, sign_certificate,
};

const MEASURED: Duration = Duration::from_secs(3);
const WARM_UP: Duration = Duration::from_millis(300);
const NOW: Timestamp = Timestamp::from_unix_ms(1_795_000_000_123);
const DAY_MS: i64 = 24 * 3_600_000;

fn issue(
    profile: Profile,
    key: &dyn Signer,
    issuer: Option<&Certificate>,
    by: &dyn Signer,
) -> Certificate {
    let template = CertificateTemplate {
        profile,
        serial: &[0x41; 16],
        subject: Subject::new(format!("{profile:?}")),
        spki_der: key.public_key_der(),
        not_before: NOW.plus_ms(-DAY_MS),
        not_after: NOW.plus_ms(DAY_MS),
        issuer,
        addresses: Addresses::default(),
        reliance_limit: None,
        instruction: None,
    };
    sign_certificate(&template.to_be_signed().unwrap(), by).unwrap()
}

fn certificate(key: &dyn Signer) -> Certificate {
    let root_key = MemoryKey::generate().unwrap();
    let root = issue(Profile::RootCa, &root_key, None, &root_key);
    issue(Profile::Tsa, key, Some(&root), &root_key)
}

/// Rounds per second.
fn rate(mut round: impl FnMut(u64)) -> f64 {
    let mut run = |time: Duration| {
        let (since, mut rounds) = (Instant::now(), 0);
        while since.elapsed() < time {
            round(rounds);
            rounds += 1;
        }
        rounds as f64 / since.elapsed().as_secs_f64()
    };
    run(WARM_UP);
    run(MEASURED)
}

fn tokens(key: &dyn Signer, query: &[u8]) -> f64 {
    let authority = TimeStampAuthority {
        certificate: certificate(key),
        chain: vec![],
        policy: oid::POLICY_TIME_STAMP,
        accuracy_ms: 1_000,
    };
    rate(|round| {
        let request = TimeStampReq::from_der(query).unwrap();
        let at = GenTime {
            at: NOW.plus_ms(round as i64 % 1_000),
            accuracy_ms: Some(17),
            evidence: Some(ClockEvidence {
                record: "clock/0123456789abcdef/2026112611/000000000007-89abcdef".to_owned(),
                digest: [9; 32],
            }),
        };
        let serial = [&[1; 12][..], &round.to_be_bytes()].concat();
        let response = authority.respond(&request, key, at, &serial).unwrap();
        assert!(response.len() > 500);
    })
}

fn openssl(folder: &Path, key: &MemoryKey, query: &[u8]) -> Option<f64> {
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.join(name), bytes).unwrap();
    write("tsa.pem", certificate(key).to_pem().unwrap().as_bytes());
    write("key.der", &key.to_pkcs8_der().unwrap());
    write("request.tsq", query);
    write("serial", b"01\n");
    write(
        "ts.conf",
        b"[tsa]\ndefault_tsa = unit\n[unit]\nserial = serial\nsigner_cert = tsa.pem\nsigner_key = key.pem\n\
          signer_digest = sha384\ndefault_policy = 1.2.3\ndigests = sha256\naccuracy = secs:1\ness_cert_id_alg = sha256\n",
    );
    let run = |line: &str| {
        let mut command = Command::new("openssl");
        let output = command.args(line.split(' ')).current_dir(folder).output();
        output.is_ok_and(|output| output.status.success())
    };
    run("pkey -inform DER -in key.der -out key.pem").then(|| {
        rate(|_| {
            assert!(run(
                "ts -reply -config ts.conf -queryfile request.tsq -out reply.tsr"
            ))
        })
    })
}

fn main() {
    let imprint = Imprint::of(HashAlgorithm::Sha256, b"x");
    let request = TimeStampReq::make(imprint, Some(&[7; 8]), true, None).unwrap();
    let query = request.to_der().unwrap();
    let key = MemoryKey::generate().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let base = openssl(folder.path(), &key, &query);
    let say = |name: &str, rate: f64| match base {
        Some(base) => println!("{name:<28} {rate:>9.0} tokens/s {:>8.1} x", rate / base),
        None => println!("{name:<28} {rate:>9.0} tokens/s (no openssl)"),
    };
    println!("ecdsa-with-SHA384 on P-384, self-check on, one core");
    if let Some(base) = base {
        say("openssl ts -reply (process)", base);
    }
    say("AWS-LC", tokens(&key, &query));
    say(
        "RustCrypto p384",
        tokens(&P384Key::generate().unwrap(), &query),
    );
    let message = [7; 200];
    #[expect(clippy::disallowed_methods, reason = "the key alone is measured")]
    let sign = rate(|_| drop(key.sign(&message).unwrap()));
    say("AWS-LC, the signature alone", sign);
}
