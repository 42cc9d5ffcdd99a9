//! A real server on a real port, and clients that behave and that do not.

mod life;
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
use super::aging::Ages;
use super::{Hub, XdsServer, transport};
use crate::clock::Clock;
use crate::counters::Counters;
use crate::door::access::Access;
use crate::door::quota::Quota;
use crate::door::refusals::Reason;
use crate::xds::fleet::AckTracker;
use tidegate_delivery::units::Timestamp;
use tidegate_xds::kind::Kind;
use tidegate_xds::resources::{FleetSnapshot, Resource, SnapshotSet};

/// How long a busy machine may take for anything.
const PATIENCE: Duration = Duration::from_secs(60);

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
        Self::start_with(transport(), streams).await
    }

    async fn start_with(transport: tonic::transport::Server, streams: usize) -> Self {
        let (admission, ages) = (Admission::default(), Ages::default());
        Self::start_all(transport, streams, admission, ages).await
    }

    async fn start_all(
        mut transport: tonic::transport::Server,
        streams: usize,
        admission: Admission,
        ages: Ages,
    ) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let snapshots = watch::Sender::new(set(1, &["a"]));
        let hub = Arc::new(Hub {
            snapshots: snapshots.subscribe(),
            ack_tracker: AckTracker::new(Clock::new(|| Timestamp(0))),
            counters: Arc::new(Counters::default()),
            access: Arc::new(Access::for_anybody(Arc::default())),
            // For one client; there would be room for others.
            streams: Quota::new(streams + 1, streams),
            admission: Arc::new(admission),
            ages,
            draining: watch::Sender::new(false),
        });
        let server = XdsServer { hub, stopping: watch::Sender::new(false) };
        let routes = server.routes();
        let incoming = TcpListenerStream::new(listener);
        tokio::spawn(transport.add_routes(routes).serve_with_incoming(incoming));
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

    /// Waits until something is so.
    async fn until(&self, what: &str, condition: impl Fn(&Hub) -> bool) {
        let hub = &self.server.hub;
        let wait = async {
            while !condition(hub) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let done = tokio::time::timeout(PATIENCE, wait).await;
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
        let next = tokio::time::timeout(PATIENCE, self.incoming.message());
        Ok(next.await.unwrap()?.expect("a response or an error"))
    }

    /// Answers a response; nothing in it says again who answers.
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

    async fn refusal(&mut self) -> Status {
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
async fn a_sidecar_gets_what_is_published_and_its_answers_are_known() {
    let server = Server::start(10).await;
    let mut client = server.open(clusters()).await;
    let first = client.next().await.unwrap();
    assert_eq!(first.resources.len(), 1);
    client.answer(&first, None).await;
    server.until("acked", |hub| hub.ack_tracker.convergence(1).acked == 1).await;

    server.snapshots.send_replace(set(2, &["a", "b"]));
    let second = client.next().await.unwrap();
    assert_eq!(second.resources.len(), 2);
    // Checklist line 3: what makes a NACK is its error, though it names the newest version.
    client.answer(&second, Some("no")).await;
    server.until("nacked", |hub| hub.counters.nacks.of(Kind::Cluster).get() == 1).await;
    let status = server.server.hub.ack_tracker.nodes().remove(0);
    assert_eq!(status.refused[&Kind::Cluster].message, "no");
    assert_eq!(status.acked[&Kind::Cluster], first.version_info);
    let counters = &server.server.hub.counters;
    assert_eq!(counters.pushes.of(Kind::Cluster).get(), 2);
    assert_eq!(counters.acks.of(Kind::Cluster).get(), 1);
}

/// Checklist line 56: what is known of a stream goes with it.
#[tokio::test]
async fn a_sidecar_that_leaves_counts_no_more() {
    let server = Server::start(1).await;
    let mut client = server.open(clusters()).await;
    client.next().await.unwrap();
    assert_eq!(server.server.hub.ack_tracker.convergence(1).connected, 1);
    drop(client);
    server.until("gone", |hub| hub.ack_tracker.convergence(1).connected == 0).await;
    server.until("room", |hub| hub.streams.taken() == 0).await;
}

/// Checklist line 1: the first request must say who it is.
#[tokio::test]
async fn a_stream_without_a_node_is_refused() {
    let server = Server::start(10).await;
    let nobody = DiscoveryRequest { node: None, ..clusters() };
    assert_eq!(server.open(nobody).await.refusal().await.code(), Code::InvalidArgument);
    let nameless = DiscoveryRequest { node: node("", "demo"), ..clusters() };
    assert_eq!(server.open(nameless).await.refusal().await.code(), Code::InvalidArgument);
    let endless = DiscoveryRequest { node: node(&"x".repeat(1000), "demo"), ..clusters() };
    assert_eq!(server.open(endless).await.refusal().await.code(), Code::InvalidArgument);
    assert_eq!(server.server.hub.counters.refused.get(), 3);
}

#[tokio::test]
async fn an_unknown_fleet_is_refused() {
    let server = Server::start(10).await;
    let stranger = DiscoveryRequest { node: node("sidecar", "nowhere"), ..clusters() };
    let refusal = server.open(stranger).await.refusal().await;
    assert_eq!(refusal.code(), Code::NotFound);
    assert!(refusal.message().contains("nowhere"), "{refusal:?}");
}

/// Checklist line 2.
#[tokio::test]
async fn an_unknown_type_is_refused() {
    let server = Server::start(10).await;
    for type_url in ["", "type.googleapis.com/no.such.Type"] {
        let request = DiscoveryRequest { type_url: type_url.to_owned(), ..clusters() };
        let refusal = server.open(request).await.refusal().await;
        assert_eq!(refusal.code(), Code::InvalidArgument, "{type_url}");
    }
}

/// Checklist line 55: what is too large ends its own stream and no other.
#[tokio::test]
async fn a_huge_request_hurts_only_its_own_stream() {
    let server = Server::start(10).await;
    let mut good = server.open(clusters()).await;
    let first = good.next().await.unwrap();
    good.answer(&first, None).await;

    let huge = DiscoveryRequest { resource_names: vec!["x".repeat(10_000_000)], ..clusters() };
    assert_eq!(server.open(huge).await.refusal().await.code(), Code::OutOfRange);
    let many = DiscoveryRequest {
        resource_names: (0..20_000).map(|name| name.to_string()).collect(),
        ..clusters()
    };
    assert_eq!(server.open(many).await.refusal().await.code(), Code::ResourceExhausted);

    server.snapshots.send_replace(set(2, &["a", "b"]));
    assert_eq!(good.next().await.unwrap().resources.len(), 2);
}

#[tokio::test]
async fn too_many_streams_are_turned_away() {
    let server = Server::start(1).await;
    let mut first = server.open(clusters()).await;
    first.next().await.unwrap();
    let (_sender, receiver) = mpsc::channel(1);
    let mut client = AggregatedDiscoveryServiceClient::new(server.channel().await);
    let second = client.stream_aggregated_resources(ReceiverStream::new(receiver)).await;
    let refusal = second.unwrap_err();
    assert_eq!(refusal.code(), Code::ResourceExhausted);
    assert!(refusal.message().contains("this client has 1"), "{refusal}");
    assert_eq!(server.server.hub.access.refusals().count(Reason::Streams), 1);
    assert_eq!(server.server.hub.counters.overload.get(), 1);
}

/// Checklist line 2: a service of one type needs no type URL, and takes no other.
#[tokio::test]
async fn single_services_serve_their_type() {
    let server = Server::start(10).await;
    let mut client = ClusterDiscoveryServiceClient::new(server.channel().await);
    let request = DeltaDiscoveryRequest { node: node("sidecar", "demo"), ..Default::default() };
    let stream = client.delta_clusters(tokio_stream::iter([request.clone()])).await;
    let response = stream.unwrap().into_inner().message().await.unwrap().unwrap();
    assert_eq!(response.resources[0].name, "a");

    let wrong = DeltaDiscoveryRequest { type_url: Kind::Route.type_url().to_owned(), ..request };
    let stream = client.delta_clusters(tokio_stream::iter([wrong])).await;
    let refusal = stream.unwrap().into_inner().message().await.unwrap_err();
    assert_eq!(refusal.code(), Code::InvalidArgument);

    let polled = client.fetch_clusters(clusters()).await;
    assert_eq!(polled.unwrap_err().code(), Code::Unimplemented);
}

/// Checklist line 26: locators and their parameters are not implemented by anyone; they are passed
/// over, and names beside them count.
#[tokio::test]
async fn locators_are_passed_over() {
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
