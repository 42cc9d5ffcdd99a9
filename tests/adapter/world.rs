//! A server that serves what it is told by the harness's five RPCs, which are called as the harness
//! does.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use prost::Message as _;
use tidegate::auth::access::Access;
use tidegate::clock::Clock;
use tidegate::xds::adapter::{RawResources, Stamped};
use tidegate::xds::fleet::AckTracker;
use tidegate::xds::metrics::XdsMetrics;
use tidegate::xds::serve::{XdsServer, grpc_server};
use tidegate_proto::adapter::adapter_client::AdapterClient;
use tidegate_proto::adapter::adapter_server::AdapterServer;
use tidegate_proto::adapter::{ResourceRequest, SetStateRequest};
use tidegate_proto::envoy::google::protobuf::Any;
use tidegate_xds::kind::Kind;
use tidegate_xds::resources::SnapshotSet;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Channel;

/// The one node, and its fleet.
pub(crate) const NODE: &str = "harness";
/// How long a busy machine may take for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// One server.
pub(crate) struct World {
    pub(crate) channel: Channel,
    ack_tracker: Arc<AckTracker>,
    metrics: XdsMetrics,
    snapshots: watch::Receiver<Arc<SnapshotSet>>,
    server: JoinHandle<Result<(), tonic::transport::Error>>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl World {
    pub(crate) async fn start() -> Result<Self> {
        let raw = RawResources::new([NODE.parse()?]);
        let snapshots = raw.subscribe();
        let ack_tracker = AckTracker::new(Clock::system());
        let metrics = XdsMetrics::default();
        let xds = XdsServer::new(
            snapshots.clone(),
            Arc::clone(&ack_tracker),
            metrics.clone(),
            Arc::new(Access::unrestricted(Arc::default())),
        );
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let server = tokio::spawn(async move {
            let routes = xds.routes().add_service(AdapterServer::new(raw));
            let incoming = TcpListenerStream::new(listener);
            // An end before its time is told by the client's error.
            grpc_server().add_routes(routes).serve_with_incoming(incoming).await
        });
        let channel = Channel::from_shared(format!("http://{address}"))?.connect().await?;
        Ok(Self { channel, ack_tracker, metrics, snapshots, server })
    }

    fn adapter(&self) -> AdapterClient<Channel> {
        AdapterClient::new(self.channel.clone())
    }

    /// Serves these names of each of these types, and nothing else.
    pub(crate) async fn set(&self, kinds: &[Kind], names: &[&str], version: &str) -> Result<()> {
        let resource = |kind: Kind, name: &str| Any {
            type_url: kind.type_url().to_owned(),
            value: Stamped { name: name.to_owned(), ..Stamped::default() }.encode_to_vec(),
        };
        let resources = kinds.iter().flat_map(|kind| names.iter().map(|it| resource(*kind, it)));
        let resources = resources.collect();
        let (node, version) = (NODE.to_owned(), version.to_owned());
        let request = SetStateRequest { node, version, resources };
        self.adapter().set_state(request).await?;
        Ok(())
    }

    pub(crate) async fn update(&self, kind: Kind, name: &str, version: &str) -> Result<()> {
        self.adapter().update_resource(resource(kind, name, version)).await?;
        Ok(())
    }

    pub(crate) async fn add(&self, kind: Kind, name: &str, version: &str) -> Result<()> {
        self.adapter().add_resource(resource(kind, name, version)).await?;
        Ok(())
    }

    pub(crate) async fn remove(&self, kind: Kind, name: &str) -> Result<()> {
        self.adapter().remove_resource(resource(kind, name, "")).await?;
        Ok(())
    }

    /// Waits until the server knows that the client does not want these.
    pub(crate) async fn until_dropped(&self, kind: Kind, names: &[&str]) -> Result<()> {
        until("the server takes note", async || {
            let wanted = self.wanted(kind).await;
            !wanted.iter().any(|name| names.contains(&name.as_str()))
        })
        .await
    }

    /// Waits until the client is known to want this, and to have all that it is to have. Fails if it
    /// was sent more than the responses that it received.
    pub(crate) async fn until_silent(
        &self,
        received: u64,
        wanted: Vec<(Kind, Vec<String>)>,
    ) -> Result<()> {
        until("the server is done", async || {
            let serial = self.snapshots.borrow().serial();
            let state = self.ack_tracker.convergence(serial);
            let mut known = state.connected == 1 && state.acked == 1;
            for (kind, names) in &wanted {
                let held = self.wanted(*kind).await;
                known &= names.iter().all(|name| name == "*" || held.contains(name));
            }
            known
        })
        .await?;
        let pushes: u64 = Kind::ALL.iter().map(|kind| self.metrics.pushes.of(*kind).get()).sum();
        anyhow::ensure!(pushes == received, "{pushes} responses, of which {received} were due");
        Ok(())
    }

    async fn wanted(&self, kind: Kind) -> Vec<String> {
        let Ok(fleet) = NODE.parse() else {
            return Vec::new();
        };
        let inspection = self.ack_tracker.inspect(&fleet, NODE).await;
        let types = inspection.streams.into_iter().flat_map(|stream| stream.types);
        let of_kind = types.filter(|(of, _)| *of == kind).flat_map(|(_, report)| report.holdings);
        of_kind.map(|holding| holding.name.to_string()).collect()
    }
}

fn resource(kind: Kind, name: &str, version: &str) -> ResourceRequest {
    ResourceRequest {
        node: NODE.to_owned(),
        type_url: kind.type_url().to_owned(),
        resource_name: name.to_owned(),
        version: version.to_owned(),
    }
}

/// Waits until something is so.
async fn until<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) -> Result<()> {
    let wait = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.with_context(|| format!("never: {what}"))
}
