//! An xDS server whose resources are set by the harness's five RPCs.

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

/// The id of the only node, and the name of its fleet.
pub(crate) const NODE: &str = "harness";
/// Time limit of each wait.
pub(crate) const WAIT_LIMIT: Duration = Duration::from_secs(60);

/// One server, with a connection to it.
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
            // If it ends early, the client reports an error.
            grpc_server().add_routes(routes).serve_with_incoming(incoming).await
        });
        let channel = Channel::from_shared(format!("http://{address}"))?.connect().await?;
        Ok(Self { channel, ack_tracker, metrics, snapshots, server })
    }

    fn adapter(&self) -> AdapterClient<Channel> {
        AdapterClient::new(self.channel.clone())
    }

    /// Sets the resources: these names, for each of these types.
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

    /// Waits until the server has processed the unsubscription of these names.
    pub(crate) async fn until_unsubscribed(&self, kind: Kind, names: &[&str]) -> Result<()> {
        until("the unsubscription is processed", async || {
            let subscribed = self.subscribed(kind).await;
            !subscribed.iter().any(|name| names.contains(&name.as_str()))
        })
        .await
    }

    /// Waits until the server has processed these subscriptions, and the client is synchronized. Fails if more responses were
    /// sent than the client `received`.
    pub(crate) async fn until_settled(
        &self,
        received: u64,
        subscribed: Vec<(Kind, Vec<String>)>,
    ) -> Result<()> {
        until("the client is synchronized", async || {
            let serial = self.snapshots.borrow().serial();
            let state = self.ack_tracker.convergence(serial, |_| true);
            let mut known = state.connected == 1 && state.acked == 1;
            for (kind, names) in &subscribed {
                let processed = self.subscribed(*kind).await;
                known &= names.iter().all(|name| name == "*" || processed.contains(name));
            }
            known
        })
        .await?;
        let pushes: u64 = Kind::ALL.iter().map(|kind| self.metrics.pushes.of(*kind).get()).sum();
        anyhow::ensure!(pushes == received, "{pushes} responses were sent, {received} expected");
        Ok(())
    }

    async fn subscribed(&self, kind: Kind) -> Vec<String> {
        let Ok(fleet) = NODE.parse() else {
            return Vec::new();
        };
        let inspection = self.ack_tracker.inspect(&fleet, NODE).await;
        let types = inspection.streams.into_iter().flat_map(|stream| stream.types);
        let of_kind = types.filter(|(of, _)| *of == kind).flat_map(|(_, report)| report.holdings);
        of_kind.map(|status| status.name.to_string()).collect()
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

/// Waits until a condition is true.
async fn until<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) -> Result<()> {
    let wait = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(WAIT_LIMIT, wait).await.with_context(|| format!("timeout: {what}"))
}
