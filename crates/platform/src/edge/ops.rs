//! The operators' listener: `/livez`, `/readyz`, `/metrics`. Never meets the internet.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde::Serialize;
use tokio::net::TcpListener;

use super::{Limits, Problem, server};
use crate::Result;
use crate::startup::{Context, Shutdown};

/// How often the store is looked at.
const LOOK: Duration = Duration::from_secs(5);

/// How long a look may take.
const LOOK_TIME_MAX: Duration = Duration::from_secs(3);

/// Whether this process should be sent requests: nothing it cannot do without is missing, and it is
/// not draining. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Readiness {
    missing: Arc<Mutex<BTreeMap<&'static str, String>>>,
    /// Subjects whose hints cannot be had, and why.
    cut_off: Arc<Mutex<BTreeMap<&'static str, String>>>,
    shutdown: Shutdown,
}

impl Readiness {
    pub(crate) fn new(shutdown: Shutdown) -> Self {
        Self {
            missing: Arc::default(),
            cut_off: Arc::default(),
            shutdown,
        }
    }

    /// States that `what` has to be there before this process is ready, and is not yet. To be called before anybody
    /// can ask.
    pub fn expect(&self, what: &'static str) {
        let mut missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        missing.insert(what, "starting".to_owned());
    }

    /// States that `what` is there, or why it is not. Only for what every request needs.
    pub fn set(&self, what: &'static str, state: Result<()>) {
        let mut missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        match state {
            Ok(()) => {
                if missing.remove(what).is_some() {
                    tracing::info!(what, "ready");
                }
            }
            Err(e) => {
                if missing.insert(what, e.to_string()).is_none() {
                    tracing::warn!(what, error = %e, "not ready");
                }
            }
        }
    }

    /// What is missing, and why.
    #[must_use]
    pub fn missing(&self) -> BTreeMap<&'static str, String> {
        let missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        missing.clone()
    }

    /// States that a stage gets the hints of its subject, or why it does not: its stream or its consumer cannot be
    /// made, or NATS is away. That does not decide whether the process is ready.
    pub(crate) fn set_stage(&self, subject: &'static str, state: Result<()>) {
        let mut cut_off = self.cut_off.lock().unwrap_or_else(PoisonError::into_inner);
        match state {
            Ok(()) => cut_off.remove(subject),
            Err(e) => cut_off.insert(subject, e.to_string()),
        };
    }

    /// Stages that get no hints, by subject, and why.
    #[must_use]
    pub fn cut_off(&self) -> BTreeMap<&'static str, String> {
        let cut_off = self.cut_off.lock().unwrap_or_else(PoisonError::into_inner);
        cut_off.clone()
    }

    /// Nothing is missing and nobody asked to stop.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.shutdown.is_requested() && self.missing().is_empty()
    }
}

#[derive(Serialize)]
struct ReadyDocument {
    ready: bool,
    draining: bool,
    missing: BTreeMap<&'static str, String>,
    /// Does not decide: accepting and pulling need the store alone.
    nats_connected: bool,
    /// Nor do these: stages that cannot get their hints, and why.
    cut_off: BTreeMap<&'static str, String>,
}

/// Serves until shutdown and a little beyond, so that the last scrape and the drain can be seen.
pub(crate) async fn serve(listener: TcpListener, ctx: Context) -> Result<()> {
    let router = router(ctx.clone());
    let stop = Shutdown::new();
    let draining = async {
        tokio::select! {
            () = watch_store(&ctx) => {}
            () = ctx.ended.requested() => {}
        }
        stop.request();
    };
    tokio::join!(
        server::accept(
            listener,
            router,
            stop.clone(),
            "ops",
            Limits::default().stall_max
        ),
        draining
    );
    Ok(())
}

/// The three resources.
pub(crate) fn router(ctx: Context) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(ctx)
}

async fn readyz(State(ctx): State<Context>) -> Response {
    let document = ReadyDocument {
        ready: ctx.readiness.is_ready(),
        draining: ctx.shutdown.is_requested(),
        missing: ctx.readiness.missing(),
        nats_connected: ctx.bus.is_connected(),
        cut_off: ctx.readiness.cut_off(),
    };
    let status = if document.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, axum::Json(document)).into_response()
}

async fn metrics(State(ctx): State<Context>) -> core::result::Result<Response, Problem> {
    const TEXT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(CONTENT_TYPE, TEXT)], ctx.metrics.encode()?).into_response())
}

/// Looks whether the store answers; any key does, it need not exist.
async fn watch_store(ctx: &Context) {
    loop {
        let look =
            tokio::time::timeout(LOOK_TIME_MAX, ctx.buckets.truth.head("probe/readiness")).await;
        let state = match look {
            Ok(answer) => answer.map(drop),
            Err(_) => Err(crate::Error::timeout("the object store does not answer")),
        };
        ctx.readiness.set("object store", state);
        tokio::time::sleep(LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    #[test]
    fn ready_when_everything_expected_is_there_and_nobody_asked_to_stop() {
        let shutdown = Shutdown::new();
        let readiness = Readiness::new(shutdown.clone());
        assert!(readiness.is_ready());
        readiness.expect("intake");
        readiness.expect("storage");
        readiness.set("storage", Ok(()));
        assert!(!readiness.is_ready(), "intake has not started");
        readiness.set("intake", Ok(()));
        assert!(readiness.is_ready());
        readiness.set("log", Err(Error::unavailable("away")));
        assert!(!readiness.is_ready());
        readiness.set("log", Ok(()));
        shutdown.request();
        assert!(!readiness.is_ready(), "draining");
    }
}
