//! The baseline: a minimal tonic server that sends the same bytes to as many streams. It implements no protocol: the first
//! request for a type is answered with the message of that type, and a push is one message to every stream. Like Tidegate,
//! it runs in a process of its own and sets TCP_NODELAY on each accepted connection.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use prost::Message;
use tidegate_proto::envoy::envoy::service::discovery::v3::aggregated_discovery_service_server::{
    AggregatedDiscoveryService, AggregatedDiscoveryServiceServer,
};
use tidegate_proto::envoy::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use tokio::net::TcpSocket;
use tokio::sync::{mpsc, watch};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

use crate::sidecar::ROUTE;
use crate::{certificates, tls};

/// The type URL of a request that triggers a push.
pub(crate) const PUSH: &str = "push";

/// The listener's backlog, the same as Tidegate's.
const BACKLOG: u32 = 4096;

type Messages = HashMap<String, DeltaDiscoveryResponse>;
type Replies = ReceiverStream<Result<DeltaDiscoveryResponse, Status>>;

/// The messages, by type, and the number of pushes so far.
struct Raw {
    messages: Arc<Messages>,
    pushes: watch::Sender<u64>,
}

/// Serves the messages of a file, by mutual TLS if there is a directory with certificates. Does not return.
pub(crate) async fn serve(
    address: SocketAddr,
    messages: &Path,
    certificates: Option<&Path>,
) -> Result<()> {
    let bytes = std::fs::read(messages)?;
    let mut rest = &*bytes;
    let mut messages = Messages::new();
    while !rest.is_empty() {
        let message = DeltaDiscoveryResponse::decode_length_delimited(&mut rest)?;
        messages.insert(message.type_url.clone(), message);
    }
    let raw = Raw { messages: Arc::new(messages), pushes: watch::Sender::new(0) };
    let socket = TcpSocket::new_v4()?;
    // The port may have connections in TIME_WAIT.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    let listener = socket.listen(BACKLOG)?;
    let service = AggregatedDiscoveryServiceServer::new(raw);
    let server = Server::builder().add_service(service);
    let served = match certificates {
        None => {
            // `Server::tcp_nodelay` does not apply to `serve_with_incoming`.
            let incoming = TcpListenerStream::new(listener).map(|accepted| {
                let stream = accepted?;
                stream.set_nodelay(true)?;
                std::io::Result::Ok(stream)
            });
            server.serve_with_incoming(incoming).await
        }
        Some(dir) => {
            let incoming = tls::incoming(listener, certificates::acceptor(dir)?);
            server.serve_with_incoming(incoming).await
        }
    };
    served.context("raw server")
}

#[tonic::async_trait]
impl AggregatedDiscoveryService for Raw {
    type StreamAggregatedResourcesStream = ReceiverStream<Result<DiscoveryResponse, Status>>;
    type DeltaAggregatedResourcesStream = Replies;

    async fn stream_aggregated_resources(
        &self,
        _: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamAggregatedResourcesStream>, Status> {
        Err(Status::unimplemented("delta only"))
    }

    async fn delta_aggregated_resources(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Replies>, Status> {
        let (sender, receiver) = mpsc::channel(1);
        let (messages, pushes) = (Arc::clone(&self.messages), self.pushes.clone());
        tokio::spawn(async move {
            // An error is a client that disconnected.
            converse(request.into_inner(), &sender, &messages, pushes).await.ok();
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

async fn converse(
    mut requests: Streaming<DeltaDiscoveryRequest>,
    sender: &mpsc::Sender<Result<DeltaDiscoveryResponse, Status>>,
    messages: &Messages,
    pushes: watch::Sender<u64>,
) -> Result<()> {
    let mut pushed = pushes.subscribe();
    loop {
        let due = tokio::select! {
            request = requests.message() => match request? {
                None => return Ok(()),
                Some(request) if request.type_url == PUSH => {
                    pushes.send_modify(|count| *count += 1);
                    continue;
                }
                Some(request) if request.response_nonce.is_empty() => request.type_url,
                Some(_) => continue,
            },
            changed = pushed.changed() => {
                changed?;
                ROUTE.to_owned()
            }
        };
        let message = messages.get(&due).cloned().with_context(|| format!("no {due}"))?;
        sender.send(Ok(message)).await?;
    }
}
