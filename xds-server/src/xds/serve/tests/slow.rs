//! Clients that do not read, do not answer, or send requests without a pause.

use std::sync::Arc;
use std::time::Duration;

use tidegate_proto::envoy::envoy::config::cluster::v3::Cluster;
use tidegate_proto::envoy::envoy::service::discovery::v3::DiscoveryRequest;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::super::grpc_server_with_keepalive;
use super::{Server, clusters, node, set};
use tidegate_xds::kind::Kind;
use tidegate_xds::resources::{FleetSnapshot, Resource, SnapshotSet};

/// The types with resources: enough responses to fill every buffer between server and client.
const KINDS: [Kind; 5] =
    [Kind::Cluster, Kind::Endpoint, Kind::Listener, Kind::Extension, Kind::Route];
/// Larger than the client's HTTP/2 window, in bytes, so a response stays in the server until the client reads.
const HUGE: usize = 8 << 20;
/// The HTTP/2 client preface and an empty SETTINGS frame.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// The type of the HTTP/2 PING frame.
const PING: u8 = 6;

/// The fleet `demo` with one huge resource of each kind, and `other` with these clusters.
fn huge_and(clusters: &[&str], serial: u64) -> Arc<SnapshotSet> {
    let message = Cluster { name: "x".repeat(HUGE), ..Default::default() };
    let huge = KINDS.map(|kind| Arc::new(Resource::encode(kind, "a", &message, Vec::new())));
    let small = clusters.iter().map(|name| {
        let message = Cluster { name: (*name).to_owned(), ..Default::default() };
        Arc::new(Resource::encode(Kind::Cluster, name, &message, Vec::new()))
    });
    let small: Vec<_> = small.collect();
    let fleets = [("demo", huge.as_slice()), ("other", small.as_slice())];
    let snapshot = |(fleet, resources): (&str, &[Arc<Resource>])| {
        FleetSnapshot::new(fleet.parse().unwrap(), serial, resources, None)
    };
    Arc::new(SnapshotSet::new(serial, fleets.map(snapshot)))
}

/// Checklist lines 44 and 46: the stream of a client that does not read ends after the send timeout and is counted. It does
/// not delay other streams.
#[tokio::test]
async fn a_client_that_does_not_read_is_closed_and_delays_no_other() {
    let server = Server::start(10).await;
    server.snapshots.send_replace(huge_and(&["a"], 1));
    let stuck = server.open(clusters()).await;
    for kind in KINDS {
        let type_url = kind.type_url().to_owned();
        stuck.sender.send(DiscoveryRequest { type_url, ..Default::default() }).await.unwrap();
    }
    // One response is in transit, one is in the channel, and one waits for the channel.
    server.until("stuck", |shared| shared.metrics.pushes.of(Kind::Endpoint).get() > 0).await;

    let other = DiscoveryRequest { node: node("good", "other"), ..clusters() };
    let mut good = server.open(other).await;
    let first = good.next().await.unwrap();
    good.answer(&first, None).await;
    server.snapshots.send_replace(huge_and(&["a", "b"], 2));
    assert_eq!(good.next().await.unwrap().resources.len(), 2);

    server.until("send timeout", |shared| shared.metrics.send_timeouts.get() == 1).await;
    server
        .until("disconnected", |shared| shared.ack_tracker.convergence(2, |_| true).connected == 1)
        .await;
    drop(stuck);
}

/// Checklist line 45: requests have priority and do not starve pushes.
#[tokio::test]
async fn a_client_that_sends_requests_without_a_pause_receives_pushes() {
    let server = Server::start(10).await;
    let mut client = server.open(clusters()).await;
    let first = client.next().await.unwrap();
    client.answer(&first, None).await;
    let (sender, answered) = (client.sender.clone(), first.nonce.clone());
    let flood = tokio::spawn(async move {
        let again = DiscoveryRequest { response_nonce: answered, ..clusters() };
        while sender.send(again.clone()).await.is_ok() {}
    });
    server.snapshots.send_replace(set(2, &["a", "b"]));
    assert_eq!(client.next().await.unwrap().resources.len(), 2);
    flood.abort();
}

/// Checklist line 50: the server pings a silent peer, and closes the connection without an answer.
#[tokio::test]
async fn a_silent_peer_is_pinged_and_then_closed() {
    let interval = Duration::from_millis(20);
    let server = Server::start_with(grpc_server_with_keepalive(interval, interval), 10).await;
    let mut peer = TcpStream::connect(server.address).await.unwrap();
    peer.write_all(PREFACE).await.unwrap();
    let mut pings = 0;
    let mut head = [0; 9];
    // Reads frames until the server closes the connection.
    while peer.read_exact(&mut head).await.is_ok() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut body = vec![0; length as usize];
        peer.read_exact(&mut body).await.unwrap();
        pings += usize::from(head[3] == PING);
    }
    assert_eq!(pings, 1);
}
