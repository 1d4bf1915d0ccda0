//! The whole role over a real NATS: questions in batches, HTTP, the clock log, and the end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use probity_pki::digest::HashAlgorithm;
use probity_pki::keys::MemoryKey;
use probity_pki::tsp::{Imprint, TimeStampReq, TimeStampResp};
use probity_pki::x509::Profile;
use probity_platform::SystemClock;
use probity_platform::bus::{Bus, BusConfig};
use probity_platform::cache::Cache;
use probity_platform::clock::Clock as _;
use probity_platform::config::parse_section;
use probity_platform::objects::{Buckets, MemoryObjects, Objects as _};
use probity_platform::startup::Context;
use probity_proto::subjects::STAMP;
use probity_proto::v1::{StampReply, StampRequest, stamp_reply::Outcome};
use probity_testkit::{World, eventually, free_port};
use probity_timestamping::{Config, serve};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::fixture::issue;

fn config(folder: &std::path::Path, address: SocketAddr) -> Config {
    let (root_key, key) = (
        MemoryKey::generate().unwrap(),
        MemoryKey::generate().unwrap(),
    );
    let now = SystemClock.now();
    let root = issue(Profile::RootCa, &root_key, None, now);
    let certificate = issue(Profile::Tsa, &key, Some((&root, &root_key)), now);
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        std::fs::write(&path, bytes).unwrap();
        path.display().to_string()
    };
    let text = format!(
        r#"
        listen = "{address}"
        key_file = "{}"
        passphrase_file = "{}"
        certificate_file = "{}"
        policy_oid = "1.2.3.4"
        accuracy_ms = 1000
        [clock]
        quorum = 1
        sources = [{{ kind = "system", error_ms = 300 }}]
        "#,
        write(
            "key.pem",
            key.to_encrypted_pem(b"secret").unwrap().as_bytes()
        ),
        write("passphrase", b"secret\n"),
        write("certificate.pem", certificate.to_pem().unwrap().as_bytes()),
    );
    parse_section("timestamping", toml::from_str(&text).unwrap()).unwrap()
}

async fn post(address: SocketAddr, path: &str, media: &str, body: &[u8]) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST {path} HTTP/1.0\r\nhost: x\r\ncontent-type: {media}\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    (head, answer[end + 4..].to_vec())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_batches_each_request_for_itself() {
    let world = World::builder().nats().start().await;
    let bus = || async {
        let config = BusConfig::plain(world.nats_url());
        Bus::connect(&config, "timestamping").await.unwrap()
    };
    let memory = || Arc::new(MemoryObjects::new());
    let (truth, work) = (memory(), memory());
    let buckets = Buckets {
        truth: truth.clone(),
        work,
    };
    let clock = Arc::new(SystemClock);
    let ctx = Context::for_tests(buckets, bus().await, Cache::disabled(), clock);
    let folder = tempfile::tempdir().unwrap();
    let address: SocketAddr = ([127, 0, 0, 1], free_port()).into();
    let config = config(folder.path(), address);
    let running = tokio::spawn(serve(config, ctx.clone()));

    let imprint = Imprint::of(HashAlgorithm::Sha3_512, b"x");
    let good = TimeStampReq::make(imprint, Some(&[5; 8]), true, None).unwrap();
    let good_der = good.to_der().unwrap();
    let asker = bus().await;
    let ask = || async {
        let question = StampRequest {
            requests: vec![
                good_der.clone().into(),
                b"nonsense".as_slice().into(),
                good_der.clone().into(),
            ],
        };
        let answered = asker.ask::<_, StampReply>(&STAMP, &question, Duration::from_secs(5));
        match answered.await.ok()?.outcome? {
            Outcome::Stamps(stamps) => {
                let parse = |der| TimeStampResp::from_der(der).unwrap();
                let read: Vec<_> = stamps.responses.iter().map(|der| parse(der)).collect();
                // Until the first record of the clock log is durable there is no time.
                read[0].token_for(&good).is_ok().then_some(read)
            }
            Outcome::Refusal(_) => None,
        }
    };
    let responses = eventually("tokens", Duration::from_secs(60), ask).await;
    assert_eq!(responses.len(), 3);
    assert!(matches!(
        responses[1],
        TimeStampResp::Refused {
            failure_bits: 0x20,
            ..
        }
    ));
    let (first, third) = (&responses[0], &responses[2]);
    let token = first.token_for(&good).unwrap();
    let serials = [token, third.token_for(&good).unwrap()].map(|t| t.tst_info().serial.clone());
    assert_ne!(serials[0], serials[1]);
    let accuracy_us = token.tst_info().accuracy_us.unwrap();
    assert!(
        (305_000..=1_000_000).contains(&accuracy_us),
        "{accuracy_us}"
    );
    let evidence = token.tst_info().clock_evidence.clone().unwrap();
    assert!(truth.head(&evidence.record).await.unwrap().is_some());

    let question = StampRequest {
        requests: vec![good_der.clone().into(); 257],
    };
    let too_many = asker.ask::<_, StampReply>(&STAMP, &question, Duration::from_secs(5));
    assert!(too_many.await.unwrap_err().detail.contains("256"));

    let (head, reply) = post(address, "/tsa", "application/timestamp-query", &good_der).await;
    assert!(head.starts_with("HTTP/1.0 200"), "{head}");
    assert!(head.contains("application/timestamp-reply"), "{head}");
    let audit = |body: Vec<u8>| async move {
        let (head, json) = post(address, "/tsa/clock", "application/timestamp-reply", &body).await;
        (head, String::from_utf8(json).unwrap())
    };
    let (head, json) = audit(reply.clone()).await;
    assert!(head.starts_with("HTTP/1.0 200"), "{head}");
    assert!(json.contains("\"standing\":\"open\""), "{json}");
    let mut forged = reply;
    let record = evidence.record.as_bytes();
    let at = forged.windows(record.len()).position(|w| w == record);
    forged[at.unwrap()] ^= 1;
    assert!(audit(forged).await.0.starts_with("HTTP/1.0 400"));

    ctx.shutdown.request();
    running.await.unwrap().unwrap();
    // The last record covers the last tokens.
    let listed = truth.list("clock/", None, 100).await.unwrap();
    assert!(listed.len() >= 2, "{listed:?}");
    let audited =
        probity_timestamping::clock::audit::audit_token(&*truth, token, &token.certificates()[0])
            .await;
    let standing = audited.unwrap().standing;
    assert_eq!(
        standing,
        probity_timestamping::clock::audit::Standing::Sound
    );
}
