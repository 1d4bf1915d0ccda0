//! The loops that keep the lease: asking sources, renewing, writing the log.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use probity_platform::Result;
use probity_platform::startup::Context;

use super::lease::ClockLease;
use super::log::{ClockLog, Written};
use super::period::Period;
use super::source::Source;

/// Without the lease every request is refused, so it decides whether the role is ready.
pub const CLOCK_LEASE: &str = "clock lease";

/// The lease is renewed this often.
const TICK: Duration = Duration::from_millis(200);
/// A source that was not heard for this many periods counts no more (RFC 5905: the reach register).
const REACH: u32 = 8;
/// A record at each change, and at least this often.
const RECORD_PERIOD: Duration = Duration::from_secs(60);
/// Records are this far apart at least: whoever makes the clock flap must not fill the store. Not
/// further, because trust that was lost and found again needs a new durable record before the next token.
const RECORD_PAUSE: Duration = Duration::from_secs(1);
/// The last record is waited for this long at shutdown.
const LAST_RECORD: Duration = Duration::from_secs(5);

/// Watches until shutdown.
///
/// # Errors
/// `Internal` when the log's place is taken by another record.
pub async fn watch(
    ctx: &Context,
    lease: &ClockLease,
    sources: Vec<Source>,
    log: ClockLog,
) -> Result<()> {
    let asked = sources
        .into_iter()
        .enumerate()
        .map(|(place, source)| ask(ctx, lease, place, source));
    let asked = async {
        join_all(asked).await;
        Ok(())
    };
    let renewed = async {
        renew(ctx, lease).await;
        Ok(())
    };
    // A log that cannot go on brings the role down: what supervises the process starts it again.
    tokio::try_join!(asked, renewed, keep(ctx, lease, log))?;
    Ok(())
}

async fn ask(ctx: &Context, lease: &ClockLease, place: usize, mut source: Source) {
    let random = Arc::clone(&ctx.random);
    while !ctx.shutdown.is_requested() {
        let heard = source.ask(lease.reader(), &*random).await;
        lease.hear(place, heard, source.period() * REACH);
        pause(ctx, source.period()).await;
    }
}

async fn renew(ctx: &Context, lease: &ClockLease) {
    while !ctx.shutdown.is_requested() {
        lease.renew();
        ctx.readiness.set(CLOCK_LEASE, lease.holds());
        pause(ctx, TICK).await;
    }
}

async fn keep(ctx: &Context, lease: &ClockLease, mut log: ClockLog) -> Result<()> {
    while let Err(e) = log.continue_from_newest(ctx.clock.now()).await {
        tracing::warn!(error = %e, "the clock log cannot be read: no tokens yet");
        pause(ctx, RECORD_PAUSE).await;
        if ctx.shutdown.is_requested() {
            return Ok(());
        }
    }
    loop {
        tokio::select! {
            () = lease.changed() => {}
            () = pause(ctx, RECORD_PERIOD) => {}
            () = ctx.shutdown.requested() => {}
        }
        let period = lease.take_period();
        let written = log.record(period.clone());
        if ctx.shutdown.is_requested() {
            let last = tokio::time::timeout(LAST_RECORD, log.store(&written)).await;
            if !matches!(last, Ok(Ok(_))) {
                tracing::warn!("the last record of the clock log was not written");
            }
            return Ok(());
        }
        store(ctx, lease, &log, &period, &written).await?;
        pause(ctx, RECORD_PAUSE).await;
    }
}

/// Tries until the record stands. Meanwhile the newest durable one ages, and with it the right to issue.
async fn store(
    ctx: &Context,
    lease: &ClockLease,
    log: &ClockLog,
    period: &Period,
    written: &Written,
) -> Result<()> {
    loop {
        match log.store(written).await {
            Ok(evidence) => {
                lease.recorded(period, evidence);
                return Ok(());
            }
            Err(e) if !e.kind.is_transient() => return Err(e),
            Err(e) => tracing::warn!(error = %e, "a record of the clock log waits"),
        }
        pause(ctx, RECORD_PAUSE).await;
        if ctx.shutdown.is_requested() {
            return Ok(());
        }
    }
}

async fn pause(ctx: &Context, duration: Duration) {
    tokio::select! {
        () = ctx.shutdown.requested() => {}
        () = tokio::time::sleep(duration) => {}
    }
}
