//! xDS over gRPC: ADS, and a discovery service for each type, in the variants state of the world and delta.
//!
//! Every stream is a task (`stream`) that owns one [`tidegate_xds::protocol::Session`]. `rpc` maps RPC paths to variants,
//! `wire` and `codec` convert messages, and write responses from bytes that all streams share. No responses are queued: a
//! stream reads the newest snapshot when it can send. `admission` limits how many new streams receive their first
//! configuration at a time, `aging` ends streams at their maximum age and when the server drains.

mod admission;
mod aging;
mod codec;
mod rpc;
mod stream;
#[cfg(test)]
mod tests;
pub mod wire;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tonic::service::Routes;
use tonic::transport::Server;

use self::admission::Admission;
use self::aging::AgeLimits;
use super::fleet::AckTracker;
use super::metrics::XdsMetrics;
use crate::auth::access::Access;
use crate::transport::quota::{Limit, Quota};
use tidegate_xds::resources::SnapshotSet;

/// Most open streams. Each takes about ten kilobytes of memory.
const MAX_STREAMS: Limit = Limit { total: 20_000, per_client: 10_000 };
/// Most RPCs of one connection at a time. An Envoy opens one stream, or one for each type, and sends reports.
const MAX_RPCS_PER_CONNECTION: u32 = 256;
/// Idle time before an HTTP/2 keepalive ping.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
/// Longest wait for the answer to a keepalive ping.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest header list of a request, in bytes.
const MAX_HEADER_LIST: u32 = 16 * 1024;

/// The xDS services.
#[derive(Debug)]
pub struct XdsServer {
    shared: Arc<Shared>,
    /// True while the server drains, for other services. Separate from [`Shared::draining`], because [`XdsServer::drain`]
    /// waits until all receivers of that are dropped.
    draining: watch::Sender<bool>,
}

/// State that all streams share.
#[derive(Debug)]
struct Shared {
    snapshots: watch::Receiver<Arc<SnapshotSet>>,
    ack_tracker: Arc<AckTracker>,
    metrics: XdsMetrics,
    access: Arc<Access>,
    stream_quota: Arc<Quota>,
    admission: Arc<Admission>,
    age_limits: AgeLimits,
    /// True while the server drains. Only streams subscribe.
    draining: watch::Sender<bool>,
}

impl XdsServer {
    /// Services that send these snapshots to the clients that `access` allows.
    #[must_use]
    pub fn new(
        snapshots: watch::Receiver<Arc<SnapshotSet>>,
        ack_tracker: Arc<AckTracker>,
        metrics: XdsMetrics,
        access: Arc<Access>,
    ) -> Self {
        let shared = Arc::new(Shared {
            snapshots,
            ack_tracker,
            metrics,
            access,
            stream_quota: Quota::new(MAX_STREAMS),
            admission: Arc::default(),
            age_limits: AgeLimits::default(),
            draining: watch::Sender::new(false),
        });
        Self { shared, draining: watch::Sender::new(false) }
    }

    /// The services, to be served by a [`grpc_server`].
    #[must_use]
    pub fn routes(&self) -> Routes {
        rpc::routes(&self.shared)
    }

    /// Turns true when the server drains, for other services of the same port.
    #[must_use]
    pub fn draining(&self) -> watch::Receiver<bool> {
        self.draining.subscribe()
    }

    /// Ends every stream, spread over two to three seconds, which limits the rate at which sidecars reconnect to other
    /// replicas, and rejects new streams. Returns when all streams have ended. Until then the open streams are served, so
    /// a rollback still reaches their sidecars. Sidecars keep their configuration and reconnect.
    pub async fn drain(&self) {
        self.draining.send_replace(true);
        self.shared.draining.send_replace(true);
        self.shared.admission.close();
        self.shared.draining.closed().await;
    }
}

/// The full names of the services, for gRPC health.
pub fn service_names() -> impl Iterator<Item = String> {
    rpc::service_names()
}

/// A gRPC server with limits for each connection. HTTP/2 keepalive pings detect dead peers.
#[must_use]
pub fn grpc_server() -> Server {
    grpc_server_with_keepalive(KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT)
}

fn grpc_server_with_keepalive(interval: Duration, timeout: Duration) -> Server {
    Server::builder()
        .http2_keepalive_interval(Some(interval))
        .http2_keepalive_timeout(Some(timeout))
        .max_concurrent_streams(MAX_RPCS_PER_CONNECTION)
        .http2_max_header_list_size(MAX_HEADER_LIST)
        .tcp_nodelay(true)
}
