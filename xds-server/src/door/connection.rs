//! A connection that was let in, as tonic takes it: its bytes, who is at its other end, and its
//! place among the others.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;
use tonic::transport::server::Connected;
use tracing::debug;

use super::peer::Peer;
use super::quota::Place;

/// What a client sends first in HTTP/2, in bytes: the preface, and the head of its settings.
const OPENING: usize = 24 + 9;

/// A connection that was let in.
#[derive(Debug)]
pub struct Connection {
    io: Either<TcpStream, Box<TlsStream<TcpStream>>>,
    peer: Peer,
    opening: Option<Opening>,
    /// When the client's certificate ends.
    expiry: Option<Pin<Box<Sleep>>>,
    _place: Place,
}

/// Until a client speaks HTTP/2 nobody asks it for signs of life: this does.
#[derive(Debug)]
struct Opening {
    missing: usize,
    deadline: Pin<Box<Sleep>>,
}

impl Connection {
    /// A connection whose client must begin to speak HTTP/2 within `patience`, and whose certificate
    /// expires after `expiry`.
    pub(super) fn new(
        io: Either<TcpStream, Box<TlsStream<TcpStream>>>,
        peer: Peer,
        place: Place,
        patience: Duration,
        expiry: Option<Duration>,
    ) -> Self {
        let deadline = Box::pin(tokio::time::sleep(patience));
        let opening = Some(Opening { missing: OPENING, deadline });
        let expiry = expiry.map(|left| Box::pin(tokio::time::sleep(left)));
        Self { io, peer, opening, expiry, _place: place }
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, buf);
        // A client with a certificate that was renewed comes back with that. To end streams alone would not make it: it
        // would open them anew on this connection.
        if read.is_pending()
            && let Some(expiry) = &mut self.expiry
            && expiry.as_mut().poll(cx).is_ready()
        {
            debug!(peer = %self.peer, "its certificate has expired");
            return Poll::Ready(Ok(()));
        }
        let Some(opening) = &mut self.opening else {
            return read;
        };
        opening.missing = opening.missing.saturating_sub(buf.filled().len() - before);
        if opening.missing == 0 {
            self.opening = None;
        } else if read.is_pending() && opening.deadline.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
