//! HTTP client of hooks and notifications: a signed `POST` with an idempotency key.
//!
//! Receivers are not trusted: redirects and proxies are not followed, response bodies are not read, and each request
//! has a timeout.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use hyper::http::HeaderValue;
use hyper::{Request, StatusCode};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::TokioExecutor;
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use tokio::time::timeout;
use tracing::warn;

use super::secret::{self, SecretError};
use super::signature;
use crate::clock::Clock;
use crate::root_cause::root_cause;
use tidegate_delivery::model::hook::SecretRef;

/// Media type of most bodies.
pub(super) const JSON: &str = "application/json";
/// Header with the key that all attempts of one message share. Receivers ignore a key that they have processed.
const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// The `User-Agent` of all requests.
pub(super) const AGENT: &str = concat!("tidegate/", env!("CARGO_PKG_VERSION"));

/// The TLS client configuration is invalid.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up TLS for webhooks: {0}")]
pub struct TlsError(#[from] rustls::Error);

/// The client. Clones share the connection pool.
#[derive(Clone)]
pub struct WebhookClient {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    clock: Clock,
}

pub(super) struct WebhookRequest<'a> {
    pub(super) url: &'a str,
    pub(super) body: Bytes,
    /// Media type of the body.
    pub(super) content_type: &'static str,
    pub(super) idempotency_key: &'a str,
    /// Key of the signature; none: unsigned.
    pub(super) secret: Option<&'a SecretRef>,
    /// Token of the `Authorization` header.
    pub(super) bearer: Option<&'a str>,
    pub(super) timeout: Duration,
}

/// Why a request failed. No variant contains the URL, which may be a secret.
#[derive(Debug, thiserror::Error)]
pub(super) enum RequestError {
    /// The secret cannot be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The URL or the key is invalid in HTTP.
    #[error("invalid request: {0}")]
    Request(#[from] hyper::http::Error),
    /// Connecting, TLS or HTTP failed.
    #[error("request failed: {0}")]
    Failed(String),
    /// No response in time.
    #[error("no response within {} ms", .0.as_millis())]
    Timeout(Duration),
    /// The status is not one of success.
    #[error("status {0}")]
    Status(StatusCode),
}

/// The value of the `Authorization` header.
pub(super) fn bearer(token: &str) -> Result<HeaderValue, RequestError> {
    let value = HeaderValue::from_str(&format!("Bearer {token}"));
    let mut value = value.map_err(hyper::http::Error::from)?;
    value.set_sensitive(true);
    Ok(value)
}

impl RequestError {
    /// Whether a retry would fail as well: the receiver rejected the message itself.
    pub(super) fn is_permanent(&self) -> bool {
        let Self::Status(status) = self else { return false };
        let temporary =
            [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_EARLY, StatusCode::TOO_MANY_REQUESTS];
        !status.is_server_error() && !temporary.contains(status)
    }
}

impl WebhookClient {
    /// A client that trusts the system's root certificates.
    ///
    /// # Errors
    /// If the TLS configuration is invalid.
    pub fn new(clock: Clock) -> Result<Self, TlsError> {
        Ok(Self::with_connector(https_connector()?, clock))
    }

    #[cfg(test)]
    fn with_roots(roots: RootCertStore, clock: Clock) -> Result<Self, TlsError> {
        Ok(Self::with_connector(connector_with(roots)?, clock))
    }

    fn with_connector(connector: HttpsConnector<HttpConnector>, clock: Clock) -> Self {
        Self { client: Client::builder(TokioExecutor::new()).build(connector), clock }
    }

    /// Sends one request. Any 2xx status is a success.
    pub(super) async fn post(&self, post: &WebhookRequest<'_>) -> Result<(), RequestError> {
        let mut request = Request::post(post.url)
            .header(CONTENT_TYPE, post.content_type)
            .header(USER_AGENT, AGENT)
            .header(IDEMPOTENCY_KEY, post.idempotency_key);
        if let Some(secret) = post.secret {
            let secret = secret::read(secret)?;
            let signature = signature::sign(&secret, self.clock.wall(), &post.body);
            request = request.header(signature::HEADER, signature);
        }
        if let Some(token) = post.bearer {
            request = request.header(AUTHORIZATION, bearer(token)?);
        }
        let request = request.body(Full::new(post.body.clone()))?;
        let response = timeout(post.timeout, self.client.request(request)).await;
        let response = response.map_err(|_| RequestError::Timeout(post.timeout))?;
        let failed = |error: legacy::Error| RequestError::Failed(root_cause(&error).to_string());
        let status = response.map_err(failed)?.status();
        if status.is_success() { Ok(()) } else { Err(RequestError::Status(status)) }
    }
}

/// Connects by HTTP or HTTPS, and trusts the system's root certificates.
///
/// # Errors
/// If the TLS configuration is invalid.
pub(super) fn https_connector() -> Result<HttpsConnector<HttpConnector>, TlsError> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        warn!(%error, "cannot read a root certificate; https receivers that need it will fail");
    }
    roots.add_parsable_certificates(found.certs);
    connector_with(roots)
}

fn connector_with(roots: RootCertStore) -> Result<HttpsConnector<HttpConnector>, TlsError> {
    let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
    Ok(connector.enable_http1().build())
}
