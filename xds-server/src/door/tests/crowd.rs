//! Too many of one identity.

use std::net::Ipv4Addr;

use super::world::{FLEET, World, asks, until};
use crate::door::Limits;
use crate::door::refusals::Reason;

#[tokio::test]
async fn one_identity_leaves_connections_for_others() {
    let world = World::start(Limits { connections: (3, 2), ..Limits::default() }).await;
    let pair = |name: &str| world.ca.svid(&format!("spiffe://example.org/ns/shop/{name}"));
    let (web, admin) = (pair("web"), pair("admin"));
    let first = world.channel(&web).await;
    let second = world.channel(&web).await;
    for channel in [&first, &second] {
        asks(channel, FLEET, "web-1").await.unwrap();
    }
    // One identity is one client, wherever it comes from.
    let third = world.channel_from(Ipv4Addr::new(127, 0, 0, 2), &web).await;
    if let Ok(third) = third {
        asks(&third, FLEET, "web-2").await.unwrap_err();
    }
    world.until_refused(Reason::Connections, 1).await;
    asks(&world.channel(&admin).await, FLEET, "admin-1").await.unwrap();
    drop((first, second));
    until("all have left", || world.door.connections() == 0).await;
}
