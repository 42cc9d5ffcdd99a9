//! Who may be what.

use std::net::Ipv4Addr;
use std::time::Duration;

use tonic::Code;

use super::ca::{named, uri};
use super::world::{FLEET, PATIENCE, World, asks, open, reports};
use crate::door::Limits;
use crate::door::refusals::Reason;

const WEB: &str = "spiffe://example.org/ns/shop/web";
const THERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

#[tokio::test]
async fn a_sidecar_is_served_as_its_identity_allows() {
    let world = World::start(Limits::default()).await;
    let web = world.channel(&world.ca.svid(WEB)).await;
    asks(&web, FLEET, "web-1").await.unwrap();
    assert_eq!(reports(&web, FLEET, "web-1").await.unwrap().acknowledged, 1);
}

#[tokio::test]
async fn another_fleet_is_denied_by_name_and_its_patterns_are_not_told() {
    let world = World::start(Limits::default()).await;
    let web = world.channel(&world.ca.svid(WEB)).await;
    let denied = [
        asks(&web, "other", "web-1").await.unwrap_err(),
        reports(&web, "other", "web-1").await.map(drop).unwrap_err(),
        reports(&web, "nowhere", "web-1").await.map(drop).unwrap_err(),
    ];
    for status in &denied {
        assert_eq!(status.code(), Code::PermissionDenied, "{status}");
        assert!(status.message().contains(WEB), "{status}");
        assert!(!status.message().contains("ns/other"), "{status}");
    }
    assert!(denied[0].message().contains("`other`"), "{}", denied[0]);
    assert_eq!(world.door.refusals().count(Reason::Fleet), 3);
}

/// An identity that names its node speaks for that one alone, from wherever.
#[tokio::test]
async fn a_sidecar_whose_certificate_names_it_is_no_other() {
    let world = World::start(Limits::default()).await;
    let pair = world.ca.svid("spiffe://example.org/node/n-1");
    let channel = world.channel(&pair).await;
    let _open = open(&channel, FLEET, "n-1").await.unwrap();
    reports(&world.channel_from(THERE, &pair).await.unwrap(), FLEET, "n-1").await.unwrap();
    for status in [
        asks(&channel, FLEET, "n-2").await.unwrap_err(),
        reports(&channel, FLEET, "n-2").await.map(drop).unwrap_err(),
    ] {
        assert_eq!(status.code(), Code::PermissionDenied);
        assert!(status.message().contains("`n-2`"), "{status}");
    }
    assert_eq!(world.door.refusals().count(Reason::Node), 2);
}

/// Where sidecars share an identity, who is connected as a node is that node.
#[tokio::test]
async fn nobody_poses_as_a_sidecar_that_is_connected() {
    let world = World::start(Limits::default()).await;
    let (web, admin) = (world.ca.svid(WEB), world.ca.svid("spiffe://example.org/ns/shop/admin"));
    let first = world.channel(&web).await;
    let mut stream = open(&first, FLEET, "web-1").await.unwrap();
    stream.next().await.unwrap();
    // Its workers report from the same address, each on a connection of its own.
    reports(&world.channel(&web).await, FLEET, "web-1").await.unwrap();

    let twin = world.channel_from(THERE, &web).await.unwrap();
    let other = world.channel(&admin).await;
    for (poser, own) in [(&twin, "web-2"), (&other, "admin-1")] {
        for status in [
            asks(poser, FLEET, "web-1").await.unwrap_err(),
            reports(poser, FLEET, "web-1").await.map(drop).unwrap_err(),
        ] {
            assert_eq!(status.code(), Code::PermissionDenied);
            assert!(status.message().contains("`web-1`"), "{status}");
        }
        asks(poser, FLEET, own).await.unwrap();
    }

    // Only when it has gone may another be it.
    drop((stream, first));
    let moved = async {
        while asks(&twin, FLEET, "web-1").await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, moved).await.unwrap();
}

#[tokio::test]
async fn a_certificate_without_an_identity_is_told_why() {
    let world = World::start(Limits::default()).await;
    let two = named([uri(WEB), uri("spiffe://example.org/ns/shop/admin")]);
    for (pair, why) in [
        (world.ca.sign(&named([])), "0 URI names"),
        (world.ca.sign(&two), "2 URI names"),
        (world.ca.svid("https://example.org/web"), "no SPIFFE id"),
    ] {
        let denied = asks(&world.channel(&pair).await, FLEET, "web-1").await.unwrap_err();
        assert_eq!(denied.code(), Code::PermissionDenied);
        assert!(denied.message().contains(why), "{denied}");
    }
    assert_eq!(world.door.refusals().count(Reason::Identity), 3);
}
