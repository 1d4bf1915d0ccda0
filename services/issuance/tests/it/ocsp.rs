//! OCSP over a real HTTP edge, judged by `openssl ocsp`.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use probity_domain::Timestamp;
use probity_issuance::{OcspResponder, revoke, router};
use probity_pki::crl::RevocationReason;
use probity_pki::keys::MemoryKey;
use probity_pki::ocsp::{CertStatus, OcspResponse, make_request};
use probity_pki::x509::Certificate;
use probity_platform::SystemRandom;
use probity_platform::access::Access;
use probity_platform::objects::{Fault, Verb};
use probity_proto::ledger::CertificateEvent;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{HOUR_MS, NOW, World, request};

/// The real time: the judge has no other.
#[expect(
    clippy::disallowed_methods,
    reason = "the judge goes by the machine's clock"
)]
fn machine_time() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Timestamp::from_unix_ms(since.unwrap().as_millis().try_into().unwrap())
}

struct Edge {
    world: World,
    address: std::net::SocketAddr,
    dir: tempfile::TempDir,
    event: Certificate,
}

impl Edge {
    async fn open(now: Timestamp) -> Self {
        let mut world = World::at(now);
        world.issuer.crls.refresh().await.unwrap();
        world.apply("org", "organization", Some(true)).await;
        let id = world.submit("org").await;
        let issued = world
            .issuer
            .issue_event_certificate(&request(id, "org"))
            .await
            .unwrap();
        let event = Certificate::from_der(&issued.certificate).unwrap();
        let spare = MemoryKey::generate().unwrap();
        let key = std::mem::replace(&mut world.responder.1, spare);
        let certificate = world.responder.0.clone();
        let responder =
            OcspResponder::new(world.issuer.clone(), Box::new(key), certificate, HOUR_MS);
        let access = Access::new(
            world.ledger.clone(),
            world.clock.clone(),
            Arc::new(SystemRandom),
        );
        let routes = router(
            world.issuer.clone(),
            access,
            Some(Arc::new(responder.unwrap())),
        );
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, routes).await });
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, pem: String| std::fs::write(dir.path().join(name), pem).unwrap();
        let authority = &issued.chain[0];
        let authority = Certificate::from_der(authority).unwrap();
        write("issuing.pem", authority.to_pem().unwrap());
        write("event.pem", event.to_pem().unwrap());
        write("seal.pem", world.seal.to_pem().unwrap());
        write("root.pem", world.root.to_pem().unwrap());
        Self {
            world,
            address,
            dir,
            event,
        }
    }

    fn issuer(&self) -> Certificate {
        let pem = std::fs::read_to_string(self.dir.path().join("issuing.pem")).unwrap();
        Certificate::from_pem(&pem).unwrap()
    }

    /// What `openssl ocsp` prints when it asks this edge.
    async fn judge(&self, asked: &str) -> (bool, String) {
        let url = format!("http://{}/ocsp", self.address);
        let line = format!("{asked} -url {url} -CAfile root.pem -verify_other issuing.pem");
        self.openssl(line).await
    }

    async fn openssl(&self, line: String) -> (bool, String) {
        let dir = self.dir.path().to_owned();
        tokio::task::spawn_blocking(move || openssl(&dir, &line))
            .await
            .unwrap()
    }

    async fn exchange(&self, head: &str, body: &[u8]) -> (String, Vec<u8>) {
        let mut stream = tokio::net::TcpStream::connect(self.address).await.unwrap();
        let length = body.len();
        let head = format!(
            "{head} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\
             content-type: application/ocsp-request\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        // An edge that has seen enough may close before all is sent.
        let _ = stream.write_all(body).await;
        let mut reply = Vec::new();
        // And then the connection may end in an error: what counts is what came before.
        let _ = stream.read_to_end(&mut reply).await;
        let end = reply.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
        let head = String::from_utf8_lossy(&reply[..end]).to_lowercase();
        (head, reply[end + 4..].to_vec())
    }

    async fn post(&self, body: &[u8]) -> Vec<u8> {
        let (head, reply) = self.exchange("POST /ocsp", body).await;
        assert!(head.contains("application/ocsp-response"), "{head}");
        reply
    }
}

fn openssl(dir: &Path, line: &str) -> (bool, String) {
    let output = Command::new("openssl")
        .arg("ocsp")
        .args(line.split_whitespace())
        .current_dir(dir)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

/// OCSPResponse of a failure: the status alone.
const fn unsuccessful(status: u8) -> [u8; 5] {
    [0x30, 3, 0x0a, 1, status]
}
const MALFORMED_REQUEST: [u8; 5] = unsuccessful(1);
const TRY_LATER: [u8; 5] = unsuccessful(3);
const UNAUTHORIZED: [u8; 5] = unsuccessful(6);

#[tokio::test(flavor = "multi_thread")]
async fn openssl_asks_and_believes() {
    let edge = Edge::open(machine_time()).await;
    for name in ["event.pem", "seal.pem"] {
        let (ok, text) = edge
            .judge(&format!("-issuer issuing.pem -cert {name}"))
            .await;
        assert!(ok && text.contains(&format!("{name}: good")), "{text}");
        assert!(text.contains("Response verify OK"), "{text}");
        assert!(!text.contains("WARNING"), "the nonce comes back: {text}");
    }
    let asked = "-no_nonce -sha256 -issuer issuing.pem -cert event.pem";
    let (ok, text) = edge.judge(asked).await;
    assert!(ok && text.contains("event.pem: good"), "{text}");
    let never = "-issuer issuing.pem -serial 0x4242424242424242424242424242424242424242";
    let (_, text) = edge.judge(never).await;
    assert!(text.contains(": unknown"), "{text}");
    let (ok, text) = edge.judge("-issuer root.pem -cert issuing.pem").await;
    assert!(!ok && text.contains("unauthorized"), "{text}");

    let compromise = RevocationReason::KeyCompromise;
    for (certificate, name) in [(&edge.event, "event.pem"), (&edge.world.seal, "seal.pem")] {
        let serial = certificate.serial_hex();
        revoke(&edge.world.issuer, serial, compromise, "credential:o")
            .await
            .unwrap();
        let asked = format!("-no_nonce -sha256 -issuer issuing.pem -cert {name}");
        let (_, text) = edge.judge(&asked).await;
        assert!(text.contains(&format!("{name}: revoked")), "{text}");
        assert!(text.contains("Reason: keyCompromise"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_answer_is_refused() {
    let edge = Edge::open(machine_time()).await;
    let (issuer, serial) = (edge.issuer(), edge.event.serial());
    let request = make_request(&issuer, serial, None).unwrap();
    let mut answer = edge.post(&request).await;
    let respin = || async {
        let line = "-respin answer.der -no_nonce -sha256 -issuer issuing.pem -cert event.pem \
                    -CAfile root.pem -verify_other issuing.pem";
        edge.openssl(line.to_owned()).await
    };
    std::fs::write(edge.dir.path().join("answer.der"), &answer).unwrap();
    let (ok, text) = respin().await;
    assert!(ok && text.contains("event.pem: good"), "{text}");
    // The serial number inside, so that it stays readable.
    let at = answer.windows(20).position(|w| w == serial).unwrap();
    answer[at + 19] ^= 1;
    std::fs::write(edge.dir.path().join("answer.der"), &answer).unwrap();
    let (_, text) = respin().await;
    assert!(text.contains("Response Verify Failure"), "{text}");
}

#[tokio::test]
async fn get_is_for_caches() {
    let edge = Edge::open(NOW).await;
    let (issuer, serial) = (edge.issuer(), edge.event.serial());
    let get = |request: Vec<u8>, encode: bool| {
        let mut path = STANDARD.encode(request);
        if encode {
            path = path
                .replace('+', "%2B")
                .replace('/', "%2F")
                .replace('=', "%3D");
        }
        let edge = &edge;
        async move { edge.exchange(&format!("GET /ocsp/{path}"), b"").await }
    };
    let plain = make_request(&issuer, serial, None).unwrap();
    let (head, first) = get(plain.clone(), true).await;
    for part in [
        "content-type: application/ocsp-response",
        "cache-control: max-age=60,public,no-transform,must-revalidate",
        "last-modified: wed, 18 nov 2026 11:06:40 gmt",
        "expires: wed, 18 nov 2026 12:06:40 gmt",
        "etag: \"",
    ] {
        assert!(head.contains(part), "{part} is missing from\n{head}");
    }
    let read = OcspResponse::from_der(&first).unwrap();
    let status = |response: &OcspResponse, at| response.verify(&issuer, serial, None, at).unwrap();
    assert_eq!(status(&read, NOW), CertStatus::Good);
    // The same question within a minute gets the same bytes, slashes encoded or not.
    edge.world.clock.advance_ms(59_000);
    assert_eq!(get(plain.clone(), false).await.1, first);
    edge.world.clock.advance_ms(1_000);
    assert_ne!(get(plain.clone(), false).await.1, first);
    // A revocation ends that at once.
    let superseded = RevocationReason::Superseded;
    revoke(&edge.world.issuer, edge.event.serial_hex(), superseded, "o")
        .await
        .unwrap();
    let revoked = OcspResponse::from_der(&get(plain, true).await.1).unwrap();
    let at = NOW.plus_ms(60_000);
    let reason = Some(superseded);
    assert_eq!(status(&revoked, at), CertStatus::Revoked { at, reason });
    // With a nonce it is nobody else's.
    let nonce = [7; 32];
    let asked = make_request(&issuer, serial, Some(&nonce)).unwrap();
    let (head, answer) = get(asked, true).await;
    assert!(head.contains("cache-control: no-store"), "{head}");
    let answer = OcspResponse::from_der(&answer).unwrap();
    answer.verify(&issuer, serial, Some(&nonce), at).unwrap();
    let (_, nonsense) = edge.exchange("GET /ocsp/nonsense!", b"").await;
    assert_eq!(nonsense, MALFORMED_REQUEST);
}

#[tokio::test]
async fn what_cannot_be_answered_is_said() {
    let edge = Edge::open(NOW).await;
    let issuer = edge.issuer();
    let request = make_request(&issuer, edge.event.serial(), None).unwrap();
    for malformed in [
        &b""[..],
        b"0",
        &request[1..],
        &[request.as_slice(), &[0]].concat(),
        &[0x30; 17 * 1024],
    ] {
        assert_eq!(edge.post(malformed).await, MALFORMED_REQUEST);
    }
    let foreign = make_request(&edge.event, &[0x41; 20], None).unwrap();
    assert_eq!(edge.post(&foreign).await, UNAUTHORIZED);
    // Intended is not issued.
    let mut history = edge
        .world
        .ledger
        .read::<CertificateEvent>(&"53".repeat(20))
        .await
        .unwrap();
    let intended = CertificateEvent::Intended {
        profile: "event".into(),
        party: "org".into(),
        submission: "s".into(),
        tbs_certificate: String::new(),
    };
    let ledger = &edge.world.ledger;
    ledger
        .append(&mut history, "t", "t", intended)
        .await
        .unwrap();
    for serial in [&[0x53; 20][..], &[0x54; 20], &[1]] {
        let answer = edge
            .post(&make_request(&issuer, serial, None).unwrap())
            .await;
        let answer = OcspResponse::from_der(&answer).unwrap();
        let status = answer.verify(&issuer, serial, None, NOW).unwrap();
        assert_eq!(status, CertStatus::Unknown);
    }
    // Without the store nothing is known, and nothing is claimed.
    edge.world
        .truth
        .set_faults(|verb, _| (verb == Verb::Get).then_some(Fault::Refuse));
    assert_eq!(edge.post(&request).await, TRY_LATER);
    edge.world.truth.clear_faults();
    let good = OcspResponse::from_der(&edge.post(&request).await).unwrap();
    assert_eq!(
        good.verify(&issuer, edge.event.serial(), None, NOW)
            .unwrap(),
        CertStatus::Good
    );
    // Nor after the responder's own certificate has ended.
    edge.world.clock.advance_ms(9_001 * HOUR_MS);
    assert_eq!(edge.post(&request).await, TRY_LATER);
}

#[tokio::test]
async fn only_a_delegated_responder_opens() {
    let world = World::at(NOW);
    let (key, certificate) = (MemoryKey::generate().unwrap(), world.responder.0.clone());
    let refused = OcspResponder::new(world.issuer.clone(), Box::new(key), certificate, HOUR_MS);
    let refused = refused.err().unwrap().to_string();
    assert!(refused.contains("is not the OCSP responder's"), "{refused}");
    let (seal, key) = crate::made(NOW, probity_pki::x509::Profile::RootCa, None);
    let refused = OcspResponder::new(world.issuer.clone(), Box::new(key), seal, HOUR_MS)
        .err()
        .unwrap();
    assert!(
        refused.to_string().contains("OCSP responder's certificate"),
        "{refused}"
    );
}
