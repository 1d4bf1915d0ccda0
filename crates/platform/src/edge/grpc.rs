//! gRPC: the same server with health and reflection beside the services.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use futures::{StreamExt as _, stream};
use http_body_util::{BodyExt as _, BodyStream, Limited, StreamBody};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tonic::service::Routes;
use tonic_health::ServingStatus;

use super::{Limits, layers, server};
use crate::access::Access;
use crate::startup::Context;
use crate::{Error, Result};

/// What health and reflection are asked in.
const OPEN_CALL_BYTES_MAX: usize = 4 * 1024;

/// Calls of health and reflection answered at once: whoever watches without a credential must not use up the edge.
const OPEN_CALLS_MAX: usize = 64;

/// What stands before a message: a byte of flags and four of its length (gRPC over HTTP/2, Length-Prefixed-Message).
const PREFIX_BYTES: usize = 5;

/// Lets nobody through to these services but callers with a valid credential, before anything of a body is read. Handlers find
/// who calls by [`Caller::of`](crate::access::Caller::of).
///
/// # Panics
/// When there are no services.
#[must_use]
pub fn for_known_callers(services: Routes, access: Access) -> Routes {
    let router = services.into_axum_router();
    router
        .route_layer(from_fn_with_state(access, authenticate))
        .into()
}

async fn authenticate(State(access): State<Access>, mut request: Request, next: Next) -> Response {
    match access.authenticate(request.headers()).await {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(e) => layers::refusal(e, true),
    }
}

/// How many bytes the body's first message has, as its sender announces, and the whole body again, which may not have more
/// than that message. So memory can be counted before it is taken, without a `content-length`.
///
/// # Errors
/// `Malformed` when the body ends before its first message begins.
pub async fn announced(mut body: Body) -> Result<(u32, Body)> {
    let mut frames = Vec::new();
    let mut prefix = Vec::with_capacity(PREFIX_BYTES);
    let [_flags, length @ ..] = loop {
        if let Ok(prefix) = <[u8; PREFIX_BYTES]>::try_from(&prefix[..]) {
            break prefix;
        }
        let frame = body.frame().await;
        let frame = frame.ok_or_else(|| Error::malformed("a message is missing"))?;
        let frame = frame.map_err(|e| Error::malformed(format!("the body broke off: {e}")))?;
        let missing = PREFIX_BYTES - prefix.len();
        if let Some(data) = frame.data_ref().filter(|data| !data.is_empty()) {
            prefix.extend(data.iter().take(missing));
            frames.push(frame);
        }
    };
    let length = u32::from_be_bytes(length);
    let read = stream::iter(frames.into_iter().map(Ok));
    let whole = StreamBody::new(read.chain(BodyStream::new(body)));
    let bytes_max = usize::try_from(length).map_err(Error::malformed)?;
    let whole = Limited::new(whole, bytes_max.saturating_add(PREFIX_BYTES));
    Ok((length, Body::new(whole)))
}

/// Health and reflection: for anybody, a few at once.
fn open_calls(services: Routes) -> Router {
    let places = Arc::new(Semaphore::new(OPEN_CALLS_MAX));
    services
        .into_axum_router()
        .route_layer(from_fn_with_state(places, few))
}

async fn few(State(places): State<Arc<Semaphore>>, request: Request, next: Next) -> Response {
    let Ok(place) = places.try_acquire_owned() else {
        let full = Error::unavailable("too many calls of health and reflection are open");
        return layers::refusal(full, true);
    };
    let response = next.run(request).await;
    layers::holding(response, move || {
        let _until_it_is_sent = &place;
    })
}

/// Serves gRPC on a listener within `limits` until shutdown; `name` names the edge in metrics. Health
/// (`grpc.health.v1`) says `NOT_SERVING` as soon as shutdown is
/// requested. Health and reflection are for anybody; the `routes` say themselves who may call ([`for_known_callers`]). A call
/// that watches health is ended as every response that stands still: its caller watches anew.
///
/// # Errors
/// `Internal` when the file descriptors do not read.
pub async fn serve_grpc_on(
    listener: TcpListener,
    routes: Routes,
    ctx: &Context,
    name: &'static str,
    limits: Limits,
) -> Result<()> {
    let (health, health_service) = tonic_health::server::health_reporter();
    let health_service = health_service.max_decoding_message_size(OPEN_CALL_BYTES_MAX);
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(probity_proto::v1::DESCRIPTOR)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .map_err(|e| Error::internal(format!("reflection: {e}")))?
        .max_decoding_message_size(OPEN_CALL_BYTES_MAX);
    let open = open_calls(Routes::new(health_service).add_service(reflection));
    let router = routes.into_axum_router().merge(open.reset_fallback());
    let router = layers::around(router.with_state(()), ctx, name, limits);
    let shutdown = ctx.shutdown.clone();
    let draining = async {
        shutdown.requested().await;
        health
            .set_service_status("", ServingStatus::NotServing)
            .await;
    };
    tokio::join!(
        server::accept(listener, router, shutdown.clone(), name, limits.stall_max),
        draining
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use axum::body::Bytes;

    use super::*;

    fn body(pieces: &[&'static [u8]]) -> Body {
        let pieces: Vec<_> = pieces.iter().map(|p| Bytes::from_static(p)).collect();
        Body::from_stream(stream::iter(pieces).map(Ok::<_, std::io::Error>))
    }

    #[tokio::test]
    async fn a_message_is_as_long_as_announced() {
        for pieces in [
            &[&b"\x00\x00\x00\x00\x03abc"[..]][..],
            &[b"\x00\x00", b"", b"\x00\x00", b"\x03a", b"bc"],
        ] {
            let (length, whole) = announced(body(pieces)).await.unwrap();
            let whole = whole.collect().await.unwrap().to_bytes();
            assert_eq!((length, whole), (3, Bytes::from(pieces.concat())));
        }
        let (_, more) = announced(body(&[b"\x00\x00\x00\x00\x03abc", b"\x00"]))
            .await
            .unwrap();
        assert!(more.collect().await.is_err());
        for pieces in [&[][..], &[&b"\x00\x00\x00\x00"[..]]] {
            let error = announced(body(pieces)).await.unwrap_err();
            assert_eq!(error.kind, crate::ErrorKind::Malformed);
        }
    }
}
