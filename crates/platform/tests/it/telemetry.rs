//! Spans leave over OTLP/gRPC, whole, and with what caused them.

use probity_platform::config::ProcessConfig;
use probity_platform::telemetry::{self, Cause, continue_trace, link_trace, traceparent};
use probity_testkit::Collector;
use tracing::Instrument as _;

#[tokio::test(flavor = "multi_thread")]
async fn spans_leave_for_the_collector() {
    let collector = Collector::start().await;
    let config = toml::from_str::<ProcessConfig>(&format!(
        "name = \"here\"\nops_listen = \"127.0.0.1:1\"\nlog_filter = \"off\"\notlp_endpoint = \"{}\"",
        collector.endpoint()
    ));
    // The one subscriber of this executable; the other tests' spans leave as well.
    let running = telemetry::start(&config.unwrap()).unwrap();

    let lasting = tracing::info_span!(target: telemetry::PROCESS, "lasting");
    let work = async {
        let told = tracing::info_span!("tell", probity.submission = "s-1").in_scope(traceparent);
        let answer = tracing::info_span!("answer of telemetry test");
        continue_trace(&answer, told.as_deref());
        let cause = answer.in_scope(Cause::current);
        let batch = tracing::info_span!("batch of telemetry test");
        link_trace(&batch, told.as_deref());
        cause.link(&batch);
        tracing::debug_span!("detail of telemetry test").in_scope(|| ());
    };
    work.instrument(lasting).await;
    tokio::task::spawn_blocking(move || running.shutdown())
        .await
        .unwrap();

    let spans = collector.spans();
    let named = |name: &str| spans.iter().find(|s| s.name == name);
    let tell = named("tell").unwrap();
    assert_eq!(tell.service, "probity-here");
    assert_eq!(tell.attribute("probity.submission"), "s-1");
    assert!(
        tell.causes.is_empty(),
        "no trace lasts as long as the process"
    );
    let answer = named("answer of telemetry test").unwrap();
    assert_eq!(answer.causes, std::slice::from_ref(&tell.key));
    assert_eq!(answer.key.0, tell.key.0, "one trace");
    let batch = named("batch of telemetry test").unwrap();
    assert_eq!(batch.causes, [tell.key.clone(), answer.key.clone()]);
    assert_ne!(batch.key.0, tell.key.0, "links do not join traces");
    assert!(named("lasting").is_none() && named("detail of telemetry test").is_none());
    assert_eq!(collector.following(tell).len(), 3);
}
