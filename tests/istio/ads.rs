//! A discovery server for one Envoy, in place of istiod: state of the world, one stream for all types.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anyhow::Result;
use tidegate_proto::envoy::envoy::service::discovery::v3::aggregated_discovery_service_server::{
    AggregatedDiscoveryService, AggregatedDiscoveryServiceServer,
};
use tidegate_proto::envoy::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

use super::resource::Resource;

/// Resources by type URL.
type Resources = BTreeMap<String, Vec<Resource>>;
type Responses<T> = ReceiverStream<Result<T, Status>>;

/// Dropping it ends the server.
#[derive(Debug)]
pub(crate) struct Ads {
    pub(crate) address: SocketAddr,
    resources: watch::Sender<Resources>,
    server: JoinHandle<()>,
}

impl Ads {
    pub(crate) async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let resources = watch::Sender::default();
        let service = AggregatedDiscoveryServiceServer::new(Service(resources.clone()));
        let server = tokio::spawn(async move {
            let incoming = TcpListenerStream::new(listener);
            let server = Server::builder().add_service(service);
            server.serve_with_incoming(incoming).await.unwrap();
        });
        Ok(Self { address, resources, server })
    }

    /// Replaces the resources of the types among them, and sends them to an Envoy that has subscribed to them.
    pub(crate) fn replace(&self, new: impl IntoIterator<Item = Resource>) {
        self.resources.send_modify(|resources| {
            let mut by_type = Resources::new();
            for resource in new {
                by_type.entry(resource.message.type_url.clone()).or_default().push(resource);
            }
            resources.extend(by_type);
        });
    }
}

impl Drop for Ads {
    fn drop(&mut self) {
        self.server.abort();
    }
}

struct Service(watch::Sender<Resources>);

#[tonic::async_trait]
impl AggregatedDiscoveryService for Service {
    type StreamAggregatedResourcesStream = Responses<DiscoveryResponse>;
    type DeltaAggregatedResourcesStream = Responses<DeltaDiscoveryResponse>;

    async fn stream_aggregated_resources(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamAggregatedResourcesStream>, Status> {
        let (sender, receiver) = mpsc::channel(16);
        let stream = Stream { sender, subscribed: BTreeMap::new(), nonce: 0 };
        tokio::spawn(stream.run(request.into_inner(), self.0.subscribe()));
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn delta_aggregated_resources(
        &self,
        _: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        Err(Status::unimplemented("state of the world only"))
    }
}

struct Stream {
    sender: mpsc::Sender<Result<DiscoveryResponse, Status>>,
    /// By type URL.
    subscribed: BTreeMap<String, Subscription>,
    nonce: u64,
}

#[derive(Default)]
struct Subscription {
    /// None: all.
    names: Vec<String>,
    sent: Option<Vec<Resource>>,
}

impl Stream {
    /// Ends with the Envoy's stream. What it rejects is in its log.
    async fn run(
        mut self,
        mut requests: Streaming<DiscoveryRequest>,
        mut resources: watch::Receiver<Resources>,
    ) {
        loop {
            tokio::select! {
                request = requests.message() => {
                    let Ok(Some(request)) = request else { return };
                    let subscription = self.subscribed.entry(request.type_url).or_default();
                    subscription.names = request.resource_names;
                }
                changed = resources.changed() => if changed.is_err() { return },
            }
            let current = resources.borrow_and_update().clone();
            if !self.send_changed(&current).await {
                return;
            }
        }
    }

    /// Sends the resources of each subscribed type, if they are not those that were sent last.
    async fn send_changed(&mut self, current: &Resources) -> bool {
        for (type_url, subscription) in &mut self.subscribed {
            let names = &subscription.names;
            let all = current.get(type_url).into_iter().flatten();
            let wanted = all.filter(|it| names.is_empty() || names.contains(&it.name));
            let wanted: Vec<Resource> = wanted.cloned().collect();
            if wanted.is_empty() || subscription.sent.as_ref() == Some(&wanted) {
                continue;
            }
            self.nonce += 1;
            let response = DiscoveryResponse {
                version_info: self.nonce.to_string(),
                nonce: self.nonce.to_string(),
                type_url: type_url.clone(),
                resources: wanted.iter().map(|it| it.message.clone()).collect(),
                ..DiscoveryResponse::default()
            };
            subscription.sent = Some(wanted);
            if self.sender.send(Ok(response)).await.is_err() {
                return false;
            }
        }
        true
    }
}
