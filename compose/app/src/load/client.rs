//! Sends one request over a pool of keep-alive connections and reads the response.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::header::{HOST, HeaderMap, HeaderName, HeaderValue};
use hyper::{Request, Response, Uri, http};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::schedule::ScheduledRequest;
use super::stats::{RequestError, ResponseInfo};
use super::{ConfigError, LoadConfig};

/// Longest response body, in bytes. A longer one is a failed request.
const MAX_BODY: usize = 1024 * 1024;
/// Bytes of an error response's body that are kept as detail: enough for Envoy's local replies.
const MAX_DETAIL: usize = 200;

#[derive(Debug)]
pub(super) struct Sender {
    client: Client<HttpConnector, Empty<Bytes>>,
    targets: Vec<Uri>,
    headers: HeaderMap,
    user_header: HeaderName,
    timeout: Duration,
}

impl Sender {
    /// Validates every part of the requests, so that [`send`](Self::send) can only fail on the network.
    pub(super) fn new(config: &LoadConfig) -> Result<Self, ConfigError> {
        if config.max_in_flight == 0 {
            return Err(ConfigError::NoSlots);
        }
        let mut headers = HeaderMap::new();
        for (name, value) in &config.headers {
            headers.append(header_name("header name", name)?, header_value("header value", value)?);
        }
        headers.insert(HOST, header_value("host", &config.host)?);
        let uri = |target: &SocketAddr| {
            let built = Uri::builder()
                .scheme("http")
                .authority(target.to_string())
                .path_and_query(&*config.path)
                .build();
            built.map_err(|source| invalid_part("path", &config.path, source))
        };
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(config.timeout));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(config.max_in_flight as usize)
            .build(connector);
        Ok(Self {
            client,
            targets: config.targets.iter().map(uri).collect::<Result<_, _>>()?,
            headers,
            user_header: header_name("user header", &config.user_header)?,
            timeout: config.timeout,
        })
    }

    pub(super) async fn send(
        &self,
        scheduled: &ScheduledRequest,
    ) -> Result<ResponseInfo, RequestError> {
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = self.targets.get(scheduled.target).cloned().unwrap_or_default();
        *request.headers_mut() = self.headers.clone();
        if let Some(user) = scheduled.user {
            let value = HeaderValue::try_from(format!("user-{user}"))
                .map_err(|error| RequestError::Connection(error.to_string()))?;
            request.headers_mut().insert(self.user_header.clone(), value);
        }
        let exchange = async {
            let response = self
                .client
                .request(request)
                .await
                .map_err(|error| RequestError::Connection(with_sources(&error)))?;
            read(response).await
        };
        tokio::time::timeout(self.timeout, exchange).await.unwrap_or(Err(RequestError::TimedOut))
    }
}

async fn read(response: Response<Incoming>) -> Result<ResponseInfo, RequestError> {
    let text = |name: &str| {
        let value = response.headers().get(name)?;
        Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let (version, flags, status) = (text("x-version"), text("x-response-flags"), response.status());
    let body = Limited::new(response.into_body(), MAX_BODY).collect().await;
    let body = body
        .map_err(|error| RequestError::Connection(format!("status {status}, then {error}")))?
        .to_bytes();
    let failed = status.is_client_error() || status.is_server_error();
    let detail = failed
        .then(|| String::from_utf8_lossy(body.get(..MAX_DETAIL).unwrap_or(&body)).into_owned());
    Ok(ResponseInfo { status: status.as_u16(), version, flags, detail })
}

/// The error with its sources: the message of a hyper error alone does not contain the reason.
fn with_sources(error: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(error.source(), |source| source.source());
    sources.fold(error.to_string(), |text, source| format!("{text}: {source}"))
}

fn header_name(part: &'static str, text: &str) -> Result<HeaderName, ConfigError> {
    text.parse()
        .map_err(|error: http::header::InvalidHeaderName| invalid_part(part, text, error.into()))
}

fn header_value(part: &'static str, text: &str) -> Result<HeaderValue, ConfigError> {
    text.parse()
        .map_err(|error: http::header::InvalidHeaderValue| invalid_part(part, text, error.into()))
}

fn invalid_part(part: &'static str, text: &str, source: http::Error) -> ConfigError {
    ConfigError::InvalidPart { part, text: text.to_owned(), source }
}
