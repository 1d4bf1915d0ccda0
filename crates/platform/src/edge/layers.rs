//! What happens around every request: admission, trace, time limit, panics, metrics. Headers are
//! never logged.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use futures::FutureExt as _;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method, StatusCode};
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::Instrument as _;

use super::pulse::Pulse;
use super::{Limits, Problem};
use crate::Error;
use crate::metrics::{HttpLabel, HttpMetrics};
use crate::startup::Context;
use crate::telemetry::{TRACEPARENT, continue_trace};

#[derive(Clone)]
struct Around {
    edge: &'static str,
    limits: Limits,
    metrics: HttpMetrics,
    permits: Arc<Semaphore>,
}

/// Puts everything around a router.
pub(super) fn around(router: Router, ctx: &Context, edge: &'static str, limits: Limits) -> Router {
    let permits = Arc::new(Semaphore::new(limits.requests_at_once_max));
    let around = Around {
        edge,
        limits,
        metrics: ctx.metrics.http.clone(),
        permits,
    };
    router.layer(from_fn_with_state(around, request))
}

async fn request(State(around): State<Around>, request: Request, next: Next) -> Response {
    let since = Instant::now();
    let pulse = Pulse::at_rest();
    let method = method_word(request.method());
    let path = request.uri().path().to_owned();
    let pattern = request
        .extensions()
        .get::<MatchedPath>()
        .map(|p| p.as_str().to_owned());
    let span = tracing::info_span!(
        "request",
        otel.name = %format!("{method} {}", pattern.as_deref().unwrap_or("unmatched")),
        otel.kind = "server",
        http.request.method = method,
        http.route = pattern.as_deref(),
        http.response.status_code = tracing::field::Empty,
        edge = around.edge,
    );
    continue_trace(
        &span,
        request
            .headers()
            .get(TRACEPARENT)
            .and_then(|v| v.to_str().ok()),
    );
    let grpc = is_grpc(request.headers());
    let admitted = Admitted::among(&around);
    let response = if admitted.is_some() {
        let answered = answer(request, next, around.limits)
            .instrument(span.clone())
            .await;
        answered.unwrap_or_else(|e| refusal(e, grpc))
    } else {
        around.metrics.refused.inc();
        let full = Error::unavailable("too many requests are being answered");
        refusal(full, grpc)
    };
    let response = match (&pattern, response.status()) {
        (None, StatusCode::NOT_FOUND) => {
            refusal(Error::not_found(format!("nothing is at {path}")), grpc)
        }
        _ => response,
    };
    span.record("http.response.status_code", response.status().as_u16());
    let route = route_label(pattern, &path, &response);
    let label = HttpLabel {
        edge: around.edge,
        method,
        route,
        status: response.status().as_u16(),
    };
    around
        .metrics
        .seconds
        .get_or_create(&label)
        .observe(since.elapsed().as_secs_f64());
    let taken = move || {
        let _until_it_is_sent = &admitted;
        if let Some(pulse) = &pulse {
            pulse.beat();
        }
    };
    taken();
    holding(response, taken)
}

/// Runs the handler; it may take as long as the body flows, and `answer_time_max` beyond.
async fn answer(request: Request, next: Next, limits: Limits) -> Result<Response, Error> {
    let time_max = limits.answer_time_max;
    let since = Instant::now();
    let flowed_ms = Arc::new(AtomicU64::new(0));
    let flowing = flowed_ms.clone();
    let mut bytes = 0_u64;
    let request = request.map(|body| {
        Body::new(body.map_frame(move |frame| {
            bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
            let elapsed = since.elapsed();
            if elapsed <= limits.body_time_max(bytes) {
                flowing.store(millis(elapsed), Ordering::Relaxed);
            }
            frame
        }))
    });
    let handled = AssertUnwindSafe(next.run(request)).catch_unwind();
    tokio::pin!(handled);
    loop {
        let idle = since
            .elapsed()
            .saturating_sub(Duration::from_millis(flowed_ms.load(Ordering::Relaxed)));
        let Some(left) = time_max.checked_sub(idle).filter(|left| !left.is_zero()) else {
            return Err(Error::timeout(format!(
                "no answer within {} s",
                time_max.as_secs()
            )));
        };
        if let Ok(ended) = tokio::time::timeout(left, &mut handled).await {
            return ended.map_err(|_panic| Error::internal("the handler panicked"));
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A request that was let in, until the last byte of its response has left.
struct Admitted {
    _permit: OwnedSemaphorePermit,
    metrics: HttpMetrics,
}

impl Admitted {
    fn among(around: &Around) -> Option<Self> {
        let permit = around.permits.clone().try_acquire_owned().ok()?;
        let metrics = around.metrics.clone();
        metrics.in_flight.inc();
        Some(Self {
            _permit: permit,
            metrics,
        })
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.metrics.in_flight.dec();
    }
}

/// Calls `taken` for each frame of the body that is, and keeps what that holds until the body is gone.
pub(super) fn holding(response: Response, mut taken: impl FnMut() + Send + 'static) -> Response {
    response.map(|body| {
        Body::new(body.map_frame(move |frame| {
            taken();
            frame
        }))
    })
}

pub(super) fn refusal(error: Error, grpc: bool) -> Response {
    if grpc {
        tonic::Status::from(error).into_http()
    } else {
        Problem(error).into_response()
    }
}

fn is_grpc(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .is_some_and(|v| v.as_bytes().starts_with(b"application/grpc"))
}

/// The pattern; of gRPC the method's path once the service knows it, since its pattern is the
/// service alone.
fn route_label(pattern: Option<String>, path: &str, response: &Response) -> String {
    let Some(pattern) = pattern else {
        return "unmatched".to_owned();
    };
    let unimplemented = response
        .headers()
        .get("grpc-status")
        .is_some_and(|v| v == "12");
    if is_grpc(response.headers()) && !unimplemented {
        path.to_owned()
    } else {
        pattern
    }
}

/// Known methods by name; made-up ones must not become labels.
fn method_word(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "PATCH" => "PATCH",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}
