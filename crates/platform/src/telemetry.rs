//! Logs and spans: the one global is the `tracing` subscriber.
//!
//! Trace context crosses NATS and HTTP as a W3C `traceparent` header, written and read here in a
//! few lines.

use std::time::Duration;

use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState, TracerProvider as _,
};
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use probity_domain::{EvidenceId, SubmissionId};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use crate::config::{LogFormat, ProcessConfig};
use crate::{Error, Result};

/// The header that carries trace context (W3C Trace Context, 3.2).
pub const TRACEPARENT: &str = "traceparent";

/// Target of spans that last as long as the process: they name whose log lines these are, and are not exported, since
/// everything would be one trace that never ends.
pub const PROCESS: &str = "probity::process";

/// How long the last spans may take to leave at shutdown.
const FLUSH_MS: u64 = 3_000;

/// Running telemetry; [`Telemetry::shutdown`] sends what is still buffered.
#[derive(Debug)]
pub struct Telemetry {
    spans: Option<SdkTracerProvider>,
}

/// Installs the subscriber. Opens no socket: the exporter connects when the first spans leave.
///
/// # Errors
/// `Malformed` for a wrong filter or endpoint, `Conflict` when a subscriber is installed already.
pub fn start(process: &ProcessConfig) -> Result<Telemetry> {
    let filter = EnvFilter::try_new(&process.log_filter)
        .map_err(|e| Error::malformed(format!("log_filter {:?}: {e}", process.log_filter)))?;
    let spans = process
        .otlp_endpoint
        .as_deref()
        .map(|url| exporter(url, &process.name))
        .transpose()?;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match process.log {
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
        LogFormat::Pretty => lines.boxed(),
    };
    // Whatever the log lines leave out: a trace with holes in it cannot be followed.
    let exported = spans.as_ref().map(|p| {
        tracing_opentelemetry::layer()
            .with_tracer(p.tracer("probity"))
            .with_filter(filter_fn(is_exported))
    });
    tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .with(exported)
        .try_init()
        .map_err(|e| Error::conflict(format!("telemetry: {e}")))?;
    Ok(Telemetry { spans })
}

fn is_exported(of: &tracing::Metadata<'_>) -> bool {
    *of.level() <= tracing::Level::INFO && of.target() != PROCESS
}

fn exporter(endpoint: &str, name: &str) -> Result<SdkTracerProvider> {
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .with_timeout(Duration::from_millis(FLUSH_MS))
        .build()
        .map_err(|e| Error::malformed(format!("otlp_endpoint {endpoint:?}: {e}")))?;
    let resource = Resource::builder()
        .with_service_name(format!("probity-{name}"))
        .build();
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(resource)
        .build())
}

impl Telemetry {
    /// Sends buffered spans and stops exporting. Blocks up to three seconds.
    pub fn shutdown(self) {
        if let Some(Err(e)) = self
            .spans
            .map(|p| p.shutdown_with_timeout(Duration::from_millis(FLUSH_MS)))
        {
            tracing::warn!(error = %e, "spans were left behind");
        }
    }
}

/// The current span as a `traceparent` value; `None` when spans are not exported.
#[must_use]
pub fn traceparent() -> Option<String> {
    let context = tracing::Span::current().context();
    let span = context.span().span_context().clone();
    span.is_valid().then(|| {
        format!(
            "00-{}-{}-{:02x}",
            span.trace_id(),
            span.span_id(),
            span.trace_flags().to_u8() & 1
        )
    })
}

/// Reads a `traceparent` value; `None` when it is not one (W3C Trace Context, 3.2.2: then a new
/// trace begins).
#[must_use]
pub fn parse_traceparent(value: &str) -> Option<SpanContext> {
    let mut parts = value.split('-');
    let (version, trace, span, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let lengths_hold = (version.len(), trace.len(), span.len(), flags.len()) == (2, 32, 16, 2);
    let extra_is_lawful = version != "ff" && (version != "00" || parts.next().is_none());
    if !lengths_hold || !extra_is_lawful || value.bytes().any(|b| b.is_ascii_uppercase()) {
        return None;
    }
    let context = SpanContext::new(
        TraceId::from_hex(trace).ok()?,
        SpanId::from_hex(span).ok()?,
        TraceFlags::new(u8::from_str_radix(flags, 16).ok()? & 1),
        true,
        TraceState::default(),
    );
    context.is_valid().then_some(context)
}

/// Makes `span` a child of the trace named by a `traceparent` header.
pub fn continue_trace(span: &tracing::Span, header: Option<&str>) {
    if let Some(parent) = header.and_then(parse_traceparent) {
        // Refused only when the span was entered already or spans are not exported.
        span.set_parent(opentelemetry::Context::new().with_remote_span_context(parent))
            .ok();
    }
}

/// Value of the attribute `probity.submission`, by which an evidence's spans are found in every role: what all numbers
/// of the submission begin with, that is an evidence number without its place. Empty when `id` is no submission's.
#[must_use]
pub fn submission(id: &str) -> String {
    let Ok(submission) = SubmissionId::parse(id) else {
        return String::new();
    };
    let first = EvidenceId {
        submission,
        item: 0,
    };
    let number = first.to_string();
    let (shared, _place) = number.rsplit_once('-').unwrap_or_default();
    shared.to_owned()
}

/// Where something that is worked on later came from: kept with the work, linked to when it begins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cause(Option<String>);

impl Cause {
    /// The current span.
    #[must_use]
    pub fn current() -> Self {
        Self(traceparent())
    }

    /// Links `span` to it.
    pub fn link(&self, span: &tracing::Span) {
        link_trace(span, self.0.as_deref());
    }
}

/// Links `span` to the trace named by a `traceparent` header: a batch has many causes, so none is
/// its parent.
pub fn link_trace(span: &tracing::Span, header: Option<&str>) {
    if let Some(cause) = header.and_then(parse_traceparent) {
        span.add_link(cause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_recommendation_shows_and_refuses_the_rest() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let context = parse_traceparent(good).unwrap();
        assert_eq!(
            context.trace_id().to_string(),
            "4bf92f3577b34da6a3ce929d0e0e4736"
        );
        assert!(context.is_sampled() && context.is_remote());
        for bad in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-011",
        ] {
            assert!(parse_traceparent(bad).is_none(), "{bad}");
        }
        assert!(
            parse_traceparent("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more")
                .is_some()
        );
    }

    #[test]
    fn context_crosses_a_header() {
        let provider = SdkTracerProvider::builder().build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            let told = tracing::info_span!("tell").in_scope(traceparent).unwrap();
            let answering = tracing::info_span!("answer");
            continue_trace(&answering, Some(&told));
            let answered = answering.in_scope(traceparent).unwrap();
            assert_eq!(answered[..36], told[..36], "the same trace");
            assert_ne!(answered, told, "another span");
        });
    }

    #[test]
    fn a_submission_is_named_as_its_numbers_begin() {
        let evidence = EvidenceId {
            submission: SubmissionId::parse("01920000-0000-7000-8000-000000000001").unwrap(),
            item: 12,
        };
        let label = submission(&evidence.submission.to_string());
        assert_eq!(evidence.to_string(), format!("{label}-00012"));
        assert_eq!(submission("nonsense"), "");
    }

    #[test]
    fn without_export_there_is_no_context() {
        assert_eq!(traceparent(), None);
    }
}
