//! Simulated sidecars: real gRPC streams that subscribe as Envoy does, and ACK every response.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use hyper_util::rt::TokioIo;
use prost::Message;
use tidegate_proto::envoy::envoy::config::core::v3::Node;
use tidegate_proto::envoy::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_stream::wrappers::ReceiverStream;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint, Error};
use tonic::{Request, Streaming};
use tonic_prost::ProstCodec;
use tower::service_fn;

use crate::ack_rounds::AckRounds;
use crate::certificates::{self, Authority};

/// The fleet of all sidecars.
pub(crate) const FLEET: &str = "fleet";
/// The route configuration of that listener.
const ROUTES: &str = "fleet/ingress";
/// Delta ADS.
const PATH: &str =
    "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";
/// Pause before a reconnect.
const RETRY: Duration = Duration::from_millis(100);

const CLUSTER: &str = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
const ENDPOINT: &str = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";
const LISTENER: &str = "type.googleapis.com/envoy.config.listener.v3.Listener";
const EXTENSION: &str = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig";
/// The type of the push of a weight change.
pub(crate) const ROUTE: &str = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration";

/// The types, in the order in which Envoy subscribes to them.
pub(crate) const TYPES: [&str; 5] = [CLUSTER, ENDPOINT, LISTENER, EXTENSION, ROUTE];

/// A delta response. The resources' contents are not decoded, to leave CPU time to the server.
#[derive(Clone, PartialEq, Message)]
struct Reply {
    #[prost(message, repeated, tag = "2")]
    resources: Vec<Named>,
    #[prost(string, tag = "4")]
    type_url: String,
    #[prost(string, tag = "5")]
    nonce: String,
}

#[derive(Clone, PartialEq, Message)]
struct Named {
    #[prost(string, tag = "3")]
    name: String,
}

/// A server, and the TLS configurations of the sidecars.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    /// One for each connection; empty in plaintext.
    connectors: Vec<TlsConnector>,
}

impl Server {
    /// A server with certificates of this authority; in plaintext without.
    pub(crate) fn new(address: SocketAddr, authority: Option<&Authority>) -> Self {
        let connectors = authority.map(|it| it.connectors().to_vec()).unwrap_or_default();
        Self { address, connectors }
    }

    /// A connection as the first sidecar.
    pub(crate) async fn channel(&self) -> Result<Channel> {
        let connector = self.connectors.first().cloned();
        Ok(connect(&self.endpoint()?, self.address, connector).await?)
    }

    fn endpoint(&self) -> Result<Endpoint> {
        Ok(Endpoint::from_shared(format!("http://{}", self.address))?.tcp_nodelay(true))
    }
}

/// A connected fleet. Dropping it breaks every connection at once.
#[derive(Debug)]
pub(crate) struct Sidecars {
    /// Counts the ACKs of route configurations.
    pub(crate) ack_rounds: Arc<AckRounds>,
    /// Number of sidecars.
    pub(crate) count: usize,
    tasks: JoinSet<()>,
}

impl Sidecars {
    /// Connects all sidecars at once. The caller awaits `ack_rounds.last()`: then each has its first routes.
    pub(crate) fn start(server: &Server, count: usize, per_connection: usize) -> Result<Self> {
        let ack_rounds = Arc::new(AckRounds::default());
        ack_rounds.start(count);
        let mut tasks = JoinSet::new();
        let (endpoint, address) = (server.endpoint()?, server.address);
        for connection in 0..count.div_ceil(per_connection) {
            let first = connection * per_connection;
            let ids = first..count.min(first + per_connection);
            let (endpoint, ack_rounds) = (endpoint.clone(), Arc::clone(&ack_rounds));
            let connector = server.connectors.get(first).cloned();
            tasks.spawn(async move {
                let channel = loop {
                    match connect(&endpoint, address, connector.clone()).await {
                        Ok(channel) => break channel,
                        Err(_) => tokio::time::sleep(RETRY).await,
                    }
                };
                let mut streams: JoinSet<()> =
                    ids.map(|id| live(id, channel.clone(), Arc::clone(&ack_rounds))).collect();
                while streams.join_next().await.is_some() {}
            });
        }
        Ok(Self { ack_rounds, count, tasks })
    }

    /// Breaks every connection, and waits until all tasks have ended.
    pub(crate) async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

async fn connect(
    endpoint: &Endpoint,
    address: SocketAddr,
    connector: Option<TlsConnector>,
) -> Result<Channel, Error> {
    let Some(connector) = connector else { return endpoint.connect().await };
    let tls = service_fn(move |_| {
        let connecting = certificates::connect(address, connector.clone());
        async { connecting.await.map(TokioIo::new) }
    });
    endpoint.connect_with_connector(tls).await
}

/// One sidecar, which reconnects whenever its stream ends.
async fn live(id: usize, channel: Channel, ack_rounds: Arc<AckRounds>) {
    while converse(id, channel.clone(), &ack_rounds).await.is_err() {
        tokio::time::sleep(RETRY).await;
    }
}

async fn converse(id: usize, channel: Channel, ack_rounds: &AckRounds) -> Result<()> {
    let (sender, receiver) = mpsc::channel(8);
    sender.send(hello(id)).await?;
    let mut grpc = Grpc::new(channel).max_decoding_message_size(usize::MAX);
    grpc.ready().await?;
    let codec: ProstCodec<DeltaDiscoveryRequest, Reply> = ProstCodec::default();
    let call = Request::new(ReceiverStream::new(receiver));
    let mut replies: Streaming<Reply> =
        grpc.streaming(call, PathAndQuery::from_static(PATH), codec).await?.into_inner();
    let (mut subscribed, mut answered) = (Subscribed::default(), 0);
    while let Some(reply) = replies.message().await? {
        sender.send(accept(&reply.type_url, &reply.nonce)).await?;
        if reply.type_url == ROUTE {
            ack_rounds.ack(&mut answered);
        }
        let names: Vec<_> = reply.resources.iter().map(|it| it.name.as_str()).collect();
        for request in subscribed.after(&reply.type_url, &names) {
            sender.send(request).await?;
        }
    }
    bail!("the stream ended")
}

/// Subscriptions so far: a sidecar subscribes to a type when it has received the one before.
#[derive(Debug, Default)]
pub(crate) struct Subscribed {
    endpoints: bool,
    listeners: bool,
    routes: bool,
}

impl Subscribed {
    /// The requests that follow a response with resources of these names.
    pub(crate) fn after(&mut self, type_url: &str, names: &[&str]) -> Vec<DeltaDiscoveryRequest> {
        let first = |asked: &mut bool| !std::mem::replace(asked, true);
        match type_url {
            CLUSTER if first(&mut self.endpoints) => {
                // The clusters of services use EDS, and have a slash in their names.
                let names: Vec<_> =
                    names.iter().copied().filter(|name| name.contains('/')).collect();
                vec![subscribe(ENDPOINT, &names)]
            }
            ENDPOINT if first(&mut self.listeners) => vec![subscribe(LISTENER, &["*"])],
            LISTENER if first(&mut self.routes) => {
                vec![subscribe(EXTENSION, &["tidegate"]), subscribe(ROUTE, &[ROUTES])]
            }
            _ => Vec::new(),
        }
    }
}

/// The first request of a stream.
pub(crate) fn hello(id: usize) -> DeltaDiscoveryRequest {
    let node = Node { id: format!("sidecar-{id}"), cluster: FLEET.to_owned(), ..Node::default() };
    DeltaDiscoveryRequest { node: Some(node), ..subscribe(CLUSTER, &["*"]) }
}

/// The ACK of a response.
pub(crate) fn accept(type_url: &str, nonce: &str) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        type_url: type_url.to_owned(),
        response_nonce: nonce.to_owned(),
        ..DeltaDiscoveryRequest::default()
    }
}

/// The first request of a type.
fn subscribe(type_url: &str, names: &[&str]) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        type_url: type_url.to_owned(),
        resource_names_subscribe: names.iter().map(ToString::to_string).collect(),
        ..DeltaDiscoveryRequest::default()
    }
}
