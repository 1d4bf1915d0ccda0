//! The bus against a real nats-server that is stopped, killed and emptied.

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use probity_platform::bus::{Bus, BusConfig, MESSAGE_BYTES_MAX};
use probity_platform::startup::Shutdown;
use probity_platform::{Error, ErrorKind, Result};
use probity_proto::subjects::{LOCATE, SIGNED, SUBMITTED};
use probity_proto::v1::{
    DepositedAt, EvidenceRecord, LocateReply, LocateRequest, Located, Signed, Submitted,
    locate_reply,
};
use probity_testkit::{World, free_port, wait_until};
use tokio::sync::Semaphore;

use crate::fixture::{PATIENCE, bus, jetstream, nats};

/// Of who asks and must be answered: as much as a question may have.
const ANSWERED_WITHIN: Duration = Duration::from_secs(30);

fn hint(id: &str) -> Submitted {
    Submitted {
        submission_id: id.to_owned(),
        first_item: 0,
        last_item: 0,
        round: 0,
        tenant: "t".to_owned(),
    }
}

async fn tell(bus: &Bus, id: &str) {
    wait_until("NATS to take a hint", PATIENCE, async || {
        bus.tell(&SUBMITTED, id, &hint(id)).await.is_ok()
    })
    .await;
}

async fn stored(world: &World, stream: &str) -> u64 {
    let stream = jetstream(world).await.get_stream(stream).await;
    stream.map_or(0, |stream| stream.cached_info().state.messages)
}

#[tokio::test]
async fn tells_making_the_stream_and_drops_duplicates() {
    let world = nats().await;
    let bus = bus(&world, "intake").await;
    for _ in 0..3 {
        tell(&bus, "one").await;
    }
    tell(&bus, "two").await;
    assert_eq!(stored(&world, SUBMITTED.stream).await, 2);

    world.wipe_nats().await;
    world.start_nats().await;
    tell(&bus, "one").await;
    assert_eq!(stored(&world, SUBMITTED.stream).await, 1);
}

#[tokio::test]
async fn refuses_what_is_too_long_and_what_cannot_stand_in_a_header() {
    let world = nats().await;
    let bus = bus(&world, "signing").await;
    let record = EvidenceRecord {
        statement: vec![0; MESSAGE_BYTES_MAX].into(),
        ..Default::default()
    };
    let message = Signed {
        submission_id: "x".to_owned(),
        round: 0,
        records: vec![record],
    };
    let told = bus.tell(&SIGNED, "long", &message).await.unwrap_err();
    assert_eq!(told.kind, ErrorKind::Malformed);
    let told = bus
        .tell(&SUBMITTED, "a\r\nb", &hint("x"))
        .await
        .unwrap_err();
    assert_eq!(told.kind, ErrorKind::Malformed);
    let longest = EvidenceRecord {
        statement: vec![0; MESSAGE_BYTES_MAX - 64].into(),
        ..Default::default()
    };
    let message = Signed {
        submission_id: "x".to_owned(),
        round: 0,
        records: vec![longest],
    };
    wait_until("NATS to take the longest", PATIENCE, async || {
        bus.tell(&SIGNED, "longest", &message).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn without_nats_it_connects_later_and_refuses_quickly_meanwhile() {
    let config = BusConfig::plain(format!("nats://127.0.0.1:{}", free_port()));
    let bus = Bus::connect(&config, "intake").await.unwrap();
    assert!(!bus.is_connected());
    let message = hint("one");
    let telling = bus.tell(&SUBMITTED, "one", &message);
    let told = tokio::time::timeout(PATIENCE, telling).await.unwrap();
    assert_eq!(told.unwrap_err().kind, ErrorKind::Unavailable);
}

/// Answers with what the question is about.
async fn locate(question: LocateRequest) -> Result<LocateReply> {
    match question.evidence_numbers.first().map(String::as_str) {
        None => Err(Error::malformed("no number")),
        Some("panic") => panic!("as asked"),
        Some("sleep") => {
            tokio::time::sleep(Duration::from_secs(60)).await;
            Err(Error::internal("slept"))
        }
        Some(number) => {
            let at = DepositedAt {
                evidence_number: number.to_owned(),
                leaf_index: 7,
            };
            let located = Located {
                deposited: vec![at],
            };
            Ok(LocateReply {
                outcome: Some(locate_reply::Outcome::Located(located)),
            })
        }
    }
}

async fn ask_within(deadline: Duration, bus: &Bus, number: Option<&str>) -> Result<LocateReply> {
    let question = LocateRequest {
        evidence_numbers: number.map(ToOwned::to_owned).into_iter().collect(),
    };
    bus.ask(&LOCATE, &question, deadline).await
}

/// A question that nobody may answer.
async fn ask(bus: &Bus, number: Option<&str>) -> Result<LocateReply> {
    ask_within(Duration::from_secs(1), bus, number).await
}

#[tokio::test]
async fn asks_and_is_answered_across_a_restart() {
    let world = nats().await;
    let (asking, answering) = (bus(&world, "intake").await, bus(&world, "storage").await);
    let nobody = ask_within(ANSWERED_WITHIN, &asking, Some("n"));
    assert_eq!(nobody.await.unwrap_err().kind, ErrorKind::Unavailable);

    let shutdown = Shutdown::new();
    let answers = tokio::spawn({
        let shutdown = shutdown.clone();
        async move { answering.answer(&LOCATE, shutdown, locate).await }
    });
    wait_until("an answer", PATIENCE, async || {
        ask(&asking, Some("n")).await.is_ok()
    })
    .await;
    let answered = async |number| ask_within(ANSWERED_WITHIN, &asking, number).await;
    let located = answered(Some("n")).await.unwrap();
    let Some(locate_reply::Outcome::Located(located)) = located.outcome else {
        panic!("refused")
    };
    assert_eq!(located.deposited[0].leaf_index, 7);

    let refused = answered(None).await.unwrap_err();
    assert_eq!(
        (refused.kind, refused.detail.as_str()),
        (ErrorKind::Malformed, "no number")
    );
    assert_eq!(
        answered(Some("panic")).await.unwrap_err().kind,
        ErrorKind::Internal
    );
    assert_eq!(
        ask(&asking, Some("sleep")).await.unwrap_err().kind,
        ErrorKind::Timeout
    );

    world.kill_nats().await;
    assert!(ask(&asking, Some("n")).await.is_err());
    world.start_nats().await;
    wait_until("an answer again", PATIENCE, async || {
        ask(&asking, Some("n")).await.is_ok()
    })
    .await;

    shutdown.request();
    answers.await.unwrap().unwrap();
    // The server may take a moment to notice that nobody listens any more; until then the question times out.
    wait_until("nobody answers", PATIENCE, async || {
        ask(&asking, Some("n"))
            .await
            .is_err_and(|e| e.kind == ErrorKind::Unavailable)
    })
    .await;
}

#[tokio::test]
async fn more_questions_than_it_answers_at_once_are_refused_not_queued() {
    let world = nats().await;
    let (asking, answering) = (bus(&world, "intake").await, bus(&world, "storage").await);
    let shutdown = Shutdown::new();
    let held = Arc::new(Semaphore::new(0));
    let answers = tokio::spawn({
        let (shutdown, held) = (shutdown.clone(), held.clone());
        let handler = move |question: LocateRequest| {
            let held = held.clone();
            async move {
                if question.evidence_numbers == ["held"] {
                    held.acquire().await.unwrap().forget();
                }
                locate(question).await
            }
        };
        async move { answering.answer(&LOCATE, shutdown, handler).await }
    });
    wait_until("an answer", PATIENCE, async || {
        ask(&asking, Some("n")).await.is_ok()
    })
    .await;
    let asked = (0..80).map(|_| ask_within(ANSWERED_WITHIN, &asking, Some("held")));
    let mut asked: FuturesUnordered<_> = asked.collect();
    // Who is refused is told at once, while all the others wait.
    for _ in 0..16 {
        let refused = asked.next().await.unwrap().unwrap_err();
        assert_eq!(refused.kind, ErrorKind::TooMany, "{refused}");
    }
    held.add_permits(64);
    assert_eq!(asked.filter(|a| ready(a.is_ok())).count().await, 64);
    shutdown.request();
    answers.await.unwrap().unwrap();
}
