//! The listener of the xDS port, which serves xDS and reports: it accepts, performs TLS handshakes, enforces quotas, and
//! yields connections to tonic.
//!
//! ```text
//! accept ─► pending-handshake quota ─► first byte ─► handshake slot ─► TLS ─► connection quota ─► tonic
//! ```
//!
//! Each handshake is a task of its own with a timeout, so that a slow client delays no other. [`tls`] loads and reloads the
//! certificates, [`crate::auth`] reads the client's identity. A plaintext port skips everything before the connection
//! quota. `docs/security.md` describes the limits for users.

mod connection;
mod handshake_slots;
pub mod quota;
#[cfg(test)]
pub(crate) mod tests;
pub mod tls;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use prometheus_client::registry::Registry;
use tokio::io::Interest;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::error::Elapsed;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt as _};
use tokio_util::either::Either;
use tracing::debug;

pub use connection::Connection;

use crate::auth::identity::{IdentityError, WorkloadId};
use crate::auth::peer::{ClientKey, Credential, Peer};
use crate::rejections::{Reason, Rejections};
use connection::Io;
use handshake_slots::HandshakeSlots;
use quota::{Limit, Quota};
use tls::remaining_lifetime;

/// Pause before the next accept when no file descriptor is left.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);
/// Accepted connections that tonic has not taken yet. The listener waits when there are more.
const BACKLOG: usize = 64;

/// Limits of the port.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Open connections. A client is an identity; for plaintext, an address.
    pub connections: Limit,
    /// TLS handshakes that run or wait for a slot. More are rejected. A client is an address.
    pub pending_handshakes: Limit,
    /// TLS handshakes that run. More wait. A client is an address.
    pub running_handshakes: Limit,
    /// Longest time to the first byte, then for the TLS handshake, then to the start of HTTP/2; each.
    pub timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // An Envoy has one connection for xDS, and one for the reports of each worker.
            connections: Limit { total: 40_000, per_client: 20_000 },
            pending_handshakes: Limit { total: 16_384, per_client: 12_288 },
            // Enough to use several cores at intercontinental round-trip times, and few enough that each ends soon.
            running_handshakes: Limit { total: 512, per_client: 256 },
            timeout: Duration::from_secs(5),
        }
    }
}

/// Accepts the connections of the xDS port.
#[derive(Debug)]
pub struct Acceptor {
    /// `None`: plaintext.
    tls: Option<watch::Receiver<Arc<ServerConfig>>>,
    pending_handshakes: Arc<Quota>,
    slots: Arc<HandshakeSlots>,
    connections: Arc<Quota>,
    rejections: Arc<Rejections>,
    timeout: Duration,
}

impl Acceptor {
    /// An acceptor for mutual TLS, or for plaintext if `tls` is `None`. Each handshake uses the newest configuration of
    /// `tls`.
    #[must_use]
    pub fn new(
        tls: Option<watch::Receiver<Arc<ServerConfig>>>,
        limits: Limits,
        rejections: Arc<Rejections>,
    ) -> Arc<Self> {
        Arc::new(Self {
            tls,
            pending_handshakes: Quota::new(limits.pending_handshakes),
            slots: HandshakeSlots::new(limits.running_handshakes),
            connections: Quota::new(limits.connections),
            rejections,
            timeout: limits.timeout,
        })
    }

    /// The number of open connections.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.connections.in_use()
    }

    /// The number of TLS handshakes that run or wait for a slot.
    #[must_use]
    pub fn pending_handshakes(&self) -> u64 {
        self.pending_handshakes.in_use()
    }

    /// Rejected connections.
    #[must_use]
    pub fn rejections(&self) -> &Rejections {
        &self.rejections
    }

    /// Adds the metrics of the port to a registry.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "xds_connections",
            "Open connections of the xDS port",
            self.connections.gauge(),
        );
        registry.register(
            "xds_pending_handshakes",
            "TLS handshakes of the xDS port that run or wait for a slot",
            self.pending_handshakes.gauge(),
        );
        self.rejections.register(registry);
    }

    /// Accepts connections in a task of its own until the returned stream is dropped. Open connections continue then.
    pub fn incoming(
        self: &Arc<Self>,
        listener: TcpListener,
    ) -> impl Stream<Item = Result<Connection, Infallible>> + use<> {
        let (sender, receiver) = mpsc::channel(BACKLOG);
        tokio::spawn(Arc::clone(self).accept(listener, sender));
        ReceiverStream::new(receiver).map(Ok)
    }

    async fn accept(self: Arc<Self>, listener: TcpListener, accepted: mpsc::Sender<Connection>) {
        let mut handshakes = JoinSet::new();
        loop {
            let result = tokio::select! {
                () = accepted.closed() => return,
                Some(_) = handshakes.join_next() => continue,
                result = listener.accept() => result,
            };
            match result {
                Ok((tcp, address)) => self.start(tcp, address, &accepted, &mut handshakes).await,
                Err(error) if concerns_one_connection(&error) => {
                    debug!(%error, "a connection ended before it was accepted");
                }
                Err(error) => {
                    self.rejections.record(Reason::Accept, &"unknown", &error);
                    sleep(ACCEPT_BACKOFF).await;
                }
            }
        }
    }

    /// Admits a plaintext connection, or starts the task of a TLS handshake.
    async fn start(
        self: &Arc<Self>,
        tcp: TcpStream,
        address: SocketAddr,
        accepted: &mpsc::Sender<Connection>,
        handshakes: &mut JoinSet<()>,
    ) {
        if let Err(error) = tcp.set_nodelay(true) {
            debug!(%error, %address, "TCP_NODELAY cannot be set");
        }
        let Some(tls) = self.tls.clone() else {
            let peer = Peer::new(address, Credential::None);
            return self.admit(Either::Left(tcp), peer, None, accepted).await;
        };
        let client = ClientKey::from_address(address.ip());
        let permit = match self.pending_handshakes.acquire(client.clone()) {
            Ok(permit) => permit,
            Err(exceeded) => {
                return self.rejections.record(Reason::HandshakeQuota, &address, &exceeded);
            }
        };
        let (acceptor, accepted) = (Arc::clone(self), accepted.clone());
        handshakes.spawn(async move {
            let result = acceptor.handshake(tcp, client, &tls).await;
            drop(permit);
            match result {
                Ok(stream) => {
                    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
                    let peer = Peer::new(address, credential(chain));
                    let lifetime = chain.first().and_then(remaining_lifetime);
                    acceptor
                        .admit(Either::Right(Box::new(stream)), peer, lifetime, &accepted)
                        .await;
                }
                Err(HandshakeError::Closed) => {
                    debug!(%address, "the client closed the connection before its TLS handshake");
                }
                Err(HandshakeError::Failed(error)) => {
                    acceptor.rejections.record(Reason::HandshakeFailed, &address, &error);
                }
                Err(HandshakeError::Timeout(elapsed)) => {
                    acceptor.rejections.record(Reason::HandshakeTimeout, &address, &elapsed);
                }
            }
        });
    }

    /// Performs the TLS handshake once a slot is free. A client that has sent nothing takes no slot.
    async fn handshake(
        &self,
        tcp: TcpStream,
        client: ClientKey,
        tls: &watch::Receiver<Arc<ServerConfig>>,
    ) -> Result<TlsStream<TcpStream>, HandshakeError> {
        // Peeks, because tokio reports a new socket as readable before it has data.
        if timeout(self.timeout, tcp.peek(&mut [0])).await?? == 0 {
            return Err(HandshakeError::Closed);
        }
        let slot = self.slots.acquire(client).await;
        // The client may have timed out while it waited. Its handshake would cost as much as any other.
        if is_closed_by_peer(&tcp) {
            return Err(HandshakeError::Closed);
        }
        let acceptor = TlsAcceptor::from(Arc::clone(&tls.borrow()));
        let stream = timeout(self.timeout, acceptor.accept(tcp)).await??;
        drop(slot);
        Ok(stream)
    }

    /// Hands a connection to tonic if the quota allows it.
    async fn admit(
        &self,
        io: Io,
        peer: Peer,
        certificate_lifetime: Option<Duration>,
        accepted: &mpsc::Sender<Connection>,
    ) {
        match self.connections.acquire(peer.client()) {
            Ok(permit) => {
                let connection =
                    Connection::new(io, peer, permit, self.timeout, certificate_lifetime);
                // Fails when the server has stopped. That drops the connection.
                accepted.send(connection).await.ok();
            }
            Err(exceeded) => self.rejections.record(Reason::ConnectionQuota, &peer, &exceeded),
        }
    }
}

/// A TLS handshake did not complete.
#[derive(Debug, thiserror::Error)]
enum HandshakeError {
    /// The client closed the connection before the handshake started.
    #[error("the client closed the connection")]
    Closed,
    /// Not TLS, or no certificate of the client CA.
    #[error(transparent)]
    Failed(#[from] io::Error),
    /// The client exceeded the timeout.
    #[error(transparent)]
    Timeout(#[from] Elapsed),
}

/// Whether the operating system has reported that the peer closed its side.
fn is_closed_by_peer(tcp: &TcpStream) -> bool {
    let ready = tcp.ready(Interest::READABLE).now_or_never();
    matches!(ready, Some(Ok(ready)) if ready.is_read_closed())
}

/// The credential in a verified certificate chain.
fn credential(chain: &[CertificateDer<'_>]) -> Credential {
    let certificate = chain.first().ok_or(IdentityError::Malformed);
    match certificate.and_then(|certificate| WorkloadId::of_certificate(certificate)) {
        Ok(id) => Credential::Identity(id),
        Err(error) => Credential::Invalid(error),
    }
}

/// Whether an error of `accept` concerns only the connection that was to be accepted.
fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
