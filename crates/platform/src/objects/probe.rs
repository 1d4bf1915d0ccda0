//! Measures, before a process trusts a store, whether its conditional writes hold when writers race (traps 1 to 5).
//!
//! Writers come through every door of the store in turn, for some stores hold a condition at one door only. At start
//! bucket `work` alone is probed: what is written into `truth` stays there for ever. [`super::examine_store`], which an
//! operator asks for, races a few times in `truth` as well.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, future, stream};
use serde::Serialize;

use super::{Created, Objects, PART_BYTES, Swapped};
use crate::{Clock, Error, Random, Result};

/// Rounds running at the same time, so that a distant store is done in time as well.
const ROUNDS_AT_ONCE: usize = 4;
/// Writers of a round of large objects.
const UPLOADERS: usize = 3;

/// How much is raced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProbeSize {
    pub writers: usize,
    /// Of create-only PUTs, and as many of swaps.
    pub rounds: usize,
    /// Of large objects whose condition is on completion; three writers each.
    pub upload_rounds: usize,
    pub time_max: Duration,
}

impl ProbeSize {
    /// What every start waits for.
    pub const START: Self = Self {
        writers: 8,
        rounds: 20,
        upload_rounds: 0,
        time_max: Duration::from_secs(5),
    };
    /// What an operator runs before a store is bought.
    pub const FULL: Self = Self {
        writers: 64,
        rounds: 200,
        upload_rounds: 5,
        time_max: Duration::from_secs(1_800),
    };
}

/// What was measured: races with exactly one winner, by kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ProbeReport {
    pub create_rounds: usize,
    pub swap_rounds: usize,
    pub upload_rounds: usize,
    pub writers: usize,
    /// Endpoints the writers came through.
    pub doors: usize,
}

/// Bucket `work` through each door.
type Doors = [Arc<dyn Objects>];

/// Lets writers race for one key at a time, by create-only, by swap and by completing uploads, spread over `doors`:
/// the same bucket through each of the store's endpoints.
///
/// # Errors
/// `Conflict` naming the fault when a race had not exactly one winner or a loser was told wrong bytes: such a store
/// must not be used. `Timeout` when the store is too slow to tell, and the store's own errors.
pub async fn probe(doors: &Doors, random: &dyn Random, size: ProbeSize) -> Result<ProbeReport> {
    let place = format!("probe/{}", hex::encode(random.bytes::<16>()));
    let measured = tokio::time::timeout(size.time_max, race_all(doors, &place, size)).await;
    clean(doors, &place, size).await;
    measured.unwrap_or_else(|_| {
        let limit_s = size.time_max.as_secs();
        Err(Error::timeout(format!(
            "store probe: no answer to all races in {limit_s} s"
        )))
    })
}

/// Races create-only PUTs where objects stay for ever: one small object a round is left.
pub(super) async fn probe_kept(
    doors: &Doors,
    random: &dyn Random,
    writers: usize,
    rounds: usize,
) -> Result<usize> {
    let place = format!("probe/{}", hex::encode(random.bytes::<16>()));
    for round in 0..rounds {
        race_create(doors, &key_of(&place, "create", round), writers).await?;
    }
    Ok(rounds)
}

/// How long one process's proof serves all: long enough for a deployment's processes to start on it.
const PROOF_GOOD_FOR_MS: i64 = 3_600_000;
/// One process at a time probes: several at once measure nothing but each other.
const TURN_S: i64 = 6;
const PROOF: &str = "probe/proof";

/// Proves the store, or finds that another process has within the hour; `None` while it is another's turn to probe.
/// `store` names it with all its endpoints ([`super::S3Config::digest`]).
///
/// # Errors
/// As [`probe`].
pub async fn proved(
    store: &str,
    doors: &Doors,
    random: &dyn Random,
    clock: &dyn Clock,
) -> Result<Option<String>> {
    let now = clock.now();
    let work = first(doors)?;
    let named = format!("store={store}");
    if let Some(proof) = work.get(PROOF, 4096).await? {
        let text = String::from_utf8_lossy(&proof.bytes).into_owned();
        let mut words = text.split(' ');
        let at = words.next().unwrap_or_default();
        let age = probity_domain::Timestamp::parse_rfc3339(at).map(|at| now.ms_since(at));
        // A proof through other doors than this process's says nothing of them.
        let ours = words.next() == Some(&named);
        if ours && age.is_ok_and(|ms| (0..PROOF_GOOD_FOR_MS).contains(&ms)) {
            return Ok(Some(text));
        }
    }
    // Should the store let two processes have the turn, both probe and both find out.
    let turn = format!("probe/turn/{}", now.unix_s() / TURN_S);
    let claim = Bytes::from(hex::encode(random.bytes::<16>()));
    if work.create(&turn, claim).await? != Created::Created {
        return Ok(None);
    }
    let report = probe(doors, random, ProbeSize::START).await?;
    let text = format!("{now} {named} {report:?}");
    work.put(PROOF, Bytes::from(text.clone())).await?;
    Ok(Some(text))
}

fn first(doors: &Doors) -> Result<&dyn Objects> {
    let first = doors.first();
    first
        .map(|door| &**door)
        .ok_or_else(|| Error::internal("store probe: no endpoint"))
}

async fn race_all(doors: &Doors, place: &str, size: ProbeSize) -> Result<ProbeReport> {
    let rounds = stream::iter(0..size.rounds).map(|round| async move {
        race_create(doors, &key_of(place, "create", round), size.writers).await?;
        race_swap(doors, &key_of(place, "swap", round), size.writers).await
    });
    rounds
        .buffer_unordered(ROUNDS_AT_ONCE)
        .try_collect::<Vec<()>>()
        .await?;
    for round in 0..size.upload_rounds {
        race_uploads(doors, &key_of(place, "upload", round)).await?;
    }
    Ok(ProbeReport {
        create_rounds: size.rounds,
        swap_rounds: size.rounds,
        upload_rounds: size.upload_rounds,
        writers: size.writers,
        doors: doors.len(),
    })
}

/// The doors in turn, for this many writers.
fn spread(doors: &Doors, writers: usize) -> impl Iterator<Item = (usize, &Arc<dyn Objects>)> {
    (0..writers).zip(doors.iter().cycle())
}

async fn race_create(doors: &Doors, key: &str, writers: usize) -> Result<()> {
    let races = spread(doors, writers).map(|(w, door)| door.create(key, claim(key, w)));
    let outcomes = future::try_join_all(races).await?;
    let won = outcomes.iter().filter(|o| **o == Created::Created).count();
    one_winner(won, writers, "create-only PUT (If-None-Match: *)")?;
    let stands = first(doors)?.get(key, 4096).await?;
    let stands = stands.map(|object| object.bytes);
    let winner = outcomes.iter().position(|o| *o == Created::Created);
    let told = |outcome: &Created| match outcome {
        Created::Created => winner.map(|w| claim(key, w)) == stands,
        Created::Exists(bytes) => Some(bytes) == stands.as_ref(),
    };
    if outcomes.iter().all(told) {
        return Ok(());
    }
    Err(Error::conflict(
        "store probe: other bytes stand there than the winner's, or a losing writer read others",
    ))
}

async fn race_swap(doors: &Doors, key: &str, writers: usize) -> Result<()> {
    let begun = first(doors)?.swap(key, None, claim(key, writers)).await?;
    let Swapped::Swapped(begun) = begun else {
        return Err(Error::conflict(
            "store probe: a swap on a fresh key was lost",
        ));
    };
    let races = spread(doors, writers).map(|(w, door)| door.swap(key, Some(&begun), claim(key, w)));
    let outcomes = future::try_join_all(races).await?;
    let won = outcomes
        .iter()
        .filter(|o| matches!(o, Swapped::Swapped(_)))
        .count();
    one_winner(won, writers, "swap (If-Match: <etag>)")
}

async fn race_uploads(doors: &Doors, key: &str) -> Result<()> {
    let size_bytes = PART_BYTES as u64 + 1;
    let races = spread(doors, UPLOADERS).map(|(w, door)| {
        let pieces = [vec![b'0'; PART_BYTES], format!("{w}").into_bytes()];
        let body = stream::iter(pieces.map(|piece| Ok(Bytes::from(piece))));
        door.create_streamed(key, size_bytes, body.boxed())
    });
    let outcomes = future::try_join_all(races).await?;
    let won = outcomes.iter().filter(|won| **won).count();
    one_winner(won, UPLOADERS, "completion of an upload (If-None-Match: *)")
}

fn one_winner(won: usize, writers: usize, what: &str) -> Result<()> {
    if won == 1 {
        return Ok(());
    }
    Err(Error::conflict(format!(
        "store probe: {what} had {won} winners of {writers}, must be 1: this store is unfit for evidence"
    )))
}

/// Bytes no other writer writes.
fn claim(key: &str, writer: usize) -> Bytes {
    Bytes::from(format!("{key} writer {writer}"))
}

fn key_of(place: &str, what: &str, round: usize) -> String {
    format!("{place}/{what}-{round:03}")
}

async fn clean(doors: &Doors, place: &str, size: ProbeSize) {
    let Ok(work) = first(doors) else { return };
    let kinds = [
        ("create", size.rounds),
        ("swap", size.rounds),
        ("upload", size.upload_rounds),
    ];
    let keys = kinds
        .into_iter()
        .flat_map(|(what, rounds)| (0..rounds).map(move |round| key_of(place, what, round)));
    let removals = stream::iter(keys)
        .map(|key| async move { work.remove(&key).await.is_ok() })
        .buffer_unordered(64)
        .all(future::ready);
    // What is left behind a lifecycle rule of the bucket removes.
    let limit = Duration::from_secs(1) + size.time_max / 30;
    if tokio::time::timeout(limit, removals).await != Ok(true) {
        tracing::debug!(place, "probe objects are left behind");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::*;
    use crate::objects::{Fault, MemoryObjects, Verb};
    use crate::{ErrorKind, SystemRandom};

    async fn probed(store: Arc<MemoryObjects>) -> Result<ProbeReport> {
        probe(&[store], &SystemRandom, ProbeSize::START).await
    }

    #[tokio::test]
    async fn a_good_store_passes_and_is_left_clean() {
        let store = Arc::new(MemoryObjects::new());
        let size = ProbeSize {
            upload_rounds: 1,
            ..ProbeSize::START
        };
        let doors: [Arc<dyn Objects>; 2] = [store.clone(), store.clone()];
        let report = probe(&doors, &SystemRandom, size).await.unwrap();
        assert_eq!((report.create_rounds, report.swap_rounds), (20, 20));
        assert_eq!((report.upload_rounds, report.doors), (1, 2));
        assert!(store.list("", None, 10).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn one_proof_serves_all_who_come_through_the_same_doors_for_an_hour() {
        let memory = Arc::new(MemoryObjects::new());
        let doors: [Arc<dyn Objects>; 1] = [memory.clone()];
        let clock = crate::clock::ManualClock::at(probity_domain::Timestamp::from_unix_ms(
            1_795_000_000_000,
        ));
        let proved_as = async |store: &str| {
            let proof = proved(store, &doors, &SystemRandom, &clock).await;
            proof.unwrap()
        };
        let first = proved_as("a").await;
        assert!(first.is_some());
        clock.advance_ms(PROOF_GOOD_FOR_MS - 1);
        assert_eq!(proved_as("a").await, first);
        let theirs = proved_as("b").await.unwrap();
        assert!(theirs.contains(" store=b "), "as many doors: {theirs}");
        clock.advance_ms(TURN_S * 1_000);
        let again = proved_as("a").await;
        assert!(again.is_some() && again != first, "after an hour");
        memory.forget(PROOF);
        assert_eq!(proved_as("a").await, None, "another's turn");
    }

    #[tokio::test]
    async fn a_silent_store_is_not_called_unfit() {
        let store = Arc::new(MemoryObjects::new());
        store.set_faults(|verb, _| (verb == Verb::Swap).then_some(Fault::Refuse));
        assert_eq!(
            probed(store).await.unwrap_err().kind,
            ErrorKind::Unavailable
        );
    }

    #[tokio::test]
    async fn two_winners_are_found() {
        // Forgets the object just before the last of the eight writers comes.
        let store = Arc::new(MemoryObjects::new());
        let creates = AtomicU8::new(0);
        let inner = store.clone();
        store.set_faults(move |verb, key| {
            if verb == Verb::Create && creates.fetch_add(1, Ordering::SeqCst) == 7 {
                inner.forget(key);
            }
            None
        });
        let error = probed(store).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Conflict);
        assert!(error.detail.contains("2 winners of 8"), "{error}");
    }
}
