//! An accepted connection, in the form that tonic serves.

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

use super::quota::QuotaPermit;
use crate::auth::peer::Peer;

/// Length of the HTTP/2 client preface and the header of the SETTINGS frame that follows, in bytes.
const HTTP2_OPENING: usize = 24 + 9;

/// The byte stream, plaintext or TLS.
pub(super) type Io = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// An accepted connection. It counts against the connection quota until it is dropped.
#[derive(Debug)]
pub struct Connection {
    io: Io,
    peer: Peer,
    opening: Option<Opening>,
    /// Fires when the client certificate expires.
    expiry: Option<Pin<Box<Sleep>>>,
    _permit: QuotaPermit,
}

/// The time limit for the start of HTTP/2. Keepalive pings detect a dead peer only after it.
#[derive(Debug)]
struct Opening {
    missing_bytes: usize,
    deadline: Pin<Box<Sleep>>,
}

impl Connection {
    /// A connection whose client must start HTTP/2 within `timeout`. It ends when the client certificate expires, after
    /// `certificate_lifetime`.
    pub(super) fn new(
        io: Io,
        peer: Peer,
        permit: QuotaPermit,
        timeout: Duration,
        certificate_lifetime: Option<Duration>,
    ) -> Self {
        let deadline = Box::pin(tokio::time::sleep(timeout));
        let opening = Some(Opening { missing_bytes: HTTP2_OPENING, deadline });
        let expiry = certificate_lifetime.map(|left| Box::pin(tokio::time::sleep(left)));
        Self { io, peer, opening, expiry, _permit: permit }
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
        // Ends the connection, not only its streams: Envoy would reopen streams on the same connection, and present a
        // renewed certificate only on a new one.
        if read.is_pending()
            && let Some(expiry) = &mut self.expiry
            && expiry.as_mut().poll(cx).is_ready()
        {
            debug!(peer = %self.peer, "closed a connection whose client certificate has expired");
            return Poll::Ready(Ok(()));
        }
        let Some(opening) = &mut self.opening else {
            return read;
        };
        opening.missing_bytes = opening.missing_bytes.saturating_sub(buf.filled().len() - before);
        if opening.missing_bytes == 0 {
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
