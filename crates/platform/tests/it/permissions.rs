//! What the table of subjects permits, held by a real nats-server: enough for every role's work, and nothing more.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_nats::ConnectOptions;
use probity_platform::bus::{Bus, BusConfig, BusUser, Queue, Reply, authorization};
use probity_platform::cache::Cache;
use probity_platform::config::SecretFile;
use probity_platform::objects::{Buckets, MemoryObjects};
use probity_platform::stage::{self, Outcome, StageConfig};
use probity_platform::startup::{Context, Shutdown};
use probity_platform::{Error, ErrorKind, SystemClock, SystemRandom};
use probity_proto::subjects::{
    ASKS, ATTEST, Ask, HINTS, Hint, ISSUE_EVENT_CERTIFICATE, LOCATE, PROVE, STAMP, SUBMITTED,
};
use probity_proto::v1::{
    AttestReply, AttestRequest, IssueEventCertificateReply, IssueEventCertificateRequest,
    LocateReply, LocateRequest, ProveReply, ProveRequest, StampReply, StampRequest, Submitted,
};
use probity_testkit::{World, wait_until};
use prost::Message;
use tokio::sync::mpsc;

use crate::fixture::PATIENCE;

const ROLES: [&str; 7] = [
    "intake",
    "identity",
    "issuance",
    "signing",
    "timestamping",
    "storage",
    "delivery",
];

/// A NATS that knows the roles, and somebody for whom the tests look into streams.
struct Guarded {
    world: World,
    seeds: tempfile::TempDir,
}

impl Guarded {
    async fn start(further: &str) -> Self {
        let seeds = tempfile::tempdir().unwrap();
        let user = |role: &str| {
            let (user, seed) = BusUser::make(role, &SystemRandom).unwrap();
            std::fs::write(seeds.path().join(role), seed.expose()).unwrap();
            user
        };
        let users: Vec<_> = ROLES.into_iter().map(user).collect();
        let onlooker = "users = [\n{ user = onlooker, password = onlooker, \
                        permissions = { publish = \">\", subscribe = \">\" } }\n";
        let config = authorization(&users).replacen("users = [\n", onlooker, 1);
        let world = World::builder().nats().nats_config(config + further);
        Self {
            world: world.start().await,
            seeds,
        }
    }

    fn seed(&self, role: &str) -> PathBuf {
        self.seeds.path().join(role)
    }

    async fn bus(&self, role: &str) -> Bus {
        let config = BusConfig {
            nkey_file: Some(SecretFile::new(self.seed(role))),
            ..BusConfig::plain(self.world.nats_url())
        };
        let bus = Bus::connect(&config, role).await.unwrap();
        let let_in = format!("{role} is let in");
        wait_until(&let_in, PATIENCE, async || bus.is_connected()).await;
        bus
    }

    async fn context(&self, role: &str) -> Context {
        let memory = || Arc::new(MemoryObjects::new());
        let buckets = Buckets {
            truth: memory(),
            work: memory(),
        };
        let bus = self.bus(role).await;
        Context::for_tests(buckets, bus, Cache::disabled(), Arc::new(SystemClock))
    }

    /// Messages in a stream, waiting or in work.
    async fn held(&self, stream: &str) -> u64 {
        let options = ConnectOptions::with_user_and_password("onlooker".into(), "onlooker".into());
        let client = options.connect(self.world.nats_url()).await.unwrap();
        let stream = async_nats::jetstream::new(client).get_stream(stream).await;
        stream.unwrap().cached_info().state.messages
    }
}

/// Every publisher tells, the consumer works, and its acknowledgement empties the stream.
async fn a_hint_goes_its_way(guarded: &Guarded, hint: Hint) {
    for publisher in hint.publishers {
        let bus = guarded.bus(publisher).await;
        let what = format!("{publisher} tells {}", hint.subject);
        wait_until(&what, PATIENCE, async || {
            // Any message will do: the bus does not read it.
            let told = bus.tell(&hint, publisher, &Submitted::default()).await;
            told.is_ok()
        })
        .await;
        let queue = Queue::new(bus, hint, 1);
        let what = format!("{publisher} sees {}", hint.stream);
        wait_until(&what, PATIENCE, async || {
            queue.measure().await;
            queue.measured().is_some()
        })
        .await;
    }
    let ctx = guarded.context(hint.consumer).await;
    let stage = tokio::spawn({
        let ctx = ctx.clone();
        async move {
            let done = |batch: Vec<Submitted>| async move { vec![Outcome::Done; batch.len()] };
            stage::run(&ctx, &hint, StageConfig::default(), done).await
        }
    });
    let what = format!("{} works on {}", hint.consumer, hint.subject);
    wait_until(&what, PATIENCE, async || {
        guarded.held(hint.stream).await == 0
    })
    .await;
    ctx.shutdown.request();
    stage.await.unwrap().unwrap();
}

/// Who may ask is answered, with words that only the answerer can have said.
async fn a_question_goes_its_way<Q, A>(guarded: &Guarded, ask: Ask)
where
    Q: Message + Default + 'static,
    A: Reply,
{
    let (asking, answering) = (
        guarded.bus(ask.asked_by).await,
        guarded.bus(ask.answered_by).await,
    );
    let shutdown = Shutdown::new();
    let answers = tokio::spawn({
        let shutdown = shutdown.clone();
        async move {
            let heard = |_: Q| async { Err::<A, _>(Error::conflict("heard")) };
            answering.answer(&ask, shutdown, heard).await
        }
    });
    let what = format!("{} answers {}", ask.answered_by, ask.subject);
    wait_until(&what, PATIENCE, async || {
        asking
            .ask::<Q, A>(&ask, &Q::default(), Duration::from_secs(1))
            .await
            .is_err_and(|e| e.kind == ErrorKind::Conflict)
    })
    .await;
    shutdown.request();
    answers.await.unwrap().unwrap();
}

async fn all_work_is_permitted(further: &str) {
    let guarded = Guarded::start(further).await;
    for hint in HINTS {
        a_hint_goes_its_way(&guarded, hint).await;
    }
    a_question_goes_its_way::<IssueEventCertificateRequest, IssueEventCertificateReply>(
        &guarded,
        ISSUE_EVENT_CERTIFICATE,
    )
    .await;
    a_question_goes_its_way::<ProveRequest, ProveReply>(&guarded, PROVE).await;
    a_question_goes_its_way::<AttestRequest, AttestReply>(&guarded, ATTEST).await;
    a_question_goes_its_way::<LocateRequest, LocateReply>(&guarded, LOCATE).await;
    a_question_goes_its_way::<StampRequest, StampReply>(&guarded, STAMP).await;
    assert_eq!(ASKS.len(), 5, "a question is not tried here");
}

#[tokio::test]
async fn every_role_may_do_its_work() {
    Box::pin(all_work_is_permitted("")).await;
}

/// The form of acknowledgement subjects that servers turn to (trap 28).
#[tokio::test]
async fn every_role_may_do_its_work_with_the_second_form_of_acknowledgements() {
    let second_form = "feature_flags = { js_ack_fc_v2 = true }\n";
    Box::pin(all_work_is_permitted(second_form)).await;
}

/// A role's connection as an intruder would use it, and what the server refused it.
struct Intruder {
    client: async_nats::Client,
    refusals: mpsc::UnboundedReceiver<String>,
}

/// Permitted to nobody: its refusal says that the server is through with all before.
const NOBODYS: &str = "nobody.is.permitted";

impl Intruder {
    async fn new(guarded: &Guarded, role: &str) -> Self {
        let seed = std::fs::read_to_string(guarded.seed(role)).unwrap();
        let (heard, refusals) = mpsc::unbounded_channel();
        let options = ConnectOptions::with_nkey(seed).event_callback(move |event| {
            heard.send(event.to_string()).ok();
            std::future::ready(())
        });
        let client = options.connect(guarded.world.nats_url()).await.unwrap();
        Self { client, refusals }
    }

    /// The server refused something of that name since the last call.
    async fn was_refused(&mut self, subject: &str) -> bool {
        self.client.publish(NOBODYS, "".into()).await.unwrap();
        let mut refused = false;
        loop {
            let next = tokio::time::timeout(PATIENCE, self.refusals.recv()).await;
            let refusal = next.unwrap().unwrap();
            if refusal.contains(NOBODYS) {
                return refused;
            }
            refused |= refusal.contains(&format!("\"{subject}\""));
        }
    }

    async fn may_publish(&mut self, subject: &str) -> bool {
        self.client
            .publish(subject.to_owned(), "".into())
            .await
            .unwrap();
        !self.was_refused(subject).await
    }

    async fn may_subscribe(&mut self, subject: &str) -> bool {
        let subscription = self.client.subscribe(subject.to_owned()).await.unwrap();
        let may = !self.was_refused(subject).await;
        drop(subscription);
        may
    }
}

/// What JetStream can be asked about a stream and a consumer, and whether its consumer's role may.
fn calls(hint: &Hint) -> Vec<(String, bool)> {
    let (stream, consumer) = (hint.stream, hint.consumer);
    [
        ("STREAM.CREATE", None, true),
        ("STREAM.UPDATE", None, true),
        ("STREAM.DELETE", None, false),
        ("STREAM.PURGE", None, false),
        ("STREAM.INFO", None, false),
        ("STREAM.MSG.GET", None, false),
        ("STREAM.MSG.DELETE", None, false),
        ("STREAM.SNAPSHOT", None, false),
        ("DIRECT.GET", None, false),
        ("CONSUMER.LIST", None, false),
        ("CONSUMER.CREATE", None, false),
        ("CONSUMER.CREATE", Some("another"), false),
        ("CONSUMER.DURABLE.CREATE", Some(consumer), false),
        ("CONSUMER.INFO", Some(consumer), true),
        ("CONSUMER.DELETE", Some(consumer), true),
        ("CONSUMER.MSG.NEXT", Some(consumer), true),
        ("CONSUMER.MSG.NEXT", Some("another"), false),
    ]
    .into_iter()
    .map(|(call, consumer, may)| {
        let consumer = consumer.map(|c| format!(".{c}")).unwrap_or_default();
        (format!("$JS.API.{call}.{stream}{consumer}"), may)
    })
    .chain([
        (
            format!(
                "$JS.API.CONSUMER.CREATE.{stream}.{consumer}.{}",
                hint.subject
            ),
            true,
        ),
        (
            format!("$JS.API.CONSUMER.CREATE.{stream}.{consumer}.>"),
            false,
        ),
        (format!("$JS.ACK.{stream}.{consumer}.1.1.1.1.1"), true),
        (
            format!("$JS.ACK._.hash.{stream}.{consumer}.1.1.1.1.1"),
            true,
        ),
        (format!("$JS.ACK.{stream}.another.1.1.1.1.1"), false),
    ])
    .collect()
}

/// What a role may publish, of everything that could be tried.
fn publications(role: &str) -> Vec<(String, bool)> {
    let mut tried = vec![
        ("$JS.API.STREAM.LIST".to_owned(), false),
        ("$JS.API.INFO".to_owned(), false),
        ("$SRV.PING".to_owned(), false),
        ("anything".to_owned(), false),
    ];
    for hint in HINTS {
        let publishes = hint.publishers.contains(&role);
        tried.push((hint.subject.to_owned(), publishes));
        tried.extend(calls(&hint).into_iter().map(|(call, may)| {
            let fills = ["$JS.API.STREAM.CREATE.", "$JS.API.STREAM.INFO."];
            let fills = publishes && fills.iter().any(|api| call.starts_with(api));
            (call, (hint.consumer == role && may) || fills)
        }));
    }
    for ask in ASKS {
        tried.push((ask.subject.to_owned(), ask.asked_by == role));
    }
    for other in ROLES {
        let answers = ASKS.iter();
        let answers = answers
            .filter(|ask| ask.asked_by == other)
            .any(|ask| ask.answered_by == role);
        tried.push((format!("_INBOX_{other}.forged"), answers));
    }
    tried
}

fn subscriptions(role: &str) -> Vec<(String, bool)> {
    let mut tried: Vec<_> = [
        ">",
        "*",
        "_INBOX.>",
        "$JS.>",
        "$JS.API.>",
        "$JS.EVENT.>",
        "$SRV.>",
    ]
    .map(|subject| (subject.to_owned(), false))
    .into();
    tried.extend(HINTS.map(|hint| (hint.subject.to_owned(), false)));
    tried.extend(ASKS.map(|ask| (ask.subject.to_owned(), ask.answered_by == role)));
    tried.extend(ROLES.map(|other| (format!("_INBOX_{other}.>"), other == role)));
    tried
}

#[tokio::test]
async fn no_role_may_do_anothers_work_nor_hear_it() {
    let guarded = Guarded::start("").await;
    for role in ROLES {
        let mut intruder = Intruder::new(&guarded, role).await;
        let mut permitted = BTreeSet::new();
        for (subject, may) in publications(role) {
            assert_eq!(
                intruder.may_publish(&subject).await,
                may,
                "{role} publishes {subject}"
            );
            permitted.extend(may.then_some(subject));
        }
        for (subject, may) in subscriptions(role) {
            assert_eq!(
                intruder.may_subscribe(&subject).await,
                may,
                "{role} subscribes to {subject}"
            );
            permitted.extend(may.then_some(subject));
        }
        assert!(!permitted.is_empty(), "{role} was permitted nothing");
    }
}

#[tokio::test]
async fn a_refused_delete_deletes_nothing_and_strangers_are_not_let_in() {
    let guarded = Guarded::start("").await;
    let intake = guarded.bus("intake").await;
    wait_until("intake tells", PATIENCE, async || {
        let told = intake.tell(&SUBMITTED, "one", &Submitted::default()).await;
        told.is_ok()
    })
    .await;
    for role in ROLES {
        let mut intruder = Intruder::new(&guarded, role).await;
        for call in ["STREAM.DELETE", "STREAM.PURGE"] {
            let subject = format!("$JS.API.{call}.{}", SUBMITTED.stream);
            assert!(!intruder.may_publish(&subject).await, "{role}: {call}");
        }
    }
    assert_eq!(guarded.held(SUBMITTED.stream).await, 1);
    for options in [
        ConnectOptions::new(),
        ConnectOptions::with_user_and_password("intake".into(), "intake".into()),
        ConnectOptions::with_nkey(
            BusUser::make("intake", &SystemRandom)
                .unwrap()
                .1
                .expose()
                .to_owned(),
        ),
    ] {
        assert!(options.connect(guarded.world.nats_url()).await.is_err());
    }
}
