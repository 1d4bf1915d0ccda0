//! Quarantine: accepted items that a stage has refused for good, or that have crashed it, round after round.
//!
//! Nothing is lost by it: the submission stands, the reconciler asks once an hour whether an item was released, and
//! whoever removes the cause lets it go on. One stream of the ledger for each item, its id the evidence number.

use std::collections::{BTreeMap, HashSet};

use probity_domain::{EvidenceId, SubmissionId};
use probity_proto::ledger::QuarantineEvent;
use probity_proto::registry::QuarantineState;

use crate::ledger::{History, Ledger};
use crate::{Error, ErrorKind, Result};

/// A refusal counts from this round of the reconciler on, and so does a panic: by then some seven minutes have passed
/// and nothing helped. From here on hints get narrow as well, until each item is in a message of its own.
pub const ROUNDS: u32 = 4;
/// Streams asked for in one listing.
const IDS_AT_ONCE: usize = 1_000;
/// Longest reason kept, in bytes.
const REASON_BYTES_MAX: usize = 1_000;

/// Whether a failure is about the item itself, so that trying again cannot help.
#[must_use]
pub fn is_for_good(error: &Error) -> bool {
    !error.kind.is_transient() && error.kind != ErrorKind::Internal
}

/// Records that `role` refused an item in `round`, if that is for good and has gone on long enough. A record that
/// cannot be written now is written in the next round.
pub async fn refused(ledger: &Ledger, role: &str, evidence: EvidenceId, round: u32, error: &Error) {
    if round < ROUNDS || !is_for_good(error) {
        return;
    }
    hold(ledger, role, evidence, &error.detail).await;
}

/// Records that `role` can make nothing of an item. When an item that crashes its workers gets here is said by
/// [`crate::stage::End::poison`]. A record that cannot be written now is written in the next round.
pub async fn hold(ledger: &Ledger, role: &str, evidence: EvidenceId, reason: &str) {
    match record(ledger, role, evidence, reason).await {
        Ok(()) => tracing::error!(%evidence, role, reason, "an accepted item is in quarantine"),
        Err(e) => tracing::warn!(%evidence, error = %e, "a quarantine could not be recorded"),
    }
}

async fn record(ledger: &Ledger, role: &str, evidence: EvidenceId, reason: &str) -> Result<()> {
    let mut reason = reason.to_owned();
    reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
    let held = QuarantineEvent::Held {
        stage: role.to_owned(),
        reason,
    };
    let decide = |history: &History<QuarantineEvent>| {
        let known = QuarantineState::of(&history.events).held.is_some();
        Ok((!known).then(|| held.clone()))
    };
    let (id, cause) = (evidence.to_string(), evidence.submission.to_string());
    ledger
        .update(&id, &format!("role:{role}"), &cause, decide)
        .await
        .map(drop)
}

/// Lets an item go on; answers whether it was held.
///
/// # Errors
/// Those of [`Ledger::update`].
pub async fn release(
    ledger: &Ledger,
    evidence: EvidenceId,
    actor: &str,
    cause: &str,
) -> Result<bool> {
    let was_held = std::sync::atomic::AtomicBool::new(false);
    let decide = |history: &History<QuarantineEvent>| {
        let held = QuarantineState::of(&history.events).held.is_some();
        was_held.fetch_or(held, std::sync::atomic::Ordering::Relaxed);
        Ok(held.then_some(QuarantineEvent::Released {}))
    };
    ledger
        .update(&evidence.to_string(), actor, cause, decide)
        .await?;
    Ok(was_held.into_inner())
}

/// The items of a submission that are held, by place.
///
/// # Errors
/// Those of [`Ledger::ids`] and [`Ledger::read`].
pub async fn held(
    ledger: &Ledger,
    submission: SubmissionId,
) -> Result<BTreeMap<u32, QuarantineState>> {
    let first = EvidenceId {
        submission,
        item: 0,
    };
    let written = first.to_string();
    // Every number of the submission begins with it, and every one of them is behind it.
    let prefix = written.trim_end_matches(|c: char| c.is_ascii_digit());
    let (mut held, mut after) = (BTreeMap::new(), prefix.to_owned());
    loop {
        let ids = ledger
            .ids::<QuarantineEvent>(Some(&after), IDS_AT_ONCE)
            .await?;
        let ours = ids.iter().take_while(|id| id.starts_with(prefix));
        for evidence in ours.filter_map(|id| number(id)) {
            let state = state(ledger, evidence).await?;
            if state.held.is_some() {
                held.insert(evidence.item, state);
            }
        }
        match ids.last() {
            Some(last) if ids.len() == IDS_AT_ONCE && last.starts_with(prefix) => {
                after.clone_from(last);
            }
            _ => return Ok(held),
        }
    }
}

/// Submissions of which an item is or was held.
///
/// # Errors
/// Those of [`Ledger::ids`].
pub async fn submissions(ledger: &Ledger) -> Result<HashSet<SubmissionId>> {
    let (mut submissions, mut after) = (HashSet::new(), None);
    loop {
        let ids = ledger
            .ids::<QuarantineEvent>(after.as_deref(), IDS_AT_ONCE)
            .await?;
        submissions.extend(ids.iter().filter_map(|id| number(id)).map(|n| n.submission));
        match ids.last() {
            Some(last) if ids.len() == IDS_AT_ONCE => after = Some(last.clone()),
            _ => return Ok(submissions),
        }
    }
}

/// The number that names a stream. A key that names none stops nobody who walks by.
fn number(id: &str) -> Option<EvidenceId> {
    let number = EvidenceId::parse(id).ok();
    if number.is_none() {
        tracing::error!(
            id,
            "a stream of the quarantine is named by no evidence number"
        );
    }
    number
}

/// How an item stands.
///
/// # Errors
/// Those of [`Ledger::read`].
pub async fn state(ledger: &Ledger, evidence: EvidenceId) -> Result<QuarantineState> {
    let history = ledger
        .read::<QuarantineEvent>(&evidence.to_string())
        .await?;
    Ok(QuarantineState::of(&history.events))
}

/// A page of every item that is held, behind `after`; and where the next page begins, if there is one.
///
/// # Errors
/// Those of [`Ledger::ids`] and [`Ledger::read`].
pub async fn all(
    ledger: &Ledger,
    after: Option<&str>,
) -> Result<(Vec<(EvidenceId, QuarantineState)>, Option<String>)> {
    let ids = ledger.ids::<QuarantineEvent>(after, IDS_AT_ONCE).await?;
    let next = ids.last().filter(|_| ids.len() == IDS_AT_ONCE).cloned();
    let mut page = Vec::new();
    for evidence in ids.iter().filter_map(|id| number(id)) {
        let state = state(ledger, evidence).await?;
        if state.held.is_some() {
            page.push((evidence, state));
        }
    }
    Ok((page, next))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use probity_domain::Timestamp;

    use super::*;
    use crate::SystemRandom;
    use crate::clock::ManualClock;
    use crate::objects::{MemoryObjects, Objects as _};

    fn evidence(submission: u8, item: u32) -> EvidenceId {
        let at = Timestamp::from_unix_ms(1_795_000_000_000);
        let submission = SubmissionId::new(at, [submission; 10]);
        EvidenceId { submission, item }
    }

    #[tokio::test]
    async fn held_after_some_rounds_and_released_by_somebody() {
        let clock = ManualClock::at(Timestamp::from_unix_ms(1_795_000_000_000));
        let truth = Arc::new(MemoryObjects::new());
        let ledger = Ledger::new(truth.clone(), Arc::new(clock), Arc::new(SystemRandom));
        let (poison, reason) = (evidence(1, 2), Error::malformed("ü".repeat(900)));
        refused(&ledger, "signing", poison, ROUNDS - 1, &reason).await;
        refused(&ledger, "signing", poison, ROUNDS, &Error::unavailable("x")).await;
        refused(&ledger, "signing", poison, ROUNDS, &Error::internal("x")).await;
        assert_eq!(held(&ledger, poison.submission).await.unwrap().len(), 0);
        for _ in 0..2 {
            refused(&ledger, "signing", poison, ROUNDS, &reason).await;
        }
        for neighbour in [evidence(0, 9), evidence(1, 0), evidence(2, 1)] {
            refused(&ledger, "storage", neighbour, ROUNDS + 1, &reason).await;
        }
        let found = held(&ledger, poison.submission).await.unwrap();
        assert_eq!(found.keys().copied().collect::<Vec<_>>(), [0, 2]);
        let because = found[&2].held.as_ref().unwrap();
        assert_eq!(
            (because.stage.as_str(), because.reason.len()),
            ("signing", 1_000)
        );
        let stray = "ledger/quarantine/a-folder/00000000";
        truth.put(stray, "".into()).await.unwrap();
        assert_eq!(submissions(&ledger).await.unwrap().len(), 3);
        let (every, next) = all(&ledger, None).await.unwrap();
        assert_eq!((every.len(), next), (4, None));
        assert!(
            release(&ledger, poison, "operator:o", "mended")
                .await
                .unwrap()
        );
        assert!(
            !release(&ledger, poison, "operator:o", "mended")
                .await
                .unwrap()
        );
        assert!(
            !release(&ledger, evidence(7, 7), "operator:o", "?")
                .await
                .unwrap()
        );
        assert_eq!(held(&ledger, poison.submission).await.unwrap().len(), 1);
        // And held again, if it did not help.
        refused(&ledger, "signing", poison, ROUNDS, &reason).await;
        assert_eq!(held(&ledger, poison.submission).await.unwrap().len(), 2);
    }
}
