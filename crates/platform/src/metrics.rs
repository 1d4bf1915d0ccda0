//! Counters and histograms in the Prometheus text format. Handed around; no global registry.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};

pub use prometheus_client::metrics::gauge::Gauge;

use crate::{Error, Result};

/// Buckets from 1 ms to 60 s.
const SECONDS: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 60.0,
];

/// A histogram of seconds.
#[must_use]
pub fn seconds() -> Histogram {
    Histogram::new(SECONDS)
}

/// Families of histograms of seconds.
pub type Seconds<L> = Family<L, Histogram, fn() -> Histogram>;

/// Everything this process counts. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
    pub(crate) stage: StageMetrics,
    pub(crate) http: HttpMetrics,
    pub(crate) bus: BusMetrics,
    pub(crate) cache: CacheMetrics,
    /// Days until a certificate or list ends.
    pub(crate) validity_days: Family<ValidityLabel, Gauge<f64, AtomicU64>>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    /// An empty registry with the platform's own metrics. Names get the prefix `probity_`.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("probity");
        let stage = StageMetrics::registered(&mut registry);
        let http = HttpMetrics::registered(&mut registry);
        let bus = BusMetrics::registered(&mut registry);
        let cache = CacheMetrics::default();
        registry.register(
            "cache_failed",
            "Operations on Redis that callers went on without",
            cache.failed.clone(),
        );
        let validity_days = Family::default();
        registry.register(
            "validity_days_left",
            "Days until a certificate or list ends that the role needs",
            validity_days.clone(),
        );
        Self {
            registry: Arc::new(Mutex::new(registry)),
            stage,
            http,
            bus,
            cache,
            validity_days,
        }
    }

    /// Registers a role's metric and gives it back, to be kept and counted on.
    pub fn register<M: Metric + Clone>(&self, name: &str, help: &str, metric: M) -> M {
        let mut registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        registry.register(name, help, metric.clone());
        metric
    }

    /// The text that `/metrics` serves.
    ///
    /// # Errors
    /// `Internal` when a value cannot be written as text.
    pub fn encode(&self) -> Result<String> {
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).map_err(Error::internal)?;
        Ok(text)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct StageLabel {
    /// Subject of the hints.
    pub subject: &'static str,
}

/// What [`crate::stage`] counts, per subject.
#[derive(Clone)]
pub(crate) struct StageMetrics {
    pub received: Family<StageLabel, Counter>,
    pub done: Family<StageLabel, Counter>,
    pub held: Family<StageLabel, Counter>,
    pub early: Family<StageLabel, Counter>,
    pub retried: Family<StageLabel, Counter>,
    pub parked: Family<StageLabel, Counter>,
    pub undecodable: Family<StageLabel, Counter>,
    pub panicked: Family<StageLabel, Counter>,
    pub consumer_ensured: Family<StageLabel, Counter>,
    pub pending: Family<StageLabel, Gauge>,
    pub cut_off: Family<StageLabel, Gauge>,
    pub batch_seconds: Seconds<StageLabel>,
}

impl StageMetrics {
    fn registered(registry: &mut Registry) -> Self {
        let m = Self {
            received: Family::default(),
            done: Family::default(),
            held: Family::default(),
            early: Family::default(),
            retried: Family::default(),
            parked: Family::default(),
            undecodable: Family::default(),
            panicked: Family::default(),
            consumer_ensured: Family::default(),
            pending: Family::default(),
            cut_off: Family::default(),
            batch_seconds: Family::new_with_constructor(seconds),
        };
        registry.register("stage_received", "Hints received", m.received.clone());
        registry.register("stage_done", "Hints whose work is done", m.done.clone());
        registry.register(
            "stage_held",
            "Times hints were held back because nothing of their kind can be worked on now",
            m.held.clone(),
        );
        registry.register(
            "stage_early",
            "Hints left until their submission, which lies in the future, is due; the reconciler re-drives",
            m.early.clone(),
        );
        registry.register(
            "stage_retried",
            "Hints handed back to be tried again",
            m.retried.clone(),
        );
        registry.register(
            "stage_parked",
            "Hints given up; the reconciler re-drives",
            m.parked.clone(),
        );
        registry.register(
            "stage_undecodable",
            "Hints that are not the message expected",
            m.undecodable.clone(),
        );
        registry.register(
            "stage_panicked",
            "Batches whose handler panicked",
            m.panicked.clone(),
        );
        registry.register(
            "stage_consumer_ensured",
            "Times stream and consumer were made sure of",
            m.consumer_ensured.clone(),
        );
        registry.register(
            "stage_pending",
            "Hints waiting or in work, last seen",
            m.pending.clone(),
        );
        registry.register(
            "stage_cut_off",
            "1 while a stage cannot get its hints: no NATS, stream or consumer",
            m.cut_off.clone(),
        );
        registry.register(
            "stage_batch_seconds",
            "Time a batch takes",
            m.batch_seconds.clone(),
        );
        m
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct HttpLabel {
    /// The listener.
    pub edge: &'static str,
    pub method: &'static str,
    /// The route's pattern, never the path: ids must not become labels.
    pub route: String,
    pub status: u16,
}

/// What [`crate::edge`] counts.
#[derive(Clone)]
pub(crate) struct HttpMetrics {
    pub seconds: Seconds<HttpLabel>,
    pub in_flight: Gauge,
    pub refused: Counter,
}

impl HttpMetrics {
    fn registered(registry: &mut Registry) -> Self {
        let m = Self {
            seconds: Family::new_with_constructor(seconds),
            in_flight: Gauge::default(),
            refused: Counter::default(),
        };
        registry.register(
            "http_request_seconds",
            "Time to the response's head",
            m.seconds.clone(),
        );
        registry.register(
            "http_in_flight",
            "Requests being answered",
            m.in_flight.clone(),
        );
        registry.register(
            "http_refused",
            "Requests refused because too many were in flight",
            m.refused.clone(),
        );
        m
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ValidityLabel {
    /// Which certificate or list.
    pub what: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct CacheLabel {
    /// `full`, `silent` or `error`.
    pub reason: &'static str,
}

/// What [`crate::cache`] counts.
#[derive(Clone, Default)]
pub(crate) struct CacheMetrics {
    pub failed: Family<CacheLabel, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct BusLabel {
    pub subject: &'static str,
    /// `ok`, or the word of an error kind.
    pub outcome: &'static str,
}

/// What [`crate::bus`] counts.
#[derive(Clone)]
pub(crate) struct BusMetrics {
    pub told: Family<BusLabel, Counter>,
    pub asked: Family<BusLabel, Counter>,
    pub answered: Family<BusLabel, Counter>,
    pub ask_seconds: Seconds<BusLabel>,
}

impl BusMetrics {
    fn registered(registry: &mut Registry) -> Self {
        let m = Self {
            told: Family::default(),
            asked: Family::default(),
            answered: Family::default(),
            ask_seconds: Family::new_with_constructor(seconds),
        };
        registry.register("bus_told", "Hints published", m.told.clone());
        registry.register("bus_asked", "Questions asked", m.asked.clone());
        registry.register("bus_answered", "Questions answered", m.answered.clone());
        registry.register(
            "bus_ask_seconds",
            "Time from question to answer",
            m.ask_seconds.clone(),
        );
        m
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_has_the_prefix_and_the_role_s_own() {
        let metrics = Metrics::new();
        let tokens = metrics.register(
            "timestamping_tokens",
            "Tokens made",
            Counter::<u64>::default(),
        );
        tokens.inc();
        metrics
            .stage
            .done
            .get_or_create(&StageLabel {
                subject: "evidence.signed",
            })
            .inc();
        let text = metrics.encode().unwrap();
        assert!(
            text.contains("probity_timestamping_tokens_total 1"),
            "{text}"
        );
        assert!(
            text.contains("probity_stage_done_total{subject=\"evidence.signed\"} 1"),
            "{text}"
        );
    }
}
