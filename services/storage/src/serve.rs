//! Wiring.

mod term;

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use probity_domain::EvidenceId;
use probity_pki::tlog::{Checkpoint, EMPTY_ROOT, LogKey, LogVerifier};
use probity_platform::edge::{self, Limits};
use probity_platform::ledger::Ledger;
use probity_platform::objects::Buckets;
use probity_platform::stage::{self, Outcome, StageConfig};
use probity_platform::startup::{Context, Shutdown};
use probity_platform::{Error, Result, keys, quarantine, telemetry};
use probity_proto::subjects::{ATTEST, DEPOSITED, LOCATE, PROVE, STAMPED};
use probity_proto::v1::{
    AttestReply, AttestRequest, Deposited as DepositedHint, DepositedEvidence, LocateReply,
    LocateRequest, ProveReply, ProveRequest, Stamped, attest_reply, locate_reply, prove_reply,
};

use tracing::Instrument as _;

use crate::log::{AppendLimits, Lease, Log, Writer, appender};
use crate::{
    Attest, Config, Deposit, Deposited, Replica, Submissions, locate, prove, rebuild, reconcile,
    router,
};

use term::Stand;

/// How often processes that do not write look for a newer checkpoint.
const LOOK: Duration = Duration::from_secs(1);
/// How often the index in Redis is compared with the log.
const COMPARE: Duration = Duration::from_secs(10);

/// Messages of one batch, worked on side by side, so that single captures share commits.
const MESSAGES_TOGETHER: usize = 16;

/// Runs the role until shutdown.
///
/// # Errors
/// `Malformed` for wrong configuration or key files, before a socket opens.
pub async fn serve(config: Config, ctx: Context) -> Result<()> {
    config.check()?;
    let (key, log) = open_log(&config, &ctx.buckets)?;
    let key = Arc::new(key);
    let roots: Arc<[_]> = keys::read_certificates(&config.roots_file)?.into();
    if roots.is_empty() {
        return Err(Error::malformed("roots_file holds no certificate"));
    }
    let (appender, appends) = appender(limits(&config));
    let deposit = Arc::new(Deposit::new(
        log.clone(),
        appender,
        Submissions::new(ctx.buckets.truth.clone()),
        roots,
        ctx.clock.clone(),
    ));
    let attest = Attest {
        log: log.clone(),
        key: key.clone(),
        submissions: Submissions::new(ctx.buckets.truth.clone()),
        ledger: ctx.ledger.clone(),
        replica: Replica::open(&config.scrub, ctx.random.clone())?,
        clock: ctx.clock.clone(),
    };
    let length = Duration::from_millis(config.lease_ms.max(300));
    let stand = Stand {
        config: config.clone(),
        ctx: ctx.clone(),
        log: log.clone(),
        lease: Lease::new(ctx.buckets.work.clone(), ctx.random.clone(), length),
        writer: Writer::new(log.clone(), key, ctx.random.clone()).verifying(deposit.clone()),
        deposit,
        appends,
        gauges: reconcile::Gauges::registered(&ctx.metrics),
        scrubbed: crate::scrub::Measures::registered(&ctx.metrics),
    };
    let listener = edge::listen(config.listen).await?;
    ctx.readiness.expect("log");
    ctx.started();
    tokio::try_join!(
        edge::serve_http_on(
            listener,
            router(log.clone(), ctx.access.clone()),
            &ctx,
            "storage",
            Limits::default()
        ),
        answer_prove(&ctx, log.clone()),
        answer_attest(&ctx, attest),
        answer_locate(&ctx, log.clone()),
        look(&ctx, &log),
        keep_index(&ctx, &log),
        Box::pin(stand.stand()),
    )?;
    Ok(())
}

/// The log's key, and the log as it says it is read.
pub(crate) fn open_log(config: &Config, buckets: &Buckets) -> Result<(LogKey, Arc<Log>)> {
    let key = keys::open_log_key(
        &config.log_name,
        &config.log_key_file,
        &config.log_passphrase_file,
    )?;
    let verifier = match &config.log_verifier_file {
        Some(file) => {
            let pinned = keys::read_log_verifier(file)?;
            let belongs = signs_for(&key, &pinned);
            belongs.map_err(|e| Error::malformed(format!("{}: {e}", file.display())))?;
            pinned
        }
        None => LogVerifier::parse(key.verifier_key()).map_err(Error::internal)?,
    };
    Ok((key, Arc::new(Log::new(buckets, verifier))))
}

/// That what the key signs is what the pinned key verifies.
fn signs_for(key: &LogKey, pinned: &LogVerifier) -> probity_pki::Result<()> {
    let origin = key.name().to_owned();
    let (size, root) = (0, EMPTY_ROOT);
    let note = Checkpoint { origin, size, root }.sign(key)?;
    Checkpoint::verify(&note, std::slice::from_ref(pinned)).map(drop)
}

fn limits(config: &Config) -> AppendLimits {
    AppendLimits {
        entries_max: config.append_max.max(1),
        age: Duration::from_millis(config.append_age_ms),
    }
}

async fn run_stage(ctx: Context, concurrency: usize, deposit: Arc<Deposit>) -> Result<()> {
    let stage = StageConfig {
        batch_max: MESSAGES_TOGETHER,
        concurrency,
        ..StageConfig::default()
    };
    let ledger = ctx.ledger.clone();
    let handler = move |messages: Vec<Stamped>| {
        let (deposit, ledger) = (deposit.clone(), ledger.clone());
        async move {
            let work = messages.into_iter().map(|message| {
                let deposit = deposit.clone();
                let span = tracing::info_span!(
                    "deposit",
                    probity.submission = telemetry::submission(&message.submission_id)
                );
                let ledger = ledger.clone();
                let work = async move {
                    let deposited = deposit.deposit(&message).await;
                    quarantined(&ledger, message.round, &deposited).await;
                    outcome(deposited)
                };
                work.instrument(span)
            });
            join_all(work.collect::<Vec<_>>()).await
        }
    };
    stage::run(&ctx, &STAMPED, stage, handler).await
}

/// Records those that are refused for good.
async fn quarantined(ledger: &Ledger, round: u32, deposited: &[Deposited]) {
    for Deposited {
        evidence_number,
        leaf,
    } in deposited
    {
        if let (Err(e), Ok(evidence)) = (leaf, EvidenceId::parse(evidence_number)) {
            quarantine::refused(ledger, "storage", evidence, round, e).await;
        }
    }
}

/// A message is done when each of its records is in the log. One that cannot be is said and left to the reconciler.
fn outcome(deposited: Vec<Deposited>) -> Outcome {
    let mut worst = Outcome::Done;
    for Deposited {
        evidence_number,
        leaf,
    } in deposited
    {
        let Err(e) = leaf else { continue };
        if !e.kind.is_transient() {
            tracing::error!(evidence = evidence_number, error = %e, "not deposited");
        }
        match (&worst, Outcome::from(Err(e))) {
            (Outcome::Retry(_), _) => {}
            (_, outcome) => worst = outcome,
        }
    }
    worst
}

/// Tells what is deposited, and writes the index in Redis. Neither is the truth, so neither can fail a deposit.
async fn tell(ctx: Context, news: Vec<(EvidenceId, u64)>) {
    let nonce = hex::encode(ctx.random.bytes::<8>());
    for (chunk, number) in news.chunks(1_000).zip(0..) {
        let evidence = chunk
            .iter()
            .map(|(evidence, leaf_index)| DepositedEvidence {
                evidence_number: evidence.to_string(),
                leaf_index: *leaf_index,
            });
        let hint = DepositedHint {
            evidence: evidence.collect(),
        };
        let id = format!("deposited.{nonce}.{number}");
        if let Err(e) = ctx.bus.tell(&DEPOSITED, &id, &hint).await {
            tracing::warn!(error = %e, "deposits could not be told");
        }
    }
    if let Err(e) = rebuild::put(&ctx.cache, &news).await {
        tracing::debug!(error = %e, "the index in Redis falls behind");
    }
}

async fn answer_prove(ctx: &Context, log: Arc<Log>) -> Result<()> {
    let handler = move |request: ProveRequest| {
        let log = log.clone();
        async move {
            let proof = prove(&log, &request).await?;
            Ok(ProveReply {
                outcome: Some(prove_reply::Outcome::Proof(proof)),
            })
        }
    };
    ctx.bus.answer(&PROVE, ctx.shutdown.clone(), handler).await
}

async fn answer_attest(ctx: &Context, attest: Attest) -> Result<()> {
    let attest = Arc::new(attest);
    let handler = move |request: AttestRequest| {
        let attest = attest.clone();
        async move {
            let attestation = attest.attest(&request).await?;
            Ok(AttestReply {
                outcome: Some(attest_reply::Outcome::Attestation(attestation)),
            })
        }
    };
    ctx.bus.answer(&ATTEST, ctx.shutdown.clone(), handler).await
}

async fn answer_locate(ctx: &Context, log: Arc<Log>) -> Result<()> {
    let handler = move |request: LocateRequest| {
        let log = log.clone();
        async move {
            let located = locate(&log, &request).await?;
            Ok(LocateReply {
                outcome: Some(locate_reply::Outcome::Located(located)),
            })
        }
    };
    ctx.bus.answer(&LOCATE, ctx.shutdown.clone(), handler).await
}

/// Keeps up with what another process may have published.
async fn look(ctx: &Context, log: &Log) -> Result<()> {
    let mut said = false;
    while !ctx.shutdown.is_requested() {
        let refreshed = log.refresh().await;
        ctx.readiness.set("log", log.latest().map(drop));
        match refreshed {
            Ok(()) => said = false,
            Err(e) if !said => {
                tracing::warn!(error = %e, "the log cannot be looked at");
                said = true;
            }
            Err(_) => {}
        }
        pause(&ctx.shutdown, LOOK).await;
    }
    Ok(())
}

/// Rebuilds the index in Redis whenever it is found empty or behind.
async fn keep_index(ctx: &Context, log: &Log) -> Result<()> {
    let mut said = false;
    while !ctx.shutdown.is_requested() {
        pause(&ctx.shutdown, COMPARE).await;
        match rebuild::catch_up(&ctx.cache, log).await {
            Ok(_) => said = false,
            Err(e) if !said => {
                tracing::warn!(error = %e, "the index in Redis falls behind the log");
                said = true;
            }
            Err(_) => {}
        }
    }
    Ok(())
}

/// What the work comes to; `None` when shutdown was requested first, and the work is dropped.
pub(crate) async fn until<T>(shutdown: &Shutdown, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        () = shutdown.requested() => None,
        done = work => Some(done),
    }
}

pub(crate) async fn pause(shutdown: &Shutdown, length: Duration) {
    tokio::select! {
        () = shutdown.requested() => {}
        () = tokio::time::sleep(length) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_is_cut_off_by_shutdown() {
        let stop = Shutdown::new();
        assert_eq!(until(&stop, async { 1 }).await, Some(1));
        stop.request();
        let round = until(&stop, std::future::pending::<()>());
        assert_eq!(round.await, None, "however long it would have taken");
    }

    /// Roles are spawned: checked here, where the reason can be seen.
    #[expect(dead_code, reason = "compiling it is the test")]
    fn serves_on_any_thread(config: Config, ctx: Context) {
        fn spawned<F: Future<Output = Result<()>> + Send>(_: F) {}
        spawned(serve(config, ctx));
    }
}
