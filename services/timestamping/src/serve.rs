//! Wiring.

use std::sync::Arc;

use futures::future::join_all;
use probity_domain::EvidenceId;
use probity_pki::digest::HashAlgorithm;
use probity_platform::edge::{self, Limits};
use probity_platform::stage::{self, Outcome, StageConfig};
use probity_platform::startup::Context;
use probity_platform::{Error, Result, quarantine, telemetry};
use probity_proto::subjects::{SIGNED, STAMP, STAMPED};
use probity_proto::v1::{
    Signed, StampReply, StampRequest, Stamped, Stamps, stamp_reply::Outcome as StampOutcome,
};
use tracing::Instrument as _;

use crate::clock::{CLOCK_LEASE, ClockLog, Source, SystemReader, watch};
use crate::{ClockLease, Config, TimeStamper, router};

/// Messages of one batch, worked on side by side.
const MESSAGES_TOGETHER: usize = 4;

/// Requests in one question.
const REQUESTS_MAX: usize = 256;

/// Runs the role until shutdown.
///
/// # Errors
/// `Malformed` for wrong configuration or key files, before a socket opens.
pub async fn serve(config: Config, ctx: Context) -> Result<()> {
    let rules = config.rules()?;
    let sources: Vec<Source> = config.clock.sources.iter().map(Source::new).collect();
    let names: Vec<String> = sources.iter().map(|s| s.name().to_owned()).collect();
    let reader = Box::new(SystemReader::new(ctx.clock.clone()));
    let lease = Arc::new(ClockLease::new(reader, rules, &names));
    let stamper = TimeStamper::open(&config, lease.clone(), ctx.random.clone())?;
    let stamper = Arc::new(stamper);
    let truth = ctx.buckets.truth.clone();
    let log = ClockLog::new(truth.clone(), rules, stamper.certificate(), &*ctx.random);
    let stage = StageConfig {
        batch_max: MESSAGES_TOGETHER,
        concurrency: config.concurrency,
        ..StageConfig::default()
    };
    let handler = {
        let (ctx, stamper) = (ctx.clone(), stamper.clone());
        move |messages: Vec<Signed>| {
            let (ctx, stamper) = (ctx.clone(), stamper.clone());
            async move {
                let work = messages.into_iter().map(|message| {
                    let (ctx, stamper) = (ctx.clone(), stamper.clone());
                    let span = tracing::info_span!(
                        "stamp",
                        probity.submission = telemetry::submission(&message.submission_id)
                    );
                    async move { Outcome::from(handle(&ctx, stamper, message).await) }
                        .instrument(span)
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
        ctx.bus.answer(&STAMP, ctx.shutdown.clone(), answer),
        watch(&ctx, &lease, sources, log),
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

async fn handle(ctx: &Context, stamper: Arc<TimeStamper>, message: Signed) -> Result<()> {
    let (submission_id, round) = (message.submission_id.clone(), message.round);
    // Named after what is stamped: the same signatures stamped again are a duplicate, new ones are not.
    let digest = message
        .records
        .first()
        .map(|r| HashAlgorithm::Sha256.digest(&r.signature));
    let name = hex::encode(
        digest
            .as_deref()
            .and_then(|d| d.get(..12))
            .unwrap_or_default(),
    );
    let work = tokio::task::spawn_blocking(move || {
        let stamped = message
            .records
            .iter()
            .map(|record| (record, stamper.stamp(record)));
        let (mut records, mut failed) = (Vec::with_capacity(message.records.len()), Vec::new());
        for (record, result) in stamped {
            match result {
                Ok(record) => records.push(record),
                // The clock: the whole message comes again.
                Err(e) if e.kind.is_transient() => return Err(e),
                Err(e) => {
                    tracing::error!(evidence = record.evidence_number, error = %e, "not stamped");
                    failed.push((record.evidence_number.clone(), e));
                }
            }
        }
        Ok((records, failed))
    });
    let (records, failed) = work.await.map_err(Error::internal)??;
    if let Some(first) = records.first() {
        let id = format!("stamped.{}.{}.{name}", first.evidence_number, records.len());
        ctx.bus
            .tell(
                &STAMPED,
                &id,
                &Stamped {
                    submission_id,
                    records,
                    round,
                },
            )
            .await?;
    }
    let mut worst = Ok(());
    for (number, e) in failed {
        if let Ok(evidence) = EvidenceId::parse(&number) {
            quarantine::refused(&ctx.ledger, "timestamping", evidence, round, &e).await;
        }
        worst = Err(e);
    }
    worst
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
