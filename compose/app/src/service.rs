//! The demo service: any path answers who it is; `/healthz` says it is well; `/faults` reads and sets what is wrong
//! with it. It speaks HTTP/1.1 on hyper itself, because a fault must be able to reset the connection under a request.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use parking_lot::RwLock;
use serde_json::{Value, json};
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

use crate::faults::{Fate, Faults};

/// Connections served at once; more wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 4096;
/// The most one request's head, and one `PUT /faults`, may take.
const MAX_BYTES: usize = 64 * 1024;
/// How long `PUT /faults` may take to send its body.
const BODY_TIME: Duration = Duration::from_secs(5);

/// Who a service says it is.
#[derive(Clone, Debug)]
pub struct Identity {
    /// What callers ask for: `order`.
    pub service: String,
    /// Which version of it answers: `v2`.
    pub version: String,
}

/// Why a service did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The name cannot stand in a response header.
    #[error("{0:?} cannot be the value of a header")]
    Name(String),
    /// The address is taken, or not ours.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// A running service. Dropping it closes its listener and every connection, as a crash would.
#[derive(Debug)]
pub struct Service {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<Infallible>,
}

#[derive(Debug)]
struct Shared {
    identity: Identity,
    headers: [(&'static str, HeaderValue); 2],
    faults: RwLock<Faults>,
    requests: AtomicU64,
}

/// The fault that is no answer: the connection that carries the request must be reset.
#[derive(Debug, Error)]
#[error("this request's connection is to be reset")]
struct Reset;

impl Service {
    /// Starts serving on `address`; port 0 takes a free one.
    ///
    /// # Errors
    /// If a name cannot stand in a header, or the address cannot be listened on.
    pub async fn start(
        identity: Identity,
        address: SocketAddr,
        faults: Faults,
    ) -> Result<Self, StartError> {
        let header =
            |text: &str| HeaderValue::from_str(text).map_err(|_| StartError::Name(text.to_owned()));
        let headers =
            [("x-service", header(&identity.service)?), ("x-version", header(&identity.version)?)];
        let refused = |source| StartError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let shared = Arc::new(Shared {
            identity,
            headers,
            faults: RwLock::new(faults),
            requests: AtomicU64::new(0),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, accepting })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Replaces its faults; requests that are waiting keep the fate they drew.
    pub fn set_faults(&self, faults: Faults) {
        *self.shared.faults.write() = faults;
    }

    /// How many requests reached it, health checks and fault settings not counted.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::Relaxed)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Accepts for ever. The connections live in this task's set, so they end with it.
async fn accept(listener: TcpListener, shared: Arc<Shared>) -> Infallible {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let slot = Arc::clone(&slots).acquire_owned().await;
        match listener.accept().await {
            Ok((stream, _)) => {
                let shared = Arc::clone(&shared);
                connections.spawn(async move {
                    serve(stream, shared).await;
                    drop(slot);
                });
            }
            // Out of file descriptors, or the peer left at once: neither is helped by trying again in a tight loop.
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// Serves one connection to its end.
///
/// An idle one is kept for as long as the peer wants: if we closed it, we could do so just as the peer sends a request,
/// and that request would fail through no fault of the peer's.
async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    // Best effort: without it small answers wait for acknowledgements, which costs time but no correctness.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| answer(Arc::clone(&shared), request));
    let mut connection = http1::Builder::new()
        .max_buf_size(MAX_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = (&mut connection).await
        && std::error::Error::source(&error).is_some_and(<dyn std::error::Error>::is::<Reset>)
    {
        // Closing with no time to linger makes the kernel send RST instead of FIN. Should the option be refused, the
        // peer sees an early close, which fails its request all the same.
        let _ = connection.into_parts().io.into_inner().set_zero_linger();
    }
}

async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Reset> {
    match request.uri().path() {
        "/faults" => Ok(shared.faults(request).await),
        "/healthz" if !shared.faults.read().reach_healthz() => {
            Ok(shared.reply(StatusCode::OK, &json!({"status": "ok"})))
        }
        "/healthz" => shared.suffer("/healthz", &json!({"status": "ok"})).await,
        path => {
            shared.requests.fetch_add(1, Ordering::Relaxed);
            let Identity { service, version } = &shared.identity;
            shared
                .suffer(path, &json!({"service": service, "version": version, "path": path}))
                .await
        }
    }
}

impl Shared {
    /// Answers `body`, unless the faults decide otherwise.
    async fn suffer(&self, path: &str, body: &Value) -> Result<Response<Full<Bytes>>, Reset> {
        let (delay, fate) = self.faults.read().draw(&mut rand::rng());
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        let mut response = match fate {
            Fate::Served => self.reply(StatusCode::OK, body),
            Fate::Failed(status) => {
                let status =
                    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                self.problem(status, &format!("{path} fails because a fault is set"))
            }
            Fate::Reset => return Err(Reset),
        };
        response.headers_mut().extend(self.faults.read().sayings());
        Ok(response)
    }

    /// `GET` or `PUT /faults`.
    async fn faults(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        match *request.method() {
            Method::GET => {}
            Method::PUT => match read_faults(request.into_body()).await {
                Ok(faults) => *self.faults.write() = faults,
                Err(reason) => return self.problem(StatusCode::BAD_REQUEST, &reason),
            },
            _ => {
                let mut refusal = self.problem(StatusCode::METHOD_NOT_ALLOWED, "use GET or PUT");
                refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, PUT"));
                return refusal;
            }
        }
        let faults = self.faults.read().clone();
        serde_json::to_value(faults).map_or_else(
            |error| self.problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
            |body| self.reply(StatusCode::OK, &body),
        )
    }

    fn reply(&self, status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
        self.signed(status, "application/json", body)
    }

    fn problem(&self, status: StatusCode, detail: &str) -> Response<Full<Bytes>> {
        let body = json!({"title": status.canonical_reason(), "status": status.as_u16(), "detail": detail});
        self.signed(status, "application/problem+json", &body)
    }

    /// Every answer says which version gave it, errors first of all.
    fn signed(
        &self,
        status: StatusCode,
        kind: &'static str,
        body: &Value,
    ) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::from(body.to_string()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        for (name, value) in &self.headers {
            headers.insert(*name, value.clone());
        }
        response
    }
}

/// Reads faults from a body that may be long, slow or senseless; the error is for the sender.
async fn read_faults<B>(body: B) -> Result<Faults, String>
where
    B: Body<Data = Bytes, Error = hyper::Error>,
{
    let collected = tokio::time::timeout(BODY_TIME, Limited::new(body, MAX_BYTES).collect()).await;
    let bytes = collected
        .map_err(|_| format!("the body did not arrive within {} s", BODY_TIME.as_secs()))?
        .map_err(|error| format!("the body could not be read: {error}"))?
        .to_bytes();
    serde_json::from_slice(&bytes).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
