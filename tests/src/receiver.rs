//! A receiver of hooks and messages, that hangs or answers as a test wants.

use std::sync::Arc;

use anyhow::Result;
use axum::Router;
use axum::http::{HeaderMap, StatusCode, Uri};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::wait::{PATIENCE, until};

/// One call that it got.
#[derive(Clone, Debug)]
pub struct Got {
    /// Where it went.
    pub path: String,
    /// Its idempotency key.
    pub key: String,
    /// What it was signed with; empty if it was not.
    pub signature: String,
    /// What it said; null if that was no JSON.
    pub body: Value,
}

/// A receiver on a free port, for as long as the process lives.
#[derive(Clone, Debug)]
pub struct Receiver {
    /// Where it is, without a path.
    pub url: String,
    /// The status that it answers with; none while it hangs.
    pub answer: Arc<watch::Sender<Option<u16>>>,
    got: Arc<watch::Sender<Vec<Got>>>,
}

impl Receiver {
    /// Starts one that answers with a status, or hangs.
    ///
    /// # Errors
    /// If it cannot listen.
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
        let got = Got {
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

    /// The calls to a path so far.
    #[must_use]
    pub fn got(&self, path: &str) -> Vec<Got> {
        self.got.borrow().iter().filter(|it| it.path == path).cloned().collect()
    }

    /// Waits for so many calls to a path.
    ///
    /// # Errors
    /// If they never come.
    pub async fn calls(&self, path: &str, count: usize) -> Result<Vec<Got>> {
        let what = format!("{count} calls of {path}");
        until(&what, PATIENCE, async || Some(self.got(path)).filter(|it| it.len() >= count)).await
    }
}
