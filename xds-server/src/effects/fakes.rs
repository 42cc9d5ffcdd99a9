//! An HTTP receiver on a local socket, whose responses a test sets.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;

use super::{Backoff, WebhookClient};
use crate::clock::Clock;
use tidegate_delivery::units::Timestamp;

/// A backoff without noticeable delays.
pub(super) const FAST: Backoff =
    Backoff { initial: Duration::from_millis(1), max: Duration::from_millis(5) };

/// How the receiver treats a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Behavior {
    /// Responds with this status.
    Respond(u16),
    /// Reads the request and never responds.
    Hang,
}

/// A request that the receiver got.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ReceivedRequest {
    pub(super) headers: HeaderMap,
    pub(super) bytes: String,
    pub(super) body: Value,
}

impl ReceivedRequest {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(super) fn key(&self) -> &str {
        self.header("idempotency-key")
    }
}

#[derive(Clone)]
pub(super) struct FakeReceiver {
    pub(super) url: String,
    /// For the next requests, in order; the last one stays.
    behaviors: Arc<Mutex<Vec<Behavior>>>,
    received: watch::Sender<Vec<ReceivedRequest>>,
}

impl FakeReceiver {
    pub(super) async fn start(behaviors: &[Behavior]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let fake = Self {
            url: format!("http://{}/hook", listener.local_addr().unwrap()),
            behaviors: Arc::new(Mutex::new(behaviors.to_vec())),
            received: watch::Sender::default(),
        };
        let this = fake.clone();
        let respond = move |headers: HeaderMap, bytes: String| this.clone().respond(headers, bytes);
        let app = Router::new().route("/hook", axum::routing::post(respond));
        tokio::spawn(async move { axum::serve(listener, app).await });
        fake
    }

    async fn respond(self, headers: HeaderMap, bytes: String) -> (StatusCode, HeaderMap) {
        let body = serde_json::from_str(&bytes).unwrap();
        self.received.send_modify(|all| all.push(ReceivedRequest { headers, bytes, body }));
        let behavior = {
            let mut behaviors = self.behaviors.lock();
            if behaviors.len() > 1 { behaviors.remove(0) } else { behaviors[0] }
        };
        let mut headers = HeaderMap::new();
        headers.insert("location", "/elsewhere".parse().unwrap());
        match behavior {
            Behavior::Respond(status) => (StatusCode::from_u16(status).unwrap(), headers),
            Behavior::Hang => std::future::pending().await,
        }
    }

    pub(super) fn set(&self, behavior: Behavior) {
        *self.behaviors.lock() = vec![behavior];
    }

    pub(super) fn received(&self) -> Vec<ReceivedRequest> {
        self.received.borrow().clone()
    }

    /// Waits for at least `count` requests; panics after 30 s.
    pub(super) async fn requests(&self, count: usize) -> Vec<ReceivedRequest> {
        let mut received = self.received.subscribe();
        let wait = received.wait_for(|all| all.len() >= count);
        let seen = timeout(Duration::from_secs(30), wait).await;
        let seen =
            seen.unwrap_or_else(|_| panic!("{} requests, not {count}", self.received().len()));
        seen.unwrap().clone()
    }
}

pub(super) fn webhooks() -> WebhookClient {
    WebhookClient::new(Clock::system()).unwrap()
}

/// A clock whose first reading panics: a bug in the task that reads it.
pub(super) fn clock_that_panics_once() -> Clock {
    let panicked = AtomicBool::new(false);
    Clock::new(move || {
        assert!(panicked.swap(true, Ordering::Relaxed), "the first reading of the clock fails");
        Timestamp::default()
    })
}
