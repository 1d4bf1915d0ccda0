//! Measures, before a process trusts a store, whether its conditional writes hold when writers race (traps 1 to 5).
//!
//! Writers come through every door of the store in turn, for some stores hold a condition at one door only. Nearly all
//! is raced in bucket `work`. In `truth`, a bucket of another kind, a few races for tiny objects are enough: where it keeps
//! what is written, or nobody may remove from it, these stay.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, future, stream};
use serde::Serialize;

use super::{Buckets, Created, Objects, PART_BYTES, Swapped};
use crate::{Clock, Error, Random, Result};

/// What lies under this was raced for, or is about that: no evidence, in either bucket.
pub const PROBES: &str = "probe/";

/// Rounds running at the same time, so that a distant store is done in time as well.
const ROUNDS_AT_ONCE: usize = 4;
/// Writers of a round of uploads.
const UPLOADERS: usize = 3;
/// Writers of a round in `truth`, and its rounds of uploads: each leaves an object.
const TRUTH_WRITERS: usize = 8;
const TRUTH_UPLOAD_ROUNDS: usize = 1;
const SMALL_BYTES: usize = 1024;

/// How much is raced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProbeSize {
    pub writers: usize,
    /// Of create-only PUTs, and as many of swaps.
    pub rounds: usize,
    /// Of uploads in parts, whose condition is on completion; three writers each.
    pub upload_rounds: usize,
    /// Of one of these uploads, at least 1.
    pub upload_bytes: usize,
    /// Of create-only PUTs in `truth`; an upload is raced for there as well.
    pub truth_rounds: usize,
    pub time_max: Duration,
}

impl ProbeSize {
    /// What every start waits for.
    pub const START: Self = Self {
        writers: 8,
        rounds: 20,
        upload_rounds: 2,
        upload_bytes: SMALL_BYTES,
        truth_rounds: 2,
        time_max: Duration::from_secs(5),
    };
    /// What an operator runs before a store is bought.
    pub const FULL: Self = Self {
        writers: 64,
        rounds: 200,
        upload_rounds: 5,
        upload_bytes: PART_BYTES + 1,
        truth_rounds: 5,
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

/// One bucket through each door.
type Doors = [Arc<dyn Objects>];

/// Lets writers race for one key at a time, by create-only, by swap and by completing uploads, spread over `doors`:
/// bucket `work` through each of the store's endpoints.
///
/// # Errors
/// `Conflict` naming the fault when a race had not exactly one winner or a loser was told wrong bytes: such a store
/// must not be used. `Timeout` when the store is too slow to tell, and the store's own errors.
pub async fn probe(doors: &Doors, random: &dyn Random, size: ProbeSize) -> Result<ProbeReport> {
    let place = place(random);
    let measured = in_time(size, race_all(doors, &place, size)).await;
    clean(doors, &place, size).await;
    measured
}

/// Races where objects may stay for ever: create-only PUTs, and the completion of an upload, for a tiny object each.
pub(super) async fn probe_kept(
    doors: &Doors,
    random: &dyn Random,
    size: ProbeSize,
) -> Result<ProbeReport> {
    let place = place(random);
    in_time(size, race_kept(doors, &place, size)).await
}

/// The same, and removes what was raced for where the store lets this process.
async fn probe_truth(doors: &Doors, random: &dyn Random, size: ProbeSize) -> Result<ProbeReport> {
    let place = place(random);
    let measured = in_time(size, race_kept(doors, &place, size)).await;
    clean_kept(doors, &place, size).await;
    measured
}

fn place(random: &dyn Random) -> String {
    format!("{PROBES}{}", hex::encode(random.bytes::<16>()))
}

async fn in_time<T>(size: ProbeSize, races: impl Future<Output = Result<T>>) -> Result<T> {
    let measured = tokio::time::timeout(size.time_max, races).await;
    measured.unwrap_or_else(|_| {
        let limit_s = size.time_max.as_secs();
        Err(Error::timeout(format!(
            "store probe: no answer to all races in {limit_s} s"
        )))
    })
}

/// How long one process's proof serves all: long enough for a deployment's processes to start on it.
const PROOF_GOOD_FOR_MS: i64 = 3_600_000;
/// One process at a time probes: several at once measure nothing but each other.
const TURN_S: i64 = 6;
const PROOF: &str = "probe/proof";

/// Proves the store, or finds that another process has within the hour; `None` while it is another's turn to probe.
/// `store` names it with all its endpoints ([`super::S3Config::digest`]), and `doors` are its buckets through each.
///
/// # Errors
/// As [`probe`].
pub async fn proved(
    store: &str,
    doors: &[Buckets],
    random: &dyn Random,
    clock: &dyn Clock,
    size: ProbeSize,
) -> Result<Option<String>> {
    let now = clock.now();
    let works: Vec<_> = doors.iter().map(|door| door.work.clone()).collect();
    let truths: Vec<_> = doors.iter().map(|door| door.truth.clone()).collect();
    let work = first(&works)?;
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
    let turn = format!("{PROBES}turn/{}", now.unix_s() / TURN_S);
    let claim = Bytes::from(hex::encode(random.bytes::<16>()));
    if work.create(&turn, claim).await? != Created::Created {
        return Ok(None);
    }
    let (in_work, in_truth) = tokio::join!(
        probe(&works, random, size),
        probe_truth(&truths, random, size)
    );
    let text = format!("{now} {named} work {:?} truth {:?}", in_work?, in_truth?);
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
        let key = key_of(place, "upload", round);
        race_uploads(doors, &key, size.upload_bytes).await?;
    }
    Ok(ProbeReport {
        create_rounds: size.rounds,
        swap_rounds: size.rounds,
        upload_rounds: size.upload_rounds,
        writers: size.writers,
        doors: doors.len(),
    })
}

async fn race_kept(doors: &Doors, place: &str, size: ProbeSize) -> Result<ProbeReport> {
    for round in 0..size.truth_rounds {
        race_create(doors, &key_of(place, "create", round), TRUTH_WRITERS).await?;
    }
    for round in 0..TRUTH_UPLOAD_ROUNDS {
        race_uploads(doors, &key_of(place, "upload", round), SMALL_BYTES).await?;
    }
    Ok(ProbeReport {
        create_rounds: size.truth_rounds,
        swap_rounds: 0,
        upload_rounds: TRUTH_UPLOAD_ROUNDS,
        writers: TRUTH_WRITERS,
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

async fn race_uploads(doors: &Doors, key: &str, bytes: usize) -> Result<()> {
    let races = spread(doors, UPLOADERS).map(|(w, door)| {
        let pieces = [
            vec![b'0'; bytes.saturating_sub(1)],
            format!("{w}").into_bytes(),
        ];
        let body = stream::iter(pieces.map(|piece| Ok(Bytes::from(piece))));
        door.create_in_parts(key, bytes as u64, body.boxed())
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
    if tokio::time::timeout(cleaning_time_max(size), removals).await != Ok(true) {
        tracing::debug!(place, "probe objects are left behind");
    }
}

/// No role has to be allowed to remove from `truth`: where one is not, or the store's lock keeps them, the objects stay.
async fn clean_kept(doors: &Doors, place: &str, size: ProbeSize) {
    let Ok(truth) = first(doors) else { return };
    let creates = (0..size.truth_rounds).map(|round| key_of(place, "create", round));
    let uploads = (0..TRUTH_UPLOAD_ROUNDS).map(|round| key_of(place, "upload", round));
    let removals = async {
        for key in creates.chain(uploads) {
            truth.remove_for_good(&key).await?;
        }
        Ok::<_, Error>(())
    };
    match tokio::time::timeout(cleaning_time_max(size), removals).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(place, %error, "probe objects stay in truth"),
        Err(_) => tracing::debug!(place, "probe objects stay in truth"),
    }
}

fn cleaning_time_max(size: ProbeSize) -> Duration {
    Duration::from_secs(1) + size.time_max / 30
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::clock::ManualClock;
    use crate::objects::{Fault, MemoryObjects, Verb};
    use crate::{ErrorKind, SystemRandom};

    async fn probed(store: Arc<MemoryObjects>) -> Result<ProbeReport> {
        probe(&[store], &SystemRandom, ProbeSize::START).await
    }

    #[tokio::test]
    async fn a_good_store_passes_and_is_left_clean() {
        let store = Arc::new(MemoryObjects::new());
        let doors: [Arc<dyn Objects>; 2] = [store.clone(), store.clone()];
        let report = probe(&doors, &SystemRandom, ProbeSize::START)
            .await
            .unwrap();
        assert_eq!((report.create_rounds, report.swap_rounds), (20, 20));
        assert_eq!((report.upload_rounds, report.doors), (2, 2));
        assert!(store.list("", None, 10).await.unwrap().is_empty());
    }

    struct Start {
        truth: Arc<MemoryObjects>,
        work: Arc<MemoryObjects>,
        clock: ManualClock,
    }

    impl Start {
        fn new() -> Self {
            let now = probity_domain::Timestamp::from_unix_ms(1_795_000_000_000);
            Self {
                truth: Arc::new(MemoryObjects::new()),
                work: Arc::new(MemoryObjects::new()),
                clock: ManualClock::at(now),
            }
        }

        /// As a process that calls the store so.
        async fn proved(&self, store: &str) -> Result<Option<String>> {
            let doors = [Buckets {
                truth: self.truth.clone(),
                work: self.work.clone(),
            }];
            proved(store, &doors, &SystemRandom, &self.clock, ProbeSize::START).await
        }
    }

    #[tokio::test]
    async fn one_proof_serves_all_who_come_through_the_same_doors_for_an_hour() {
        let start = Start::new();
        let first = start.proved("a").await.unwrap();
        assert!(first.is_some());
        start.clock.advance_ms(PROOF_GOOD_FOR_MS - 1);
        assert_eq!(start.proved("a").await.unwrap(), first);
        let theirs = start.proved("b").await.unwrap().unwrap();
        assert!(
            theirs.contains(" store=b "),
            "as many doors, and others: {theirs}"
        );
        start.clock.advance_ms(TURN_S * 1_000);
        let again = start.proved("a").await.unwrap();
        assert!(again.is_some() && again != first, "after an hour");
        start.work.forget(PROOF);
        assert_eq!(start.proved("a").await.unwrap(), None, "another's turn");
    }

    #[tokio::test]
    async fn a_start_leaves_nothing_or_a_handful_of_tiny_objects_in_truth() {
        let start = Start::new();
        start.proved("a").await.unwrap().unwrap();
        assert_eq!(start.truth.list("", None, 10).await.unwrap(), []);
        let start = Start::new();
        let refuse = |verb: Verb, _: &str| (verb == Verb::Remove).then_some(Fault::Refuse);
        start.truth.set_faults(refuse);
        start.proved("a").await.unwrap().unwrap();
        let left = start.truth.list("probe/", None, 10).await.unwrap();
        assert_eq!(left.len(), 3);
        assert!(
            left.iter()
                .all(|listed| listed.size_bytes <= SMALL_BYTES as u64),
            "{left:?}"
        );
    }

    /// Forgets the object just before the last writer of a race for such a key comes.
    fn forgets(store: &Arc<MemoryObjects>, race: &'static str, writers: usize) {
        let (inner, writes) = (store.clone(), AtomicUsize::new(0));
        store.set_faults(move |verb, key| {
            if verb == Verb::Create
                && key.contains(race)
                && writes.fetch_add(1, Ordering::SeqCst) == writers - 1
            {
                inner.forget(key);
            }
            None
        });
    }

    #[tokio::test]
    async fn a_start_races_for_uploads_and_in_truth_as_well() {
        for (in_truth, race, writers) in [
            (false, "/upload-", UPLOADERS),
            (true, "/upload-", UPLOADERS),
            (true, "/create-", TRUTH_WRITERS),
        ] {
            let start = Start::new();
            forgets(
                if in_truth { &start.truth } else { &start.work },
                race,
                writers,
            );
            let error = start.proved("a").await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::Conflict, "{race}");
            let said = format!("2 winners of {writers}");
            assert!(error.detail.contains(&said), "{race}: {error}");
        }
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
        let store = Arc::new(MemoryObjects::new());
        forgets(&store, "/create-", 8);
        let error = probed(store).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Conflict);
        assert!(error.detail.contains("2 winners of 8"), "{error}");
    }
}
