//! Who does not get in, and what it costs the others: nothing.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::ca::{Ca, named, uri};
use super::world::{FLEET, PATIENCE, World, asks, until};
use crate::door::Limits;
use crate::door::refusals::Reason;

const WEB: &str = "spiffe://example.org/ns/shop/web";

/// Whether a connection ends without having been served.
async fn ends(mut io: impl tokio::io::AsyncRead + Unpin) -> bool {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(PATIENCE, io.read_to_end(&mut bytes)).await.unwrap();
    read.is_err() || bytes.len() < 100
}

#[tokio::test]
async fn who_has_no_certificate_of_the_ca_is_refused_in_the_handshake() {
    let world = World::start(Limits::default()).await;
    let mut expired = named([uri(WEB)]);
    expired.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let (stranger, expired) = (Ca::new().svid(WEB), world.ca.sign(&expired));
    for (refused, pair) in (1..).zip([None, Some(&stranger), Some(&expired)]) {
        // In TLS 1.3 the client has done its part before the server looks.
        match world.shake(pair).await {
            Ok(stream) => assert!(ends(stream).await),
            Err(error) => assert_ne!(error.kind(), std::io::ErrorKind::TimedOut),
        }
        world.until_refused(Reason::Handshake, refused).await;
    }
    assert_eq!((world.door.connections(), world.door.handshakes()), (0, 0));
}

#[tokio::test]
async fn plaintext_and_garbage_are_refused_at_once() {
    let world = World::start(Limits::default()).await;
    for (refused, bytes) in (1..).zip([&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &[0xff; 64]]) {
        let mut tcp = TcpStream::connect(world.address).await.unwrap();
        tcp.write_all(bytes).await.unwrap();
        assert!(ends(tcp).await);
        world.until_refused(Reason::Handshake, refused).await;
    }
}

/// One who says nothing, and one who stops in the middle of a hello.
async fn slow(world: &World) -> [TcpStream; 2] {
    let silent = TcpStream::connect(world.address).await.unwrap();
    let mut halting = TcpStream::connect(world.address).await.unwrap();
    halting.write_all(&[0x16, 0x03, 0x01, 0x02]).await.unwrap();
    [silent, halting]
}

#[tokio::test]
async fn a_handshake_that_takes_long_delays_nobody() {
    let world = World::start(Limits { patience: PATIENCE, ..Limits::default() }).await;
    let slow = slow(&world).await;
    until("both are under way", || world.door.handshakes() == 2).await;
    asks(&world.channel(&world.ca.svid(WEB)).await, FLEET, "web-1").await.unwrap();
    assert_eq!(world.door.handshakes(), 2);
    drop(slow);
    until("both have left", || world.door.handshakes() == 0).await;
    // The other was not worth a handshake.
    assert_eq!(world.door.refusals().count(Reason::Handshake), 1);
}

#[tokio::test]
async fn a_handshake_that_takes_too_long_is_ended() {
    let limits = Limits { patience: Duration::from_millis(300), ..Limits::default() };
    let world = World::start(limits).await;
    for stream in slow(&world).await {
        assert!(ends(stream).await);
    }
    world.until_refused(Reason::HandshakeTime, 2).await;
}

/// The pings of HTTP/2 find a dead peer only after it has begun to speak HTTP/2.
#[tokio::test]
async fn who_never_begins_to_speak_is_closed() {
    let limits = Limits { patience: Duration::from_millis(300), ..Limits::default() };
    for world in [World::start(limits).await, World::plaintext(limits).await] {
        let pair = world.ca.svid(WEB);
        match world.shake(Some(&pair)).await {
            Ok(stream) => assert!(ends(stream).await),
            // The plaintext server took the hello for HTTP/2, and closed.
            Err(error) => assert_ne!(error.kind(), std::io::ErrorKind::TimedOut),
        }
        let mut halting = TcpStream::connect(world.address).await.unwrap();
        halting.write_all(b"PRI * HTTP").await.ok();
        assert!(ends(halting).await);
        until("all have gone", || world.door.connections() == 0).await;
    }
}

#[tokio::test]
async fn too_many_handshakes_of_one_address_are_refused_and_others_are_not() {
    let world =
        World::start(Limits { handshakes: (10, 2), patience: PATIENCE, ..Limits::default() }).await;
    let slow = slow(&world).await;
    until("both are under way", || world.door.handshakes() == 2).await;
    assert!(ends(TcpStream::connect(world.address).await.unwrap()).await);
    world.until_refused(Reason::Handshakes, 1).await;
    let web = world.ca.svid(WEB);
    let elsewhere = world.channel_from([127, 0, 0, 2].into(), &web).await.unwrap();
    asks(&elsewhere, FLEET, "web-1").await.unwrap();
    drop(slow);
    until("both are over", || world.door.handshakes() == 0).await;
    asks(&world.channel(&web).await, FLEET, "web-2").await.unwrap();
}

#[tokio::test]
async fn who_comes_in_a_crowd_waits_and_is_served() {
    let limits = Limits { turns: (1, 1), ..Limits::default() };
    let world = World::start(limits).await;
    let pair = world.ca.svid(WEB);
    let crowd: Vec<_> = (0..20).map(|_| world.channel(&pair)).collect();
    for channel in futures_util::future::join_all(crowd).await {
        asks(&channel, FLEET, "web-1").await.unwrap();
    }
    assert_eq!(world.door.refusals().count(Reason::Handshakes), 0);
}

#[tokio::test]
async fn who_holds_a_turn_holds_it_from_its_own_address_alone_and_not_for_long() {
    let limits =
        Limits { turns: (2, 1), patience: Duration::from_millis(300), ..Limits::default() };
    let world = World::start(limits).await;
    let mut halting = TcpStream::connect(world.address).await.unwrap();
    halting.write_all(&[0x16, 0x03, 0x01, 0x02]).await.unwrap();
    until("it is here", || world.door.handshakes() == 1).await;
    let web = world.ca.svid(WEB);
    let elsewhere = world.channel_from([127, 0, 0, 2].into(), &web).await.unwrap();
    asks(&elsewhere, FLEET, "web-1").await.unwrap();
    asks(&world.channel(&web).await, FLEET, "web-2").await.unwrap();
    world.until_refused(Reason::HandshakeTime, 1).await;
}

#[tokio::test]
async fn who_leaves_while_it_waits_costs_no_handshake() {
    let limits = Limits { turns: (1, 1), patience: PATIENCE, ..Limits::default() };
    let world = World::start(limits).await;
    let [silent, halting] = slow(&world).await;
    until("both are here", || world.door.handshakes() == 2).await;
    let web = world.ca.svid(WEB);
    let shaking = world.shake(Some(&web));
    let left = tokio::time::timeout(Duration::from_millis(200), shaking).await;
    assert!(left.is_err(), "it had to wait");
    drop(halting);
    world.until_refused(Reason::Handshake, 1).await;
    asks(&world.channel(&web).await, FLEET, "web-1").await.unwrap();
    // Neither who was gone when its turn came, nor who said nothing, had a handshake.
    assert_eq!(world.door.refusals().count(Reason::Handshake), 1);
    assert_eq!(world.door.connections(), 1);
    drop(silent);
}
