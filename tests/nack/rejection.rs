//! A sidecar NACKs its listener because the address is in use.

use std::net::TcpListener;

use anyhow::{Context, Result};
use tidegate_tests::control_plane::XdsMode;
use tidegate_tests::envoy::{Envoy, EnvoyOptions};
use tidegate_tests::story::{self, Operator, Phase};
use tidegate_tests::world::Sidecar;
use tidegate_tests::{World, WorldOptions, binaries, ports};

use super::ONE_WORLD;
use tidegate_tests::status::{
    at, metrics, release, traffic, until_node, until_release, waiting_for,
};

/// The sidecar that NACKs.
const NODE: &str = "envoy-demo-2";
const BLOCKER: &str = "sidecar `envoy-demo-2` to accept the listener configuration it rejected: ";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sotw() {
    a_nack_blocks_a_release_and_not_its_rollback(XdsMode::Sotw).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn delta() {
    a_nack_blocks_a_release_and_not_its_rollback(XdsMode::Delta).await.unwrap();
}

async fn a_nack_blocks_a_release_and_not_its_rollback(mode: XdsMode) -> Result<()> {
    let _alone = ONE_WORLD.lock().await;
    let options = WorldOptions { mode, knobs: story::knobs(), ..WorldOptions::default() };
    let mut world = World::start(options).await?;
    let Sidecar { envoy, fleet, ingress } = world.sidecars.pop().context("no second sidecar")?;
    drop(envoy);
    let _in_use = TcpListener::bind(ingress)?;

    // A release does not leave 0 %.
    let envoy = start(&world, &fleet, mode).await?;
    let has_nacked = |node: &serde_json::Value| !at(node, "/nacks/listener").is_null();
    let node = until_node(&world, NODE, has_nacked).await?;
    assert_eq!(at(&node, "/synced"), false);
    assert_eq!(at(&node, "/last_nack/type"), "listener");
    let operator = Operator::new(&world.control);
    operator.run(&["release", "start", "order", "--version", "v2"]).await?;
    let blocked = until_release(&world, "order", |it| {
        // The other sidecar has ACKed.
        waiting_for(it).starts_with(BLOCKER) && at(it, "/progress/convergence/acked") == 1
    })
    .await?;
    assert_eq!(at(&blocked, "/phase"), "preparing");
    assert_eq!(at(&blocked, "/weight_percent"), 0.0);
    assert!(waiting_for(&blocked).contains("in use"), "why: {}", waiting_for(&blocked));
    assert_eq!(at(&blocked, "/progress/convergence/nacks/0/node"), NODE);
    let status = operator.run(&["status", "order"]).await?;
    assert!(status.contains("1/2") && status.contains(BLOCKER), "{status}");
    let nodes = operator.run(&["nodes"]).await?;
    let line = nodes.lines().find(|line| line.contains(NODE)).context("not in the table")?;
    assert!(line.contains("NACK (listener)") && line.contains("in use"), "{nodes}");
    let metric = r#"tidegate_sidecars_nacked{fleet="demo-2"} 1"#;
    let metrics = metrics(&world).await?;
    assert!(metrics.lines().any(|line| line == metric), "{metrics}");

    // A disconnected sidecar does not block. When it reconnects and NACKs again, the step is blocked.
    let load = traffic(&world, "order").await?;
    drop(envoy);
    until_release(&world, "order", |it| at(it, "/phase") == "stepping").await?;
    let envoy = start(&world, &fleet, mode).await?;
    let blocked = until_release(&world, "order", |it| waiting_for(it).contains(BLOCKER)).await?;
    load.more(2 * 300).await?;
    let still = release(&world, "order").await?;
    assert_eq!(at(&still, "/weight_percent"), at(&blocked, "/weight_percent"));

    // The rollback is immediate.
    operator.run(&["release", "rollback", "order"]).await?;
    assert_eq!(operator.release("order").await?.phase, Phase::RolledBack);
    load.until_only("v1", 300).await?;
    load.end(None).await?;
    drop(envoy);
    Ok(())
}

async fn start(world: &World, fleet: &str, mode: XdsMode) -> Result<Envoy> {
    let binary = tokio::task::spawn_blocking(binaries::envoy).await??;
    let admin = ports::free_address()?;
    let bootstrap = world.control.bootstrap(fleet, NODE, admin, mode).await?;
    Envoy::start(&binary, NODE, &bootstrap, admin, world.dir(), &EnvoyOptions::default())
}
