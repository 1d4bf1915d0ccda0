//! What crashes a stage: held when it is alone and late, and nobody else with it.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use probity_domain::{EvidenceId, SubmissionId, Timestamp};
use probity_platform::quarantine::{self, ROUNDS};
use probity_platform::stage::{DELIVERIES_MAX, Outcome, StageConfig, joined};
use probity_platform::startup::Context;
use probity_platform::{Error, Random, Result};
use probity_proto::subjects::SUBMITTED;
use probity_proto::v1::Submitted;
use probity_testkit::wait_until;
use tokio::task::JoinHandle;

use crate::fixture::{context, nats};
use crate::stage::{PATIENCE, Seen, left, settled, start_with, stopped};

fn submission(seed: u8) -> SubmissionId {
    SubmissionId::new(Timestamp::from_unix_ms(1_795_000_000_000), [seed; 10])
}

/// A hint for one item, or two; whose it is says what happens to it.
async fn tell(ctx: &Context, seed: u8, tenant: &str, items: u32, round: u32) {
    let hint = Submitted {
        submission_id: submission(seed).to_string(),
        first_item: 1,
        last_item: items,
        round,
        tenant: tenant.to_owned(),
    };
    let id = seed.to_string();
    wait_until("NATS to take a hint", PATIENCE, async || {
        ctx.bus.tell(&SUBMITTED, &id, &hint).await.is_ok()
    })
    .await;
}

fn start(ctx: &Context, config: StageConfig, seen: &Seen) -> JoinHandle<Result<()>> {
    let seen = seen.clone();
    start_with(ctx, config, move |hint| {
        seen.note(&hint.submission_id);
        async move { work(&hint.tenant).await }
    })
}

async fn work(tenant: &str) -> Outcome {
    match tenant {
        "panics" => panic!("as asked"),
        "panics-elsewhere" => {
            let thread = tokio::task::spawn_blocking(|| panic!("as asked"));
            joined(thread)
                .await
                .map_or_else(Outcome::from, |()| Outcome::Done)
        }
        "hangs" => pending().await,
        "away" => Outcome::Retry(Error::unavailable("the store is away")),
        "defect" => Outcome::Retry(Error::internal("but it says so")),
        _ => Outcome::Done,
    }
}

async fn reason(ctx: &Context, seed: u8) -> Option<(String, String)> {
    let evidence = EvidenceId {
        submission: submission(seed),
        item: 1,
    };
    let state = quarantine::state(&ctx.ledger, evidence).await.unwrap();
    state.held.map(|held| (held.stage, held.reason))
}

#[tokio::test]
async fn what_crashes_a_stage_is_held_when_it_is_alone_and_late() {
    let world = nats().await;
    let (ctx, seen) = (context(&world, "signing").await, Seen::default());
    let (panicked, endless) = (
        Some("the work panicked"),
        Some("no delivery came to an end"),
    );
    let table = [
        ("panics", 1, ROUNDS, panicked),
        ("panics", 2, ROUNDS, None),
        ("panics", 1, ROUNDS - 1, None),
        ("panics-elsewhere", 1, ROUNDS + 3, panicked),
        ("hangs", 1, ROUNDS, endless),
        ("hangs", 2, ROUNDS, None),
        ("hangs", 1, ROUNDS - 1, None),
        ("away", 1, ROUNDS + 3, None),
        ("defect", 1, ROUNDS + 3, None),
        ("sound", 1, ROUNDS + 3, None),
        ("sound", 2, 0, None),
    ];
    for (seed, (tenant, items, round, _)) in (1..).zip(table) {
        tell(&ctx, seed, tenant, items, round).await;
    }
    let config = StageConfig {
        concurrency: 4,
        batch_time_max: Duration::from_millis(500),
        pause: Duration::from_millis(5),
        ..StageConfig::default()
    };
    let stage = start(&ctx, config, &seen);
    settled(&world).await;
    for (seed, (tenant, items, round, held)) in (1..).zip(table) {
        let found = reason(&ctx, seed).await;
        let expected = held.map(|reason| ("signing".to_owned(), reason.to_owned()));
        assert_eq!(found, expected, "{tenant}, {items} in round {round}");
    }
    let text = ctx.metrics.encode().unwrap();
    let done = "probity_stage_done_total{subject=\"evidence.submitted\"} 2";
    assert!(text.contains(done), "{text}");
    stopped(&ctx, stage).await;
}

/// Orders two things one way, then the other.
struct Alternating(AtomicU64);

impl Random for Alternating {
    fn fill(&self, out: &mut [u8]) {
        let drawn = self.0.fetch_add(1, Ordering::Relaxed);
        out.fill(u8::from(matches!(drawn % 4, 1 | 2)));
    }
}

/// A process that is killed settles nothing; what it had in hand comes again with what killed it.
#[tokio::test]
async fn what_kills_the_process_is_held_and_its_neighbour_gets_ahead() {
    let world = nats().await;
    let (mut ctx, seen) = (context(&world, "signing").await, Seen::default());
    ctx.random = Arc::new(Alternating(AtomicU64::new(0)));
    tell(&ctx, 1, "hangs", 1, ROUNDS + 2).await;
    tell(&ctx, 2, "sound", 1, ROUNDS + 2).await;
    let config = StageConfig {
        concurrency: 1,
        ack_wait: Duration::from_secs(1),
        ..StageConfig::default()
    };
    let killer = submission(1).to_string();
    let mut lives = 0;
    while left(&world).await > 0 {
        lives += 1;
        let before = seen.times(&killer);
        let stage = start(&ctx, config, &seen);
        wait_until("a life to end", PATIENCE, async || {
            seen.times(&killer) > before || left(&world).await == 0
        })
        .await;
        stage.abort();
        assert!(stage.await.unwrap_err().is_cancelled());
    }
    assert!(lives > DELIVERIES_MAX, "{lives}");
    let endless = (
        "signing".to_owned(),
        "no delivery came to an end".to_owned(),
    );
    assert_eq!(reason(&ctx, 1).await, Some(endless));
    assert_eq!(reason(&ctx, 2).await, None);
    let text = ctx.metrics.encode().unwrap();
    let done = "probity_stage_done_total{subject=\"evidence.submitted\"} 1";
    assert!(text.contains(done), "{text}");
}
