//! The files of the only nats-server with flipped bits: no good copy is left, and nobody restarts anything by hand.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use async_nats::jetstream::consumer::{AckPolicy, pull};
use futures::StreamExt as _;
use probity_platform::stage::StageConfig;
use probity_proto::subjects::SUBMITTED;
use probity_testkit::World;

use crate::fixture::{context, jetstream, nats};
use crate::stage::{PATIENCE, Seen, seen_times, settled, start, stopped, tell};

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found.sort();
    found
}

/// Flips a bit at this part, of eight, of every file of that name; answers how many there were.
async fn flip(world: &World, names: &[&str], part: usize) -> usize {
    let mut flipped = 0;
    for file in files(&world.nats_store().await) {
        let mut bytes = fs::read(&file).unwrap();
        let place = bytes.len() * part / 8;
        if names.iter().any(|name| file.ends_with(name)) && !bytes.is_empty() {
            bytes[place] ^= 1 << part;
            fs::write(&file, bytes).unwrap();
            flipped += 1;
        }
    }
    flipped
}

/// A consumer of that name with other settings.
fn on_disk() -> pull::Config {
    pull::Config {
        durable_name: Some(SUBMITTED.consumer.to_owned()),
        ack_policy: AckPolicy::Explicit,
        ack_wait: Duration::from_secs(30),
        filter_subject: SUBMITTED.subject.to_owned(),
        ..Default::default()
    }
}

/// A stream with three hints, of which such a consumer has given out one.
async fn with_a_consumer_on_disk() -> World {
    let world = nats().await;
    let ctx = context(&world, "intake").await;
    for id in ["one", "two", "three"] {
        tell(&ctx, id).await;
    }
    let jetstream = jetstream(&world).await;
    let made = jetstream.create_consumer_on_stream(on_disk(), SUBMITTED.stream);
    let mut given = made.await.unwrap().stream().messages().await.unwrap();
    given.next().await.unwrap().unwrap();
    world
}

async fn all_is_worked_on(world: &World) {
    let (ctx, seen) = (context(world, "signing").await, Seen::default());
    let stage = start(&ctx, StageConfig::default(), &seen);
    tell(&ctx, "four").await;
    for id in ["one", "two", "three", "four"] {
        seen_times(&seen, id, 1).await;
    }
    settled(world).await;
    stopped(&ctx, stage).await;
}

#[tokio::test]
async fn a_consumer_with_other_settings_is_made_anew() {
    let world = with_a_consumer_on_disk().await;
    all_is_worked_on(&world).await;
}

#[tokio::test]
async fn a_consumer_whose_state_does_not_read_is_made_anew() {
    let world = with_a_consumer_on_disk().await;
    world.stop_nats().await;
    assert_eq!(flip(&world, &["o.dat"], 0).await, 1);
    world.start_nats().await;
    // That is for ever, for whoever wants its state on disk.
    let jetstream = jetstream(&world).await;
    let made = jetstream.create_consumer_on_stream(on_disk(), SUBMITTED.stream);
    let refused = made.await.unwrap_err().to_string();
    assert!(refused.contains("creating store for consumer"), "{refused}");
    all_is_worked_on(&world).await;
}

#[tokio::test]
async fn work_flows_again_whichever_file_has_flipped_bits() {
    let world = nats().await;
    let (ctx, seen) = (context(&world, "signing").await, Seen::default());
    let stage = start(&ctx, StageConfig::default(), &seen);
    let state = ["1.blk", "2.blk", "3.blk", "4.blk", "index.db"];
    let described = ["meta.inf", "meta.sum"];
    for (n, (names, part)) in [(&state[..], 0), (&described, 3), (&state, 4), (&state, 7)]
        .into_iter()
        .enumerate()
    {
        tell(&ctx, &format!("held-{n}")).await;
        world.stop_nats().await;
        assert!(flip(&world, names, part).await > 0, "{names:?}");
        world.start_nats().await;
        let mut told = 0;
        let flowing = Instant::now() + PATIENCE;
        // A stream that lost hints gives their numbers out again, and the consumer may take what has one of them for done: so
        // one told hint may be lost, and is told again, as the reconciler does.
        loop {
            let after = format!("after-{n}-{told}");
            tell(&ctx, &after).await;
            tokio::time::sleep(Duration::from_secs(2)).await;
            if seen.times(&after) == 1 {
                break;
            }
            assert!(Instant::now() < flowing, "{names:?}: {told} hints in vain");
            told += 1;
        }
    }
    stopped(&ctx, stage).await;
}
