//! A client with the requests of the conformance harness's client. It ACKs everything.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use prost::Message;
use tidegate::xds::adapter::Stamped;
use tidegate_proto::envoy::envoy::config::core::v3::Node;
use tidegate_proto::envoy::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use tidegate_proto::envoy::google::protobuf::Any;
use tidegate_xds::kind::{Kind, Mode};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic_prost::ProstCodec;

use crate::world::{NODE, WAIT_LIMIT, World};

/// A response of either variant: names, with the versions that the harness set.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) resources: Vec<(String, String)>,
    pub(crate) removed: Vec<String>,
    nonce: String,
    type_url: String,
}

/// A client with one stream, or one for each type.
pub(crate) struct Client {
    channel: Channel,
    mode: Mode,
    aggregated: bool,
    streams: BTreeMap<Option<Kind>, Stream>,
    subscribed: BTreeMap<Kind, Vec<String>>,
    nonces: BTreeMap<Kind, String>,
    received: u64,
}

enum Stream {
    Sotw(mpsc::Sender<DiscoveryRequest>, Streaming<DiscoveryResponse>),
    Delta(mpsc::Sender<DeltaDiscoveryRequest>, Streaming<DeltaDiscoveryResponse>),
}

impl Client {
    pub(crate) fn new(world: &World, mode: Mode, aggregated: bool) -> Self {
        Self {
            channel: world.channel.clone(),
            mode,
            aggregated,
            streams: BTreeMap::new(),
            subscribed: BTreeMap::new(),
            nonces: BTreeMap::new(),
            received: 0,
        }
    }

    /// Number of received responses.
    pub(crate) const fn received(&self) -> u64 {
        self.received
    }

    /// The subscribed names, by type.
    pub(crate) fn subscribed(&self) -> Vec<(Kind, Vec<String>)> {
        self.subscribed.iter().map(|(kind, names)| (*kind, names.clone())).collect()
    }

    /// Subscribes to more names; without names, to all.
    pub(crate) async fn subscribe(&mut self, kind: Kind, names: &[&str]) -> Result<()> {
        self.subscribed.entry(kind).or_default().extend(owned(names));
        self.request(kind, owned(names), Vec::new()).await
    }

    /// Unsubscribes names.
    pub(crate) async fn unsubscribe(&mut self, kind: Kind, names: &[&str]) -> Result<()> {
        let names_of_kind = self.subscribed.entry(kind).or_default();
        names_of_kind.retain(|name| !names.contains(&name.as_str()));
        self.request(kind, Vec::new(), owned(names)).await
    }

    /// Receives and ACKs the next response of this type.
    pub(crate) async fn receive(&mut self, kind: Kind) -> Result<Received> {
        let stream = self.streams.get_mut(&key(kind, self.aggregated)).context("no stream")?;
        let next = tokio::time::timeout(WAIT_LIMIT, stream.next());
        let received = next.await.context("no response")??;
        ensure!(received.type_url == kind.type_url(), "a response of {}", received.type_url);
        let before = self.nonces.insert(kind, received.nonce.clone());
        ensure!(before.as_ref() != Some(&received.nonce), "the nonce is not unique");
        self.received += 1;
        self.request(kind, Vec::new(), Vec::new()).await?;
        Ok(received)
    }

    async fn request(
        &mut self,
        kind: Kind,
        subscribe: Vec<String>,
        unsubscribe: Vec<String>,
    ) -> Result<()> {
        let key = key(kind, self.aggregated);
        if !self.streams.contains_key(&key) {
            let stream = self.open(kind).await?;
            self.streams.insert(key, stream);
        }
        let stream = self.streams.get(&key).context("no stream")?;
        let id = NODE.to_owned();
        let node = Some(Node { cluster: id.clone(), id, ..Node::default() });
        let nonce = self.nonces.get(&kind).cloned().unwrap_or_default();
        let type_url = kind.type_url().to_owned();
        match stream {
            Stream::Sotw(requests, _) => {
                let request = DiscoveryRequest {
                    node,
                    type_url,
                    response_nonce: nonce,
                    resource_names: self.subscribed.get(&kind).cloned().unwrap_or_default(),
                    ..DiscoveryRequest::default()
                };
                requests.send(request).await?;
            }
            Stream::Delta(requests, _) => {
                let request = DeltaDiscoveryRequest {
                    node,
                    type_url,
                    response_nonce: nonce,
                    resource_names_subscribe: subscribe,
                    resource_names_unsubscribe: unsubscribe,
                    ..DeltaDiscoveryRequest::default()
                };
                requests.send(request).await?;
            }
        }
        Ok(())
    }

    async fn open(&self, kind: Kind) -> Result<Stream> {
        let (service, of) = match kind {
            _ if self.aggregated => ("discovery.v3.Aggregated", "AggregatedResources"),
            Kind::Cluster => ("cluster.v3.Cluster", "Clusters"),
            Kind::Endpoint => ("endpoint.v3.Endpoint", "Endpoints"),
            Kind::Listener => ("listener.v3.Listener", "Listeners"),
            Kind::Route => ("route.v3.Route", "Routes"),
            other => anyhow::bail!("no scenario has {other} resources"),
        };
        let path = |verb| format!("/envoy.service.{service}DiscoveryService/{verb}{of}");
        Ok(match self.mode {
            Mode::Sotw => {
                let (requests, responses) = open(&self.channel, path("Stream")).await?;
                Stream::Sotw(requests, responses)
            }
            Mode::Delta => {
                let (requests, responses) = open(&self.channel, path("Delta")).await?;
                Stream::Delta(requests, responses)
            }
        })
    }
}

const fn key(kind: Kind, aggregated: bool) -> Option<Kind> {
    if aggregated { None } else { Some(kind) }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

async fn open<Q, A>(channel: &Channel, path: String) -> Result<(mpsc::Sender<Q>, Streaming<A>)>
where
    Q: Message + Default + 'static,
    A: Message + Default + 'static,
{
    let (requests, receiver) = mpsc::channel(16);
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await?;
    let request = tonic::Request::new(ReceiverStream::new(receiver));
    let path = PathAndQuery::try_from(path)?;
    let codec = ProstCodec::<Q, A>::default();
    let responses = grpc.streaming(request, path, codec).await?;
    Ok((requests, responses.into_inner()))
}

impl Stream {
    async fn next(&mut self) -> Result<Received> {
        Ok(match self {
            Self::Sotw(_, responses) => {
                let response = responses.message().await?.context("the stream ended")?;
                let resources = response.resources.iter();
                Received {
                    resources: resources.map(stamp).collect::<Result<_>>()?,
                    removed: Vec::new(),
                    nonce: response.nonce,
                    type_url: response.type_url,
                }
            }
            Self::Delta(_, responses) => {
                let response = responses.message().await?.context("the stream ended")?;
                let resources = response.resources.iter();
                let contents = resources.filter_map(|resource| resource.resource.as_ref());
                Received {
                    resources: contents.map(stamp).collect::<Result<_>>()?,
                    removed: response.removed_resources,
                    nonce: response.nonce,
                    type_url: response.type_url,
                }
            }
        })
    }
}

/// The name and version that the harness put into a resource.
fn stamp(resource: &Any) -> Result<(String, String)> {
    let stamped = Stamped::decode(&*resource.value)?;
    Ok((stamped.name, stamped.version))
}
