//! Health, reflection and client status on a real port, beside real streams.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;
use tidegate_proto::envoy::envoy::config::cluster::v3::Cluster;
use tidegate_proto::envoy::envoy::config::core::v3::Node;
use tidegate_proto::envoy::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use tidegate_proto::envoy::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse,
};
use tidegate_proto::envoy::envoy::service::status::v3::client_status_discovery_service_client::ClientStatusDiscoveryServiceClient;
use tidegate_proto::envoy::envoy::service::status::v3::client_status_discovery_service_server::ClientStatusDiscoveryService as _;
use tidegate_proto::envoy::envoy::service::status::v3::{
    ClientConfig, ClientStatusRequest, ConfigStatus,
};
use tidegate_proto::envoy::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use tidegate_proto::envoy::envoy::r#type::matcher::v3::{
    NodeMatcher, RegexMatcher, StringMatcher, StructMatcher,
};
use tidegate_proto::envoy::google::rpc::Status as Error;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::transport::Channel;
use tonic::{Code, Request, Status, Streaming};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};

use super::status::ClientStatus;
use crate::auth::access::Access;
use crate::clock::Clock;
use crate::xds::fleet::AckTracker;
use crate::xds::metrics::XdsMetrics;
use crate::xds::serve::{XdsServer, grpc_server};
use tidegate_delivery::units::Timestamp;
use tidegate_xds::kind::Kind;
use tidegate_xds::protocol::SyncState;
use tidegate_xds::resources::{FleetSnapshot, Resource, SnapshotSet};

/// Time limit of every wait, long enough for a busy machine.
const WAIT: Duration = Duration::from_secs(60);

struct Port {
    address: SocketAddr,
    snapshots: watch::Sender<Arc<SnapshotSet>>,
    xds: XdsServer,
    ack_tracker: Arc<AckTracker>,
}

/// The fleet `demo` with clusters of these names and contents.
fn set(serial: u64, clusters: &[(&str, &str)]) -> Arc<SnapshotSet> {
    let resource = |(name, content): &(&str, &str)| {
        let alt_stat_name = (*content).to_owned();
        let message = Cluster { name: (*name).to_owned(), alt_stat_name, ..Cluster::default() };
        Arc::new(Resource::encode(Kind::Cluster, name, &message, Vec::new()))
    };
    let clusters: Vec<_> = clusters.iter().map(resource).collect();
    let snapshot = FleetSnapshot::new("demo".parse().unwrap(), serial, &clusters, None);
    Arc::new(SnapshotSet::new(serial, [snapshot]))
}

impl Port {
    async fn start(first: Arc<SnapshotSet>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let snapshots = watch::Sender::new(first);
        let ack_tracker = AckTracker::new(Clock::new(|| Timestamp(1_500)));
        let xds = XdsServer::new(
            snapshots.subscribe(),
            Arc::clone(&ack_tracker),
            XdsMetrics::default(),
            Arc::new(Access::unrestricted(Arc::default())),
        );
        let own = (snapshots.subscribe(), xds.draining(), Arc::clone(&ack_tracker));
        let routes = super::add_to(xds.routes(), own.0, own.1, own.2).unwrap();
        let incoming = TcpListenerStream::new(listener);
        tokio::spawn(grpc_server().add_routes(routes).serve_with_incoming(incoming));
        Self { address, snapshots, xds, ack_tracker }
    }

    async fn channel(&self) -> Channel {
        let endpoint = Channel::from_shared(format!("http://{}", self.address)).unwrap();
        endpoint.connect().await.unwrap()
    }

    /// A sidecar that has requested clusters.
    async fn sidecar(&self, id: &str) -> Sidecar {
        let (requests, receiver) = mpsc::channel(8);
        let node = Node { id: id.to_owned(), cluster: "demo".to_owned(), ..Node::default() };
        let type_url = Kind::Cluster.type_url().to_owned();
        let names = vec!["*".to_owned(), "missing".to_owned()];
        let request = DeltaDiscoveryRequest {
            node: Some(node),
            type_url,
            resource_names_subscribe: names,
            ..DeltaDiscoveryRequest::default()
        };
        requests.send(request).await.unwrap();
        let mut client = AggregatedDiscoveryServiceClient::new(self.channel().await);
        let stream = client.delta_aggregated_resources(ReceiverStream::new(receiver));
        Sidecar { requests, responses: stream.await.unwrap().into_inner() }
    }

    /// Waits until a sidecar's clusters have these states, by name.
    async fn until(&self, node: &str, expected: &[(&str, SyncState)]) {
        let fleet = "demo".parse().unwrap();
        let mut last = None;
        let wait = async {
            loop {
                let inspection = self.ack_tracker.inspect(&fleet, node).await;
                let stream = inspection.streams.first();
                let report = stream.and_then(|stream| stream.types.get(&Kind::Cluster));
                let holdings = report.map(|report| {
                    let it = report.holdings.iter();
                    it.map(|it| (it.name.to_string(), it.state)).collect::<Vec<_>>()
                });
                let wanted = expected.iter().map(|(name, state)| ((*name).to_owned(), *state));
                if holdings == Some(wanted.collect()) {
                    return;
                }
                last = holdings;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let done = tokio::time::timeout(WAIT, wait).await;
        assert!(done.is_ok(), "never: {expected:?}, last {last:?}");
    }

    async fn health(&self, service: &str) -> Result<ServingStatus, Code> {
        let request = HealthCheckRequest { service: service.to_owned() };
        let answer = HealthClient::new(self.channel().await).check(request).await;
        answer.map(|answer| answer.into_inner().status()).map_err(|status| status.code())
    }

    async fn status(&self, request: ClientStatusRequest) -> Result<Vec<ClientConfig>, Status> {
        let mut client = ClientStatusDiscoveryServiceClient::new(self.channel().await);
        client.fetch_client_status(request).await.map(|answer| answer.into_inner().config)
    }
}

struct Sidecar {
    requests: mpsc::Sender<DeltaDiscoveryRequest>,
    responses: Streaming<DeltaDiscoveryResponse>,
}

impl Sidecar {
    async fn next(&mut self) -> DeltaDiscoveryResponse {
        let next = tokio::time::timeout(WAIT, self.responses.message());
        next.await.unwrap().unwrap().expect("a response")
    }

    async fn answer(&self, response: &DeltaDiscoveryResponse, error: Option<&str>) {
        let error_detail =
            error.map(|message| Error { message: message.to_owned(), ..Error::default() });
        let answer = DeltaDiscoveryRequest {
            type_url: response.type_url.clone(),
            response_nonce: response.nonce.clone(),
            error_detail,
            ..DeltaDiscoveryRequest::default()
        };
        self.requests.send(answer).await.unwrap();
    }
}

fn matching(pattern: MatchPattern) -> ClientStatusRequest {
    let node_id = StringMatcher { ignore_case: true, match_pattern: Some(pattern) };
    let matcher = NodeMatcher { node_id: Some(node_id), ..NodeMatcher::default() };
    ClientStatusRequest { node_matchers: vec![matcher], ..ClientStatusRequest::default() }
}

#[tokio::test]
async fn health_is_serving_from_the_first_publication_until_the_server_drains() {
    let port = Port::start(Arc::new(SnapshotSet::new(0, []))).await;
    let request = HealthCheckRequest::default();
    let mut client = HealthClient::new(port.channel().await);
    let mut watch = client.watch(request).await.unwrap().into_inner();
    let mut next = async || {
        let answer = tokio::time::timeout(WAIT, watch.message()).await.unwrap().unwrap();
        answer.map(|answer| answer.status())
    };
    assert_eq!(next().await, Some(ServingStatus::NotServing));
    assert_eq!(port.health("").await, Ok(ServingStatus::NotServing));

    port.snapshots.send_replace(set(1, &[]));
    assert_eq!(next().await, Some(ServingStatus::Serving));
    for service in [
        "",
        "envoy.service.discovery.v3.AggregatedDiscoveryService",
        "envoy.service.route.v3.RouteDiscoveryService",
        "envoy.service.status.v3.ClientStatusDiscoveryService",
        "tidegate.report.v1.ReportService",
    ] {
        assert_eq!(port.health(service).await, Ok(ServingStatus::Serving), "{service}");
    }
    assert_eq!(port.health("no.such.Service").await, Err(Code::NotFound));

    // Another publication does not change the status.
    port.snapshots.send_replace(set(2, &[("a", "")]));
    port.xds.drain().await;
    assert_eq!(next().await, Some(ServingStatus::NotServing));
    assert_eq!(next().await, None, "a watch would delay the end of the server");
    assert_eq!(port.health("").await, Ok(ServingStatus::NotServing));
}

#[tokio::test]
async fn a_watch_of_an_unknown_service_reports_service_unknown() {
    let port = Port::start(set(1, &[])).await;
    let request = HealthCheckRequest { service: "no.such.Service".to_owned() };
    let mut client = HealthClient::new(port.channel().await);
    let mut watch = client.watch(request).await.unwrap().into_inner();
    let answer = watch.message().await.unwrap().unwrap();
    assert_eq!(answer.status(), ServingStatus::ServiceUnknown);
}

#[tokio::test]
async fn reflection_describes_reports_and_health() {
    let port = Port::start(set(1, &[])).await;
    let ask = async |question| {
        let request =
            ServerReflectionRequest { host: String::new(), message_request: Some(question) };
        let mut client = ServerReflectionClient::new(port.channel().await);
        let answers = client.server_reflection_info(tokio_stream::iter([request])).await;
        let answer = answers.unwrap().into_inner().message().await.unwrap().unwrap();
        let ServerReflectionResponse { message_response, .. } = answer;
        message_response.unwrap()
    };
    let listed = ask(MessageRequest::ListServices(String::new())).await;
    let MessageResponse::ListServicesResponse(listed) = listed else {
        panic!("{listed:?}");
    };
    let names: Vec<_> = listed.service.iter().map(|service| service.name.as_str()).collect();
    for name in [
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "tidegate.report.v1.ReportService",
    ] {
        assert!(names.contains(&name), "{names:?}");
    }
    let symbol = "tidegate.report.v1.ReportService".to_owned();
    let found = ask(MessageRequest::FileContainingSymbol(symbol)).await;
    let MessageResponse::FileDescriptorResponse(found) = found else {
        panic!("{found:?}");
    };
    assert!(!found.file_descriptor_proto.is_empty());
}

#[tokio::test]
async fn client_status_contains_the_resources_sent_to_each_sidecar() {
    let port = Port::start(set(1, &[("a", "1")])).await;
    let mut sidecar = port.sidecar("Envoy-1").await;
    let _other = port.sidecar("other").await;
    let first = sidecar.next().await;
    port.until("Envoy-1", &[("a", SyncState::Sent), ("missing", SyncState::Sent)]).await;
    sidecar.answer(&first, None).await;
    port.until("Envoy-1", &[("a", SyncState::Acked), ("missing", SyncState::DoesNotExist)]).await;

    let configs = port.status(matching(MatchPattern::Prefix("envoy".to_owned()))).await.unwrap();
    let [client] = &*configs else { panic!("{configs:?}") };
    let node = client.node.as_ref().unwrap();
    assert_eq!((&*node.id, &*node.cluster), ("Envoy-1", "demo"));
    let [a, missing] = &*client.generic_xds_configs else { panic!("{client:?}") };
    assert_eq!((&*a.name, a.config_status()), ("a", ConfigStatus::Synced));
    assert_eq!(a.type_url, Kind::Cluster.type_url());
    assert_eq!(a.version_info, first.resources[0].version);
    assert_eq!(a.last_updated.as_ref().map(|at| (at.seconds, at.nanos)), Some((1, 500_000_000)));
    let sent = Cluster::decode(&*a.xds_config.as_ref().unwrap().value).unwrap();
    assert_eq!(sent.alt_stat_name, "1");
    assert_eq!((&*missing.name, missing.config_status()), ("missing", ConfigStatus::NotSent));

    // A NACK is included with its message and version.
    port.snapshots.send_replace(set(2, &[("a", "2")]));
    let second = sidecar.next().await;
    sidecar.answer(&second, Some("no such thing")).await;
    port.until("Envoy-1", &[("a", SyncState::Nacked), ("missing", SyncState::DoesNotExist)]).await;
    let request = ClientStatusRequest {
        exclude_resource_contents: true,
        ..matching(MatchPattern::Exact("ENVOY-1".to_owned()))
    };
    let configs = port.status(request).await.unwrap();
    let rejected = &configs[0].generic_xds_configs[0];
    assert_eq!(rejected.config_status(), ConfigStatus::Error);
    assert_eq!(rejected.xds_config, None);
    let error = rejected.error_state.as_ref().unwrap();
    assert_eq!(error.details, "no such thing");
    assert_eq!(error.version_info, second.system_version_info);

    let all = port.status(ClientStatusRequest::default()).await.unwrap();
    assert_eq!(all.len(), 2);
    let none = port.status(matching(MatchPattern::Suffix("x".to_owned()))).await.unwrap();
    assert!(none.is_empty());
}

#[tokio::test]
async fn client_status_on_a_stream_answers_each_request_until_the_server_drains() {
    let port = Port::start(set(1, &[("a", "1")])).await;
    let _sidecar = port.sidecar("one").await;
    port.until("one", &[("a", SyncState::Sent), ("missing", SyncState::Sent)]).await;
    let (requests, receiver) = mpsc::channel(2);
    let mut client = ClientStatusDiscoveryServiceClient::new(port.channel().await);
    requests.send(ClientStatusRequest::default()).await.unwrap();
    let answers = client.stream_client_status(ReceiverStream::new(receiver)).await;
    let mut answers = answers.unwrap().into_inner();
    for _ in 0..2 {
        let answer = answers.message().await.unwrap().unwrap();
        assert_eq!(answer.config[0].generic_xds_configs[0].config_status(), ConfigStatus::Stale);
        requests.send(ClientStatusRequest::default()).await.unwrap();
    }
    let _last = answers.message().await.unwrap().unwrap();
    port.xds.drain().await;
    let end = tokio::time::timeout(WAIT, answers.message()).await.unwrap();
    assert!(end.unwrap().is_none());
}

#[tokio::test]
async fn unsupported_matchers_are_errors() {
    let port = Port::start(set(1, &[])).await;
    let metadata =
        NodeMatcher { node_metadatas: vec![StructMatcher::default()], ..NodeMatcher::default() };
    let of = |matcher| ClientStatusRequest {
        node_matchers: vec![matcher],
        ..ClientStatusRequest::default()
    };
    let nothing = NodeMatcher { node_id: Some(StringMatcher::default()), ..NodeMatcher::default() };
    let many = ClientStatusRequest {
        node_matchers: vec![NodeMatcher::default(); 101],
        ..ClientStatusRequest::default()
    };
    let regex = matching(MatchPattern::SafeRegex(RegexMatcher::default()));
    for (request, words) in [
        (of(metadata), "node_metadatas"),
        (of(nothing), "`exact`"),
        (regex, "`exact`"),
        (many, "at most 100"),
    ] {
        let rejected = port.status(request).await.unwrap_err();
        assert_eq!(rejected.code(), Code::InvalidArgument);
        assert!(rejected.message().contains(words), "{rejected:?}");
    }
}

/// The error of a too large response names a smaller request, which succeeds.
#[tokio::test]
async fn client_status_is_bounded() {
    let large = "x".repeat(3 * 1024 * 1024);
    let port = Port::start(set(1, &[("a", &large)])).await;
    let (mut one, mut two) = (port.sidecar("one").await, port.sidecar("two").await);
    one.next().await;
    two.next().await;
    let rejected = port.status(ClientStatusRequest::default()).await.unwrap_err();
    assert_eq!(rejected.code(), Code::ResourceExhausted);
    assert!(rejected.message().contains("exclude_resource_contents"), "{rejected:?}");
    let less =
        ClientStatusRequest { exclude_resource_contents: true, ..ClientStatusRequest::default() };
    assert_eq!(port.status(less).await.unwrap().len(), 2);
}

/// A request without an address is rejected too.
#[tokio::test]
async fn client_status_requires_loopback() {
    let ack_tracker = AckTracker::new(Clock::new(|| Timestamp(0)));
    let draining = watch::Sender::new(false);
    let service = ClientStatus::new(ack_tracker, draining.subscribe());
    let request = Request::new(ClientStatusRequest::default());
    let rejected = service.fetch_client_status(request).await.unwrap_err();
    assert_eq!(rejected.code(), Code::PermissionDenied);
}
