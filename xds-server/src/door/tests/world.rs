//! A whole server behind a door, and clients of all kinds.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tidegate_core::config::FilterConfig;
use tidegate_proto::envoy::envoy::config::cluster::v3::Cluster;
use tidegate_proto::envoy::envoy::config::core::v3::Node;
use tidegate_proto::envoy::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use tidegate_proto::envoy::envoy::service::discovery::v3::{DiscoveryRequest, DiscoveryResponse};
use tidegate_proto::report::v1::report_service_client::ReportServiceClient;
use tidegate_proto::report::v1::report_service_server::ReportServiceServer;
use tidegate_proto::report::v1::{ReportRequest, ReportResponse};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{Notify, mpsc, watch};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Status, Streaming};

use super::ca::{Ca, Pair};
use crate::clock::Clock;
use crate::counters::Counters;
use crate::door::access::Access;
use crate::door::refusals::{Reason, Refusals};
use crate::door::tls::reload::{Certificates, TlsStats};
use crate::door::{Door, Limits};
use crate::telemetry::Telemetry;
use crate::telemetry::grpc::{FilterConfigs, Reports};
use crate::xds::fleet::AckTracker;
use crate::xds::serve::{XdsServer, transport};
use tidegate_delivery::units::Timestamp;
use tidegate_xds::kind::Kind;
use tidegate_xds::resources::{FleetSnapshot, Resource, SnapshotSet};

/// How long a busy machine may take for anything.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// The fleet, which takes whoever is below this, and whoever carries the name of its node.
pub(super) const FLEET: &str = "shop";
const IDENTITIES: [&str; 2] =
    ["spiffe://example.org/ns/shop/*", "spiffe://example.org/node/{node}"];

pub(super) struct World {
    pub(super) ca: Ca,
    pub(super) dir: TempDir,
    pub(super) address: SocketAddr,
    pub(super) door: Arc<Door>,
    pub(super) tls: Arc<TlsStats>,
    pub(super) snapshots: watch::Sender<Arc<SnapshotSet>>,
}

struct NoConfigs;

impl FilterConfigs for NoConfigs {
    fn of(&self, _: &str) -> Option<Arc<FilterConfig>> {
        None
    }
}

pub(super) fn set(serial: u64) -> Arc<SnapshotSet> {
    let name = format!("cluster-{serial}");
    let cluster = Cluster { name: name.clone(), ..Cluster::default() };
    let cluster = Arc::new(Resource::encode(Kind::Cluster, &name, &cluster, Vec::new()));
    let snapshot = |name: &str| {
        FleetSnapshot::new(name.parse().unwrap(), serial, &[Arc::clone(&cluster)], None)
    };
    Arc::new(SnapshotSet::new(serial, [snapshot(FLEET), snapshot("other")]))
}

impl World {
    /// A server for clients with certificates.
    pub(super) async fn start(limits: Limits) -> Self {
        Self::serve(limits, true).await
    }

    /// A server for anybody.
    pub(super) async fn plaintext(limits: Limits) -> Self {
        Self::serve(limits, false).await
    }

    async fn serve(limits: Limits, tls: bool) -> Self {
        let (ca, dir) = (Ca::new(), tempfile::tempdir().unwrap());
        let certificates = Certificates::load(ca.server(dir.path())).unwrap();
        let stats = certificates.stats();
        let newest = tls.then(|| certificates.newest());
        // A thousand times as often as in earnest.
        tokio::spawn(certificates.follow(Duration::from_millis(5)));
        let refusals = Arc::new(Refusals::default());
        let fleet = |name: &str, identities: &[&str]| {
            let identities = identities.iter().map(|it| it.parse().unwrap()).collect();
            (name.parse().unwrap(), identities)
        };
        let fleets =
            [fleet(FLEET, &IDENTITIES), fleet("other", &["spiffe://example.org/ns/other"])];
        let access = Arc::new(if tls {
            Access::by_identity(fleets.into(), Arc::clone(&refusals))
        } else {
            Access::for_anybody(Arc::clone(&refusals))
        });
        let clock = Clock::new(|| Timestamp(0));
        let snapshots = watch::Sender::new(set(1));
        let counters = Arc::new(Counters::default());
        let xds = XdsServer::new(
            snapshots.subscribe(),
            AckTracker::new(clock.clone()),
            counters,
            Arc::clone(&access),
        );
        let telemetry = Arc::new(Telemetry::new(Arc::new(Notify::new())));
        let reports = Reports::new(telemetry, NoConfigs, access, clock);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let door = Door::new(newest, limits, refusals);
        let routes = xds.routes().add_service(ReportServiceServer::new(reports));
        let server = transport().add_routes(routes).serve_with_incoming(door.open(listener));
        tokio::spawn(async move {
            server.await.unwrap();
            drop(xds);
        });
        Self { ca, dir, address, door, tls: stats, snapshots }
    }

    /// A connection of whoever has this certificate.
    pub(super) async fn shake(&self, pair: Option<&Pair>) -> std::io::Result<TlsStream<TcpStream>> {
        shake(TcpStream::connect(self.address).await?, &self.ca, pair).await
    }

    /// A channel for calls, of whoever has this certificate.
    pub(super) async fn channel(&self, pair: &Pair) -> Channel {
        self.channel_from(Ipv4Addr::LOCALHOST, pair).await.unwrap()
    }

    /// The same, from an address of its own.
    pub(super) async fn channel_from(
        &self,
        from: Ipv4Addr,
        pair: &Pair,
    ) -> Result<Channel, tonic::transport::Error> {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(IpAddr::V4(from), 0)).unwrap();
        let tcp = socket.connect(self.address).await.unwrap();
        let mut stream = shake(tcp, &self.ca, Some(pair)).await.ok();
        // Once: a channel that is broken stays so.
        let connector = tower::service_fn(move |_| {
            let stream = stream.take().map(TokioIo::new);
            async move { stream.ok_or(std::io::Error::from(std::io::ErrorKind::ConnectionReset)) }
        });
        Endpoint::from_static("http://localhost").connect_with_connector(connector).await
    }

    /// Waits until somebody was turned away for this reason, so many times.
    pub(super) async fn until_refused(&self, reason: Reason, count: u64) {
        let asked = format!("{count} refused for {}", reason.label());
        until(&asked, || self.door.refusals().count(reason) == count).await;
    }
}

/// Waits until something is so.
pub(super) async fn until(what: &str, condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, wait).await.is_ok(), "never: {what}");
}

async fn shake(
    tcp: TcpStream,
    ca: &Ca,
    pair: Option<&Pair>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.pem.as_bytes()).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match pair {
        None => builder.with_no_client_auth(),
        Some(pair) => {
            let chain = vec![CertificateDer::from_pem_slice(pair.cert.as_bytes()).unwrap()];
            let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    TlsConnector::from(Arc::new(config)).connect("localhost".try_into().unwrap(), tcp).await
}

/// An ADS stream.
pub(super) struct Stream {
    requests: mpsc::Sender<DiscoveryRequest>,
    replies: Streaming<DiscoveryResponse>,
}

/// Opens one, and asks for clusters.
pub(super) async fn open(channel: &Channel, fleet: &str, node: &str) -> Result<Stream, Status> {
    let (requests, receiver) = mpsc::channel(8);
    let first = DiscoveryRequest {
        node: Some(Node { id: node.into(), cluster: fleet.into(), ..Node::default() }),
        type_url: Kind::Cluster.type_url().to_owned(),
        ..DiscoveryRequest::default()
    };
    requests.send(first).await.unwrap();
    let mut client = AggregatedDiscoveryServiceClient::new(channel.clone());
    let replies = client.stream_aggregated_resources(ReceiverStream::new(receiver)).await?;
    Ok(Stream { requests, replies: replies.into_inner() })
}

impl Stream {
    /// Takes and accepts what comes.
    pub(super) async fn next(&mut self) -> Result<DiscoveryResponse, Status> {
        let next = tokio::time::timeout(PATIENCE, self.replies.message());
        let response = next.await.unwrap()?.expect("a response or an error");
        let accepted = DiscoveryRequest {
            version_info: response.version_info.clone(),
            response_nonce: response.nonce.clone(),
            type_url: response.type_url.clone(),
            ..DiscoveryRequest::default()
        };
        self.requests.send(accepted).await.unwrap();
        Ok(response)
    }
}

/// What becomes of a stream.
pub(super) async fn asks(channel: &Channel, fleet: &str, node: &str) -> Result<(), Status> {
    open(channel, fleet, node).await?.next().await.map(drop)
}

/// What becomes of a report.
pub(super) async fn reports(
    channel: &Channel,
    fleet: &str,
    node: &str,
) -> Result<ReportResponse, Status> {
    let report = ReportRequest {
        node_id: node.into(),
        fleet: fleet.into(),
        sequence: 1,
        ..ReportRequest::default()
    };
    Ok(ReportServiceClient::new(channel.clone()).report(report).await?.into_inner())
}
