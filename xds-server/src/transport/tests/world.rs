//! A server with xDS and reports on a real port, and clients.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tempfile::TempDir;
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
use crate::auth::access::Access;
use crate::clock::Clock;
use crate::rejections::{Reason, Rejections};
use crate::telemetry::Telemetry;
use crate::telemetry::grpc::{FilterConfigs, Reports};
use crate::transport::tls::{CertificateReloader, TlsMetrics};
use crate::transport::{Acceptor, Limits};
use crate::xds::fleet::AckTracker;
use crate::xds::fleet::reporters::Reporters;
use crate::xds::metrics::XdsMetrics;
use crate::xds::serve::{XdsServer, grpc_server};
use tidegate_delivery::units::Timestamp;
use tidegate_xds::kind::Kind;
use tidegate_xds::resources::EncodedConfig;
use tidegate_xds::resources::{FleetSnapshot, Resource, SnapshotSet};

/// Time limit of every wait, long enough for a busy machine.
pub(super) const WAIT: Duration = Duration::from_secs(60);
/// The fleet, with identities that are shared and identities that name their node.
pub(super) const FLEET: &str = "shop";
const IDENTITIES: [&str; 2] =
    ["spiffe://example.org/ns/shop/*", "spiffe://example.org/node/{node}"];

pub(super) struct World {
    pub(super) ca: Ca,
    pub(super) dir: TempDir,
    pub(super) address: SocketAddr,
    pub(super) acceptor: Arc<Acceptor>,
    pub(super) tls: TlsMetrics,
    pub(super) snapshots: watch::Sender<Arc<SnapshotSet>>,
}

struct NoConfigs;

impl FilterConfigs for NoConfigs {
    fn of(&self, _: &str) -> Option<Arc<EncodedConfig>> {
        None
    }

    fn is_current(&self, _: &str, _: &str) -> bool {
        false
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
    /// A server with mutual TLS.
    pub(super) async fn start(limits: Limits) -> Self {
        Self::serve(limits, true).await
    }

    /// A plaintext server.
    pub(super) async fn plaintext(limits: Limits) -> Self {
        Self::serve(limits, false).await
    }

    async fn serve(limits: Limits, tls: bool) -> Self {
        let (ca, dir) = (Ca::new(), tempfile::tempdir().unwrap());
        let certificates = CertificateReloader::load(ca.server(dir.path())).unwrap();
        let metrics = certificates.metrics();
        let tls_config = tls.then(|| certificates.subscribe());
        tokio::spawn(certificates.run(Duration::from_millis(5)));
        let rejections = Arc::new(Rejections::default());
        let fleet = |name: &str, identities: &[&str]| {
            let identities = identities.iter().map(|it| it.parse().unwrap()).collect();
            (name.parse().unwrap(), identities)
        };
        let fleets =
            [fleet(FLEET, &IDENTITIES), fleet("other", &["spiffe://example.org/ns/other"])];
        let access = Arc::new(if tls {
            Access::by_identity(fleets.into(), Arc::clone(&rejections))
        } else {
            Access::unrestricted(Arc::clone(&rejections))
        });
        let clock = Clock::new(|| Timestamp(0));
        let snapshots = watch::Sender::new(set(1));
        let ack_tracker = AckTracker::new(clock.clone());
        let xds = XdsServer::new(
            snapshots.subscribe(),
            Arc::clone(&ack_tracker),
            XdsMetrics::default(),
            Arc::clone(&access),
        );
        let telemetry = Arc::new(Telemetry::new(Arc::new(Notify::new())));
        let reporters = Arc::new(Reporters::new(Arc::default(), ack_tracker.times()));
        let reports = Reports::new(telemetry, NoConfigs, access, ack_tracker, reporters, clock);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = Acceptor::new(tls_config, limits, rejections);
        let routes = xds.routes().add_service(ReportServiceServer::new(reports));
        let incoming = acceptor.incoming(listener);
        let server = grpc_server().add_routes(routes).serve_with_incoming(incoming);
        tokio::spawn(async move {
            server.await.unwrap();
            drop(xds);
        });
        Self { ca, dir, address, acceptor, tls: metrics, snapshots }
    }

    /// Connects with this client certificate.
    pub(super) async fn connect_tls(
        &self,
        pair: Option<&Pair>,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        connect_tls(TcpStream::connect(self.address).await?, &self.ca, pair).await
    }

    /// A channel with this client certificate.
    pub(super) async fn channel(&self, pair: &Pair) -> Channel {
        self.channel_from(Ipv4Addr::LOCALHOST, pair).await.unwrap()
    }

    /// A channel from another local address.
    pub(super) async fn channel_from(
        &self,
        from: Ipv4Addr,
        pair: &Pair,
    ) -> Result<Channel, tonic::transport::Error> {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(IpAddr::V4(from), 0)).unwrap();
        let tcp = socket.connect(self.address).await.unwrap();
        let mut stream = connect_tls(tcp, &self.ca, Some(pair)).await.ok();
        // Connects once, so that a channel does not reconnect.
        let connector = tower::service_fn(move |_| {
            let stream = stream.take().map(TokioIo::new);
            async move { stream.ok_or(std::io::Error::from(std::io::ErrorKind::ConnectionReset)) }
        });
        Endpoint::from_static("http://localhost").connect_with_connector(connector).await
    }

    /// Waits until this many rejections have this reason.
    pub(super) async fn until_rejected(&self, reason: Reason, count: u64) {
        let what = format!("{count} rejections with reason {}", reason.label());
        until(&what, || self.acceptor.rejections().count(reason) == count).await;
    }
}

/// Waits until a condition holds.
pub(super) async fn until(what: &str, condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(WAIT, wait).await.is_ok(), "never: {what}");
}

async fn connect_tls(
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
    responses: Streaming<DiscoveryResponse>,
}

/// Opens an ADS stream and requests clusters.
pub(super) async fn open_ads(channel: &Channel, fleet: &str, node: &str) -> Result<Stream, Status> {
    let (requests, receiver) = mpsc::channel(8);
    let first = DiscoveryRequest {
        node: Some(Node { id: node.into(), cluster: fleet.into(), ..Node::default() }),
        type_url: Kind::Cluster.type_url().to_owned(),
        ..DiscoveryRequest::default()
    };
    requests.send(first).await.unwrap();
    let mut client = AggregatedDiscoveryServiceClient::new(channel.clone());
    let responses = client.stream_aggregated_resources(ReceiverStream::new(receiver)).await?;
    Ok(Stream { requests, responses: responses.into_inner() })
}

impl Stream {
    /// Receives a response and ACKs it.
    pub(super) async fn next(&mut self) -> Result<DiscoveryResponse, Status> {
        let next = tokio::time::timeout(WAIT, self.responses.message());
        let response = next.await.unwrap()?.expect("a response or an error");
        let ack = DiscoveryRequest {
            version_info: response.version_info.clone(),
            response_nonce: response.nonce.clone(),
            type_url: response.type_url.clone(),
            ..DiscoveryRequest::default()
        };
        self.requests.send(ack).await.unwrap();
        Ok(response)
    }
}

/// Opens an ADS stream, and returns the status of its first response.
pub(super) async fn open_stream(channel: &Channel, fleet: &str, node: &str) -> Result<(), Status> {
    open_ads(channel, fleet, node).await?.next().await.map(drop)
}

/// Sends a report.
pub(super) async fn send_report(
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
