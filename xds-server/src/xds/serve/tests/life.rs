//! When streams begin and end: newcomers wait, the old go, and all go when the server stops.

use std::net::Ipv4Addr;
use std::time::Duration;

use tonic::Code;

use super::super::admission::Admission;
use super::super::aging::Ages;
use super::super::transport;
use super::{Server, clusters, set};
use crate::door::quota::Client;
use tidegate_xds::kind::Kind;

/// Streams that are old when they begin.
const BRIEF: Ages = Ages { old: Duration::ZERO, spread: Duration::ZERO };

/// Checklist line 48: who comes while the server is behind waits, and is served.
#[tokio::test]
async fn newcomers_wait_their_turn_and_nobody_is_refused() {
    let nobody = Admission::of(0);
    let server = Server::start_all(transport(), 10, nobody, Ages::default()).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(server.open(clusters()).await);
    }
    server.until("they wait", |hub| hub.counters.delayed.get() == 3).await;
    assert_eq!(server.server.hub.counters.pushes.of(Kind::Cluster).get(), 0);
    server.server.hub.admission.measure().await;
    for client in &mut clients {
        assert_eq!(client.next().await.unwrap().resources.len(), 1);
    }
}

#[tokio::test]
async fn who_leaves_while_it_waits_makes_room() {
    let nobody = Admission::of(0);
    let server = Server::start_all(transport(), 1, nobody, Ages::default()).await;
    let client = server.open(clusters()).await;
    server.until("it waits", |hub| hub.counters.delayed.get() == 1).await;
    drop(client);
    let who = || Client::at(Ipv4Addr::LOCALHOST.into());
    server.until("room", |hub| hub.streams.enter(who()).is_ok()).await;
}

/// Checklist line 49: streams end of age, at a moment when nothing is under way.
#[tokio::test]
async fn an_old_stream_ends_when_its_answer_is_in() {
    let server = Server::start_all(transport(), 10, Admission::default(), BRIEF).await;
    let mut client = server.open(clusters()).await;
    let first = client.next().await.unwrap();
    client.answer(&first, None).await;
    assert!(client.incoming.message().await.unwrap().is_none(), "it ends, and not in an error");
    let counters = &server.server.hub.counters;
    assert_eq!((counters.acks.of(Kind::Cluster).get(), counters.aged.get()), (1, 1));
}

/// Checklist line 51: streams live for long, so a server that stops ends them itself.
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
            assert_eq!(client.refusal().await.code(), Code::Unavailable);
        }
    };
    tokio::join!(server.server.drain(), ended);
    let late = server.try_open(clusters()).await;
    assert_eq!(late.err().map(|status| status.code()), Some(Code::Unavailable));
}

/// Until its own end comes, a stream is served as ever.
#[tokio::test]
async fn a_stream_is_served_while_others_drain() {
    let ages = Ages { spread: Duration::from_secs(3600), ..Ages::default() };
    let server = Server::start_all(transport(), 10, Admission::default(), ages).await;
    let mut client = server.open(clusters()).await;
    let first = client.next().await.unwrap();
    client.answer(&first, None).await;
    tokio::select! {
        () = server.server.drain() => panic!("the stream has an hour to go"),
        pushed = async {
            server.snapshots.send_replace(set(2, &["a", "b"]));
            client.next().await.unwrap()
        } => assert_eq!(pushed.resources.len(), 2),
    }
}

#[tokio::test]
async fn draining_waits_for_nobody_who_waits_or_is_silent() {
    let server = Server::start_all(transport(), 10, Admission::of(0), Ages::default()).await;
    let mut waits = server.open(clusters()).await;
    server.until("it waits", |hub| hub.counters.delayed.get() == 1).await;
    server.server.drain().await;
    assert_eq!(waits.refusal().await.code(), Code::Unavailable);
}
