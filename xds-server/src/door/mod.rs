//! The door of the port for xDS and reports: who comes in, how many, and as whom.
//!
//! [`Door`] accepts, shakes hands and counts, and yields connections to tonic; a handshake is a task
//! of its own with a deadline, so that a slow one delays nobody, and waits for its turn (`turns`) when
//! too many come at once. [`tls`] keeps the certificates
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
mod turns;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
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

use identity::{NoIdentity, SpiffeId};
use peer::{Credential, Peer};
use quota::{Client, Quota};
use refusals::{Reason, Refusals};
use tls::files::time_left;
use turns::Turns;

/// How long to wait when the machine has no socket left to accept with.
const OUT_OF_SOCKETS: Duration = Duration::from_millis(100);
/// Connections that may wait for tonic to take them.
const WAITING: usize = 64;

/// How much room there is, and how long it may be held before it is used.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections: in all, and of one client.
    pub connections: (usize, usize),
    /// TLS handshakes under way or waiting: in all, and from one address.
    pub handshakes: (usize, usize),
    /// Those of them that are under way.
    pub turns: (usize, usize),
    /// How long a client may take for its TLS handshake, and then to begin to speak HTTP/2.
    pub patience: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // An Envoy has one for xDS, and one for the reports of each worker.
            connections: (40_000, 20_000),
            handshakes: (16_384, 12_288),
            // Enough to keep some cores busy across a continent, and few enough to end soon.
            turns: (512, 256),
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
    turns: Arc<Turns>,
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
            turns: Turns::new(limits.turns.0, limits.turns.1),
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

    /// TLS handshakes that are under way, or wait for their turn.
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
        let Some(tls) = self.tls.clone() else {
            let peer = Peer::new(address, Credential::None);
            return self.let_in(Either::Left(tcp), peer, None, inside).await;
        };
        let client = Client::at(address.ip());
        let place = match self.handshakes.enter(client.clone()) {
            Ok(place) => place,
            Err(full) => return self.refusals.note(Reason::Handshakes, &address, &full),
        };
        let (door, inside) = (Arc::clone(self), inside.clone());
        handshakes.spawn(async move {
            let shaken = door.shake(tcp, client, &tls).await;
            drop(place);
            match shaken {
                Ok(stream) => {
                    let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
                    let peer = Peer::new(address, credential(certificates));
                    let expiry = certificates.first().and_then(time_left);
                    door.let_in(Either::Right(Box::new(stream)), peer, expiry, &inside).await;
                }
                Err(Unshaken::Left) => debug!(%address, "it left before its turn"),
                Err(Unshaken::Failed(error)) => {
                    door.refusals.note(Reason::Handshake, &address, &error);
                }
                Err(Unshaken::Late(late)) => {
                    door.refusals.note(Reason::HandshakeTime, &address, &late);
                }
            }
        });
    }

    /// Shakes hands when it is the client's turn. Who does not even say hello takes nobody's.
    async fn shake(
        &self,
        tcp: TcpStream,
        client: Client,
        tls: &watch::Receiver<Arc<ServerConfig>>,
    ) -> Result<TlsStream<TcpStream>, Unshaken> {
        // A look, because a socket that was just accepted is taken for readable.
        if timeout(self.patience, tcp.peek(&mut [0])).await?? == 0 {
            return Err(Unshaken::Left);
        }
        let turn = self.turns.next(client).await;
        // Clients have a patience of their own, and to greet one that is gone costs as much.
        if has_left(&tcp) {
            return Err(Unshaken::Left);
        }
        let acceptor = TlsAcceptor::from(Arc::clone(&tls.borrow()));
        let stream = timeout(self.patience, acceptor.accept(tcp)).await??;
        drop(turn);
        Ok(stream)
    }

    async fn let_in(
        &self,
        io: Either<TcpStream, Box<TlsStream<TcpStream>>>,
        peer: Peer,
        expiry: Option<Duration>,
        inside: &mpsc::Sender<Connection>,
    ) {
        match self.connections.enter(peer.client()) {
            Ok(place) => {
                let connection = Connection::new(io, peer, place, self.patience, expiry);
                // An error is a server that stops: the connection ends with it.
                inside.send(connection).await.ok();
            }
            Err(full) => self.refusals.note(Reason::Connections, &peer, &full),
        }
    }
}

/// Why there was no handshake.
#[derive(Debug, thiserror::Error)]
enum Unshaken {
    /// The client closed before its turn.
    #[error("it left")]
    Left,
    /// It spoke no TLS, or had no certificate of the client CA.
    #[error(transparent)]
    Failed(#[from] io::Error),
    /// It took too long.
    #[error(transparent)]
    Late(#[from] Elapsed),
}

/// Whether the other end has closed, as far as is known here.
fn has_left(tcp: &TcpStream) -> bool {
    let now = tcp.ready(Interest::READABLE).now_or_never();
    matches!(now, Some(Ok(ready)) if ready.is_read_closed())
}

fn credential(certificates: &[CertificateDer<'_>]) -> Credential {
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
