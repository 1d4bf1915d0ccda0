//! The whole role over a real NATS: questions in batches, HTTP, the clock log, and the end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use probity_domain::{SubmissionId, Timestamp};
use probity_pki::cms::{CommitmentType, SignRequest, sign_detached};
use probity_pki::digest::HashAlgorithm;
use probity_pki::keys::MemoryKey;
use probity_pki::tsp::{Imprint, TimeStampReq, TimeStampResp};
use probity_pki::x509::Profile;
use probity_platform::bus::{Bus, BusConfig, Queue};
use probity_platform::cache::Cache;
use probity_platform::clock::Clock as _;
use probity_platform::config::parse_section;
use probity_platform::objects::{Buckets, Fault, MemoryObjects, Objects as _, Verb};
use probity_platform::startup::Context;
use probity_platform::{SystemClock, quarantine};
use probity_proto::subjects::{Hint, SIGNED, STAMP, STAMPED};
use probity_proto::v1::{EvidenceRecord, Signed, StampReply, StampRequest, stamp_reply::Outcome};
use probity_testkit::{World, eventually, free_port, wait_until};
use probity_timestamping::{Config, serve};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::fixture::issue;

const PATIENCE: Duration = Duration::from_secs(60);
/// As much as a question may have.
const ANSWERED_WITHIN: Duration = Duration::from_secs(30);

fn config(folder: &std::path::Path, address: SocketAddr, certified_at: Timestamp) -> Config {
    let (root_key, key) = (
        MemoryKey::generate().unwrap(),
        MemoryKey::generate().unwrap(),
    );
    let now = certified_at;
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
    let config = config(folder.path(), address, SystemClock.now());
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
        let answered = asker.ask::<_, StampReply>(&STAMP, &question, ANSWERED_WITHIN);
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
    let responses = eventually("tokens", PATIENCE, ask).await;
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
    let too_many = asker.ask::<_, StampReply>(&STAMP, &question, ANSWERED_WITHIN);
    assert!(too_many.await.unwrap_err().detail.contains("256"));

    let audit = |body: Vec<u8>| async move {
        let (head, json) = post(address, "/tsa/clock", "application/timestamp-reply", &body).await;
        (head, String::from_utf8(json).unwrap())
    };
    // A record that is written just now, for the clock's sake or because a minute is over, decides about the token before.
    let reply = eventually("a token whose time is open", PATIENCE, async || {
        let (head, reply) = post(address, "/tsa", "application/timestamp-query", &good_der).await;
        assert!(head.starts_with("HTTP/1.0 200"), "{head}");
        assert!(head.contains("application/timestamp-reply"), "{head}");
        let (head, json) = audit(reply.clone()).await;
        let is_open = head.starts_with("HTTP/1.0 200") && json.contains("\"standing\":\"open\"");
        is_open.then_some(reply)
    })
    .await;
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

/// The role on a NATS of its own, with a store that tests break.
struct Role {
    _world: World,
    truth: Arc<MemoryObjects>,
    ctx: Context,
    running: tokio::task::JoinHandle<probity_platform::Result<()>>,
    _folder: tempfile::TempDir,
}

impl Role {
    async fn start(certified_at: Timestamp, truth: Arc<MemoryObjects>) -> Self {
        let world = World::builder().nats().start().await;
        let bus = Bus::connect(&BusConfig::plain(world.nats_url()), "timestamping").await;
        let buckets = Buckets {
            truth: truth.clone(),
            work: Arc::new(MemoryObjects::new()),
        };
        let clock = Arc::new(SystemClock);
        let ctx = Context::for_tests(buckets, bus.unwrap(), Cache::disabled(), clock);
        let folder = tempfile::tempdir().unwrap();
        let address: SocketAddr = ([127, 0, 0, 1], free_port()).into();
        let config = config(folder.path(), address, certified_at);
        let running = tokio::spawn(serve(config, ctx.clone()));
        Self {
            _world: world,
            truth,
            ctx,
            running,
            _folder: folder,
        }
    }

    /// Messages that a stream holds.
    async fn held(&self, hint: Hint) -> Option<u64> {
        let queue = Queue::new(self.ctx.bus.clone(), hint, 1);
        queue.measure().await;
        queue.measured().map(|measured| measured.messages)
    }

    /// A counter of the stage.
    fn counted(&self, name: &str) -> u64 {
        let text = self.ctx.metrics.encode().unwrap();
        let line = format!("probity_stage_{name}_total{{subject=\"evidence.signed\"}} ");
        let value = text.lines().find_map(|l| l.strip_prefix(&line));
        value.map_or(0, |value| value.parse().unwrap())
    }

    async fn stop(self) {
        self.ctx.shutdown.request();
        self.running.await.unwrap().unwrap();
    }
}

fn signed() -> Signed {
    let now = SystemClock.now();
    let [root_key, key] = [(); 2].map(|()| MemoryKey::generate().unwrap());
    let root = issue(Profile::RootCa, &root_key, None, now);
    let certificate = issue(Profile::Ceremony, &key, Some((&root, &root_key)), now);
    let request = SignRequest {
        content: b"manifest",
        signer: &certificate,
        extra_certificates: &[],
        crls: &[],
        signing_time: now,
        commitment: CommitmentType::ProofOfOrigin,
        instruction_digest: None,
    };
    let signature = sign_detached(&request, &key).unwrap();
    Signed {
        submission_id: "s".to_owned(),
        round: 0,
        records: vec![EvidenceRecord {
            evidence_number: "e".to_owned(),
            signature: signature.into(),
            ..Default::default()
        }],
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_waits_for_the_clock_for_as_long_as_it_takes() {
    let truth = Arc::new(MemoryObjects::new());
    // No record of the clock log becomes durable: no lease.
    truth.set_faults(|verb, _| (verb == Verb::Create).then_some(Fault::Refuse));
    let role = Role::start(SystemClock.now(), truth).await;
    wait_until("NATS to take a hint", PATIENCE, async || {
        role.ctx.bus.tell(&SIGNED, "s", &signed()).await.is_ok()
    })
    .await;
    // As often as a message is delivered before it is parked, and more.
    wait_until("it to be held", PATIENCE, async || {
        role.counted("held") > 11
    })
    .await;
    assert_eq!((role.counted("retried"), role.counted("parked")), (0, 0));
    role.truth.clear_faults();
    wait_until("a stamped message", PATIENCE, async || {
        role.held(STAMPED).await == Some(1)
    })
    .await;
    wait_until("an empty stream", PATIENCE, async || {
        role.held(SIGNED).await == Some(0)
    })
    .await;
    assert_eq!((role.counted("done"), role.counted("retried")), (1, 0));
    role.stop().await;
}

/// Whoever signed it had a wrong clock as well: this one is known to be right.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_submitted_in_the_future_is_left_until_its_time_has_come() {
    let role = Role::start(SystemClock.now(), Arc::new(MemoryObjects::new())).await;
    let of = |ahead_ms| {
        let at = SystemClock.now().plus_ms(ahead_ms);
        let submission_id = SubmissionId::new(at, [7; 10]).to_string();
        // A round in which a refusal would count.
        let round = quarantine::ROUNDS;
        Signed {
            submission_id,
            round,
            ..signed()
        }
    };
    for (id, ahead_ms) in [("early", 600_000), ("due", 0)] {
        wait_until("NATS to take a hint", PATIENCE, async || {
            role.ctx.bus.tell(&SIGNED, id, &of(ahead_ms)).await.is_ok()
        })
        .await;
    }
    wait_until("one to be left and one stamped", PATIENCE, async || {
        role.held(STAMPED).await == Some(1) && role.held(SIGNED).await == Some(0)
    })
    .await;
    let counts = ["early", "done", "retried", "parked"].map(|name| role.counted(name));
    assert_eq!(counts, [1, 1, 0, 0]);
    let held = quarantine::submissions(&role.ctx.ledger).await.unwrap();
    assert!(held.is_empty(), "{held:?}");
    role.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unit_whose_certificate_has_ended_is_not_ready() {
    let ended = SystemClock.now().plus_ms(-3 * crate::fixture::DAY_MS);
    let role = Role::start(ended, Arc::new(MemoryObjects::new())).await;
    wait_until("the reason", PATIENCE, async || {
        let missing = role.ctx.readiness.missing();
        missing.len() == 1 && missing.contains_key("time-stamping certificate")
    })
    .await;
    role.stop().await;
}
