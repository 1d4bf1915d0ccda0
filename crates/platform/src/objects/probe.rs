//! Measures, before a process trusts a store, whether its conditional writes hold when writers race (traps 1 to 5).
//!
//! Only bucket `work` is probed: what is written into `truth` stays there for ever. Both buckets are asked for on the
//! same store, which honours conditions for both or for none; no store is known that tells them apart.

use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, future, stream};

use super::{Created, Objects, Swapped};
use crate::{Clock, Error, Random, Result};

const WRITERS: usize = 8;
const ROUNDS: usize = 20;
/// Rounds running at the same time, so that a distant store is done in time as well.
const ROUNDS_AT_ONCE: usize = 4;
const PROBE_TIME_MAX: Duration = Duration::from_secs(5);

/// What was measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeReport {
    /// Races with exactly one winner, of either kind.
    pub create_rounds: usize,
    pub swap_rounds: usize,
    pub writers: usize,
}

/// Lets 8 writers race for one key, 20 times by create-only and 20 times by swap. Takes at most 5 s.
///
/// # Errors
/// `Conflict` naming the fault when a race had not exactly one winner or a loser was told wrong bytes: such a store
/// must not be used. `Timeout` when the store is too slow to tell, and the store's own errors.
pub async fn probe(work: &dyn Objects, random: &dyn Random) -> Result<ProbeReport> {
    let place = format!("probe/{}", hex::encode(random.bytes::<16>()));
    let measured = tokio::time::timeout(PROBE_TIME_MAX, race_all(work, &place)).await;
    clean(work, &place).await;
    measured.unwrap_or_else(|_| {
        let limit_s = PROBE_TIME_MAX.as_secs();
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
///
/// # Errors
/// As [`probe`].
pub async fn proved(
    work: &dyn Objects,
    random: &dyn Random,
    clock: &dyn Clock,
) -> Result<Option<String>> {
    let now = clock.now();
    if let Some(proof) = work.get(PROOF, 4096).await? {
        let text = String::from_utf8_lossy(&proof.bytes).into_owned();
        let at = text.split(' ').next().unwrap_or_default();
        let age = probity_domain::Timestamp::parse_rfc3339(at).map(|at| now.ms_since(at));
        if age.is_ok_and(|ms| (0..PROOF_GOOD_FOR_MS).contains(&ms)) {
            return Ok(Some(text));
        }
    }
    // Should the store let two processes have the turn, both probe and both find out.
    let turn = format!("probe/turn/{}", now.unix_s() / TURN_S);
    let claim = Bytes::from(hex::encode(random.bytes::<16>()));
    if work.create(&turn, claim).await? != Created::Created {
        return Ok(None);
    }
    let report = probe(work, random).await?;
    let text = format!("{now} {report:?}");
    work.put(PROOF, Bytes::from(text.clone())).await?;
    Ok(Some(text))
}

async fn race_all(work: &dyn Objects, place: &str) -> Result<ProbeReport> {
    let rounds = stream::iter(0..ROUNDS * 2).map(|round| async move {
        let key = key_of(place, round);
        if round % 2 == 0 {
            race_create(work, &key).await
        } else {
            race_swap(work, &key).await
        }
    });
    rounds
        .buffer_unordered(ROUNDS_AT_ONCE)
        .try_collect::<Vec<()>>()
        .await?;
    Ok(ProbeReport {
        create_rounds: ROUNDS,
        swap_rounds: ROUNDS,
        writers: WRITERS,
    })
}

async fn race_create(work: &dyn Objects, key: &str) -> Result<()> {
    let races = (0..WRITERS).map(|w| work.create(key, claim(key, w)));
    let outcomes = future::try_join_all(races).await?;
    let won = outcomes.iter().filter(|o| **o == Created::Created).count();
    one_winner(won, "create-only PUT (If-None-Match: *)")?;
    let stands = work.get(key, 4096).await?.map(|object| object.bytes);
    let told = |outcome: &Created| match outcome {
        Created::Created => true,
        Created::Exists(bytes) => Some(bytes) == stands.as_ref(),
    };
    if outcomes.iter().all(told) {
        return Ok(());
    }
    Err(Error::conflict(
        "store probe: a losing writer read other bytes than the winner's",
    ))
}

async fn race_swap(work: &dyn Objects, key: &str) -> Result<()> {
    let Swapped::Swapped(first) = work.swap(key, None, claim(key, WRITERS)).await? else {
        return Err(Error::conflict(
            "store probe: a swap on a fresh key was lost",
        ));
    };
    let races = (0..WRITERS).map(|w| work.swap(key, Some(&first), claim(key, w)));
    let outcomes = future::try_join_all(races).await?;
    let won = outcomes
        .iter()
        .filter(|o| matches!(o, Swapped::Swapped(_)))
        .count();
    one_winner(won, "swap (If-Match: <etag>)")
}

fn one_winner(won: usize, what: &str) -> Result<()> {
    if won == 1 {
        return Ok(());
    }
    Err(Error::conflict(format!(
        "store probe: {what} had {won} winners of {WRITERS}, must be 1: this store is unfit for evidence"
    )))
}

/// Bytes no other writer writes.
fn claim(key: &str, writer: usize) -> Bytes {
    Bytes::from(format!("{key} writer {writer}"))
}

fn key_of(place: &str, round: usize) -> String {
    format!("{place}/{round:02}")
}

async fn clean(work: &dyn Objects, place: &str) {
    let keys: Vec<_> = (0..ROUNDS * 2).map(|round| key_of(place, round)).collect();
    let removals = future::join_all(keys.iter().map(|key| work.remove(key)));
    // What is left behind a lifecycle rule of the bucket removes.
    if tokio::time::timeout(Duration::from_secs(1), removals)
        .await
        .is_err()
    {
        tracing::debug!(place, "probe objects are left behind");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::*;
    use crate::objects::{Fault, MemoryObjects, Verb};
    use crate::{ErrorKind, SystemRandom};

    #[tokio::test]
    async fn a_good_store_passes_and_is_left_clean() {
        let store = MemoryObjects::new();
        let report = probe(&store, &SystemRandom).await.unwrap();
        assert_eq!((report.create_rounds, report.swap_rounds), (ROUNDS, ROUNDS));
        assert!(store.list("", None, 10).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn one_proof_serves_all_for_an_hour() {
        let store = MemoryObjects::new();
        let clock = crate::clock::ManualClock::at(probity_domain::Timestamp::from_unix_ms(
            1_795_000_000_000,
        ));
        let first = proved(&store, &SystemRandom, &clock).await.unwrap();
        assert!(first.is_some());
        clock.advance_ms(PROOF_GOOD_FOR_MS - 1);
        assert_eq!(proved(&store, &SystemRandom, &clock).await.unwrap(), first);
        clock.advance_ms(1);
        assert_ne!(proved(&store, &SystemRandom, &clock).await.unwrap(), first);
        store.forget(PROOF);
        assert_eq!(
            proved(&store, &SystemRandom, &clock).await.unwrap(),
            None,
            "another's turn"
        );
    }

    #[tokio::test]
    async fn a_silent_store_is_not_called_unfit() {
        let store = MemoryObjects::new();
        store.set_faults(|verb, _| (verb == Verb::Swap).then_some(Fault::Refuse));
        assert_eq!(
            probe(&store, &SystemRandom).await.unwrap_err().kind,
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
        let error = probe(&*store, &SystemRandom).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Conflict);
        assert!(error.detail.contains("2 winners of 8"), "{error}");
    }
}
