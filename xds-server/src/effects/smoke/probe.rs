//! One request of a smoke test, and what its answer must be.

use std::error::Error;
use std::time::Duration;

use reqwest::header::HOST;
use reqwest::{Client, redirect};
use tokio::time::sleep;

use crate::delivery::catalogue::Endpoint;
use crate::delivery::plan::SmokeTest;

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

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Probe {
    url: String,
    host: Option<String>,
    expect: u16,
}

impl Probe {
    pub(super) fn new(endpoint: &Endpoint, host: Option<&String>, test: &SmokeTest) -> Self {
        let Endpoint { host: address, port } = endpoint;
        let path = &test.path;
        let url = if address.contains(':') {
            format!("http://[{address}]:{port}{path}")
        } else {
            format!("http://{address}:{port}{path}")
        };
        Self { url, host: host.cloned(), expect: test.expect }
    }

    /// Tries several times if need be: a candidate may have been started just now.
    pub(super) async fn insist(self, client: Client, patience: Patience) -> Result<(), String> {
        let mut backoff = patience.backoff;
        let mut result = self.attempt(&client).await;
        for _ in 1..patience.tries {
            if result.is_ok() {
                break;
            }
            sleep(backoff).await;
            backoff = backoff.saturating_mul(2);
            result = self.attempt(&client).await;
        }
        result.map_err(|what| format!("GET {}: {what}", self.url))
    }

    async fn attempt(&self, client: &Client) -> Result<(), String> {
        let mut request = client.get(&self.url);
        if let Some(host) = &self.host {
            request = request.header(HOST, host);
        }
        // The answer's body does not matter, and is not read.
        let answer = request.send().await.map_err(|error| plain(&error))?;
        let status = answer.status().as_u16();
        if status == self.expect { Ok(()) } else { Err(format!("{status}, not {}", self.expect)) }
    }
}

/// What went wrong at the bottom: that a connection was refused, not that a request could not be sent.
fn plain(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut cause: &dyn Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}
