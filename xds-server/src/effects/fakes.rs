//! A receiver on a real socket, that fails, hangs or answers as a test wants.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;

use super::{Outbound, Pace};
use crate::clock::Clock;

/// Quick to try again.
pub(super) const HASTE: Pace =
    Pace { first: Duration::from_millis(1), longest: Duration::from_millis(5) };

/// What it does with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
    /// Answers with this status.
    Answer(u16),
    /// Takes it and is silent.
    Hang,
}

/// One call that it got.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Got {
    pub(super) headers: HeaderMap,
    pub(super) bytes: String,
    pub(super) body: Value,
}

impl Got {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(super) fn key(&self) -> &str {
        self.header("idempotency-key")
    }
}

#[derive(Clone)]
pub(super) struct Fake {
    pub(super) url: String,
    /// The moods of the next calls; the last stays.
    moods: Arc<Mutex<Vec<Mood>>>,
    got: watch::Sender<Vec<Got>>,
}

impl Fake {
    pub(super) async fn start(moods: &[Mood]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let fake = Self {
            url: format!("http://{}/hook", listener.local_addr().unwrap()),
            moods: Arc::new(Mutex::new(moods.to_vec())),
            got: watch::Sender::default(),
        };
        let this = fake.clone();
        let answer = move |headers: HeaderMap, bytes: String| this.clone().answer(headers, bytes);
        let app = Router::new().route("/hook", axum::routing::post(answer));
        tokio::spawn(async move { axum::serve(listener, app).await });
        fake
    }

    async fn answer(self, headers: HeaderMap, bytes: String) -> (StatusCode, HeaderMap) {
        let body = serde_json::from_str(&bytes).unwrap();
        self.got.send_modify(|got| got.push(Got { headers, bytes, body }));
        let mood = {
            let mut moods = self.moods.lock();
            if moods.len() > 1 { moods.remove(0) } else { moods[0] }
        };
        let mut headers = HeaderMap::new();
        headers.insert("location", "/elsewhere".parse().unwrap());
        match mood {
            Mood::Answer(status) => (StatusCode::from_u16(status).unwrap(), headers),
            Mood::Hang => std::future::pending().await,
        }
    }

    pub(super) fn be(&self, mood: Mood) {
        *self.moods.lock() = vec![mood];
    }

    pub(super) fn got(&self) -> Vec<Got> {
        self.got.borrow().clone()
    }

    /// Waits for so many calls; for ever is an error.
    pub(super) async fn calls(&self, count: usize) -> Vec<Got> {
        let mut got = self.got.subscribe();
        let wait = got.wait_for(|got| got.len() >= count);
        let seen = timeout(Duration::from_secs(30), wait).await;
        seen.unwrap_or_else(|_| panic!("{} calls, not {count}", self.got().len())).unwrap().clone()
    }
}

pub(super) fn outbound() -> Outbound {
    Outbound::new(Clock::system()).unwrap()
}
