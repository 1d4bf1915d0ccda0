//! The stage runner against a real nats-server: emptied, frozen, poisoned, drained.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use probity_platform::stage::{self, Outcome, StageConfig};
use probity_platform::startup::Context;
use probity_platform::{Error, Result};
use probity_proto::subjects::SUBMITTED;
use probity_proto::v1::Submitted;
use probity_testkit::{World, wait_until};
use tokio::task::JoinHandle;

use crate::fixture::{context, jetstream, nats};

/// A stage looks every quarter of a minute, twice, before it makes a consumer anew.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// For work that lasts longer: a machine that stands still for a second is no reason to hand it out again.
const SHORT_ACK_WAIT: Duration = Duration::from_secs(4);

/// How often each submission was worked on.
#[derive(Clone, Default)]
pub struct Seen(Arc<Mutex<BTreeMap<String, usize>>>);

impl Seen {
    pub fn note(&self, id: &str) -> usize {
        let mut seen = self.0.lock().unwrap();
        let count = seen.entry(id.to_owned()).or_default();
        *count += 1;
        *count
    }

    pub fn times(&self, id: &str) -> usize {
        self.0.lock().unwrap().get(id).copied().unwrap_or(0)
    }
}

fn hint(id: &str) -> Submitted {
    Submitted {
        submission_id: id.to_owned(),
        ..Default::default()
    }
}

/// Runs the stage; what a submission's id says is what happens to it.
pub fn start(ctx: &Context, config: StageConfig, seen: &Seen) -> JoinHandle<Result<()>> {
    let seen = seen.clone();
    start_with(ctx, config, move |hint| {
        let seen = seen.clone();
        async move { work(&seen, &hint.submission_id).await }
    })
}

/// Runs the stage, whose function does this with each message of a batch.
pub fn start_with<F, Fut>(ctx: &Context, config: StageConfig, work: F) -> JoinHandle<Result<()>>
where
    F: Fn(Submitted) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Outcome> + Send + 'static,
{
    let ctx = ctx.clone();
    tokio::spawn(async move {
        let handler = move |batch: Vec<Submitted>| {
            let work = work.clone();
            async move {
                let mut outcomes = Vec::new();
                for hint in batch {
                    outcomes.push(work(hint).await);
                }
                outcomes
            }
        };
        stage::run(&ctx, &SUBMITTED, config, handler).await
    })
}

async fn work(seen: &Seen, id: &str) -> Outcome {
    let times = seen.note(id);
    match id.split('-').next().unwrap() {
        "panic" => panic!("as asked"),
        "early" => Outcome::Early(Error::unavailable("as asked")),
        "park" => Outcome::Park(Error::malformed("as asked")),
        // More often than a message may be delivered.
        "held" if times < 12 => Outcome::Hold(Error::unavailable("as asked")),
        "second" if times < 2 => Outcome::Retry(Error::unavailable("as asked")),
        "slow" => {
            tokio::time::sleep(2 * SHORT_ACK_WAIT).await;
            Outcome::Done
        }
        "short" => {
            tokio::time::sleep(SHORT_ACK_WAIT / 6).await;
            Outcome::Done
        }
        _ => Outcome::Done,
    }
}

pub async fn tell(ctx: &Context, id: &str) {
    wait_until("NATS to take a hint", PATIENCE, async || {
        ctx.bus.tell(&SUBMITTED, id, &hint(id)).await.is_ok()
    })
    .await;
}

pub async fn seen_times(seen: &Seen, id: &str, times: usize) {
    wait_until(id, PATIENCE, async || seen.times(id) >= times).await;
}

/// Messages the stream still holds: waiting, in work, or acknowledged too late.
pub async fn left(world: &World) -> u64 {
    let stream = jetstream(world).await.get_stream(SUBMITTED.stream).await;
    stream.unwrap().cached_info().state.messages
}

pub async fn settled(world: &World) {
    wait_until("an empty stream", PATIENCE, async || left(world).await == 0).await;
}

pub async fn stopped(ctx: &Context, stage: JoinHandle<Result<()>>) {
    ctx.shutdown.request();
    stage.await.unwrap().unwrap();
}

#[tokio::test]
async fn goes_on_by_itself_after_nats_was_killed_and_emptied() {
    let world = nats().await;
    let (ctx, seen) = (context(&world, "signing").await, Seen::default());
    let stage = start(&ctx, StageConfig::default(), &seen);
    tell(&ctx, "before").await;
    seen_times(&seen, "before", 1).await;

    world.kill_nats().await;
    wait_until("the operator to be told", PATIENCE, async || {
        ctx.readiness.cut_off().contains_key(SUBMITTED.subject)
    })
    .await;
    // Accepting and pulling need the store alone.
    assert!(ctx.readiness.is_ready());
    assert!(is_cut_off(&ctx, 1));
    world.start_nats().await;
    tell(&ctx, "killed").await;
    seen_times(&seen, "killed", 1).await;
    wait_until("that to be over", PATIENCE, async || {
        ctx.readiness.cut_off().is_empty() && is_cut_off(&ctx, 0)
    })
    .await;

    world.kill_nats().await;
    world.wipe_nats().await;
    world.start_nats().await;
    tell(&ctx, "emptied").await;
    seen_times(&seen, "emptied", 1).await;

    let jetstream = jetstream(&world).await;
    jetstream
        .delete_consumer_from_stream(SUBMITTED.consumer, SUBMITTED.stream)
        .await
        .unwrap();
    tell(&ctx, "consumer-deleted").await;
    seen_times(&seen, "consumer-deleted", 1).await;
    jetstream.delete_stream(SUBMITTED.stream).await.unwrap();
    tell(&ctx, "stream-deleted").await;
    seen_times(&seen, "stream-deleted", 1).await;

    settled(&world).await;
    stopped(&ctx, stage).await;
}

fn is_cut_off(ctx: &Context, value: u8) -> bool {
    let line = format!("probity_stage_cut_off{{subject=\"evidence.submitted\"}} {value}\n");
    ctx.metrics.encode().unwrap().contains(&line)
}

/// The request that waits at the server dies with it: nobody waits for the end of its time, here an hour.
#[tokio::test]
async fn a_waiting_request_is_made_anew_with_the_connection() {
    let world = nats().await;
    let (ctx, seen) = (context(&world, "signing").await, Seen::default());
    let config = StageConfig {
        pull_wait: Duration::from_secs(3_600),
        concurrency: 1,
        ..Default::default()
    };
    let stage = start(&ctx, config, &seen);
    for round in 0..4 {
        let [before, after] = ["before", "after"].map(|name| format!("{name}-{round}"));
        tell(&ctx, &before).await;
        seen_times(&seen, &before, 1).await;
        settled(&world).await;
        wait_until("a request to wait at the server", PATIENCE, async || {
            waits(&world).await
        })
        .await;
        world.kill_nats().await;
        // Back at once, and back when the stage has noticed.
        if round % 2 == 1 {
            wait_until("the stage to notice", PATIENCE, async || {
                ctx.readiness.cut_off().contains_key(SUBMITTED.subject)
            })
            .await;
        }
        world.start_nats().await;
        tell(&ctx, &after).await;
        seen_times(&seen, &after, 1).await;
        settled(&world).await;
    }
    // What came over the new connections came once, and nothing counted as a failure.
    for round in 0..4 {
        assert_eq!(seen.times(&format!("after-{round}")), 1, "{round}");
    }
    let text = ctx.metrics.encode().unwrap();
    assert!(!text.contains("stage_parked_total{") && !text.contains("stage_retried_total{"));
    stopped(&ctx, stage).await;
}

/// A request of the stage waits at the server.
async fn waits(world: &World) -> bool {
    let jetstream = jetstream(world).await;
    let consumer = jetstream
        .get_consumer_from_stream::<async_nats::jetstream::consumer::pull::Config, _, _>(
            SUBMITTED.consumer,
            SUBMITTED.stream,
        )
        .await;
    consumer.is_ok_and(|consumer| consumer.cached_info().num_waiting > 0)
}

#[tokio::test]
async fn frozen_nats_is_waited_out() {
    let world = nats().await;
    let (ctx, seen) = (context(&world, "signing").await, Seen::default());
    let stage = start(&ctx, StageConfig::default(), &seen);
    tell(&ctx, "before").await;
    seen_times(&seen, "before", 1).await;
    world.freeze_nats().await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    world.thaw_nats().await;
    tell(&ctx, "after").await;
    seen_times(&seen, "after", 1).await;
    stopped(&ctx, stage).await;
}

#[tokio::test]
async fn poison_harms_nobody_else() {
    let world = nats().await;
    let (ctx, seen) = (context(&world, "signing").await, Seen::default());
    for n in 0..5 {
        tell(&ctx, &format!("good-{n}")).await;
    }
    tell(&ctx, "panic-1").await;
    tell(&ctx, "park-1").await;
    tell(&ctx, "early-1").await;
    let jetstream = jetstream(&world).await;
    jetstream
        .publish(SUBMITTED.subject, "\u{1}\u{2}garbage".into())
        .await
        .unwrap()
        .await
        .unwrap();

    let stage = start(
        &ctx,
        StageConfig {
            concurrency: 1,
            ..Default::default()
        },
        &seen,
    );
    // Together, and alone at once: only the one that panics has failed.
    seen_times(&seen, "panic-1", 5).await;
    wait_until("the others to be settled", PATIENCE, async || {
        left(&world).await == 1
    })
    .await;
    assert_eq!((seen.times("park-1"), seen.times("early-1")), (1, 1));
    for n in 0..5 {
        let id = format!("good-{n}");
        assert!((1..=2).contains(&seen.times(&id)), "{id} was tried again");
    }
    let text = ctx.metrics.encode().unwrap();
    for line in [
        "probity_stage_undecodable_total{subject=\"evidence.submitted\"} 1",
        "probity_stage_done_total{subject=\"evidence.submitted\"} 5",
        "probity_stage_early_total{subject=\"evidence.submitted\"} 1",
        "probity_stage_parked_total{subject=\"evidence.submitted\"} 1",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    stopped(&ctx, stage).await;
}

#[tokio::test]
async fn retries_later_and_not_twice_what_was_told_twice() {
    let world = nats().await;
    let (ctx, seen) = (context(&world, "signing").await, Seen::default());
    let stage = start(&ctx, StageConfig::default(), &seen);
    for _ in 0..3 {
        tell(&ctx, "second-1").await;
        tell(&ctx, "once").await;
    }
    seen_times(&seen, "second-1", 2).await;
    settled(&world).await;
    assert_eq!((seen.times("second-1"), seen.times("once")), (2, 1));
    stopped(&ctx, stage).await;
}

#[tokio::test]
async fn held_work_is_neither_retried_nor_parked() {
    let world = nats().await;
    let (ctx, seen) = (context(&world, "signing").await, Seen::default());
    let config = StageConfig {
        // Held for longer than this: half a second, eleven times.
        ack_wait: SHORT_ACK_WAIT,
        ..Default::default()
    };
    tell(&ctx, "held-1").await;
    tell(&ctx, "once").await;
    let stage = start(&ctx, config, &seen);
    seen_times(&seen, "held-1", 12).await;
    settled(&world).await;
    assert_eq!((seen.times("held-1"), seen.times("once")), (12, 1));
    let text = ctx.metrics.encode().unwrap();
    for line in ["received", "done"] {
        let line = format!("probity_stage_{line}_total{{subject=\"evidence.submitted\"}} 2");
        assert!(text.contains(&line), "{line}\n{text}");
    }
    assert!(!text.contains("stage_parked_total{") && !text.contains("stage_retried_total{"));
    // What is held at shutdown goes to another process.
    tell(&ctx, "held-2").await;
    seen_times(&seen, "held-2", 1).await;
    stopped(&ctx, stage).await;
    assert_eq!(left(&world).await, 1);
}

#[tokio::test]
async fn who_has_little_waiting_is_not_kept_by_who_has_much() {
    let world = nats().await;
    let ctx = context(&world, "signing").await;
    for n in 0..200 {
        tell(&ctx, &format!("much-{n}")).await;
    }
    tell(&ctx, "little-1").await;
    let order = Arc::new(Mutex::new(Vec::new()));
    let handler = {
        let order = order.clone();
        move |batch: Vec<Submitted>| {
            let ids = batch.iter().map(|hint| hint.submission_id.clone());
            order.lock().unwrap().extend(ids);
            async move { vec![Outcome::Done; batch.len()] }
        }
    };
    let config = StageConfig {
        batch_max: 1,
        concurrency: 1,
        ..Default::default()
    };
    let lane = |hint: &Submitted| hint.submission_id.split('-').next().unwrap().to_owned();
    let stage = tokio::spawn({
        let ctx = ctx.clone();
        async move { stage::run_fair(&ctx, &SUBMITTED, config, 256, lane, handler).await }
    });
    settled(&world).await;
    stopped(&ctx, stage).await;
    let order = order.lock().unwrap();
    assert_eq!(order.len(), 201);
    let place = order.iter().position(|id| id == "little-1").unwrap();
    assert!(place < 100, "{place} of the others came first");
}

#[tokio::test]
async fn what_is_taken_ahead_is_kept_and_handed_back() {
    let world = nats().await;
    let (ctx, seen) = (context(&world, "signing").await, Seen::default());
    for n in 0..20 {
        tell(&ctx, &format!("short-{n}")).await;
    }
    let config = StageConfig {
        batch_max: 1,
        concurrency: 1,
        // Shorter than what waits has to wait.
        ack_wait: SHORT_ACK_WAIT,
        ..Default::default()
    };
    let start = |ctx: &Context| {
        let (ctx, seen) = (ctx.clone(), seen.clone());
        let handler = move |batch: Vec<Submitted>| {
            let seen = seen.clone();
            async move { vec![work(&seen, &batch[0].submission_id).await] }
        };
        let lane = |_: &Submitted| String::new();
        tokio::spawn(
            async move { stage::run_fair(&ctx, &SUBMITTED, config, 64, lane, handler).await },
        )
    };
    let stage = start(&ctx);
    seen_times(&seen, "short-9", 1).await;
    stopped(&ctx, stage).await;
    assert!(left(&world).await >= 5);
    let next = context(&world, "signing").await;
    let stage = start(&next);
    settled(&world).await;
    let times: Vec<_> = (0..20).map(|n| seen.times(&format!("short-{n}"))).collect();
    assert!(times.iter().all(|times| *times == 1), "{times:?}");
    stopped(&next, stage).await;
}

#[tokio::test]
async fn long_work_is_kept_from_others_by_progress() {
    let world = nats().await;
    let (ctx, seen) = (context(&world, "signing").await, Seen::default());
    let config = StageConfig {
        ack_wait: SHORT_ACK_WAIT,
        ..Default::default()
    };
    let stages = [start(&ctx, config, &seen), start(&ctx, config, &seen)];
    tell(&ctx, "slow-1").await;
    tell(&ctx, "slow-2").await;
    seen_times(&seen, "slow-1", 1).await;
    settled(&world).await;
    assert_eq!((seen.times("slow-1"), seen.times("slow-2")), (1, 1));
    for stage in stages {
        stopped(&ctx, stage).await;
    }
}

#[tokio::test]
async fn shutdown_ends_what_runs_and_hands_back_the_rest() {
    let world = nats().await;
    let (ctx, seen) = (context(&world, "signing").await, Seen::default());
    for n in 0..20 {
        tell(&ctx, &format!("short-{n}")).await;
    }
    let config = StageConfig {
        batch_max: 2,
        concurrency: 2,
        // Longer than anybody here waits.
        ack_wait: 10 * PATIENCE,
        ..Default::default()
    };
    let stage = start(&ctx, config, &seen);
    seen_times(&seen, "short-0", 1).await;
    stopped(&ctx, stage).await;
    let done = (0..20)
        .filter(|n| seen.times(&format!("short-{n}")) > 0)
        .count();
    assert!((1..20).contains(&done), "{done}");
    assert_eq!(left(&world).await, 20 - u64::try_from(done).unwrap());

    // Another process takes the rest at once: nothing waits for an acknowledgement that never comes.
    let next = context(&world, "signing").await;
    let stage = start(&next, config, &seen);
    settled(&world).await;
    assert!(
        (0..20).all(|n| seen.times(&format!("short-{n}")) == 1),
        "{:?}",
        seen.0
    );
    stopped(&next, stage).await;
}
