//! Client status (CSDS), for tools like `istioctl`: the resources sent to each sidecar, and its ACKs and NACKs.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::{self, unfold};
use prost::Message as _;
use tidegate_proto::envoy::envoy::admin::v3::UpdateFailureState;
use tidegate_proto::envoy::envoy::config::core::v3::Node;
use tidegate_proto::envoy::envoy::service::status::v3::client_config::GenericXdsConfig;
use tidegate_proto::envoy::envoy::service::status::v3::client_status_discovery_service_server::ClientStatusDiscoveryService;
use tidegate_proto::envoy::envoy::service::status::v3::{
    ClientConfig, ClientStatusRequest, ClientStatusResponse, ConfigStatus,
};
use tidegate_proto::envoy::google::protobuf::{Any, Timestamp as Time};
use tokio::sync::{Semaphore, watch};
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

use super::matcher::Matchers;
use crate::auth::peer::Peer;
use crate::xds::fleet::{AckTracker, Nack, NodeStatus, TypeReport};
use tidegate_delivery::units::Timestamp;
use tidegate_xds::kind::Kind;
use tidegate_xds::protocol::{ResourceStatus, SyncState};

/// Largest response, in bytes: the default limit of gRPC clients.
const MAX_RESPONSE: usize = 4 * 1024 * 1024;
/// Largest encoding overhead of a sidecar in a response, in bytes.
const SIDECAR_OVERHEAD: usize = 16;
/// Most responses that are built at a time.
const MAX_CONCURRENT_RESPONSES: usize = 2;
/// Sidecars that one response inspects at a time.
const MAX_CONCURRENT_SIDECARS: usize = 32;

/// The client status service.
#[derive(Debug, Clone)]
pub(super) struct ClientStatus {
    ack_tracker: Arc<AckTracker>,
    draining: watch::Receiver<bool>,
    responses: Arc<Semaphore>,
}

impl ClientStatus {
    pub(super) fn new(ack_tracker: Arc<AckTracker>, draining: watch::Receiver<bool>) -> Self {
        Self {
            ack_tracker,
            draining,
            responses: Arc::new(Semaphore::new(MAX_CONCURRENT_RESPONSES)),
        }
    }

    /// Inspects a limited number of sidecars at a time. That bounds the memory beside the response, and the total time that
    /// sidecars whose clients do not read take.
    async fn answer(&self, request: ClientStatusRequest) -> Result<ClientStatusResponse, Status> {
        let matchers = Matchers::try_from(request.node_matchers)?;
        let closed = |_| Status::unavailable("the control plane is stopping");
        let _permit = self.responses.acquire().await.map_err(closed)?;
        let mut answer = ClientStatusResponse::default();
        let mut size = 0_usize;
        let mut nodes = self.ack_tracker.nodes();
        nodes.retain(|node| node.connected && matchers.match_node(&node.node));
        let ask = |node| self.of_node(node, !request.exclude_resource_contents);
        let mut configs = stream::iter(nodes).map(ask).buffered(MAX_CONCURRENT_SIDECARS);
        while let Some(config) = configs.next().await {
            size = size.saturating_add(config.encoded_len()).saturating_add(SIDECAR_OVERHEAD);
            if size > MAX_RESPONSE {
                return Err(Status::resource_exhausted(format!(
                    "the response would be larger than {MAX_RESPONSE} bytes: select fewer sidecars \
                     with `node_matchers`, or set `exclude_resource_contents`"
                )));
            }
            answer.config.push(config);
        }
        Ok(answer)
    }

    async fn of_node(&self, status: NodeStatus, contents: bool) -> ClientConfig {
        let inspection = self.ack_tracker.inspect(&status.fleet, &status.node).await;
        let types = inspection.streams.into_iter().flat_map(|stream| stream.types);
        let configs = types.flat_map(|(kind, report)| {
            let nack = status.nacks.get(&kind);
            let TypeReport { pushed, holdings } = report;
            let updated = pushed.map(|push| time(push.at));
            holdings.into_iter().map(move |it| config(kind, it, updated, nack, contents))
        });
        ClientConfig {
            node: Some(Node {
                id: status.node.clone(),
                cluster: status.fleet.to_string(),
                ..Node::default()
            }),
            generic_xds_configs: configs.collect(),
            ..ClientConfig::default()
        }
    }
}

fn config(
    kind: Kind,
    holding: ResourceStatus,
    last_updated: Option<Time>,
    nack: Option<&Nack>,
    contents: bool,
) -> GenericXdsConfig {
    let ResourceStatus { name, state, sent, content, .. } = holding;
    let status = match state {
        SyncState::DoesNotExist | SyncState::NotSent => ConfigStatus::NotSent,
        SyncState::Sent | SyncState::Stale => ConfigStatus::Stale,
        SyncState::Acked => ConfigStatus::Synced,
        SyncState::Nacked => ConfigStatus::Error,
    };
    let error_state =
        nack.filter(|_| status == ConfigStatus::Error).map(|nack| UpdateFailureState {
            last_update_attempt: Some(time(nack.at)),
            details: nack.message.clone(),
            version_info: nack.version.clone(),
            ..UpdateFailureState::default()
        });
    let content = content.filter(|_| contents);
    GenericXdsConfig {
        type_url: kind.type_url().to_owned(),
        name: name.to_string(),
        version_info: sent.map(String::from).unwrap_or_default(),
        xds_config: content.map(|resource| Any {
            type_url: kind.type_url().to_owned(),
            value: resource.value().to_vec(),
        }),
        last_updated: last_updated.filter(|_| status != ConfigStatus::NotSent),
        config_status: status.into(),
        error_state,
        ..GenericXdsConfig::default()
    }
}

fn time(at: Timestamp) -> Time {
    let nanos = at.0 % 1000 * 1_000_000;
    Time {
        seconds: i64::try_from(at.0 / 1000).unwrap_or(i64::MAX),
        nanos: i32::try_from(nanos).unwrap_or_default(),
    }
}

/// The responses of a stream.
type Responses = Pin<Box<dyn Stream<Item = Result<ClientStatusResponse, Status>> + Send>>;

#[tonic::async_trait]
impl ClientStatusDiscoveryService for ClientStatus {
    type StreamClientStatusStream = Responses;

    /// One response for each request. Ends when the server drains.
    async fn stream_client_status(
        &self,
        request: Request<Streaming<ClientStatusRequest>>,
    ) -> Result<Response<Responses>, Status> {
        require_loopback(&request)?;
        let begin = (self.clone(), request.into_inner());
        let answers = unfold(begin, |(mut service, mut requests)| async move {
            let request = tokio::select! {
                request = requests.message() => request.transpose()?,
                _ = service.draining.wait_for(|draining| *draining) => return None,
            };
            let answer = match request {
                Ok(request) => service.answer(request).await,
                Err(status) => Err(status),
            };
            Some((answer, (service, requests)))
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn fetch_client_status(
        &self,
        request: Request<ClientStatusRequest>,
    ) -> Result<Response<ClientStatusResponse>, Status> {
        require_loopback(&request)?;
        self.answer(request.into_inner()).await.map(Response::new)
    }
}

/// Allows requests from the control plane's own host. Client status covers the whole mesh, and a certificate only
/// identifies a sidecar.
fn require_loopback<T>(request: &Request<T>) -> Result<(), Status> {
    let peer = request.extensions().get::<Peer>().map(Peer::ip);
    // Without the acceptor, as in tests, tonic sets the address.
    let ip = peer.or_else(|| request.remote_addr().map(|at| at.ip().to_canonical()));
    if ip.is_some_and(|ip| ip.is_loopback()) {
        return Ok(());
    }
    Err(Status::permission_denied(
        "client status is available on loopback only: send the request from the control plane's own \
         host, or use `tidegate nodes`",
    ))
}
