//! gRPC: the same server with health and reflection beside the services.

use tokio::net::TcpListener;
use tonic::service::Routes;
use tonic_health::ServingStatus;

use super::{Limits, layers, server};
use crate::startup::Context;
use crate::{Error, Result};

/// Serves gRPC on a listener within `limits` until shutdown; `name` names the edge in metrics. Health
/// (`grpc.health.v1`) says `NOT_SERVING` as soon as shutdown is
/// requested.
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
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(probity_proto::v1::DESCRIPTOR)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .map_err(|e| Error::internal(format!("reflection: {e}")))?;
    let routes = routes
        .add_service(health_service)
        .add_service(reflection)
        .prepare();
    let router = layers::around(routes.into_axum_router(), ctx, name, limits);
    let shutdown = ctx.shutdown.clone();
    let draining = async {
        shutdown.requested().await;
        health
            .set_service_status("", ServingStatus::NotServing)
            .await;
    };
    tokio::join!(
        server::accept(listener, router, shutdown.clone(), name),
        draining
    );
    Ok(())
}
