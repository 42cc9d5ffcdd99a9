//! Pushes an image to a registry: the few calls of the OCI distribution specification that this takes.
//!
//! Credentials are sent over TLS or to this machine only.

mod challenge;
mod reference;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, LOCATION, USER_AGENT, WWW_AUTHENTICATE};
use hyper::{Method, Request, Response, StatusCode};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use tokio::time::timeout;

use self::challenge::Challenge;
pub use self::reference::{Reference, ReferenceError};
use super::image::{Blob, Image};
use crate::root_cause::root_cause;

/// Limit of a request with its response.
const TIMEOUT: Duration = Duration::from_secs(120);
/// Limit of a response's body, in bytes.
const MAX_BODY: usize = 1 << 20;
const AGENT: &str = concat!("tidegate/", env!("CARGO_PKG_VERSION"));

/// A user of a registry.
#[derive(Clone)]
pub struct Credentials {
    /// Its name.
    pub username: String,
    /// Its password or access token.
    pub password: String,
}

/// Why an image was not pushed.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The TLS client configuration is invalid.
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// Connecting, TLS or HTTP failed.
    #[error("{method} {url}: {why}")]
    Failed {
        /// The method of the request.
        method: Method,
        /// Its URL.
        url: String,
        /// The innermost error.
        why: String,
    },
    /// Another status than that of success.
    #[error("{method} {url}: status {status}{}", if text.is_empty() { String::new() } else { format!(": {text}") })]
    Status {
        /// The method of the request.
        method: Method,
        /// Its URL.
        url: String,
        /// The status.
        status: StatusCode,
        /// The beginning of the body.
        text: String,
    },
    /// The registry requires credentials, or rejects them.
    #[error(
        "the registry requires credentials: set TIDEGATE_REGISTRY_USERNAME and TIDEGATE_REGISTRY_PASSWORD to those of a user \
         who may push to this repository"
    )]
    Unauthorized,
    /// The registry names no way to authenticate that is possible here.
    #[error("the registry requires an authentication that is not supported: {0}")]
    Challenge(String),
    /// A response without the location of the upload.
    #[error("the registry answered without the location of the upload")]
    NoLocation,
    /// The registry stored something else.
    #[error("the registry has the digest {found} for this image, whose digest is {expected}")]
    Digest {
        /// The digest that the registry has.
        found: String,
        /// The digest of the image.
        expected: String,
    },
}

/// A registry, with what it has granted.
struct Registry<'a> {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    reference: &'a Reference,
    credentials: Option<&'a Credentials>,
    authorization: Option<String>,
}

/// Pushes an image, and reads its manifest back.
///
/// # Errors
/// When the registry does not store it.
pub async fn push(
    image: &Image,
    reference: &Reference,
    credentials: Option<&Credentials>,
) -> Result<(), PushError> {
    let mut registry = Registry::new(reference, credentials)?;
    registry.upload(&image.config).await?;
    registry.upload(&image.layer).await?;
    registry.put_manifest(image).await
}

impl<'a> Registry<'a> {
    fn new(
        reference: &'a Reference,
        credentials: Option<&'a Credentials>,
    ) -> Result<Self, PushError> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .build();
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { client, reference, credentials, authorization: None })
    }

    /// Uploads a blob, unless the registry has it.
    async fn upload(&mut self, blob: &Blob) -> Result<(), PushError> {
        let known = self.reference.url(&format!("blobs/{}", blob.digest));
        let head = self.send(Method::HEAD, &known, None).await?;
        match head.status() {
            StatusCode::OK => return Ok(()),
            StatusCode::NOT_FOUND => {}
            _ => return Err(failed(Method::HEAD, &known, head).await),
        }
        let url = self.reference.url("blobs/uploads/");
        let started = self.send(Method::POST, &url, None).await?;
        if started.status() != StatusCode::ACCEPTED {
            return Err(failed(Method::POST, &url, started).await);
        }
        let location = started.headers().get(LOCATION).and_then(|it| it.to_str().ok());
        let location = location.and_then(|it| self.reference.resolve(it));
        let location = location.ok_or(PushError::NoLocation)?;
        let separator = if location.contains('?') { '&' } else { '?' };
        let url = format!("{location}{separator}digest={}", blob.digest);
        let body = ("application/octet-stream", blob.bytes.clone());
        let stored = self.send(Method::PUT, &url, Some(body)).await?;
        match stored.status() {
            StatusCode::CREATED => Ok(()),
            _ => Err(failed(Method::PUT, &url, stored).await),
        }
    }

    async fn put_manifest(&mut self, image: &Image) -> Result<(), PushError> {
        let url = self.reference.url(&format!("manifests/{}", self.reference.tag()));
        let body = (Image::MEDIA_TYPE, image.manifest.bytes.clone());
        let stored = self.send(Method::PUT, &url, Some(body)).await?;
        if stored.status() != StatusCode::CREATED {
            return Err(failed(Method::PUT, &url, stored).await);
        }
        let expected = &image.manifest.digest;
        let url = self.reference.url(&format!("manifests/{expected}"));
        let read = self.send(Method::GET, &url, None).await?;
        if read.status() != StatusCode::OK {
            return Err(failed(Method::GET, &url, read).await);
        }
        let found = body_of(Method::GET, &url, read).await?;
        if found != image.manifest.bytes {
            let (found, expected) = (super::image::digest(&found), expected.clone());
            return Err(PushError::Digest { found, expected });
        }
        Ok(())
    }

    /// Sends a request; authenticates and sends it again if the registry asks for that.
    async fn send(
        &mut self,
        method: Method,
        url: &str,
        body: Option<(&str, Bytes)>,
    ) -> Result<Response<Incoming>, PushError> {
        let granted = self.authorization.clone().filter(|_| self.reference.is_at(url));
        let response = self.exchange(method.clone(), url, body.clone(), granted.as_deref()).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        let challenge = response.headers().get(WWW_AUTHENTICATE).and_then(|it| it.to_str().ok());
        let challenge = challenge.unwrap_or_default().to_owned();
        // An upload may be at another host, which has credentials of its own in the URL.
        if !self.reference.is_at(url) {
            return Err(PushError::Unauthorized);
        }
        let authorization = self.authenticate(&challenge).await?;
        let response = self.exchange(method, url, body, Some(&authorization)).await?;
        self.authorization = Some(authorization);
        match response.status() {
            StatusCode::UNAUTHORIZED => Err(PushError::Unauthorized),
            _ => Ok(response),
        }
    }

    /// The `authorization` that a challenge requires.
    async fn authenticate(&self, challenge: &str) -> Result<String, PushError> {
        let unsupported = || PushError::Challenge(challenge.chars().take(200).collect());
        let basic = self.credentials.map(|it| {
            format!("Basic {}", STANDARD.encode(format!("{}:{}", it.username, it.password)))
        });
        match Challenge::parse(challenge).ok_or_else(unsupported)? {
            Challenge::Basic => basic.ok_or(PushError::Unauthorized),
            Challenge::Bearer(bearer) => {
                let url = bearer.url().ok_or_else(unsupported)?;
                let response = self.exchange(Method::GET, &url, None, basic.as_deref()).await?;
                match response.status() {
                    StatusCode::OK => {}
                    StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                        return Err(PushError::Unauthorized);
                    }
                    _ => return Err(failed(Method::GET, &url, response).await),
                }
                let body = body_of(Method::GET, &url, response).await?;
                let token = challenge::token(&body).ok_or_else(unsupported)?;
                Ok(format!("Bearer {token}"))
            }
        }
    }

    async fn exchange(
        &self,
        method: Method,
        url: &str,
        body: Option<(&str, Bytes)>,
        authorization: Option<&str>,
    ) -> Result<Response<Incoming>, PushError> {
        let error = |why: String| PushError::Failed {
            method: method.clone(),
            url: without_query(url),
            why,
        };
        let mut request = Request::builder()
            .method(method.clone())
            .uri(url)
            .header(USER_AGENT, AGENT)
            .header(ACCEPT, format!("{}, application/json", Image::MEDIA_TYPE));
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let bytes = match body {
            Some((content_type, bytes)) => {
                request = request.header(CONTENT_TYPE, content_type);
                bytes
            }
            None => Bytes::new(),
        };
        let request = request.body(Full::new(bytes)).map_err(|it| error(it.to_string()))?;
        match timeout(TIMEOUT, self.client.request(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(failure)) => Err(error(root_cause(&failure).to_string())),
            Err(_) => Err(error(format!("no response within {} s", TIMEOUT.as_secs()))),
        }
    }
}

async fn failed(method: Method, url: &str, response: Response<Incoming>) -> PushError {
    let status = response.status();
    let body = body_of(method.clone(), url, response).await.unwrap_or_default();
    let text = String::from_utf8_lossy(&body);
    let text = text.chars().filter(|it| !it.is_control()).take(300).collect();
    PushError::Status { method, url: without_query(url), status, text }
}

async fn body_of(
    method: Method,
    url: &str,
    response: Response<Incoming>,
) -> Result<Bytes, PushError> {
    let body = timeout(TIMEOUT, Limited::new(response.into_body(), MAX_BODY).collect()).await;
    let why = match body {
        Ok(Ok(collected)) => return Ok(collected.to_bytes()),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "the response does not end".to_owned(),
    };
    Err(PushError::Failed { method, url: without_query(url), why })
}

/// The query of an upload may contain a secret.
fn without_query(url: &str) -> String {
    url.split('?').next().unwrap_or_default().to_owned()
}
