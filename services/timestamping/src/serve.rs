//! Wiring.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use probity_pki::digest::HashAlgorithm;
use probity_platform::edge::{self, Limits};
use probity_platform::stage::{self, Outcome, StageConfig};
use probity_platform::startup::Context;
use probity_platform::{Error, Result, telemetry};
use probity_proto::subjects::{SIGNED, STAMPED};
use probity_proto::v1::{Signed, Stamped};

use tracing::Instrument as _;

use crate::clock::Chrony;
use crate::{ClockConfig, ClockLease, Config, SystemReader, TimeStamper, router};

/// The lease is renewed this often.
const TICK: Duration = Duration::from_millis(200);

/// Without the lease every request is refused, so it decides whether the role is ready.
const CLOCK: &str = "clock lease";

/// Messages of one batch, worked on side by side.
const MESSAGES_TOGETHER: usize = 4;

/// Runs the role until shutdown.
///
/// # Errors
/// `Malformed` for wrong configuration or key files, before a socket opens.
pub async fn serve(config: Config, ctx: Context) -> Result<()> {
    let (max_offset_ms, chrony) = match &config.clock {
        ClockConfig::System { max_offset_ms } => (*max_offset_ms, None),
        ClockConfig::Chrony {
            max_offset_ms,
            command,
        } => {
            let accuracy_ms = config.accuracy_ms;
            (
                *max_offset_ms,
                Some(Chrony {
                    command: command.clone(),
                    accuracy_ms,
                }),
            )
        }
    };
    let reader = Box::new(SystemReader::new(ctx.clock.clone()));
    let lease = Arc::new(ClockLease::new(reader, max_offset_ms));
    let stamper = Arc::new(TimeStamper::open(
        &config,
        lease.clone(),
        ctx.random.clone(),
    )?);
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
    let listener = edge::listen(config.listen).await?;
    ctx.readiness.expect(CLOCK);
    ctx.started();
    tokio::try_join!(
        edge::serve_http_on(
            listener,
            router(stamper),
            &ctx,
            "timestamping",
            Limits::default()
        ),
        stage::run(&ctx, &SIGNED, stage, handler),
        keep_lease(&ctx, &lease, chrony),
    )?;
    Ok(())
}

async fn handle(ctx: &Context, stamper: Arc<TimeStamper>, message: Signed) -> Result<()> {
    let submission_id = message.submission_id.clone();
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
        let (mut records, mut failed) = (Vec::with_capacity(message.records.len()), None);
        for (record, result) in stamped {
            match result {
                Ok(record) => records.push(record),
                // The clock: the whole message comes again.
                Err(e) if e.kind.is_transient() => return Err(e),
                Err(e) => {
                    tracing::error!(evidence = record.evidence_number, error = %e, "not stamped");
                    failed = Some(e);
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
                },
            )
            .await?;
    }
    failed.map_or(Ok(()), Err)
}

async fn keep_lease(ctx: &Context, lease: &ClockLease, chrony: Option<Chrony>) -> Result<()> {
    let mut said = false;
    while !ctx.shutdown.is_requested() {
        let confirmed = match &chrony {
            Some(chrony) => chrony.confirm().await,
            None => Ok(()),
        };
        match confirmed {
            Ok(()) => {
                lease.renew();
                said = false;
            }
            Err(e) if !said => {
                tracing::error!(error = %e, "the clock is not confirmed: time-stamping stops");
                said = true;
            }
            Err(_) => {}
        }
        ctx.readiness.set(CLOCK, lease.now().map(drop));
        tokio::select! {
            () = ctx.shutdown.requested() => {}
            () = tokio::time::sleep(TICK) => {}
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
