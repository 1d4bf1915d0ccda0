//! Laps in the process that holds the log's lease, and one lap for an operator.

use std::sync::Arc;
use std::time::Duration;

use probity_domain::Timestamp;
use probity_platform::metrics::Metrics;
use probity_platform::objects::Buckets;
use probity_platform::startup::{Context, Shutdown};
use probity_platform::{SystemClock, SystemRandom};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

use super::pace::cost;
use super::position::{COPIES, Position};
use super::report::{LapReport, newest_report};
use super::{Error, Result, ScrubConfig, Scrubber};
use crate::Config;
use crate::log::Log;
use crate::serve::pause;

const POSITION: &str = "scrub/position";
const POSITION_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// After an error of the store, and between two looks at whether a lap is due.
const PAUSE: Duration = Duration::from_secs(60);

/// What `/metrics` tells of the scrubber: made once, though terms come and go.
#[derive(Clone)]
pub struct Measures {
    bytes: Counter,
    findings: Counter,
    /// Of the last lap that ended: 0 is what an alert wants.
    open: Gauge,
    /// Unix seconds.
    ended: Gauge,
}

impl Measures {
    pub fn registered(metrics: &Metrics) -> Self {
        let bytes = metrics.register("scrub_bytes", "Bytes read again", Counter::default());
        let findings = metrics.register(
            "scrub_findings",
            "Objects found not to be as they were written",
            Counter::default(),
        );
        let open = metrics.register(
            "scrub_lap_findings",
            "Findings of the last lap that came to its end",
            Gauge::default(),
        );
        let ended = metrics.register(
            "scrub_lap_ended_seconds",
            "When the last lap came to its end, since 1970",
            Gauge::default(),
        );
        Self {
            bytes,
            findings,
            open,
            ended,
        }
    }

    fn tell(&self, report: &LapReport) {
        let open = i64::try_from(report.findings_total);
        self.open.set(open.unwrap_or(i64::MAX));
        if let Ok(at) = Timestamp::parse_rfc3339(&report.ended_at) {
            self.ended.set(at.unix_s());
        }
    }
}

/// One lap, now, beside running processes.
///
/// # Errors
/// `Malformed` for wrong configuration or key files; those of the store.
pub async fn scrub_once(config: Config, buckets: Buckets) -> Result<LapReport> {
    let (_, log) = crate::serve::open_log(&config, &buckets)?;
    let (clock, random) = (Arc::new(SystemClock), Arc::new(SystemRandom));
    let replica = config.scrub.open_replica(random.clone())?;
    Scrubber::new(&buckets, replica, &log, clock, random)
        .lap()
        .await
}

/// Laps until shutdown. What goes wrong is said and tried again: it never ends the process.
pub async fn serve(config: ScrubConfig, ctx: Context, log: Arc<Log>, measures: Measures) {
    let replica = match config.open_replica(ctx.random.clone()) {
        Ok(replica) => replica,
        Err(e) => {
            tracing::error!(error = %e, "no scrubbing: the replica cannot be opened");
            return;
        }
    };
    let (clock, random) = (ctx.clock.clone(), ctx.random.clone());
    let scrubber = Scrubber::new(&ctx.buckets, replica, &log, clock, random);
    // Whoever takes over tells what is known until a lap of its own ends.
    if let Ok((Some(report), _)) = newest_report(&*ctx.buckets.truth).await {
        measures.tell(&report);
    }
    while !ctx.shutdown.is_requested() {
        // A step may read for long; what is cut short is done again by whoever goes on.
        let worked = tokio::select! {
            () = ctx.shutdown.requested() => return,
            worked = laps(&scrubber, &config, &measures, &ctx.shutdown) => worked,
        };
        if let Err(e) = worked {
            tracing::warn!(error = %e, "scrubbing stopped for a while");
        }
        pause(&ctx.shutdown, PAUSE).await;
    }
}

/// Goes on where the position says, to the end of the lap; then until the next one is due.
async fn laps(
    scrubber: &Scrubber,
    config: &ScrubConfig,
    measures: &Measures,
    shutdown: &Shutdown,
) -> Result<()> {
    let kept = scrubber.position().await?;
    let mut lap_cost = kept.as_ref().map_or(0, |kept| kept.lap_cost);
    // A lap that a wrong clock began in the future is over, too.
    let period = 0..config.period_ms();
    let is_fresh = |begun_ms| period.contains(&(scrubber.clock.now().unix_ms() - begun_ms));
    let mut position = match kept {
        Some(kept) if !kept.ended => kept.position,
        Some(kept) if is_fresh(kept.position.begun_ms) => return Ok(()),
        _ => scrubber.begin().await?,
    };
    while !position.is_done() {
        let (cost_before, found_before) = (cost_of(&position, |_| true), position.findings_total);
        let bytes = scrubber.step_in_time(&mut position, config).await?;
        measures.bytes.inc_by(bytes);
        let found = position.findings_total - found_before;
        measures.findings.inc_by(found);
        scrubber.keep(&position, lap_cost, false).await?;
        let step_cost = cost_of(&position, |_| true).saturating_sub(cost_before);
        // A replica is as much again.
        let times = 1 + u64::from(scrubber.replica.is_some());
        let rest = config.rest(step_cost, lap_cost.saturating_mul(times));
        pause(shutdown, rest).await;
        if shutdown.is_requested() {
            return Ok(());
        }
    }
    let report = scrubber.end(&position).await?;
    lap_cost = cost_of(&position, |area| area != COPIES);
    scrubber.keep(&position, lap_cost, true).await?;
    measures.tell(&report);
    if !is_fresh(position.begun_ms) {
        let lap_days = config.lap_days;
        tracing::error!(lap_days, "a lap took longer than stated: raise bytes_s_max");
    }
    tracing::info!(
        findings = report.findings_total,
        bytes = position.bytes(),
        "a lap of the scrubber ended"
    );
    Ok(())
}

fn cost_of(position: &Position, counted: impl Fn(&str) -> bool) -> u64 {
    let counts = position.counts.iter().filter(|(area, _)| counted(area));
    counts
        .map(|(_, count)| cost(count.objects, count.bytes))
        .sum()
}

/// What is kept in `work` between two steps.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Kept {
    position: Position,
    /// Of the last lap that ended.
    lap_cost: u64,
    /// The lap is over and its report written.
    ended: bool,
}

impl Scrubber {
    /// A step; what the replica takes longer than until the next lap is due is left.
    async fn step_in_time(&self, position: &mut Position, config: &ScrubConfig) -> Result<u64> {
        if !position.is_in(COPIES) {
            return self.step(position).await;
        }
        let ends_ms = position.begun_ms + config.period_ms();
        let left_ms = || u64::try_from(ends_ms - self.clock.now().unix_ms()).unwrap_or(0);
        let left = Duration::from_millis(left_ms());
        match tokio::time::timeout(left, self.step(position)).await {
            Ok(Ok(bytes)) => return Ok(bytes),
            Ok(Err(e)) if left_ms() > 0 => return Err(e),
            Ok(Err(_)) | Err(_) => {}
        }
        self.leave_copies(position, "the next lap is due").await?;
        Ok(0)
    }

    /// Where a lap was left; none when none was, or when another version of this program left it.
    async fn position(&self) -> Result<Option<Kept>> {
        let object = self.work.get(POSITION, POSITION_BYTES_MAX).await?;
        Ok(object.and_then(|object| serde_json::from_slice(&object.bytes).ok()))
    }

    async fn keep(&self, position: &Position, lap_cost: u64, ended: bool) -> Result<()> {
        let kept = Kept {
            position: position.clone(),
            lap_cost,
            ended,
        };
        let json = serde_json::to_vec(&kept).map_err(Error::internal)?;
        self.work.put(POSITION, json.into()).await
    }
}

impl ScrubConfig {
    fn open_replica(
        &self,
        random: Arc<dyn probity_platform::Random>,
    ) -> Result<Option<Arc<dyn super::Objects>>> {
        let replica = self.replica.as_ref().map(|replica| replica.open(random));
        replica.transpose()
    }
}

#[cfg(test)]
mod tests {
    use probity_platform::ErrorKind;
    use probity_platform::clock::ManualClock;
    use probity_platform::objects::{Fault, MemoryObjects, Objects as _};

    use super::*;
    use crate::scrub::What;
    use crate::scrub::tests::scrubber_at;

    /// A lap when one is due, none before, and after a restart the one that was under way.
    #[tokio::test]
    async fn laps_begin_when_they_are_due_and_go_on_where_they_were() {
        let clock = Arc::new(ManualClock::at(Timestamp::from_unix_ms(1_795_000_000_000)));
        let (truth, work) = (
            Arc::new(MemoryObjects::new()),
            Arc::new(MemoryObjects::new()),
        );
        truth.put("clock/u/0", "a record".into()).await.unwrap();
        let buckets = Buckets {
            truth: truth.clone(),
            work,
        };
        let config = ScrubConfig {
            bytes_s_max: u64::MAX,
            ..ScrubConfig::default()
        };
        let metrics = Metrics::new();
        let measures = Measures::registered(&metrics);
        let run = async |shutdown: &Shutdown| {
            let scrubber = scrubber_at(&buckets, clock.clone());
            laps(&scrubber, &config, &measures, shutdown).await.unwrap();
            truth.list("scrub/laps/", None, 10).await.unwrap().len()
        };
        // One that is told to stop after each step: five areas, the six prefixes of one of them, and the end.
        let stopping = Shutdown::new();
        stopping.request();
        let mut steps = 0;
        while run(&stopping).await == 0 {
            steps += 1;
            clock.advance_ms(1_000);
            assert!(steps < 20, "it goes on and never begins anew");
        }
        assert!(steps > 4, "{steps}");
        let running = Shutdown::new();
        assert_eq!(run(&running).await, 1, "not due");
        truth.put("clock/u/0", "another".into()).await.unwrap();
        clock.advance_ms(config.period_ms());
        assert_eq!(run(&running).await, 2);
        let text = metrics.encode().unwrap();
        assert!(text.contains("probity_scrub_lap_findings 1"), "{text}");
        assert!(text.contains("probity_scrub_findings_total 1"), "{text}");
    }

    /// What is away at another site is waited for as long as the lap may take, and then said.
    #[tokio::test]
    async fn a_replica_that_is_away_ends_no_lap_and_keeps_none_from_its_end() {
        let clock = Arc::new(ManualClock::at(Timestamp::from_unix_ms(1_795_000_000_000)));
        let buckets = Buckets {
            truth: Arc::new(MemoryObjects::new()),
            work: Arc::new(MemoryObjects::new()),
        };
        let record = buckets.truth.create("clock/u/0", "a record".into());
        record.await.unwrap();
        let replica = Arc::new(MemoryObjects::new());
        replica.set_faults(|_, _| Some(Fault::Refuse));
        let mut scrubber = scrubber_at(&buckets, clock.clone());
        scrubber.replica = Some(replica.clone());
        let measures = Measures::registered(&Metrics::new());
        let (config, shutdown) = (ScrubConfig::default(), Shutdown::new());
        tokio::time::pause();
        for _ in 0..2 {
            let stopped = laps(&scrubber, &config, &measures, &shutdown).await;
            assert_eq!(stopped.unwrap_err().kind, ErrorKind::Unavailable);
            let (lap, _) = newest_report(&*buckets.truth).await.unwrap();
            assert_eq!(lap, None);
        }
        clock.advance_ms(config.period_ms());
        laps(&scrubber, &config, &measures, &shutdown)
            .await
            .unwrap();
        let (lap, _) = newest_report(&*buckets.truth).await.unwrap();
        let lap = lap.unwrap();
        let [finding] = &lap.findings[..] else {
            panic!("{lap}")
        };
        assert_eq!(
            (finding.key.as_str(), finding.what),
            ("replica:", What::Missing)
        );
        assert_eq!(measures.open.get(), 1);
    }
}
