//! A collector of traces: takes what leaves a process over OTLP/gRPC and keeps it for the test to look at.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

/// A trace and a span in it.
pub type SpanKey = (Vec<u8>, Vec<u8>);

/// A span as it arrived.
#[derive(Debug, Clone)]
pub struct Span {
    /// `service.name` of the process it comes from.
    pub service: String,
    pub name: String,
    pub key: SpanKey,
    /// What it is a part of, and what it is linked to.
    pub causes: Vec<SpanKey>,
    pub attributes: BTreeMap<String, String>,
}

impl Span {
    /// The text of an attribute; empty when it is not there.
    #[must_use]
    pub fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }
}

/// Listens on a free loopback port as long as the test's runtime lives.
#[derive(Debug, Clone)]
pub struct Collector {
    endpoint: String,
    spans: Arc<Mutex<Vec<Span>>>,
}

impl Collector {
    /// Starts listening.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.unwrap_or_else(|e| panic!("no port for the collector: {e}"));
        let address = listener
            .local_addr()
            .unwrap_or_else(|e| panic!("no address of the collector: {e}"));
        let collector = Self {
            endpoint: format!("http://{address}"),
            spans: Arc::default(),
        };
        let server = tonic::transport::Server::builder()
            .add_service(TraceServiceServer::new(collector.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener));
        tokio::spawn(server);
        collector
    }

    /// Such as `http://127.0.0.1:4317`.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Every span so far, in the order of arrival.
    #[must_use]
    pub fn spans(&self) -> Vec<Span> {
        self.spans
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Spans that follow from `first`, by parent or link, over any number of steps; `first` is among them.
    #[must_use]
    pub fn following(&self, first: &Span) -> Vec<Span> {
        let spans = self.spans();
        let mut reached = HashSet::from([first.key.clone()]);
        loop {
            let before = reached.len();
            for span in &spans {
                if span.causes.iter().any(|cause| reached.contains(cause)) {
                    reached.insert(span.key.clone());
                }
            }
            if reached.len() == before {
                break;
            }
        }
        spans
            .into_iter()
            .filter(|span| reached.contains(&span.key))
            .collect()
    }
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        for of_process in request.into_inner().resource_spans {
            let resource = of_process.resource.unwrap_or_default();
            let service = texts(resource.attributes)
                .remove("service.name")
                .unwrap_or_default();
            let arrived = of_process.scope_spans.into_iter().flat_map(|s| s.spans);
            spans.extend(arrived.map(|span| read(&service, span)));
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn read(service: &str, span: opentelemetry_proto::tonic::trace::v1::Span) -> Span {
    let parent = (!span.parent_span_id.is_empty())
        .then(|| (span.trace_id.clone(), span.parent_span_id.clone()));
    let links = span.links.into_iter().map(|l| (l.trace_id, l.span_id));
    Span {
        service: service.to_owned(),
        name: span.name,
        key: (span.trace_id, span.span_id),
        causes: parent.into_iter().chain(links).collect(),
        attributes: texts(span.attributes),
    }
}

fn texts(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |value: Value| match value {
        Value::StringValue(text) => text,
        other => format!("{other:?}"),
    };
    attributes
        .into_iter()
        .filter_map(|a| Some((a.key, text(a.value?.value?))))
        .collect()
}
