//! A receiver of hooks and messages, that hangs or answers as a test wants.

use std::sync::Arc;

use anyhow::Result;
use axum::Router;
use axum::http::{HeaderMap, StatusCode, Uri};
use serde_json::Value;
use tidegate_tests::wait::{PATIENCE, until};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// One call that it got.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    pub(crate) path: String,
    pub(crate) key: String,
    pub(crate) signature: String,
    pub(crate) body: Value,
}

#[derive(Clone)]
pub(crate) struct Receiver {
    /// Where it is, without a path.
    pub(crate) url: String,
    /// The status that it answers with; none while it hangs.
    pub(crate) answer: Arc<watch::Sender<Option<u16>>>,
    got: Arc<watch::Sender<Vec<Got>>>,
}

impl Receiver {
    pub(crate) async fn start(answer: Option<u16>) -> Result<Self> {
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

    pub(crate) fn got(&self, path: &str) -> Vec<Got> {
        self.got.borrow().iter().filter(|it| it.path == path).cloned().collect()
    }

    /// Waits for so many calls to a path.
    pub(crate) async fn calls(&self, path: &str, count: usize) -> Result<Vec<Got>> {
        let what = format!("{count} calls of {path}");
        until(&what, PATIENCE, async || Some(self.got(path)).filter(|it| it.len() >= count)).await
    }
}
