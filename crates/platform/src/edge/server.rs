//! Listening: one accept loop for HTTP and gRPC, with bounds on connections, headers and
//! the way down.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{ConnectInfo, DefaultBodyLimit};
use axum::{Extension, Router};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use tower::Layer as _;

use super::pulse::{Pulse, Streams, while_it_moves};
use super::{DRAIN, Limits, layers};
use crate::startup::{Context, Shutdown};
use crate::{Error, Result};

/// Connections open at once on one listener.
const CONNECTIONS_MAX: usize = 4_096;

/// A caller has this long to send a request's head.
const HEAD_TIME_MAX: Duration = Duration::from_secs(15);

/// A silent HTTP/2 caller is asked this often whether it still lives.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// What an HTTP/2 caller may send ahead of the handler: the default of 64 KiB makes uploads wait.
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;

/// Binds a listener: from here on callers wait for an answer instead of being refused. A role binds all its
/// edges before it says that it has started.
///
/// # Errors
/// `Conflict` when the address cannot be had.
pub async fn listen(addr: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(addr)
        .await
        .map_err(|e| Error::conflict(format!("{addr}: {e}")))
}

/// Serves `router` on a listener within `limits` until shutdown, then lets open requests end for
/// 25 s; `name` names the edge in metrics.
///
/// # Errors
/// None today; a listener that breaks is retried.
pub async fn serve_http_on(
    listener: TcpListener,
    router: Router,
    ctx: &Context,
    name: &'static str,
    limits: Limits,
) -> Result<()> {
    let router = router.layer(DefaultBodyLimit::max(limits.body_bytes_max));
    accept(
        listener,
        layers::around(router, ctx, name, limits),
        ctx.shutdown.clone(),
        name,
        limits.stall_max,
    )
    .await;
    Ok(())
}

/// Accepts until shutdown, then drains.
pub(super) async fn accept(
    listener: TcpListener,
    router: Router,
    shutdown: Shutdown,
    name: &'static str,
    stall_max: Duration,
) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let connections = TaskTracker::new();
    if let Ok(addr) = listener.local_addr() {
        tracing::info!(edge = name, %addr, "listening");
    }
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.requested() => break,
            // Beyond the bound, callers wait in the kernel's queue.
            permit = permits.clone().acquire_owned() => tokio::select! {
                () = shutdown.requested() => break,
                accepted = listener.accept() => accepted.map(|(stream, peer)| (stream, peer, permit)),
            },
        };
        match accepted {
            Ok((stream, peer, permit)) => {
                let connection = serve(stream, peer, router.clone(), shutdown.clone(), stall_max);
                connections.spawn(async move {
                    connection.await;
                    drop(permit);
                });
            }
            // Out of file descriptors, mostly: it passes.
            Err(e) => {
                tracing::warn!(edge = name, error = %e, "cannot accept");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(DRAIN, connections.wait())
        .await
        .is_err()
    {
        tracing::warn!(
            edge = name,
            left = connections.len(),
            "requests were still open at shutdown"
        );
    }
}

/// One connection, HTTP/1 or HTTP/2 by its first bytes. Its requests carry the peer's address
/// (`ConnectInfo`).
async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    shutdown: Shutdown,
    stall_max: Duration,
) {
    stream.set_nodelay(true).ok();
    // Until its first request a connection is one whose reader stands still: hyper gives that no limit before it knows the
    // version.
    let pulse = Pulse::default();
    pulse.beat();
    let mut builder = Builder::new(Streams {
        connection: pulse.clone(),
        stall_max,
    });
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE)
        .max_concurrent_streams(256)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(4 * STREAM_WINDOW_BYTES);
    let service = TowerToHyperService::new(Extension(ConnectInfo(peer)).layer(router));
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let served = async {
        tokio::select! {
            ended = connection.as_mut() => ended,
            () = shutdown.requested() => {
                connection.as_mut().graceful_shutdown();
                tokio::time::timeout(DRAIN, connection).await.unwrap_or(Ok(()))
            }
        }
    };
    match while_it_moves(pulse, stall_max, served).await {
        Some(Ok(())) => {}
        Some(Err(e)) => tracing::debug!(error = %e, "a connection broke off"),
        None => tracing::info!("a connection was closed: it stands still"),
    }
}
