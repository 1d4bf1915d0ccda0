//! Wiring.

use std::sync::Arc;

use futures::future::join_all;
use probity_domain::{EvidenceId, SubmissionId};
use probity_pki::digest::HashAlgorithm;
use probity_platform::bus::Queue;
use probity_platform::edge::{self, Limits};
use probity_platform::keys::watch_validity;
use probity_platform::stage::{self, Outcome};
use probity_platform::startup::Context;
use probity_platform::{Error, Result, quarantine, telemetry};
use probity_proto::subjects::{SIGNED, STAMP, STAMPED};
use probity_proto::v1::{
    EvidenceRecord, Signed, StampReply, StampRequest, Stamped, Stamps,
    stamp_reply::Outcome as StampOutcome,
};
use tracing::Instrument as _;

use crate::clock::{CLOCK_LEASE, ClockLog, Source, SystemReader, watch};
use crate::{ClockLease, Config, TimeStamper, router};

/// Stamped messages that wait for storage before no more is stamped.
const QUEUE_MAX: u64 = 1_000;
/// And what they may hold all together.
const QUEUE_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// Requests in one question.
const REQUESTS_MAX: usize = 256;

/// Runs the role until shutdown.
///
/// # Errors
/// `Malformed` for wrong configuration or key files, before a socket opens.
pub async fn serve(config: Config, ctx: Context) -> Result<()> {
    config.check()?;
    let rules = config.rules()?;
    let sources: Vec<Source> = config.clock.sources.iter().map(Source::new).collect();
    let names: Vec<String> = sources.iter().map(|s| s.name().to_owned()).collect();
    let reader = Box::new(SystemReader::new(ctx.clock.clone()));
    let lease = Arc::new(ClockLease::new(reader, rules, &names));
    let stamper = TimeStamper::open(&config, lease.clone(), ctx.random.clone())?;
    let stamper = Arc::new(stamper);
    let truth = ctx.buckets.truth.clone();
    let log = ClockLog::new(truth.clone(), rules, stamper.certificate(), &*ctx.random);
    let stage = config.stage();
    let next = Queue::new(ctx.bus.clone(), STAMPED, QUEUE_MAX).of_bytes(QUEUE_BYTES_MAX);
    let handler = {
        let (ctx, next, stamper) = (ctx.clone(), next.clone(), stamper.clone());
        move |messages: Vec<Signed>| {
            let (ctx, next, stamper) = (ctx.clone(), next.clone(), stamper.clone());
            async move {
                let work = messages.into_iter().map(|message| {
                    let (ctx, next, stamper) = (ctx.clone(), next.clone(), stamper.clone());
                    let span = tracing::info_span!(
                        "stamp",
                        probity.submission = telemetry::submission(&message.submission_id)
                    );
                    async move { handle(&ctx, &next, stamper, message).await }.instrument(span)
                });
                join_all(work.collect::<Vec<_>>()).await
            }
        }
    };
    let answer = {
        let stamper = stamper.clone();
        move |question: StampRequest| answer(stamper.clone(), question)
    };
    let listener = edge::listen(config.listen).await?;
    ctx.readiness.expect(CLOCK_LEASE);
    let validity = watch_validity(&ctx, stamper.validities());
    ctx.started();
    tokio::try_join!(
        edge::serve_http_on(
            listener,
            router(stamper, truth),
            &ctx,
            "timestamping",
            Limits::default()
        ),
        stage::run(&ctx, &SIGNED, stage, handler),
        next.watch(ctx.shutdown.clone()),
        ctx.bus.answer(&STAMP, ctx.shutdown.clone(), answer),
        watch(&ctx, &lease, sources, log),
        validity,
    )?;
    Ok(())
}

/// Answers each request for itself, as over HTTP.
async fn answer(stamper: Arc<TimeStamper>, question: StampRequest) -> Result<StampReply> {
    if question.requests.len() > REQUESTS_MAX {
        let said = format!("more than {REQUESTS_MAX} requests in one question");
        return Err(Error::malformed(said));
    }
    let work = tokio::task::spawn_blocking(move || {
        let requests = question.requests.iter();
        let responses = requests.map(|request| Ok(stamper.respond(request)?.into()));
        responses.collect::<Result<Vec<_>>>()
    });
    let responses = work.await.map_err(Error::internal)??;
    Ok(StampReply {
        outcome: Some(StampOutcome::Stamps(Stamps { responses })),
    })
}

/// What waits for the clock, the key or room in the queue after this one waits here, for as long as it takes.
async fn handle(
    ctx: &Context,
    next: &Queue,
    stamper: Arc<TimeStamper>,
    message: Signed,
) -> Outcome {
    if let Err(e) = next.check().and_then(|()| stamper.holds()) {
        return Outcome::Hold(e);
    }
    // By the clock that is known to be right: signing's may not have been.
    if let Ok(id) = SubmissionId::parse(&message.submission_id)
        && let Err(early) = stage::not_early(id.at(), ctx.clock.now())
    {
        return early;
    }
    let (submission_id, round) = (message.submission_id.clone(), message.round);
    let name = name(&message);
    let work = tokio::task::spawn_blocking(move || stamp_all(&stamper, &message));
    let (records, failed) = match stage::joined(work).await {
        Ok(Ok(stamped)) => stamped,
        Ok(Err(e)) => return Outcome::Hold(e),
        Err(e) => return Outcome::Retry(e),
    };
    if let Some(first) = records.first() {
        let id = format!("stamped.{}.{}.{name}", first.evidence_number, records.len());
        let stamped = Stamped {
            submission_id,
            records,
            round,
        };
        if let Err(e) = next.tell(&id, &stamped).await {
            return Outcome::untold(e);
        }
    }
    let mut worst = Ok(());
    for (number, e) in failed {
        if let Ok(evidence) = EvidenceId::parse(&number) {
            quarantine::refused(&ctx.ledger, "timestamping", evidence, round, &e).await;
        }
        worst = Err(e);
    }
    Outcome::from(worst)
}

/// Named after what is stamped: the same signatures stamped again are a duplicate, new ones are not.
fn name(message: &Signed) -> String {
    let first = message.records.first();
    let digest = first.map(|r| HashAlgorithm::Sha256.digest(&r.signature));
    let digest = digest.as_deref().and_then(|d| d.get(..12));
    hex::encode(digest.unwrap_or_default())
}

/// An evidence number, and why it has no time-stamp.
type Refused = (String, Error);

/// Each record stamped, and numbers with the reason why they were not.
///
/// # Errors
/// Transient ones: clock or key. Then the whole message waits.
fn stamp_all(
    stamper: &TimeStamper,
    message: &Signed,
) -> Result<(Vec<EvidenceRecord>, Vec<Refused>)> {
    let (mut records, mut failed) = (Vec::with_capacity(message.records.len()), Vec::new());
    for record in &message.records {
        match stamper.stamp(record) {
            Ok(record) => records.push(record),
            Err(e) if e.kind.is_transient() => return Err(e),
            Err(e) => {
                tracing::error!(evidence = record.evidence_number, error = %e, "not stamped");
                failed.push((record.evidence_number.clone(), e));
            }
        }
    }
    Ok((records, failed))
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
