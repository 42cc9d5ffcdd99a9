//! What the gRPC port tells of itself: whether it serves (`health`), what it serves
//! (`reflection`), and what each sidecar was sent (`status`). All of it only reads.

mod access;
mod health;
mod matcher;
mod reflection;
mod status;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use tidegate_proto::envoy::envoy::service::status::v3::client_status_discovery_service_server::{
    ClientStatusDiscoveryServiceServer, SERVICE_NAME as CLIENT_STATUS,
};
use tidegate_proto::report::v1::report_service_server::SERVICE_NAME as REPORTS;
use tokio::sync::watch;
use tonic::service::Routes;
use tonic_health::pb::health_server::HealthServer;

use super::fleet::AckTracker;
use super::serve;
use health::{Health, Standing};
pub use reflection::Error as ReflectionError;
use status::ClientStatus;
use tidegate_xds::resources::SnapshotSet;

/// Longest request that is read, in bytes: the name of a service, or a few matchers.
const MAX_REQUEST: usize = 64 * 1024;

/// Adds health, reflection and client status to the services of a port.
///
/// # Errors
/// When the descriptors that were built in cannot be read.
pub fn add_to(
    routes: Routes,
    snapshots: watch::Receiver<Arc<SnapshotSet>>,
    draining: watch::Receiver<bool>,
    ack_tracker: Arc<AckTracker>,
) -> Result<Routes, ReflectionError> {
    let standing = Standing::new(snapshots, draining.clone());
    let services = serve::service_names().chain([REPORTS.to_owned(), CLIENT_STATUS.to_owned()]);
    let health = Health::new(standing, services);
    let status = ClientStatus::new(ack_tracker, draining);
    Ok(routes
        .add_service(HealthServer::new(health).max_decoding_message_size(MAX_REQUEST))
        .add_service(reflection::service()?)
        .add_service(
            ClientStatusDiscoveryServiceServer::new(status).max_decoding_message_size(MAX_REQUEST),
        ))
}
