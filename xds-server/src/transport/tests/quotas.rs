//! Connection quotas.

use std::net::Ipv4Addr;

use super::world::{FLEET, World, open_stream, until};
use crate::rejections::Reason;
use crate::transport::Limits;
use crate::transport::quota::Limit;

#[tokio::test]
async fn one_identity_cannot_use_up_the_connections() {
    let world = World::start(Limits {
        connections: Limit { total: 3, per_client: 2 },
        ..Limits::default()
    })
    .await;
    let pair = |name: &str| world.ca.svid(&format!("spiffe://example.org/ns/shop/{name}"));
    let (web, admin) = (pair("web"), pair("admin"));
    let first = world.channel(&web).await;
    let second = world.channel(&web).await;
    for channel in [&first, &second] {
        open_stream(channel, FLEET, "web-1").await.unwrap();
    }
    // One identity is one client, from any address.
    let third = world.channel_from(Ipv4Addr::new(127, 0, 0, 2), &web).await;
    if let Ok(third) = third {
        open_stream(&third, FLEET, "web-2").await.unwrap_err();
    }
    world.until_rejected(Reason::ConnectionQuota, 1).await;
    open_stream(&world.channel(&admin).await, FLEET, "admin-1").await.unwrap();
    drop((first, second));
    until("all connections have ended", || world.acceptor.connections() == 0).await;
}
