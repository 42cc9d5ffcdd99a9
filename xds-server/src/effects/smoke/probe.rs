//! One request of a smoke test, the way it goes, and what its answer must be.

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use reqwest::header::HOST;
use reqwest::{Client, redirect};
use tidegate_core::config::VERSION_HEADER;
use tokio::time::sleep;
use tracing::warn;

use tidegate_delivery::model::catalogue::Endpoint;
use tidegate_delivery::model::failure::{RequestFailure, SmokeTestFailure};
use tidegate_delivery::model::plan::SmokeTest;
use tidegate_delivery::names::VersionName;
use tidegate_xds::mesh::PreviewKey;
use tidegate_xds::resources::{NOT_HERE, PREVIEW_HEADER};

/// How long a candidate is given.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For one answer.
    pub timeout: Duration,
    /// How often one test is tried.
    pub tries: u32,
    /// Before the second try; twice that before the third.
    pub backoff: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(5), tries: 3, backoff: Duration::from_millis(500) }
    }
}

impl Patience {
    /// A client that asks the candidate itself: no proxy, and a redirect is an answer like any other.
    pub(super) fn client(&self) -> Result<Client, reqwest::Error> {
        Client::builder()
            .timeout(self.timeout)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .build()
    }
}

/// How a candidate is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Way {
    /// `host:port`.
    authority: String,
    /// Through a sidecar: what it is asked for.
    preview: Option<Preview>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Preview {
    key: PreviewKey,
    version: VersionName,
}

impl Way {
    /// Straight to one of its instances.
    pub(super) fn direct(endpoint: &Endpoint) -> Self {
        Self { authority: endpoint.to_string(), preview: None }
    }

    /// Through a sidecar.
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
    expect: u16,
}

/// An attempt that did not succeed.
enum Miss {
    /// The candidate's doing.
    Failed(RequestFailure),
    /// The sidecar is away, or has not heard of the candidate yet: that is no evidence against it.
    NotThere(String),
}

impl Probe {
    pub(super) fn new(way: &Way, host: Option<&String>, test: &SmokeTest) -> Self {
        Self {
            url: format!("http://{}{}", way.authority, test.path),
            host: host.cloned(),
            preview: way.preview.clone(),
            expect: test.expect,
        }
    }

    /// Tries several times if need be: a candidate may have been started just now.
    pub(super) async fn insist(
        self,
        client: Client,
        patience: Patience,
    ) -> Result<(), SmokeTestFailure> {
        let mut backoff = patience.backoff;
        let mut tries = 0;
        let mut told = false;
        loop {
            match self.attempt(&client).await {
                Ok(()) => return Ok(()),
                Err(Miss::NotThere(what)) => {
                    if !std::mem::replace(&mut told, true) {
                        warn!(url = self.url, what, "a preview is not there yet; waiting for it");
                    }
                    sleep(patience.backoff).await;
                }
                Err(Miss::Failed(failure)) => {
                    tries += 1;
                    if tries >= patience.tries {
                        return Err(SmokeTestFailure { url: self.url, failure });
                    }
                    sleep(backoff).await;
                    backoff = backoff.saturating_mul(2);
                }
            }
        }
    }

    async fn attempt(&self, client: &Client) -> Result<(), Miss> {
        let mut request = client.get(&self.url);
        if let Some(host) = &self.host {
            request = request.header(HOST, host);
        }
        if let Some(Preview { key, version }) = &self.preview {
            request = request.header(PREVIEW_HEADER, key.secret());
            request = request.header(VERSION_HEADER, version.as_str());
        }
        // The answer's body does not matter, and is not read.
        let answer = request.send().await.map_err(|error| {
            let sidecar_is_away = self.preview.is_some() && error.is_connect();
            let failure = plain(&error);
            if sidecar_is_away {
                Miss::NotThere(failure.to_string())
            } else {
                Miss::Failed(failure)
            }
        })?;
        let not_here = answer.headers().get(PREVIEW_HEADER).is_some_and(|it| it == NOT_HERE);
        if self.preview.is_some() && not_here {
            return Err(Miss::NotThere("the sidecar does not have the version yet".to_owned()));
        }
        let status = answer.status().as_u16();
        if status == self.expect {
            return Ok(());
        }
        Err(Miss::Failed(RequestFailure::UnexpectedStatus { status, expected: self.expect }))
    }
}

/// What went wrong at the bottom: that a connection was refused, not that a request could not be sent.
fn plain(error: &reqwest::Error) -> RequestFailure {
    if error.is_timeout() {
        return RequestFailure::Timeout;
    }
    let mut cause: &dyn Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    RequestFailure::transport(&cause.to_string())
}
