//! One request of a smoke test, and the response that it expects.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::header::HOST;
use reqwest::{Client, redirect};
use tidegate_core::config::VERSION_HEADER;
use tokio::time::sleep;
use tracing::warn;

use crate::root_cause::root_cause;
use tidegate_delivery::model::catalogue::Endpoint;
use tidegate_delivery::model::failure::{RequestFailure, SmokeTestFailure};
use tidegate_delivery::model::plan::SmokeTest;
use tidegate_delivery::names::VersionName;
use tidegate_xds::mesh::PreviewKey;
use tidegate_xds::resources::{NO_SUCH_VERSION, PREVIEW_HEADER};

/// Timeout and retries of one test.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    /// Timeout of one attempt.
    pub timeout: Duration,
    /// Attempts until the test has failed.
    pub attempts: u32,
    /// Delay before the second attempt; it doubles with each further one.
    pub backoff: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(5), attempts: 3, backoff: Duration::from_millis(500) }
    }
}

impl RetryPolicy {
    /// A client that uses no proxy and does not follow redirects.
    pub(super) fn client(&self) -> Result<Client, reqwest::Error> {
        Client::builder()
            .timeout(self.timeout)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .build()
    }
}

/// Where a test is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// `host:port`.
    authority: String,
    /// Set for a preview listener.
    preview: Option<Preview>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Preview {
    key: PreviewKey,
    version: VersionName,
}

impl Target {
    /// An instance of the candidate.
    pub(super) fn direct(endpoint: &Endpoint) -> Self {
        Self { authority: endpoint.to_string(), preview: None }
    }

    /// The preview listener of a sidecar.
    pub(super) fn preview(address: SocketAddr, key: &PreviewKey, version: &VersionName) -> Self {
        let preview = Preview { key: key.clone(), version: version.clone() };
        Self { authority: address.to_string(), preview: Some(preview) }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Probe {
    url: String,
    host: Option<String>,
    preview: Option<Preview>,
    expected_status: u16,
}

/// Why an attempt did not succeed.
enum AttemptError {
    /// The candidate failed.
    Failed(RequestFailure),
    /// The sidecar is unreachable, or has not received the candidate yet. This is no evidence against the candidate.
    PreviewNotReady(String),
}

impl Probe {
    pub(super) fn new(target: &Target, host: Option<&String>, test: &SmokeTest) -> Self {
        Self {
            url: format!("http://{}{}", target.authority, test.path),
            host: host.cloned(),
            preview: target.preview.clone(),
            expected_status: test.expect,
        }
    }

    /// Repeats the request until it succeeds or the attempts are used up, because the candidate may still be starting.
    /// A preview that is not ready uses up no attempt.
    pub(super) async fn run(
        self,
        client: Client,
        policy: RetryPolicy,
    ) -> Result<(), SmokeTestFailure> {
        let mut backoff = policy.backoff;
        let mut attempts = 0;
        let mut logged = false;
        loop {
            match self.attempt(&client).await {
                Ok(()) => return Ok(()),
                Err(AttemptError::PreviewNotReady(reason)) => {
                    if !std::mem::replace(&mut logged, true) {
                        warn!(url = self.url, reason, "preview is not ready; waiting for it");
                    }
                    sleep(policy.backoff).await;
                }
                Err(AttemptError::Failed(failure)) => {
                    attempts += 1;
                    if attempts >= policy.attempts {
                        return Err(SmokeTestFailure { url: self.url, failure });
                    }
                    sleep(backoff).await;
                    backoff = backoff.saturating_mul(2);
                }
            }
        }
    }

    async fn attempt(&self, client: &Client) -> Result<(), AttemptError> {
        let mut request = client.get(&self.url);
        if let Some(host) = &self.host {
            request = request.header(HOST, host);
        }
        if let Some(Preview { key, version }) = &self.preview {
            request = request.header(PREVIEW_HEADER, key.secret());
            request = request.header(VERSION_HEADER, version.as_str());
        }
        // The response body is not read.
        let response = request.send().await.map_err(|error| {
            let failure = failure(&error);
            if self.preview.is_some() && error.is_connect() {
                AttemptError::PreviewNotReady(failure.to_string())
            } else {
                AttemptError::Failed(failure)
            }
        })?;
        let not_here =
            response.headers().get(PREVIEW_HEADER).is_some_and(|it| it == NO_SUCH_VERSION);
        if self.preview.is_some() && not_here {
            let reason = "the sidecar has not received the version yet".to_owned();
            return Err(AttemptError::PreviewNotReady(reason));
        }
        let status = response.status().as_u16();
        if status == self.expected_status {
            return Ok(());
        }
        let expected = self.expected_status;
        Err(AttemptError::Failed(RequestFailure::UnexpectedStatus { status, expected }))
    }
}

fn failure(error: &reqwest::Error) -> RequestFailure {
    if error.is_timeout() {
        return RequestFailure::Timeout;
    }
    RequestFailure::transport(&root_cause(error).to_string())
}
