//! The one way in which effects reach receivers: a signed `POST` with an idempotency key.
//!
//! Receivers are not trusted: no redirect is followed, no proxy is asked, the answer's body is not
//! read, and the whole call ends in time.

#[cfg(test)]
mod tests;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, USER_AGENT};
use hyper::{Request, StatusCode};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use tokio::time::timeout;
use tracing::warn;

use super::secret::{self, SecretError};
use super::signature;
use crate::clock::Clock;
use tidegate_delivery::model::hook::SecretRef;

/// The same for every attempt of one message: a receiver that has seen it does nothing.
const KEY: &str = "idempotency-key";
/// Who calls.
const AGENT: &str = concat!("tidegate/", env!("CARGO_PKG_VERSION"));

/// Why no TLS can be spoken at all.
#[derive(Debug, thiserror::Error)]
#[error("TLS cannot be set up: {0}")]
pub struct TlsError(#[from] rustls::Error);

/// The way out. Cheap to clone; all share their connections.
#[derive(Clone)]
pub struct Outbound {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    clock: Clock,
}

/// One call.
pub(super) struct Post<'a> {
    /// Where to.
    pub(super) url: &'a str,
    /// JSON.
    pub(super) body: Bytes,
    /// See [`KEY`].
    pub(super) key: &'a str,
    /// What it is signed with.
    pub(super) secret: Option<&'a SecretRef>,
    /// How long the answer may take.
    pub(super) patience: Duration,
}

/// Why a call did not do what it should. None of these names the address, which may be a secret.
#[derive(Debug, thiserror::Error)]
pub(super) enum PostError {
    /// Nothing to sign with.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// An address or a key that no request can have.
    #[error("no request can be made of it: {0}")]
    Request(#[from] hyper::http::Error),
    /// Nobody there, or nobody who speaks HTTP.
    #[error("no answer: {0}")]
    Unreachable(String),
    /// Somebody there, and silent.
    #[error("no answer within {} ms", .0.as_millis())]
    Late(Duration),
    /// An answer that is none of the good ones. A redirect is one of the others.
    #[error("it answered {0}")]
    Status(StatusCode),
}

impl PostError {
    /// Whether the receiver will say the same of this message for ever: it understood, and refused.
    pub(super) fn is_final(&self) -> bool {
        let Self::Status(status) = self else { return false };
        let later =
            [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_EARLY, StatusCode::TOO_MANY_REQUESTS];
        !status.is_server_error() && !later.contains(status)
    }
}

impl Outbound {
    /// With the system's root certificates.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(clock: Clock) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            warn!(%error, "some root certificates cannot be read: https receivers may not be trusted");
        }
        roots.add_parsable_certificates(found.certs);
        Self::trusting(roots, clock)
    }

    fn trusting(roots: RootCertStore, clock: Clock) -> Result<Self, TlsError> {
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .build();
        Ok(Self { client: Client::builder(TokioExecutor::new()).build(connector), clock })
    }

    /// Calls once.
    pub(super) async fn post(&self, post: &Post<'_>) -> Result<(), PostError> {
        let mut request = Request::post(post.url)
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, AGENT)
            .header(KEY, post.key);
        if let Some(secret) = post.secret {
            let secret = secret::read(secret)?;
            let signature = signature::sign(&secret, self.clock.wall(), &post.body);
            request = request.header(signature::HEADER, signature);
        }
        let request = request.body(Full::new(post.body.clone()))?;
        let answer = timeout(post.patience, self.client.request(request)).await;
        let answer = answer.map_err(|_| PostError::Late(post.patience))?;
        let status = answer.map_err(|error| PostError::Unreachable(root(&error)))?.status();
        if status.is_success() { Ok(()) } else { Err(PostError::Status(status)) }
    }
}

/// What went wrong at the bottom: that a connection was refused, not that a request could not be sent.
fn root(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}
