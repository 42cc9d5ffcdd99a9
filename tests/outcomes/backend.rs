//! A version of a service that behaves as a test chooses, also against the rules of HTTP.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// How it answers a request, once that has arrived.
#[derive(Debug, Clone)]
pub(crate) enum Behaviour {
    /// With this status and content type.
    Status(u16, &'static str),
    /// With a body that is shorter than it says.
    Truncated,
    /// Never.
    Hanging,
    /// After this time.
    Slow(Duration),
    /// With 500 at this path, with 200 at others.
    FailingAt(&'static str),
}

pub(crate) const GOOD: Behaviour = Behaviour::Status(200, "text/plain");

/// A running backend. Dropping it ends its listener.
pub(crate) struct Backend {
    address: SocketAddr,
    behaviour: Arc<Mutex<Behaviour>>,
    accepting: JoinHandle<()>,
}

impl Backend {
    pub(crate) async fn start(version: &'static str) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let behaviour = Arc::new(Mutex::new(GOOD));
        let current = Arc::clone(&behaviour);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let current = Arc::clone(&current);
                // A connection ends with an error when its peer closes it.
                tokio::spawn(async move { serve(stream, version, &current).await.is_ok() });
            }
        });
        Ok(Self { address, behaviour, accepting })
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn behave(&self, behaviour: Behaviour) {
        *self.behaviour.lock() = behaviour;
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(mut stream: TcpStream, version: &str, behaviour: &Mutex<Behaviour>) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut received = Vec::new();
    loop {
        let Some(path) = read_request(&mut stream, &mut received).await? else {
            return Ok(());
        };
        let now = behaviour.lock().clone();
        let (status, content_type) = match now {
            Behaviour::Status(status, content_type) => (status, content_type),
            Behaviour::FailingAt(failing) if path == failing => (500, "text/plain"),
            Behaviour::Truncated | Behaviour::FailingAt(_) => (200, "text/plain"),
            Behaviour::Slow(time) => {
                tokio::time::sleep(time).await;
                (200, "text/plain")
            }
            Behaviour::Hanging => {
                // Until Envoy closes the connection.
                while stream.read_buf(&mut received).await? > 0 {}
                return Ok(());
            }
        };
        let length = if matches!(now, Behaviour::Truncated) { 1_000 } else { 2 };
        let answer = format!(
            "HTTP/1.1 {status} X\r\nx-version: {version}\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\r\nok"
        );
        stream.write_all(answer.as_bytes()).await?;
        if matches!(now, Behaviour::Truncated) {
            return Ok(());
        }
    }
}

/// Reads a request with its body. Returns its path; none at the end of the connection.
async fn read_request(stream: &mut TcpStream, received: &mut Vec<u8>) -> Result<Option<String>> {
    let end = loop {
        if let Some(at) = received.windows(4).position(|it| it == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(received).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8_lossy(received.get(..end).unwrap_or_default()).to_lowercase();
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length: usize = length.and_then(|it| it.trim().parse().ok()).unwrap_or_default();
    while received.len() < end + length {
        if stream.read_buf(received).await? == 0 {
            return Ok(None);
        }
    }
    received.drain(..end + length);
    Ok(Some(path))
}
