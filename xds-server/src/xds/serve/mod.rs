//! xDS over gRPC: ADS, and each type on a service of its own, state of the world and delta.
//!
//! Every stream is one task (`stream`) that owns one [`tidegate_xds::protocol::Session`]; the rest here
//! only translates: `rpc` says which path leads to which, `wire` and `codec` turn words into bytes
//! that all streams share. Nothing is queued for a stream: it looks at the newest
//! snapshot when it can send. `admission` says when a newcomer's turn is, `aging` when a stream ends.

mod admission;
mod aging;
mod codec;
mod field;
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
use self::aging::Ages;
use super::fleet::AckTracker;
use crate::counters::Counters;
use crate::door::access::Access;
use crate::door::quota::Quota;
use tidegate_xds::resources::SnapshotSet;

/// Most streams at once, and of one client. Each costs some ten kilobytes.
const MAX_STREAMS: (usize, usize) = (20_000, 10_000);
/// Most streams of one connection: an Envoy opens one, or one for each type, beside its reports.
const MAX_STREAMS_A_CONNECTION: u32 = 256;
/// How long a connection may be silent before it is asked for a sign of life, and then for that.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(10));
/// Longest list of headers.
const MAX_HEADERS: u32 = 16 * 1024;

/// The xDS services.
#[derive(Debug)]
pub struct XdsServer {
    hub: Arc<Hub>,
    /// What others are told. Streams have a word of their own, because the end waits for their ears.
    stopping: watch::Sender<bool>,
}

/// What every stream shares.
#[derive(Debug)]
struct Hub {
    snapshots: watch::Receiver<Arc<SnapshotSet>>,
    ack_tracker: Arc<AckTracker>,
    counters: Arc<Counters>,
    access: Arc<Access>,
    streams: Arc<Quota>,
    admission: Arc<Admission>,
    ages: Ages,
    /// True when the server stops. Each stream listens, and nobody else.
    draining: watch::Sender<bool>,
}

impl XdsServer {
    /// Services that send these snapshots to whoever has access.
    #[must_use]
    pub fn new(
        snapshots: watch::Receiver<Arc<SnapshotSet>>,
        ack_tracker: Arc<AckTracker>,
        counters: Arc<Counters>,
        access: Arc<Access>,
    ) -> Self {
        let hub = Arc::new(Hub {
            snapshots,
            ack_tracker,
            counters,
            access,
            streams: Quota::new(MAX_STREAMS.0, MAX_STREAMS.1),
            admission: Arc::default(),
            ages: Ages::default(),
            draining: watch::Sender::new(false),
        });
        Self { hub, stopping: watch::Sender::new(false) }
    }

    /// The services, to be served by [`transport`], beside others if wanted.
    #[must_use]
    pub fn routes(&self) -> Routes {
        rpc::routes(&self.hub)
    }

    /// Turns true when the server drains, for whoever serves beside it.
    #[must_use]
    pub fn draining(&self) -> watch::Receiver<bool> {
        self.stopping.subscribe()
    }

    /// Ends every stream, one after the other within two seconds or three, so that the server can stop
    /// and its replicas are not overrun; new ones are sent away. Returns when all are gone. Until then
    /// the rest works on, a rollback included. Sidecars keep what they have and come back.
    pub async fn drain(&self) {
        self.stopping.send_replace(true);
        self.hub.draining.send_replace(true);
        self.hub.admission.close();
        self.hub.draining.closed().await;
    }
}

/// The full names of the services, as gRPC health knows them.
pub fn service_names() -> impl Iterator<Item = String> {
    rpc::service_names()
}

/// A gRPC server with the limits that a public port needs. Dead peers are found by HTTP/2 pings.
#[must_use]
pub fn transport() -> Server {
    transport_that_waits(KEEPALIVE)
}

fn transport_that_waits((silence, answer): (Duration, Duration)) -> Server {
    Server::builder()
        .http2_keepalive_interval(Some(silence))
        .http2_keepalive_timeout(Some(answer))
        .max_concurrent_streams(MAX_STREAMS_A_CONNECTION)
        .http2_max_header_list_size(MAX_HEADERS)
        .tcp_nodelay(true)
}
