//! Wiring.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use probity_domain::{EvidenceId, SubmissionId};
use probity_platform::bus::Queue;
use probity_platform::stage::{self, Outcome};
use probity_platform::startup::Context;
use probity_platform::{Error, Result, quarantine, telemetry};
use probity_proto::subjects::{ISSUE_EVENT_CERTIFICATE, SIGNED, SUBMITTED};
use probity_proto::v1::issue_event_certificate_reply::Outcome as Reply;
use probity_proto::v1::{IssueEventCertificateReply, Submitted};
use tokio::sync::OnceCell;
use tracing::Instrument as _;

use crate::event_key::UncertifiedKey;
use crate::facts::load_submission;
use crate::keyring::Session;
use crate::{Config, Keyring, chunks, load_instruction, sign};

const ASK_DEADLINE: Duration = Duration::from_secs(10);
/// Hints taken ahead, so that tenants have their turns. No less than intake lets one tenant have waiting, were each of
/// one capture.
const WINDOW: usize = 4_096;
/// Signed messages that wait for time-stamping before no more is signed: 6 s of them at 170 a second, were each of one
/// capture.
const QUEUE_MAX: u64 = 1_000;
/// And what they may hold all together: some thousand captures, at that rate less than half a minute, so that none waits
/// long behind others of any tenant.
const QUEUE_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// Items signed before their records are told: bounds what a hint that means thousands holds in memory.
const ITEMS_TOGETHER: usize = 250;
/// Rounds of the reconciler in which the index in Redis is asked.
const ROUNDS_BELIEVING: u32 = 4;
/// Who refuses.
const ROLE: &str = "signing";
const SWEEP: Duration = Duration::from_secs(30);

/// Runs the role until shutdown.
///
/// # Errors
/// `Malformed` for wrong configuration.
pub async fn serve(config: Config, ctx: Context) -> Result<()> {
    config.check()?;
    let keyring = Arc::new(Keyring::new(ctx.clock.clone(), &config));
    let stage = config.stage();
    let next = Queue::new(ctx.bus.clone(), SIGNED, QUEUE_MAX).of_bytes(QUEUE_BYTES_MAX);
    let handler = {
        let (ctx, keyring, next) = (ctx.clone(), keyring.clone(), next.clone());
        move |hints: Vec<Submitted>| {
            let (ctx, keyring, next) = (ctx.clone(), keyring.clone(), next.clone());
            async move {
                if let Err(full) = next.check() {
                    return vec![Outcome::Hold(full); hints.len()];
                }
                let work = hints.into_iter().map(|hint| {
                    let (ctx, keyring, next) = (ctx.clone(), keyring.clone(), next.clone());
                    let span = tracing::info_span!(
                        "sign",
                        probity.submission = telemetry::submission(&hint.submission_id)
                    );
                    async move {
                        let handled = handle(&ctx, &keyring, &next, &hint).await;
                        handled.map_or_else(|outcome| outcome, |()| Outcome::Done)
                    }
                    .instrument(span)
                });
                join_all(work.collect::<Vec<_>>()).await
            }
        }
    };
    let lane = |hint: &Submitted| hint.tenant.clone();
    ctx.started();
    tokio::try_join!(
        stage::run_fair(&ctx, &SUBMITTED, stage, WINDOW, lane, handler),
        next.watch(ctx.shutdown.clone()),
        sweep(&ctx, &keyring)
    )?;
    Ok(())
}

/// # Errors
/// What becomes of a hint that was not done.
async fn handle(
    ctx: &Context,
    keyring: &Keyring,
    next: &Queue,
    hint: &Submitted,
) -> core::result::Result<(), Outcome> {
    let id = SubmissionId::parse(&hint.submission_id).map_err(Error::from)?;
    stage::not_early(id.at(), ctx.clock.now())?;
    let session = match keyring.session(id, || open(ctx, id)).await {
        Ok(session) => session,
        Err(e) => {
            all_refused(ctx, id, hint, &e).await;
            return Err(e.into());
        }
    };
    let places = missing(ctx, &session, hint).await?;
    let mut failed = None;
    for places in places.chunks(ITEMS_TOGETHER) {
        let (session, meant, now) = (session.clone(), places.to_vec(), ctx.clock.now());
        let records = tokio::task::spawn_blocking(move || {
            let session = opened(&session)?;
            Ok::<_, Error>(sign(&session.instruction, &meant, &session.key, now))
        });
        let mut signed = Vec::with_capacity(ITEMS_TOGETHER);
        // Only accepted items are missing, so each place has its result.
        let results = stage::joined(records).await??;
        for (item, result) in places.iter().zip(results) {
            match result {
                Ok(record) => signed.push(record),
                Err(e) => {
                    tracing::error!(submission = %id, item, error = %e, "an item could not be signed");
                    let evidence = EvidenceId {
                        submission: id,
                        item: *item,
                    };
                    quarantine::refused(&ctx.ledger, ROLE, evidence, hint.round, &e).await;
                    failed = Some(e);
                }
            }
        }
        for (message_id, message) in chunks(id, hint.round, signed) {
            let told = next.tell(&message_id, &message).await;
            told.map_err(Outcome::untold)?;
        }
    }
    // Its neighbours have gone ahead; the reconciler comes back for it.
    failed.map_or(Ok(()), |e| Err(e.into()))
}

/// An instruction for which no key is certified is refused item by item.
async fn all_refused(ctx: &Context, id: SubmissionId, hint: &Submitted, error: &Error) {
    if hint.round < quarantine::ROUNDS || !quarantine::is_for_good(error) {
        return;
    }
    // One that does not read is an alarm of the reconciler's.
    let Ok(submission) = load_submission(&*ctx.buckets.truth, id).await else {
        return;
    };
    let meant = hint.first_item..=hint.last_item;
    for (evidence, _) in submission
        .accepted()
        .filter(|(e, _)| meant.contains(&e.item))
    {
        quarantine::refused(&ctx.ledger, ROLE, evidence, hint.round, error).await;
    }
}

/// Places of the accepted items that the hint means, without those that are known to be in the log. What Redis says is
/// believed for a few rounds only: it can save work, not decide that there is none.
async fn missing(ctx: &Context, session: &OnceCell<Session>, hint: &Submitted) -> Result<Vec<u32>> {
    let range = hint.first_item..=hint.last_item;
    let accepted = opened(session)?.instruction.submission.accepted();
    let meant: Vec<EvidenceId> = accepted
        .map(|(evidence, _)| evidence)
        .filter(|evidence| range.contains(&evidence.item))
        .collect();
    let known = match (1..ROUNDS_BELIEVING).contains(&hint.round) {
        true => ctx.cache.index_get(&meant).await.unwrap_or_default(),
        false => Vec::new(),
    };
    let known = known.into_iter().chain(std::iter::repeat(None));
    let missing = meant.iter().zip(known).filter(|(_, leaf)| leaf.is_none());
    Ok(missing.map(|(evidence, _)| evidence.item).collect())
}

fn opened(session: &OnceCell<Session>) -> Result<&Session> {
    session
        .get()
        .ok_or_else(|| Error::internal("the session was never opened"))
}

async fn open(ctx: &Context, id: SubmissionId) -> Result<Session> {
    let instruction = load_instruction(&*ctx.buckets.truth, &ctx.ledger, id).await?;
    let (key, request) = UncertifiedKey::generate(&instruction.submission)?;
    let reply: IssueEventCertificateReply = ctx
        .bus
        .ask(&ISSUE_EVENT_CERTIFICATE, &request, ASK_DEADLINE)
        .await?;
    match reply.outcome {
        Some(Reply::Certificate(issued)) => Ok(Session {
            instruction,
            key: key.certified(&issued)?,
        }),
        _ => Err(Error::internal("issuance answered nothing")),
    }
}

/// Keys do not outlive their time because nobody asks for them.
async fn sweep(ctx: &Context, keyring: &Keyring) -> Result<()> {
    while !ctx.shutdown.is_requested() {
        keyring.sweep().await;
        tokio::select! {
            () = ctx.shutdown.requested() => {}
            () = tokio::time::sleep(SWEEP) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Roles are spawned: checked here, where the reason can be seen.
    #[expect(dead_code, reason = "compiling it is the test")]
    fn serves_on_any_thread(config: Config, ctx: Context) {
        fn spawned<F: Future<Output = Result<()>> + Send>(_: F) {}
        spawned(serve(config, ctx));
    }
}
