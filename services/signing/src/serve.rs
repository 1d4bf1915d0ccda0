//! Wiring.

use std::sync::Arc;
use std::time::Duration;

use probity_domain::SubmissionId;
use probity_platform::stage::{self, Outcome, StageConfig};
use probity_platform::startup::Context;
use probity_platform::{Error, Result};
use probity_proto::subjects::{ISSUE_EVENT_CERTIFICATE, SIGNED, SUBMITTED};
use probity_proto::v1::issue_event_certificate_reply::Outcome as Reply;
use probity_proto::v1::{IssueEventCertificateReply, Submitted};

use crate::event_key::UncertifiedKey;
use crate::keyring::Session;
use crate::{Config, Keyring, chunks, load_instruction, sign};

const ASK_DEADLINE: Duration = Duration::from_secs(10);
const SWEEP: Duration = Duration::from_secs(30);

/// Runs the role until shutdown.
///
/// # Errors
/// `Malformed` for wrong configuration.
pub async fn serve(config: Config, ctx: Context) -> Result<()> {
    let keyring = Arc::new(Keyring::new(ctx.clock.clone(), &config));
    // One hint at a time: a hint may mean hundreds of items.
    let stage = StageConfig {
        batch_max: 1,
        concurrency: config.concurrency,
        ..StageConfig::default()
    };
    let handler = {
        let (ctx, keyring) = (ctx.clone(), keyring.clone());
        move |hints: Vec<Submitted>| {
            let (ctx, keyring) = (ctx.clone(), keyring.clone());
            async move {
                let mut outcomes = Vec::with_capacity(hints.len());
                for hint in hints {
                    outcomes.push(Outcome::from(handle(&ctx, &keyring, &hint).await));
                }
                outcomes
            }
        }
    };
    tokio::try_join!(
        stage::run(&ctx, &SUBMITTED, stage, handler),
        sweep(&ctx, &keyring)
    )?;
    Ok(())
}

async fn handle(ctx: &Context, keyring: &Keyring, hint: &Submitted) -> Result<()> {
    let id = SubmissionId::parse(&hint.submission_id)?;
    let session = keyring.session(id, || open(ctx, id)).await?;
    let (places, now) = (hint.first_item..=hint.last_item, ctx.clock.now());
    let records = tokio::task::spawn_blocking(move || {
        let session = session
            .get()
            .ok_or_else(|| Error::internal("the session is gone"))?;
        Ok::<_, Error>(sign(&session.instruction, &places, &session.key, now))
    });
    let results = records.await.map_err(Error::internal)??;
    let (mut records, mut failed) = (Vec::with_capacity(results.len()), None);
    for result in results {
        match result {
            Ok(record) => records.push(record),
            Err(e) => {
                tracing::error!(submission = %id, error = %e, "an item could not be signed");
                failed = Some(e);
            }
        }
    }
    for (message_id, message) in chunks(id, hint.round, records) {
        ctx.bus.tell(&SIGNED, &message_id, &message).await?;
    }
    // Its neighbours have gone ahead; the reconciler comes back for it.
    failed.map_or(Ok(()), Err)
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
