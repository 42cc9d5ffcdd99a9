//! Start and end of streams: admission, maximum age, and draining.

use std::net::Ipv4Addr;
use std::time::Duration;

use tonic::Code;

use super::super::admission::Admission;
use super::super::aging::AgeLimits;
use super::super::grpc_server;
use super::{Server, clusters, set};
use crate::auth::peer::ClientKey;
use tidegate_xds::kind::Kind;

/// Streams expire at once.
const EXPIRED: AgeLimits = AgeLimits { max_age: Duration::ZERO, drain_period: Duration::ZERO };

/// Checklist line 48: a new stream waits while the server is overloaded, and is served.
#[tokio::test]
async fn new_streams_wait_for_admission_and_are_served() {
    let closed = Admission::with_limit(0);
    let server = Server::start_all(grpc_server(), 10, closed, AgeLimits::default()).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(server.open(clusters()).await);
    }
    server.until("all wait", |shared| shared.metrics.queued.get() == 3).await;
    assert_eq!(server.server.shared.metrics.pushes.of(Kind::Cluster).get(), 0);
    server.server.shared.admission.measure().await;
    for client in &mut clients {
        assert_eq!(client.next().await.unwrap().resources.len(), 1);
    }
}

#[tokio::test]
async fn a_waiting_stream_that_closes_releases_its_quota() {
    let closed = Admission::with_limit(0);
    let server = Server::start_all(grpc_server(), 1, closed, AgeLimits::default()).await;
    let client = server.open(clusters()).await;
    server.until("it waits", |shared| shared.metrics.queued.get() == 1).await;
    drop(client);
    let client = || ClientKey::from_address(Ipv4Addr::LOCALHOST.into());
    server.until("quota", |shared| shared.stream_quota.acquire(client()).is_ok()).await;
}

/// Checklist line 49: streams end at their maximum age, while no response is in transit.
#[tokio::test]
async fn an_expired_stream_ends_after_its_ack() {
    let server = Server::start_all(grpc_server(), 10, Admission::default(), EXPIRED).await;
    let mut client = server.open(clusters()).await;
    let first = client.next().await.unwrap();
    client.answer(&first, None).await;
    assert!(client.incoming.message().await.unwrap().is_none(), "it ends without an error");
    let metrics = &server.server.shared.metrics;
    assert_eq!((metrics.acks.of(Kind::Cluster).get(), metrics.expired.get()), (1, 1));
}

/// Checklist line 51: a server that stops ends its streams.
#[tokio::test]
async fn draining_ends_every_stream() {
    let server = Server::start(10).await;
    let mut clients = Vec::new();
    for _ in 0..5 {
        let mut client = server.open(clusters()).await;
        let first = client.next().await.unwrap();
        client.answer(&first, None).await;
        clients.push(client);
    }
    let ended = async {
        for client in &mut clients {
            assert_eq!(client.status().await.code(), Code::Unavailable);
        }
    };
    tokio::join!(server.server.drain(), ended);
    let late = server.try_open(clusters()).await;
    assert_eq!(late.err().map(|status| status.code()), Some(Code::Unavailable));
}

#[tokio::test]
async fn a_stream_is_served_until_its_own_drain_time() {
    let limits = AgeLimits { drain_period: Duration::from_secs(3600), ..AgeLimits::default() };
    let server = Server::start_all(grpc_server(), 10, Admission::default(), limits).await;
    let mut client = server.open(clusters()).await;
    let first = client.next().await.unwrap();
    client.answer(&first, None).await;
    tokio::select! {
        () = server.server.drain() => panic!("the drain time of the stream is within an hour"),
        pushed = async {
            server.snapshots.send_replace(set(2, &["a", "b"]));
            client.next().await.unwrap()
        } => assert_eq!(pushed.resources.len(), 2),
    }
}

#[tokio::test]
async fn draining_ends_streams_that_wait_for_admission() {
    let server =
        Server::start_all(grpc_server(), 10, Admission::with_limit(0), AgeLimits::default()).await;
    let mut waits = server.open(clusters()).await;
    server.until("it waits", |shared| shared.metrics.queued.get() == 1).await;
    server.server.drain().await;
    assert_eq!(waits.status().await.code(), Code::Unavailable);
}
