//! The reconciler before what does not let itself be read, hours that are not what they seem, and many that are stuck.

use std::collections::HashSet;

use bytes::Bytes;
use probity_domain::{SubmissionId, Timestamp};
use probity_platform::objects::{Fault, Objects as _, Verb};
use probity_proto::stored::submission_key;
use probity_storage::{Reconciler, Redrive};

use crate::reconcile::{HOUR_MS, Lost, of};

impl Lost {
    /// From now on the store has these and does not give them back.
    pub fn withhold(&self, ids: &[SubmissionId]) {
        let keys: Vec<_> = ids.iter().map(|id| submission_key(*id)).collect();
        self.world.truth.set_faults(move |verb, key| {
            (verb == Verb::Get && keys.iter().any(|k| k == key)).then_some(Fault::Refuse)
        });
    }

    pub async fn mark(&self) -> serde_json::Value {
        let mark = self.store.work.get("log/low-water", 1 << 20).await.unwrap();
        serde_json::from_slice(&mark.unwrap().bytes).unwrap()
    }
}

fn hinted(redrives: &[Redrive]) -> HashSet<String> {
    let ids = redrives.iter().map(|r| r.hint.submission_id.clone());
    ids.collect()
}

fn names(ids: &[SubmissionId]) -> HashSet<String> {
    ids.iter().map(ToString::to_string).collect()
}

/// A rotten object is answered with 503 for ever. It is alone in its hour, so it is all that the first reading brings.
#[tokio::test]
async fn one_that_the_store_does_not_give_back_holds_up_nobody() {
    let lost = Lost::new().await;
    let rotten = lost.submission(1, 3 * HOUR_MS, "a", 1).await;
    let later = lost.submission(2, 2 * HOUR_MS, "a", 3).await;
    lost.withhold(&[rotten]);
    let mut reconciler = lost.reconciler();
    let first = reconciler.round().await.unwrap();
    assert_eq!((of(&first, rotten), of(&first, later)), (0, 3));
    let begin = lost.mark().await["low_water"].clone();
    for _ in 0..20 {
        lost.world.clock.advance_ms(HOUR_MS + 1);
        reconciler.round().await.unwrap();
    }
    let mark = lost.mark().await;
    assert_eq!(
        mark["stuck"],
        serde_json::json!([rotten, later].map(|id| id.to_string()))
    );
    assert_ne!(mark["low_water"], begin, "its hour is over all the same");
    // Somebody mends it: it is found without a hand.
    lost.world.truth.clear_faults();
    lost.world.clock.advance_ms(HOUR_MS + 1);
    assert_eq!(of(&reconciler.round().await.unwrap(), rotten), 1);
}

/// Many in a row are the store's absence: the round ends, and when it is back all are hinted.
#[tokio::test]
async fn a_store_that_is_away_costs_a_round_and_no_hint() {
    let lost = Lost::new().await;
    let mut ids = Vec::new();
    for seed in 0..40 {
        ids.push(lost.submission(seed, HOUR_MS, "a", 1).await);
    }
    lost.withhold(&ids);
    let mut reconciler = lost.reconciler();
    let away = reconciler.round().await.unwrap_err();
    assert!(away.kind.is_transient(), "{away}");
    lost.world.truth.clear_faults();
    let mut all = hinted(&reconciler.round().await.unwrap());
    assert!(
        all.len() >= 24,
        "{}: the others were not asked for",
        all.len()
    );
    lost.world.clock.advance_ms(60_001);
    all.extend(hinted(&reconciler.round().await.unwrap()));
    assert_eq!(all, names(&ids));
}

/// What was found before something fails is hinted: it counts as hinted, and is not due again for a while.
#[tokio::test]
async fn a_round_that_fails_half_way_hints_what_it_has() {
    let lost = Lost::new().await;
    let first = lost.submission(1, 3 * HOUR_MS, "a", 2).await;
    let behind = lost.submission(2, HOUR_MS, "a", 2).await;
    let hour = format!("submissions/{}/", behind.at().hour_key());
    lost.world
        .truth
        .set_faults(move |verb, key| (verb == Verb::List && key == hour).then_some(Fault::Stall));
    let mut reconciler = lost.reconciler();
    let cut_short = reconciler.round().await.unwrap();
    assert_eq!(hinted(&cut_short), names(&[first]));
    lost.world.truth.clear_faults();
    assert_eq!(hinted(&reconciler.round().await.unwrap()), names(&[behind]));
}

/// With bucket `work` gone the walk begins with the first submission, not with the first key.
#[tokio::test]
async fn keys_that_are_no_submissions_are_passed_over() {
    let lost = Lost::new().await;
    let id = lost.submission(1, HOUR_MS, "a", 1).await;
    // Beside it one that has its name and is not in its place.
    let elsewhere = format!("submissions/0-elsewhere/{id}");
    for stray in [
        "submissions/0-folder",
        &elsewhere,
        "ledger/quarantine/a-folder/00000000",
    ] {
        lost.world.truth.put(stray, Bytes::new()).await.unwrap();
    }
    // In an hour of submissions too, where it would wait for something to be read.
    let other = SubmissionId::new(lost.now().plus_ms(-9 * HOUR_MS), [4; 10]);
    let misplaced = format!("submissions/{}/zz/{other}", id.at().hour_key());
    lost.world
        .truth
        .put(&misplaced, Bytes::new())
        .await
        .unwrap();
    let mut reconciler = lost.reconciler();
    assert_eq!(hinted(&reconciler.round().await.unwrap()), names(&[id]));
    for _ in 0..20 {
        lost.world.clock.advance_ms(HOUR_MS + 1);
        reconciler.round().await.unwrap();
    }
    assert_eq!(
        lost.mark().await["stuck"],
        serde_json::json!([id.to_string()])
    );
}

pub fn hour_of(at: Timestamp) -> Timestamp {
    at.plus_ms(-at.unix_ms().rem_euclid(HOUR_MS))
}

/// The mark as an earlier process left it.
pub async fn remember(lost: &Lost, low_water: Timestamp, stuck: &[SubmissionId]) {
    let mark = serde_json::json!({
        "format": "probity.low-water/1",
        "low_water": low_water.to_rfc3339(),
        "stuck": stuck.iter().map(ToString::to_string).collect::<Vec<_>>(),
    });
    let bytes = serde_json::to_vec(&mark).unwrap();
    lost.store
        .work
        .put("log/low-water", bytes.into())
        .await
        .unwrap();
}

async fn remember_stuck(lost: &Lost, ids: &[SubmissionId]) {
    remember(lost, hour_of(lost.now()), ids).await;
}

/// A thousand small ones cost what they are, and have their turn in one round.
#[tokio::test]
async fn a_thousand_stuck_ones_are_looked_at_in_one_round() {
    let lost = Lost::new().await;
    let mut ids = Vec::new();
    for seed in 0..1_000 {
        ids.push(lost.submission(seed, 30 * HOUR_MS, "a", 1).await);
    }
    remember_stuck(&lost, &ids).await;
    let redrives = lost.reconciler().round().await.unwrap();
    assert_eq!(hinted(&redrives).len(), 1_000);
}

/// More items than a round hints: nobody has a second turn before the last has had one, and who is released goes first.
#[tokio::test]
async fn stuck_ones_take_turns_and_released_ones_go_first() {
    let lost = Lost::new().await;
    let mut ids = Vec::new();
    for seed in 0..40 {
        ids.push(lost.submission(seed, 30 * HOUR_MS, "a", 1_000).await);
    }
    remember_stuck(&lost, &ids).await;
    let mut reconciler = lost.reconciler();
    let last = *ids.iter().max().unwrap();
    let retry = format!("log/retries/{last}");
    lost.store.work.put(&retry, Bytes::new()).await.unwrap();
    let first = hinted(&reconciler.round().await.unwrap());
    assert!(first.contains(&last.to_string()) && first.len() < 20);
    let mut all = first;
    for _ in 0..3 {
        // By now the first ones are due again.
        lost.world.clock.advance_ms(10 * 60_000);
        all.extend(hinted(&reconciler.round().await.unwrap()));
    }
    assert_eq!(all, names(&ids));
}

/// An intake whose clock is behind puts what it accepts into an hour that is over.
#[tokio::test]
async fn an_hour_stays_open_for_another() {
    let lost = Lost::new().await;
    let into_ms = lost.now().unix_ms().rem_euclid(HOUR_MS);
    let stuck = lost.submission(1, 5 * HOUR_MS, "a", 1).await;
    remember_stuck(&lost, &[stuck]).await;
    let mut reconciler = lost.reconciler();
    reconciler.round().await.unwrap();
    // Fifty minutes into the next hour something appears in the last second of this one.
    lost.world.clock.advance_ms(HOUR_MS - into_ms + 50 * 60_000);
    assert_eq!(hinted(&reconciler.round().await.unwrap()), names(&[stuck]));
    let ago_ms = into_ms - HOUR_MS + 1_000;
    let late = lost.submission(2, ago_ms, "a", 1).await;
    assert_eq!(hinted(&reconciler.round().await.unwrap()), names(&[late]));
}

/// The clock was ahead by hours, and the mark went with it: over hours in which nothing had been submitted yet.
#[tokio::test]
async fn a_mark_from_a_clock_that_was_ahead_is_not_believed() {
    const AHEAD_MS: i64 = 30 * HOUR_MS;
    let lost = Lost::new().await;
    let first = lost.submission(1, HOUR_MS, "a", 1).await;
    let mut running = lost.reconciler();
    running.round().await.unwrap();
    lost.world.clock.advance_ms(AHEAD_MS);
    for _ in 0..13 {
        running.round().await.unwrap();
        lost.world.clock.advance_ms(HOUR_MS);
    }
    running.round().await.unwrap();
    lost.world.clock.advance_ms(-AHEAD_MS - 13 * HOUR_MS);
    assert!(*lost.mark().await["low_water"].as_str().unwrap() > *lost.now().to_rfc3339());
    let missed = lost.submission(2, 60_000, "a", 1).await;
    let mut started: Reconciler = lost.reconciler();
    for reconciler in [&mut started, &mut running] {
        assert_eq!(of(&reconciler.round().await.unwrap(), missed), 1);
    }
    let begin = hour_of(first.at()).to_rfc3339();
    assert_eq!(lost.mark().await["low_water"], begin);
}
