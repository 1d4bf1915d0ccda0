//! A submission that lies in the future: nothing is made of it before its time has come.

use std::sync::Arc;
use std::time::Duration;

use probity_domain::{SubmissionId, Timestamp};
use probity_platform::bus::{Bus, BusConfig, Queue};
use probity_platform::cache::Cache;
use probity_platform::clock::ManualClock;
use probity_platform::objects::{Buckets, MemoryObjects};
use probity_platform::startup::Context;
use probity_platform::{Clock as _, quarantine};
use probity_proto::subjects::{SIGNED, SUBMITTED};
use probity_proto::v1::Submitted;
use probity_signing::{Config, serve};
use probity_testkit::{World, wait_until};

const PATIENCE: Duration = Duration::from_secs(60);

fn counted(ctx: &Context, name: &str) -> u64 {
    let text = ctx.metrics.encode().unwrap();
    let line = format!("probity_stage_{name}_total{{subject=\"evidence.submitted\"}} ");
    let value = text.lines().find_map(|l| l.strip_prefix(&line));
    value.map_or(0, |value| value.parse().unwrap())
}

async fn waiting(ctx: &Context, hint: probity_proto::subjects::Hint) -> Option<u64> {
    let queue = Queue::new(ctx.bus.clone(), hint, 1);
    queue.measure().await;
    queue.measured().map(|measured| measured.messages)
}

#[tokio::test]
async fn what_lies_in_the_future_is_neither_signed_nor_refused() {
    let world = World::builder().nats().start().await;
    let bus = Bus::connect(&BusConfig::plain(world.nats_url()), "signing").await;
    let memory = || Arc::new(MemoryObjects::new());
    let (truth, work) = (memory(), memory());
    let clock = Arc::new(ManualClock::at(Timestamp::from_unix_ms(1_795_000_000_000)));
    let buckets = Buckets { truth, work };
    let ctx = Context::for_tests(buckets, bus.unwrap(), Cache::disabled(), clock.clone());
    let running = tokio::spawn(serve(Config::default(), ctx.clone()));
    let id = SubmissionId::new(clock.now().plus_ms(600_000), [7; 10]);
    // A round in which a refusal would count.
    let mut hint = Submitted {
        submission_id: id.to_string(),
        first_item: 0,
        last_item: 3,
        round: quarantine::ROUNDS,
        tenant: "t".to_owned(),
    };
    wait_until("NATS to take a hint", PATIENCE, async || {
        ctx.bus.tell(&SUBMITTED, "early", &hint).await.is_ok()
    })
    .await;
    wait_until("it to be left", PATIENCE, async || {
        counted(&ctx, "early") == 1 && waiting(&ctx, SUBMITTED).await == Some(0)
    })
    .await;
    for no in ["done", "retried", "parked", "held"] {
        assert_eq!(counted(&ctx, no), 0, "{no}");
    }
    assert_ne!(waiting(&ctx, SIGNED).await, Some(1));
    let held = quarantine::submissions(&ctx.ledger).await.unwrap();
    assert!(held.is_empty(), "{held:?}");
    // When its time has come it is worked on: here it turns out that nothing was ever submitted.
    clock.advance_ms(600_000);
    hint.round += 1;
    wait_until("NATS to take another", PATIENCE, async || {
        ctx.bus.tell(&SUBMITTED, "due", &hint).await.is_ok()
    })
    .await;
    wait_until("it to be worked on", PATIENCE, async || {
        counted(&ctx, "parked") == 1
    })
    .await;
    assert_eq!(counted(&ctx, "early"), 1);
    ctx.shutdown.request();
    running.await.unwrap().unwrap();
}
