//! Access by identity.

use std::net::Ipv4Addr;
use std::time::Duration;

use tonic::Code;

use super::ca::{named, uri};
use super::world::{FLEET, WAIT, World, open_ads, open_stream, send_report};
use crate::rejections::Reason;
use crate::transport::Limits;

const WEB: &str = "spiffe://example.org/ns/shop/web";
const OTHER_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

#[tokio::test]
async fn a_sidecar_is_served_in_the_fleet_of_its_identity() {
    let world = World::start(Limits::default()).await;
    let web = world.channel(&world.ca.svid(WEB)).await;
    open_stream(&web, FLEET, "web-1").await.unwrap();
    assert_eq!(send_report(&web, FLEET, "web-1").await.unwrap().acknowledged, 1);
}

#[tokio::test]
async fn another_fleet_is_denied_without_revealing_its_patterns() {
    let world = World::start(Limits::default()).await;
    let web = world.channel(&world.ca.svid(WEB)).await;
    let denied = [
        open_stream(&web, "other", "web-1").await.unwrap_err(),
        send_report(&web, "other", "web-1").await.map(drop).unwrap_err(),
        send_report(&web, "nowhere", "web-1").await.map(drop).unwrap_err(),
    ];
    for status in &denied {
        assert_eq!(status.code(), Code::PermissionDenied, "{status}");
        assert!(status.message().contains(WEB), "{status}");
        assert!(!status.message().contains("ns/other"), "{status}");
    }
    assert!(denied[0].message().contains("`other`"), "{}", denied[0]);
    assert_eq!(world.acceptor.rejections().count(Reason::Fleet), 3);
}

/// From any address.
#[tokio::test]
async fn an_identity_that_names_its_node_may_use_no_other_node_id() {
    let world = World::start(Limits::default()).await;
    let pair = world.ca.svid("spiffe://example.org/node/n-1");
    let channel = world.channel(&pair).await;
    let _open = open_ads(&channel, FLEET, "n-1").await.unwrap();
    send_report(&world.channel_from(OTHER_ADDRESS, &pair).await.unwrap(), FLEET, "n-1")
        .await
        .unwrap();
    for status in [
        open_stream(&channel, FLEET, "n-2").await.unwrap_err(),
        send_report(&channel, FLEET, "n-2").await.map(drop).unwrap_err(),
    ] {
        assert_eq!(status.code(), Code::PermissionDenied);
        assert!(status.message().contains("`n-2`"), "{status}");
    }
    assert_eq!(world.acceptor.rejections().count(Reason::Node), 2);
}

/// Sidecars share an identity.
#[tokio::test]
async fn the_node_id_of_a_connected_sidecar_cannot_be_used_by_others() {
    let world = World::start(Limits::default()).await;
    let (web, admin) = (world.ca.svid(WEB), world.ca.svid("spiffe://example.org/ns/shop/admin"));
    let first = world.channel(&web).await;
    let mut stream = open_ads(&first, FLEET, "web-1").await.unwrap();
    stream.next().await.unwrap();
    // Envoy's workers report from the same address, each on its own connection.
    send_report(&world.channel(&web).await, FLEET, "web-1").await.unwrap();

    let twin = world.channel_from(OTHER_ADDRESS, &web).await.unwrap();
    let other = world.channel(&admin).await;
    for (impostor, own) in [(&twin, "web-2"), (&other, "admin-1")] {
        for status in [
            open_stream(impostor, FLEET, "web-1").await.unwrap_err(),
            send_report(impostor, FLEET, "web-1").await.map(drop).unwrap_err(),
        ] {
            assert_eq!(status.code(), Code::PermissionDenied);
            assert!(status.message().contains("`web-1`"), "{status}");
        }
        open_stream(impostor, FLEET, own).await.unwrap();
    }

    // It can when the sidecar has disconnected.
    drop((stream, first));
    let moved = async {
        while open_stream(&twin, FLEET, "web-1").await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(WAIT, moved).await.unwrap();
}

#[tokio::test]
async fn a_certificate_without_an_identity_is_denied_with_the_reason() {
    let world = World::start(Limits::default()).await;
    let two = named([uri(WEB), uri("spiffe://example.org/ns/shop/admin")]);
    for (pair, why) in [
        (world.ca.sign(&named([])), "0 URI names"),
        (world.ca.sign(&two), "2 URI names"),
        (world.ca.svid("https://example.org/web"), "not a SPIFFE ID"),
    ] {
        let denied = open_stream(&world.channel(&pair).await, FLEET, "web-1").await.unwrap_err();
        assert_eq!(denied.code(), Code::PermissionDenied);
        assert!(denied.message().contains(why), "{denied}");
    }
    assert_eq!(world.acceptor.rejections().count(Reason::Identity), 3);
}
