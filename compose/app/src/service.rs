//! The demo service. `GET` or `PUT /faults` reads or replaces the injected faults, `/healthz` is the health check, and
//! any other path answers with service and version.
//!
//! It uses hyper's HTTP/1.1 connection directly, because an injected reset needs the TCP stream under the request.

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

use crate::faults::{Action, Faults};

/// Connections served at once; further ones wait in the kernel's accept queue.
const MAX_CONNECTIONS: usize = 4096;
/// Limit of a request head, and of the body of `PUT /faults`, in bytes.
const MAX_BYTES: usize = 64 * 1024;
/// Timeout for reading the body of `PUT /faults`.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// The service and version that responses name, for example `order` and `v2`.
#[derive(Clone, Debug)]
pub struct ServiceVersion {
    pub service: String,
    pub version: String,
}
#[derive(Debug, Error)]
pub enum StartError {
    #[error("{0:?} is not a valid header value")]
    Name(String),
    #[error("cannot listen on {address}: {source}")]
    Listen { address: SocketAddr, source: io::Error },
}

/// A running service. Dropping it aborts the listener and every connection, as a crash would.
#[derive(Debug)]
pub struct Service {
    address: SocketAddr,
    state: Arc<State>,
    accepting: JoinHandle<Infallible>,
}

#[derive(Debug)]
struct State {
    name: ServiceVersion,
    headers: [(&'static str, HeaderValue); 2],
    faults: RwLock<Faults>,
    requests: AtomicU64,
}

/// Error of the hyper service that makes [`serve`] reset the connection instead of responding.
#[derive(Debug, Error)]
#[error("an injected fault resets the connection")]
struct Reset;

impl Service {
    /// Starts serving on `address`; port 0 takes a free one.
    ///
    /// # Errors
    /// If a name is not a valid header value, or the address cannot be bound.
    pub async fn start(
        name: ServiceVersion,
        address: SocketAddr,
        faults: Faults,
    ) -> Result<Self, StartError> {
        let header =
            |text: &str| HeaderValue::from_str(text).map_err(|_| StartError::Name(text.to_owned()));
        let headers =
            [("x-service", header(&name.service)?), ("x-version", header(&name.version)?)];
        let listen_error = |source| StartError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(listen_error)?;
        let address = listener.local_addr().map_err(listen_error)?;
        let state = Arc::new(State {
            name,
            headers,
            faults: RwLock::new(faults),
            requests: AtomicU64::new(0),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&state)));
        Ok(Self { address, state, accepting })
    }

    /// The bound address, with the port that the system chose for port 0.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Replaces the faults. Requests that are being delayed keep the action drawn before.
    pub fn set_faults(&self, faults: Faults) {
        *self.state.faults.write() = faults;
    }

    /// Requests received, without `/healthz` and `/faults`.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.state.requests.load(Ordering::Relaxed)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Accept loop. The connection tasks belong to its `JoinSet`, so aborting the loop ends them.
async fn accept(listener: TcpListener, state: Arc<State>) -> Infallible {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let slot = Arc::clone(&slots).acquire_owned().await;
        match listener.accept().await {
            Ok((stream, _)) => {
                let state = Arc::clone(&state);
                connections.spawn(async move {
                    serve(stream, state).await;
                    drop(slot);
                });
            }
            // Out of file descriptors, or the peer has closed already. The pause keeps the loop from spinning.
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// Serves one connection until the peer closes it.
///
/// There is no idle timeout: closing an idle connection can race with a request and fail it.
async fn serve(stream: TcpStream, state: Arc<State>) {
    // Best effort: without TCP_NODELAY small responses wait for ACKs, which costs latency only.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| handle(Arc::clone(&state), request));
    let mut connection = http1::Builder::new()
        .max_buf_size(MAX_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = (&mut connection).await
        && std::error::Error::source(&error).is_some_and(<dyn std::error::Error>::is::<Reset>)
    {
        // With SO_LINGER 0 the kernel sends RST instead of FIN. If setting it fails, the peer sees an early close, which
        // fails its request as well.
        let _ = connection.into_parts().io.into_inner().set_zero_linger();
    }
}

async fn handle(
    state: Arc<State>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Reset> {
    match request.uri().path() {
        "/faults" => Ok(state.faults(request).await),
        "/healthz" if !state.faults.read().apply_to_healthz() => {
            Ok(state.json(StatusCode::OK, &json!({"status": "ok"})))
        }
        "/healthz" => state.respond_with_faults("/healthz", &json!({"status": "ok"})).await,
        path => {
            state.requests.fetch_add(1, Ordering::Relaxed);
            let ServiceVersion { service, version } = &state.name;
            state
                .respond_with_faults(
                    path,
                    &json!({"service": service, "version": version, "path": path}),
                )
                .await
        }
    }
}

impl State {
    /// Responds with `body` after the injected delay, unless the drawn action is a failure.
    async fn respond_with_faults(
        &self,
        path: &str,
        body: &Value,
    ) -> Result<Response<Full<Bytes>>, Reset> {
        let (delay, action) = self.faults.read().draw(&mut rand::rng());
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        let mut response = match action {
            Action::Serve => self.json(StatusCode::OK, body),
            Action::Fail(status) => {
                let status =
                    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                self.problem(status, &format!("injected fault on {path}"))
            }
            Action::Reset => return Err(Reset),
        };
        response.headers_mut().extend(self.faults.read().response_headers());
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
                let mut response = self.problem(StatusCode::METHOD_NOT_ALLOWED, "use GET or PUT");
                response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, PUT"));
                return response;
            }
        }
        let faults = self.faults.read().clone();
        serde_json::to_value(faults).map_or_else(
            |error| self.problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
            |body| self.json(StatusCode::OK, &body),
        )
    }

    fn json(&self, status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
        self.response(status, "application/json", body)
    }

    fn problem(&self, status: StatusCode, detail: &str) -> Response<Full<Bytes>> {
        let body = json!({"title": status.canonical_reason(), "status": status.as_u16(), "detail": detail});
        self.response(status, "application/problem+json", &body)
    }

    /// Every response, also an error, carries `x-service` and `x-version`.
    fn response(
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

/// Reads faults from a request body, bounded in size and time. The error text is returned to the client.
async fn read_faults<B>(body: B) -> Result<Faults, String>
where
    B: Body<Data = Bytes, Error = hyper::Error>,
{
    let collected =
        tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, MAX_BYTES).collect()).await;
    let bytes = collected
        .map_err(|_| format!("the body did not arrive within {} s", BODY_TIMEOUT.as_secs()))?
        .map_err(|error| format!("cannot read the body: {error}"))?
        .to_bytes();
    serde_json::from_slice(&bytes).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
