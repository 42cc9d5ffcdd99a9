//! The world around the server, which lives on when it dies: time, a receiver of hooks, messages
//! and smoke tests, and a DNS server.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, StatusCode, Uri};
use parking_lot::Mutex;
use tidegate::clock::Clock;
use tidegate_delivery::units::Timestamp;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::dns;
use super::fuse::Fuse;

/// When every story begins, in milliseconds. Later numbers are times.
pub(crate) const BEGIN: u64 = 1_700_000_000_000;

/// A call that arrived.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    /// Its idempotency key; its path if it has none.
    pub(crate) key: String,
    pub(crate) body: String,
}

pub(crate) struct Outside {
    pub(crate) fuse: Arc<Fuse>,
    /// Where hooks, messages and smoke tests go.
    pub(crate) receiver: SocketAddr,
    /// Where the DNS server is.
    pub(crate) dns: SocketAddr,
    /// What it answers with.
    pub(crate) addresses: Mutex<Vec<IpAddr>>,
    heard: Mutex<Vec<Heard>>,
    time: Arc<AtomicU64>,
    /// Dropping it ends them.
    servers: Mutex<JoinSet<()>>,
}

impl Outside {
    pub(crate) async fn start(fuse: Arc<Fuse>) -> Arc<Self> {
        let [receiver, dns] =
            [TcpListener::bind("127.0.0.1:0").await, TcpListener::bind("127.0.0.1:0").await]
                .map(Result::unwrap);
        let outside = Arc::new(Self {
            fuse,
            receiver: receiver.local_addr().unwrap(),
            dns: dns.local_addr().unwrap(),
            addresses: Mutex::default(),
            heard: Mutex::default(),
            time: Arc::new(AtomicU64::new(BEGIN)),
            servers: Mutex::default(),
        });
        // Weak: they go with it.
        let (here, there) = (Arc::downgrade(&outside), Arc::downgrade(&outside));
        let app = Router::new().fallback(async move |uri, headers, body| {
            let Some(outside) = here.upgrade() else { return StatusCode::GONE };
            outside.hear(uri, headers, body).await
        });
        let mut servers = outside.servers.lock();
        servers.spawn(async move { axum::serve(receiver, app).await.unwrap() });
        servers.spawn(dns::serve(dns, there));
        drop(servers);
        outside
    }

    async fn hear(&self, uri: Uri, headers: HeaderMap, body: String) -> StatusCode {
        let key = headers.get("idempotency-key").map_or(uri.path(), |key| key.to_str().unwrap());
        self.heard.lock().push(Heard { key: key.to_owned(), body });
        if self.fuse.call() { StatusCode::OK } else { std::future::pending().await }
    }

    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.heard.lock().clone()
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.time.fetch_add(u64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
    }

    /// One life's own, as a process has.
    pub(crate) fn clock(&self) -> Clock {
        let time = Arc::clone(&self.time);
        Clock::new(move || Timestamp(time.load(Ordering::SeqCst)))
    }
}
