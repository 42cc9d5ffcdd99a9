//! The door of the port for xDS and reports: who comes in, how many, and as whom.
//!
//! [`Door`] accepts, shakes hands and counts, and yields connections to tonic; a handshake is a task
//! of its own with a deadline, so that a slow one delays nobody. [`tls`] keeps the certificates
//! fresh. [`identity`] reads who a client is, [`peer`] carries that to every RPC, and [`access`]
//! says what it may claim to be. What the port's users must know is in `docs/security.md`.

pub mod access;
mod claims;
mod connection;
pub mod identity;
pub mod pattern;
pub mod peer;
pub mod quota;
pub mod refusals;
#[cfg(test)]
mod tests;
pub mod tls;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt as _};
use tokio_util::either::Either;
use tracing::debug;

pub use connection::Connection;

use identity::{NoIdentity, SpiffeId};
use peer::{Credential, Peer};
use quota::{Client, Quota};
use refusals::{Reason, Refusals};

/// How long to wait when the machine has no socket left to accept with.
const OUT_OF_SOCKETS: Duration = Duration::from_millis(100);
/// Connections that may wait for tonic to take them.
const WAITING: usize = 64;

/// How much room there is, and how long it may be held before it is used.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections: in all, and of one client.
    pub connections: (usize, usize),
    /// TLS handshakes under way: in all, and from one address.
    pub handshakes: (usize, usize),
    /// How long a client may take for its TLS handshake, and then to begin to speak HTTP/2.
    pub patience: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // An Envoy has one for xDS, and one for the reports of each worker.
            connections: (40_000, 20_000),
            handshakes: (2048, 512),
            patience: Duration::from_secs(5),
        }
    }
}

/// The door, before it is opened.
#[derive(Debug)]
pub struct Door {
    /// `None`: plaintext.
    tls: Option<watch::Receiver<Arc<ServerConfig>>>,
    handshakes: Arc<Quota>,
    connections: Arc<Quota>,
    refusals: Arc<Refusals>,
    patience: Duration,
}

impl Door {
    /// A door for clients with certificates, or for anybody.
    #[must_use]
    pub fn new(
        tls: Option<watch::Receiver<Arc<ServerConfig>>>,
        limits: Limits,
        refusals: Arc<Refusals>,
    ) -> Arc<Self> {
        let quota = |(all, each)| Quota::new(all, each);
        Arc::new(Self {
            tls,
            handshakes: quota(limits.handshakes),
            connections: quota(limits.connections),
            refusals,
            patience: limits.patience,
        })
    }

    /// Connections that are open.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.taken()
    }

    /// TLS handshakes that are under way.
    #[must_use]
    pub fn handshakes(&self) -> usize {
        self.handshakes.taken()
    }

    /// Who was turned away.
    #[must_use]
    pub fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    /// Opens it. It closes when what is returned is dropped; those inside stay.
    pub fn open(
        self: &Arc<Self>,
        listener: TcpListener,
    ) -> impl Stream<Item = Result<Connection, Infallible>> + use<> {
        let (inside, arrived) = mpsc::channel(WAITING);
        tokio::spawn(Arc::clone(self).accept(listener, inside));
        ReceiverStream::new(arrived).map(Ok)
    }

    async fn accept(self: Arc<Self>, listener: TcpListener, inside: mpsc::Sender<Connection>) {
        let mut handshakes = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                () = inside.closed() => return,
                Some(_) = handshakes.join_next() => continue,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((tcp, address)) => self.greet(tcp, address, &inside, &mut handshakes).await,
                Err(error) if is_of_one_connection(&error) => debug!(%error, "nobody came in"),
                Err(error) => {
                    self.refusals.note(Reason::Accept, &"whoever comes", &error);
                    sleep(OUT_OF_SOCKETS).await;
                }
            }
        }
    }

    async fn greet(
        self: &Arc<Self>,
        tcp: TcpStream,
        address: SocketAddr,
        inside: &mpsc::Sender<Connection>,
        handshakes: &mut JoinSet<()>,
    ) {
        if let Err(error) = tcp.set_nodelay(true) {
            debug!(%error, %address, "small messages to it may wait");
        }
        let Some(tls) = &self.tls else {
            let peer = Peer::new(address, Credential::None);
            return self.let_in(Either::Left(tcp), peer, inside).await;
        };
        let place = match self.handshakes.enter(Client::at(address.ip())) {
            Ok(place) => place,
            Err(full) => return self.refusals.note(Reason::Handshakes, &address, &full),
        };
        let (door, inside) = (Arc::clone(self), inside.clone());
        let acceptor = TlsAcceptor::from(Arc::clone(&tls.borrow()));
        handshakes.spawn(async move {
            let shaken = timeout(door.patience, acceptor.accept(tcp)).await;
            drop(place);
            match shaken {
                Ok(Ok(stream)) => {
                    let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
                    let peer = Peer::new(address, credential(certificates));
                    door.let_in(Either::Right(Box::new(stream)), peer, &inside).await;
                }
                Ok(Err(error)) => door.refusals.note(Reason::Handshake, &address, &error),
                Err(late) => door.refusals.note(Reason::HandshakeTime, &address, &late),
            }
        });
    }

    async fn let_in(
        &self,
        io: Either<TcpStream, Box<tokio_rustls::server::TlsStream<TcpStream>>>,
        peer: Peer,
        inside: &mpsc::Sender<Connection>,
    ) {
        match self.connections.enter(peer.client()) {
            Ok(place) => {
                let connection = Connection::new(io, peer, place, self.patience);
                // An error is a server that stops: the connection ends with it.
                inside.send(connection).await.ok();
            }
            Err(full) => self.refusals.note(Reason::Connections, &peer, &full),
        }
    }
}

fn credential(certificates: &[tokio_rustls::rustls::pki_types::CertificateDer<'_>]) -> Credential {
    let own = certificates.first().ok_or(NoIdentity::Unreadable);
    match own.and_then(|certificate| SpiffeId::of_certificate(certificate)) {
        Ok(id) => Credential::Identity(id),
        Err(why) => Credential::Unusable(why),
    }
}

/// Whether an error of `accept` is about the one who came, and says nothing of the next.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
