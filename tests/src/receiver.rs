//! An HTTP receiver of hooks and notifications, with a configurable response.

use std::sync::Arc;

use anyhow::Result;
use axum::Router;
use axum::http::{HeaderMap, StatusCode, Uri};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::wait::{WAIT_LIMIT, until};

/// One received request.
#[derive(Clone, Debug)]
pub struct ReceivedRequest {
    /// Path.
    pub path: String,
    /// Header `idempotency-key`.
    pub key: String,
    /// Header `tidegate-signature`; empty without one.
    pub signature: String,
    /// JSON body; null if it is not JSON.
    pub body: Value,
}

/// A receiver on a free port until the end of the process.
#[derive(Clone, Debug)]
pub struct Receiver {
    /// URL without a path.
    pub url: String,
    /// Status of responses; `None`: no response is sent.
    pub answer: Arc<watch::Sender<Option<u16>>>,
    got: Arc<watch::Sender<Vec<ReceivedRequest>>>,
}

impl Receiver {
    /// Starts a receiver with a status, or one that never responds.
    ///
    /// # Errors
    /// If the port cannot be bound.
    pub async fn start(answer: Option<u16>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let receiver = Self {
            url: format!("http://{}", listener.local_addr()?),
            answer: Arc::new(watch::Sender::new(answer)),
            got: Arc::default(),
        };
        let this = receiver.clone();
        let app = Router::new().fallback(move |uri: Uri, headers: HeaderMap, body: String| {
            this.clone().take(uri, headers, body)
        });
        tokio::spawn(async move { axum::serve(listener, app).await });
        Ok(receiver)
    }

    async fn take(self, uri: Uri, headers: HeaderMap, body: String) -> StatusCode {
        let header = |name| headers.get(name).and_then(|it| it.to_str().ok()).unwrap_or_default();
        let got = ReceivedRequest {
            path: uri.path().to_owned(),
            key: header("idempotency-key").to_owned(),
            signature: header("tidegate-signature").to_owned(),
            body: serde_json::from_str(&body).unwrap_or_default(),
        };
        self.got.send_modify(|all| all.push(got));
        let answer = *self.answer.borrow();
        match answer.map(StatusCode::from_u16) {
            Some(Ok(status)) => status,
            _ => std::future::pending().await,
        }
    }

    /// Requests to a path so far.
    #[must_use]
    pub fn got(&self, path: &str) -> Vec<ReceivedRequest> {
        self.got.borrow().iter().filter(|it| it.path == path).cloned().collect()
    }

    /// Waits for at least `count` requests to a path.
    ///
    /// # Errors
    /// After [`WAIT_LIMIT`].
    pub async fn calls(&self, path: &str, count: usize) -> Result<Vec<ReceivedRequest>> {
        let what = format!("{count} calls of {path}");
        until(&what, WAIT_LIMIT, async || Some(self.got(path)).filter(|it| it.len() >= count)).await
    }
}
