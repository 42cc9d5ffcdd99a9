//! xDS over gRPC: ADS, and each type on a service of its own, state of the world and delta.
//!
//! Every stream is one task (`stream`) that owns one [`super::protocol::Session`]; the rest here
//! only translates: `rpc` says which path leads to which, `wire` and `codec` turn words into bytes
//! that all streams share. Nothing is queued for a stream: it looks at the newest
//! snapshot when it can send.

mod codec;
mod field;
mod rpc;
mod stream;
#[cfg(test)]
mod tests;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tonic::service::Routes;
use tonic::transport::Server;

use super::counters::Counters;
use super::fleet::Ledger;
use super::resources::SnapshotSet;
use crate::door::access::Access;
use crate::door::quota::Quota;

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
    draining: watch::Sender<bool>,
}

/// What every stream shares.
#[derive(Debug)]
struct Hub {
    snapshots: watch::Receiver<Arc<SnapshotSet>>,
    ledger: Arc<Ledger>,
    counters: Arc<Counters>,
    access: Arc<Access>,
    streams: Arc<Quota>,
    draining: watch::Receiver<bool>,
}

impl XdsServer {
    /// Services that send these snapshots to whoever has access.
    #[must_use]
    pub fn new(
        snapshots: watch::Receiver<Arc<SnapshotSet>>,
        ledger: Arc<Ledger>,
        counters: Arc<Counters>,
        access: Arc<Access>,
    ) -> Self {
        let draining = watch::Sender::new(false);
        let hub = Arc::new(Hub {
            snapshots,
            ledger,
            counters,
            access,
            streams: Quota::new(MAX_STREAMS.0, MAX_STREAMS.1),
            draining: draining.subscribe(),
        });
        Self { hub, draining }
    }

    /// The services, to be served by [`transport`], beside others if wanted.
    #[must_use]
    pub fn routes(&self) -> Routes {
        rpc::routes(&self.hub)
    }

    /// Ends every stream, now and from now on, so that the server can stop: streams live for ever
    /// otherwise. Sidecars keep what they have and come back.
    pub fn drain(&self) {
        self.draining.send_replace(true);
    }
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
