//! The environment of the server, which a crash does not affect: the time, an HTTP receiver of hooks, notifications and smoke
//! tests, and a DNS server.

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

use super::crash_trigger::CrashTrigger;
use super::dns;

/// The start of every scenario, in milliseconds. Greater numbers in a state are times.
pub(crate) const START: u64 = 1_700_000_000_000;

/// A call that the receiver got.
#[derive(Debug, Clone)]
pub(crate) struct ReceivedCall {
    /// The idempotency key, or the path without one.
    pub(crate) key: String,
    pub(crate) body: String,
}

pub(crate) struct Environment {
    pub(crate) crash_trigger: Arc<CrashTrigger>,
    /// The address for hooks, notifications and smoke tests.
    pub(crate) receiver: SocketAddr,
    /// The address of the DNS server.
    pub(crate) dns: SocketAddr,
    /// The current A records.
    pub(crate) addresses: Mutex<Vec<IpAddr>>,
    received: Mutex<Vec<ReceivedCall>>,
    time: Arc<AtomicU64>,
    /// Aborted on drop.
    servers: Mutex<JoinSet<()>>,
}

impl Environment {
    pub(crate) async fn start(crash_trigger: Arc<CrashTrigger>) -> Arc<Self> {
        let [receiver, dns] =
            [TcpListener::bind("127.0.0.1:0").await, TcpListener::bind("127.0.0.1:0").await]
                .map(Result::unwrap);
        let environment = Arc::new(Self {
            crash_trigger,
            receiver: receiver.local_addr().unwrap(),
            dns: dns.local_addr().unwrap(),
            addresses: Mutex::default(),
            received: Mutex::default(),
            time: Arc::new(AtomicU64::new(START)),
            servers: Mutex::default(),
        });
        // Weak references: the servers end with the environment.
        let (for_http, for_dns) = (Arc::downgrade(&environment), Arc::downgrade(&environment));
        let app = Router::new().fallback(async move |uri, headers, body| {
            let Some(environment) = for_http.upgrade() else { return StatusCode::GONE };
            environment.receive(uri, headers, body).await
        });
        let mut servers = environment.servers.lock();
        servers.spawn(async move { axum::serve(receiver, app).await.unwrap() });
        servers.spawn(dns::serve(dns, for_dns));
        drop(servers);
        environment
    }

    async fn receive(&self, uri: Uri, headers: HeaderMap, body: String) -> StatusCode {
        let key = headers.get("idempotency-key").map_or(uri.path(), |key| key.to_str().unwrap());
        self.received.lock().push(ReceivedCall { key: key.to_owned(), body });
        if self.crash_trigger.call() { StatusCode::OK } else { std::future::pending().await }
    }

    pub(crate) fn received(&self) -> Vec<ReceivedCall> {
        self.received.lock().clone()
    }

    pub(crate) fn advance(&self, time: Duration) {
        self.time.fetch_add(u64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
    }

    /// A clock for one run of the server.
    pub(crate) fn clock(&self) -> Clock {
        let time = Arc::clone(&self.time);
        Clock::new(move || Timestamp(time.load(Ordering::SeqCst)))
    }
}
