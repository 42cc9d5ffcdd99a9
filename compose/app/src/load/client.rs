//! Sending one request over a pool of kept connections, and reading what matters of the answer.

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

use super::schedule::Arrival;
use super::stats::{Answer, Cause};
use super::{ConfigError, LoadConfig};

/// An answer that is longer fails: nothing here is.
const MAX_ANSWER: usize = 1024 * 1024;
/// How much of a failed answer is kept to say why: Envoy's own error texts fit.
const KEPT_DETAIL: usize = 200;

#[derive(Debug)]
pub(super) struct Sender {
    client: Client<HttpConnector, Empty<Bytes>>,
    targets: Vec<Uri>,
    headers: HeaderMap,
    user_header: HeaderName,
    timeout: Duration,
}

impl Sender {
    /// Checks everything that could make a request unsendable, so that sending can only fail for the network's reasons.
    pub(super) fn new(config: &LoadConfig) -> Result<Self, ConfigError> {
        if config.max_in_flight == 0 {
            return Err(ConfigError::NoRoom);
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
            built.map_err(|source| unsendable("path", &config.path, source))
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

    pub(super) async fn send(&self, arrival: &Arrival) -> Result<Answer, Cause> {
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = self.targets.get(arrival.target).cloned().unwrap_or_default();
        *request.headers_mut() = self.headers.clone();
        if let Some(user) = arrival.user {
            let value = HeaderValue::try_from(format!("user-{user}"))
                .map_err(|error| Cause::Broken(error.to_string()))?;
            request.headers_mut().insert(self.user_header.clone(), value);
        }
        let exchange = async {
            let response =
                self.client.request(request).await.map_err(|error| Cause::Broken(chain(&error)))?;
            read(response).await
        };
        tokio::time::timeout(self.timeout, exchange).await.unwrap_or(Err(Cause::TimedOut))
    }
}

async fn read(response: Response<Incoming>) -> Result<Answer, Cause> {
    let text = |name: &str| {
        let value = response.headers().get(name)?;
        Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let (version, flags, status) = (text("x-version"), text("x-response-flags"), response.status());
    let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
    let body =
        body.map_err(|error| Cause::Broken(format!("status {status}, then {error}")))?.to_bytes();
    let failed = status.is_client_error() || status.is_server_error();
    let detail = failed
        .then(|| String::from_utf8_lossy(body.get(..KEPT_DETAIL).unwrap_or(&body)).into_owned());
    Ok(Answer { status: status.as_u16(), version, flags, detail })
}

/// hyper's errors keep the reason in their sources.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

fn header_name(what: &'static str, text: &str) -> Result<HeaderName, ConfigError> {
    text.parse()
        .map_err(|error: http::header::InvalidHeaderName| unsendable(what, text, error.into()))
}

fn header_value(what: &'static str, text: &str) -> Result<HeaderValue, ConfigError> {
    text.parse()
        .map_err(|error: http::header::InvalidHeaderValue| unsendable(what, text, error.into()))
}

fn unsendable(what: &'static str, text: &str, source: http::Error) -> ConfigError {
    ConfigError::Unsendable { what, text: text.to_owned(), source }
}
