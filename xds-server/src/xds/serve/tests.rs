//! A server on a real port, with well-behaved and faulty clients.

mod lifetime;
mod slow;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;
use tidegate_proto::envoy::envoy::config::cluster::v3::Cluster;
use tidegate_proto::envoy::envoy::config::core::v3::Node;
use tidegate_proto::envoy::envoy::service::cluster::v3::cluster_discovery_service_client::ClusterDiscoveryServiceClient;
use tidegate_proto::envoy::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use tidegate_proto::envoy::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DiscoveryRequest, DiscoveryResponse, ResourceLocator,
};
use tidegate_proto::envoy::google::rpc::Status as Error;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

use super::admission::Admission;
use super::aging::AgeLimits;
use super::{Shared, XdsServer, grpc_server};
use crate::auth::access::Access;
use crate::clock::Clock;
use crate::rejections::Reason;
use crate::transport::quota::{Limit, Quota};
use crate::xds::fleet::AckTracker;
use crate::xds::metrics::XdsMetrics;
use tidegate_delivery::units::Timestamp;
use tidegate_xds::kind::Kind;
use tidegate_xds::resources::{FleetSnapshot, Resource, SnapshotSet};

/// Time limit of every wait, long enough for a busy machine.
const WAIT: Duration = Duration::from_secs(60);

struct Server {
    address: SocketAddr,
    snapshots: watch::Sender<Arc<SnapshotSet>>,
    server: XdsServer,
}

/// The fleet `demo` with these clusters.
fn set(serial: u64, clusters: &[&str]) -> Arc<SnapshotSet> {
    let resource = |name: &&str| {
        let message = Cluster { name: (*name).to_owned(), ..Default::default() };
        Arc::new(Resource::encode(Kind::Cluster, name, &message, Vec::new()))
    };
    let clusters: Vec<_> = clusters.iter().map(resource).collect();
    let fleet = "demo".parse().unwrap();
    let snapshot = FleetSnapshot::new(fleet, serial, &clusters, None);
    Arc::new(SnapshotSet::new(serial, [snapshot]))
}

impl Server {
    async fn start(streams: usize) -> Self {
        Self::start_with(grpc_server(), streams).await
    }

    async fn start_with(grpc: tonic::transport::Server, streams: usize) -> Self {
        let (admission, limits) = (Admission::default(), AgeLimits::default());
        Self::start_all(grpc, streams, admission, limits).await
    }

    async fn start_all(
        mut grpc: tonic::transport::Server,
        streams: usize,
        admission: Admission,
        age_limits: AgeLimits,
    ) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let snapshots = watch::Sender::new(set(1, &["a"]));
        let shared = Arc::new(Shared {
            snapshots: snapshots.subscribe(),
            ack_tracker: AckTracker::new(Clock::new(|| Timestamp(0))),
            metrics: XdsMetrics::default(),
            access: Arc::new(Access::unrestricted(Arc::default())),
            // The tests have one client. The total is larger, so they reach the limit of a client.
            stream_quota: Quota::new(Limit { total: streams + 1, per_client: streams }),
            admission: Arc::new(admission),
            age_limits,
            draining: watch::Sender::new(false),
        });
        let server = XdsServer { shared, draining: watch::Sender::new(false) };
        let routes = server.routes();
        let incoming = TcpListenerStream::new(listener);
        tokio::spawn(grpc.add_routes(routes).serve_with_incoming(incoming));
        Self { address, snapshots, server }
    }

    async fn channel(&self) -> Channel {
        let endpoint = Channel::from_shared(format!("http://{}", self.address)).unwrap();
        endpoint.connect().await.unwrap()
    }

    /// Opens an ADS stream and sends one request.
    async fn open(&self, first: DiscoveryRequest) -> Client {
        self.try_open(first).await.unwrap()
    }

    async fn try_open(&self, first: DiscoveryRequest) -> Result<Client, Status> {
        let (sender, receiver) = mpsc::channel(8);
        sender.send(first).await.unwrap();
        let mut client = AggregatedDiscoveryServiceClient::new(self.channel().await)
            .max_encoding_message_size(usize::MAX);
        let stream = client.stream_aggregated_resources(ReceiverStream::new(receiver));
        let incoming = stream.await?.into_inner();
        Ok(Client { sender, incoming })
    }

    /// Waits until a condition holds.
    async fn until(&self, what: &str, condition: impl Fn(&Shared) -> bool) {
        let shared = &self.server.shared;
        let wait = async {
            while !condition(shared) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let done = tokio::time::timeout(WAIT, wait).await;
        assert!(done.is_ok(), "never: {what}");
    }
}

/// An ADS client.
struct Client {
    sender: mpsc::Sender<DiscoveryRequest>,
    incoming: Streaming<DiscoveryResponse>,
}

impl Client {
    async fn next(&mut self) -> Result<DiscoveryResponse, Status> {
        let next = tokio::time::timeout(WAIT, self.incoming.message());
        Ok(next.await.unwrap()?.expect("a response or an error"))
    }

    /// ACKs or NACKs a response, without `node`.
    async fn answer(&self, response: &DiscoveryResponse, error: Option<&str>) {
        let answer = DiscoveryRequest {
            version_info: response.version_info.clone(),
            response_nonce: response.nonce.clone(),
            type_url: response.type_url.clone(),
            error_detail: error.map(|message| Error {
                code: 3,
                message: message.to_owned(),
                ..Default::default()
            }),
            ..Default::default()
        };
        self.sender.send(answer).await.unwrap();
    }

    async fn status(&mut self) -> Status {
        self.next().await.unwrap_err()
    }
}

fn node(id: &str, cluster: &str) -> Option<Node> {
    Some(Node { id: id.to_owned(), cluster: cluster.to_owned(), ..Default::default() })
}

fn clusters() -> DiscoveryRequest {
    DiscoveryRequest {
        node: node("sidecar", "demo"),
        type_url: Kind::Cluster.type_url().to_owned(),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_sidecar_receives_publications_and_its_answers_are_recorded() {
    let server = Server::start(10).await;
    let mut client = server.open(clusters()).await;
    let first = client.next().await.unwrap();
    assert_eq!(first.resources.len(), 1);
    client.answer(&first, None).await;
    server.until("acked", |shared| shared.ack_tracker.convergence(1, |_| true).acked == 1).await;

    server.snapshots.send_replace(set(2, &["a", "b"]));
    let second = client.next().await.unwrap();
    assert_eq!(second.resources.len(), 2);
    // Checklist line 3: a request with an error is a NACK, also if it names the newest version.
    client.answer(&second, Some("no")).await;
    server.until("nacked", |shared| shared.metrics.nacks.of(Kind::Cluster).get() == 1).await;
    let status = server.server.shared.ack_tracker.nodes().remove(0);
    assert_eq!(status.nacks[&Kind::Cluster].message, "no");
    assert_eq!(status.acked[&Kind::Cluster], first.version_info);
    let metrics = &server.server.shared.metrics;
    assert_eq!(metrics.pushes.of(Kind::Cluster).get(), 2);
    assert_eq!(metrics.acks.of(Kind::Cluster).get(), 1);
}

/// Checklist line 56: the state of a stream ends with it.
#[tokio::test]
async fn a_disconnected_sidecar_is_not_counted() {
    let server = Server::start(1).await;
    let mut client = server.open(clusters()).await;
    client.next().await.unwrap();
    assert_eq!(server.server.shared.ack_tracker.convergence(1, |_| true).connected, 1);
    drop(client);
    server
        .until("disconnected", |shared| shared.ack_tracker.convergence(1, |_| true).connected == 0)
        .await;
    server.until("quota", |shared| shared.stream_quota.in_use() == 0).await;
}

/// Checklist line 1: the first request must contain the node.
#[tokio::test]
async fn a_stream_without_a_node_is_rejected() {
    let server = Server::start(10).await;
    let without_node = DiscoveryRequest { node: None, ..clusters() };
    assert_eq!(server.open(without_node).await.status().await.code(), Code::InvalidArgument);
    let nameless = DiscoveryRequest { node: node("", "demo"), ..clusters() };
    assert_eq!(server.open(nameless).await.status().await.code(), Code::InvalidArgument);
    let endless = DiscoveryRequest { node: node(&"x".repeat(1000), "demo"), ..clusters() };
    assert_eq!(server.open(endless).await.status().await.code(), Code::InvalidArgument);
    assert_eq!(server.server.shared.metrics.invalid.get(), 3);
}

#[tokio::test]
async fn an_unknown_fleet_is_rejected() {
    let server = Server::start(10).await;
    let other_fleet = DiscoveryRequest { node: node("sidecar", "nowhere"), ..clusters() };
    let status = server.open(other_fleet).await.status().await;
    assert_eq!(status.code(), Code::NotFound);
    assert!(status.message().contains("nowhere"), "{status:?}");
}

/// Istio sends the resources of its fleets.
#[tokio::test]
async fn a_fleet_of_an_istio_mesh_has_no_streams() {
    let server = Server::start(10).await;
    let mut client = server.open(clusters()).await;
    client.next().await.unwrap();
    let fleet = "demo".parse().unwrap();
    let snapshot = FleetSnapshot::new(fleet, 2, &[], None).foreign();
    server.snapshots.send_replace(Arc::new(SnapshotSet::new(2, [snapshot])));
    assert_eq!(client.status().await.code(), Code::FailedPrecondition, "one that was open ends");
    let status = server.open(clusters()).await.status().await;
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(status.message().contains("from Istio"), "{status:?}");
}

/// Checklist line 2.
#[tokio::test]
async fn an_unknown_type_is_rejected() {
    let server = Server::start(10).await;
    for type_url in ["", "type.googleapis.com/no.such.Type"] {
        let request = DiscoveryRequest { type_url: type_url.to_owned(), ..clusters() };
        let status = server.open(request).await.status().await;
        assert_eq!(status.code(), Code::InvalidArgument, "{type_url}");
    }
}

/// Checklist line 55: a request over the limits ends its own stream and no other.
#[tokio::test]
async fn a_too_large_request_ends_only_its_own_stream() {
    let server = Server::start(10).await;
    let mut good = server.open(clusters()).await;
    let first = good.next().await.unwrap();
    good.answer(&first, None).await;

    let huge = DiscoveryRequest { resource_names: vec!["x".repeat(10_000_000)], ..clusters() };
    assert_eq!(server.open(huge).await.status().await.code(), Code::OutOfRange);
    let many = DiscoveryRequest {
        resource_names: (0..20_000).map(|name| name.to_string()).collect(),
        ..clusters()
    };
    assert_eq!(server.open(many).await.status().await.code(), Code::ResourceExhausted);

    server.snapshots.send_replace(set(2, &["a", "b"]));
    assert_eq!(good.next().await.unwrap().resources.len(), 2);
}

#[tokio::test]
async fn streams_over_the_quota_are_rejected() {
    let server = Server::start(1).await;
    let mut first = server.open(clusters()).await;
    first.next().await.unwrap();
    let (_sender, receiver) = mpsc::channel(1);
    let mut client = AggregatedDiscoveryServiceClient::new(server.channel().await);
    let second = client.stream_aggregated_resources(ReceiverStream::new(receiver)).await;
    let status = second.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.message().contains("limit of 1 per client"), "{status}");
    assert_eq!(server.server.shared.access.rejections().count(Reason::StreamQuota), 1);
}

/// Checklist line 2: the service of one type needs no type URL, and accepts no other.
#[tokio::test]
async fn a_discovery_service_serves_its_type() {
    let server = Server::start(10).await;
    let mut client = ClusterDiscoveryServiceClient::new(server.channel().await);
    let request = DeltaDiscoveryRequest { node: node("sidecar", "demo"), ..Default::default() };
    let stream = client.delta_clusters(tokio_stream::iter([request.clone()])).await;
    let response = stream.unwrap().into_inner().message().await.unwrap().unwrap();
    assert_eq!(response.resources[0].name, "a");

    let wrong = DeltaDiscoveryRequest { type_url: Kind::Route.type_url().to_owned(), ..request };
    let stream = client.delta_clusters(tokio_stream::iter([wrong])).await;
    let status = stream.unwrap().into_inner().message().await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);

    let polled = client.fetch_clusters(clusters()).await;
    assert_eq!(polled.unwrap_err().code(), Code::Unimplemented);
}

/// Checklist line 26: resource locators are ignored, and names beside them are used.
#[tokio::test]
async fn resource_locators_are_ignored() {
    let server = Server::start(10).await;
    server.snapshots.send_replace(set(1, &["a", "b"]));
    let locator = ResourceLocator {
        name: "b".to_owned(),
        dynamic_parameters: [("env".to_owned(), "test".to_owned())].into(),
    };
    let request = DiscoveryRequest {
        resource_names: vec!["a".to_owned()],
        resource_locators: vec![locator],
        ..clusters()
    };
    let response = server.open(request).await.next().await.unwrap();
    assert_eq!(response.resources.len(), 1);
    let cluster = Cluster::decode(&*response.resources[0].value).unwrap();
    assert_eq!(cluster.name, "a");
}
