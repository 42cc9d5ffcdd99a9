//! Read-only services of the xDS port for operation: gRPC health (`health`), server reflection (`reflection`), and client
//! status (`status`), the resources sent to each sidecar.

mod health;
mod matcher;
mod status;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use tidegate_proto::DESCRIPTORS;
use tidegate_proto::envoy::envoy::service::status::v3::client_status_discovery_service_server::{
    ClientStatusDiscoveryServiceServer, SERVICE_NAME as CLIENT_STATUS,
};
use tidegate_proto::report::v1::report_service_server::SERVICE_NAME as REPORTS;
use tokio::sync::watch;
use tonic::service::Routes;
use tonic_health::pb::health_server::HealthServer;
pub use tonic_reflection::server::Error as ReflectionError;

use super::fleet::AckTracker;
use super::serve;
use health::{Health, ServingState};
use status::ClientStatus;
use tidegate_xds::resources::SnapshotSet;

/// Largest request, in bytes: the name of a service, or node matchers.
const MAX_REQUEST: usize = 64 * 1024;

/// Adds health, reflection and client status to the services of a port.
///
/// # Errors
/// If the built-in descriptors are invalid.
pub fn add_to(
    routes: Routes,
    snapshots: watch::Receiver<Arc<SnapshotSet>>,
    draining: watch::Receiver<bool>,
    ack_tracker: Arc<AckTracker>,
) -> Result<Routes, ReflectionError> {
    let state = ServingState::new(snapshots, draining.clone());
    let services = serve::service_names().chain([REPORTS.to_owned(), CLIENT_STATUS.to_owned()]);
    let health = Health::new(state, services);
    let status = ClientStatus::new(ack_tracker, draining);
    // Envoy's services are not described: no crate ships their descriptors, and their clients have them.
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()?;
    Ok(routes
        .add_service(HealthServer::new(health).max_decoding_message_size(MAX_REQUEST))
        .add_service(reflection.max_decoding_message_size(MAX_REQUEST))
        .add_service(
            ClientStatusDiscoveryServiceServer::new(status).max_decoding_message_size(MAX_REQUEST),
        ))
}
