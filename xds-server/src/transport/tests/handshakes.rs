//! Failed, slow and excessive handshakes. They do not affect other clients.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::ca::{Ca, named, uri};
use super::world::{FLEET, WAIT, World, open_stream, until};
use crate::rejections::Reason;
use crate::transport::Limits;
use crate::transport::quota::Limit;

const WEB: &str = "spiffe://example.org/ns/shop/web";

/// Whether the server closes a connection without serving it.
async fn ends(mut io: impl tokio::io::AsyncRead + Unpin) -> bool {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(WAIT, io.read_to_end(&mut bytes)).await.unwrap();
    read.is_err() || bytes.len() < 100
}

#[tokio::test]
async fn a_client_without_a_certificate_of_the_ca_fails_the_handshake() {
    let world = World::start(Limits::default()).await;
    let mut expired = named([uri(WEB)]);
    expired.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let (unknown_ca, expired) = (Ca::new().svid(WEB), world.ca.sign(&expired));
    for (count, pair) in (1..).zip([None, Some(&unknown_ca), Some(&expired)]) {
        // In TLS 1.3 the client completes the handshake before the server verifies its certificate.
        match world.connect_tls(pair).await {
            Ok(stream) => assert!(ends(stream).await),
            Err(error) => assert_ne!(error.kind(), std::io::ErrorKind::TimedOut),
        }
        world.until_rejected(Reason::HandshakeFailed, count).await;
    }
    assert_eq!((world.acceptor.connections(), world.acceptor.pending_handshakes()), (0, 0));
}

#[tokio::test]
async fn plaintext_and_garbage_fail_the_handshake() {
    let world = World::start(Limits::default()).await;
    for (count, bytes) in (1..).zip([&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &[0xff; 64]]) {
        let mut tcp = TcpStream::connect(world.address).await.unwrap();
        tcp.write_all(bytes).await.unwrap();
        assert!(ends(tcp).await);
        world.until_rejected(Reason::HandshakeFailed, count).await;
    }
}

/// A client that sends nothing, and one that stops in the middle of a ClientHello.
async fn slow(world: &World) -> [TcpStream; 2] {
    let silent = TcpStream::connect(world.address).await.unwrap();
    let mut halting = TcpStream::connect(world.address).await.unwrap();
    halting.write_all(&[0x16, 0x03, 0x01, 0x02]).await.unwrap();
    [silent, halting]
}

#[tokio::test]
async fn a_slow_handshake_delays_no_other() {
    let world = World::start(Limits { timeout: WAIT, ..Limits::default() }).await;
    let slow = slow(&world).await;
    until("both are pending", || world.acceptor.pending_handshakes() == 2).await;
    open_stream(&world.channel(&world.ca.svid(WEB)).await, FLEET, "web-1").await.unwrap();
    assert_eq!(world.acceptor.pending_handshakes(), 2);
    drop(slow);
    until("both have ended", || world.acceptor.pending_handshakes() == 0).await;
    // The silent one ended before its handshake started.
    assert_eq!(world.acceptor.rejections().count(Reason::HandshakeFailed), 1);
}

#[tokio::test]
async fn a_handshake_over_the_timeout_is_closed() {
    let limits = Limits { timeout: Duration::from_millis(300), ..Limits::default() };
    let world = World::start(limits).await;
    for stream in slow(&world).await {
        assert!(ends(stream).await);
    }
    world.until_rejected(Reason::HandshakeTimeout, 2).await;
}

/// HTTP/2 pings detect a dead peer only after the start of HTTP/2.
#[tokio::test]
async fn a_connection_that_never_starts_http2_is_closed() {
    let limits = Limits { timeout: Duration::from_millis(300), ..Limits::default() };
    for world in [World::start(limits).await, World::plaintext(limits).await] {
        let pair = world.ca.svid(WEB);
        match world.connect_tls(Some(&pair)).await {
            Ok(stream) => assert!(ends(stream).await),
            // The plaintext server parses the ClientHello as HTTP/2 and closes the connection.
            Err(error) => assert_ne!(error.kind(), std::io::ErrorKind::TimedOut),
        }
        let mut halting = TcpStream::connect(world.address).await.unwrap();
        halting.write_all(b"PRI * HTTP").await.ok();
        assert!(ends(halting).await);
        until("all connections have ended", || world.acceptor.connections() == 0).await;
    }
}

#[tokio::test]
async fn handshakes_over_the_quota_of_an_address_are_rejected() {
    let world = World::start(Limits {
        pending_handshakes: Limit { total: 10, per_client: 2 },
        timeout: WAIT,
        ..Limits::default()
    })
    .await;
    let slow = slow(&world).await;
    until("both are pending", || world.acceptor.pending_handshakes() == 2).await;
    assert!(ends(TcpStream::connect(world.address).await.unwrap()).await);
    world.until_rejected(Reason::HandshakeQuota, 1).await;
    let web = world.ca.svid(WEB);
    let elsewhere = world.channel_from([127, 0, 0, 2].into(), &web).await.unwrap();
    open_stream(&elsewhere, FLEET, "web-1").await.unwrap();
    drop(slow);
    until("both have ended", || world.acceptor.pending_handshakes() == 0).await;
    open_stream(&world.channel(&web).await, FLEET, "web-2").await.unwrap();
}

#[tokio::test]
async fn many_handshakes_at_once_wait_and_succeed() {
    let limits =
        Limits { running_handshakes: Limit { total: 1, per_client: 1 }, ..Limits::default() };
    let world = World::start(limits).await;
    let pair = world.ca.svid(WEB);
    let connecting: Vec<_> = (0..20).map(|_| world.channel(&pair)).collect();
    for channel in futures_util::future::join_all(connecting).await {
        open_stream(&channel, FLEET, "web-1").await.unwrap();
    }
    assert_eq!(world.acceptor.rejections().count(Reason::HandshakeQuota), 0);
}

#[tokio::test]
async fn a_slow_handshake_blocks_only_its_own_address_until_the_timeout() {
    let limits = Limits {
        running_handshakes: Limit { total: 2, per_client: 1 },
        timeout: Duration::from_millis(300),
        ..Limits::default()
    };
    let world = World::start(limits).await;
    let mut halting = TcpStream::connect(world.address).await.unwrap();
    halting.write_all(&[0x16, 0x03, 0x01, 0x02]).await.unwrap();
    until("it is pending", || world.acceptor.pending_handshakes() == 1).await;
    let web = world.ca.svid(WEB);
    let elsewhere = world.channel_from([127, 0, 0, 2].into(), &web).await.unwrap();
    open_stream(&elsewhere, FLEET, "web-1").await.unwrap();
    open_stream(&world.channel(&web).await, FLEET, "web-2").await.unwrap();
    world.until_rejected(Reason::HandshakeTimeout, 1).await;
}

#[tokio::test]
async fn a_client_that_closes_while_it_waits_causes_no_handshake() {
    let limits = Limits {
        running_handshakes: Limit { total: 1, per_client: 1 },
        timeout: WAIT,
        ..Limits::default()
    };
    let world = World::start(limits).await;
    let [silent, halting] = slow(&world).await;
    until("both are pending", || world.acceptor.pending_handshakes() == 2).await;
    let web = world.ca.svid(WEB);
    let connecting = world.connect_tls(Some(&web));
    let result = tokio::time::timeout(Duration::from_millis(200), connecting).await;
    assert!(result.is_err(), "it waits for a slot");
    drop(halting);
    world.until_rejected(Reason::HandshakeFailed, 1).await;
    open_stream(&world.channel(&web).await, FLEET, "web-1").await.unwrap();
    // Neither the client that closed while it waited nor the silent one had a handshake.
    assert_eq!(world.acceptor.rejections().count(Reason::HandshakeFailed), 1);
    assert_eq!(world.acceptor.connections(), 1);
    drop(silent);
}
