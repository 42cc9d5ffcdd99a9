//! A sidecar whose listener's address is taken refuses its listener.

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

/// The sidecar that refuses.
const NODE: &str = "envoy-demo-2";
const HOLDS: &str = "sidecar `envoy-demo-2` to accept the listener configuration it rejected: ";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sotw() {
    a_refusal_holds_a_release_and_never_its_rollback(XdsMode::Sotw).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn delta() {
    a_refusal_holds_a_release_and_never_its_rollback(XdsMode::Delta).await.unwrap();
}

async fn a_refusal_holds_a_release_and_never_its_rollback(mode: XdsMode) -> Result<()> {
    let _alone = ONE_WORLD.lock().await;
    let options = WorldOptions { mode, knobs: story::knobs(), ..WorldOptions::default() };
    let mut world = World::start(options).await?;
    let Sidecar { envoy, fleet, ingress } = world.sidecars.pop().context("no second sidecar")?;
    drop(envoy);
    let _taken = TcpListener::bind(ingress)?;

    // At 0 %: nothing begins.
    let envoy = start(&world, &fleet, mode).await?;
    let refuses = |node: &serde_json::Value| !at(node, "/refused/listener").is_null();
    let node = until_node(&world, NODE, refuses).await?;
    assert_eq!(at(&node, "/synced"), false);
    assert_eq!(at(&node, "/last_refusal/type"), "listener");
    let operator = Operator::new(&world.control);
    operator.run(&["release", "start", "order", "--version", "v2"]).await?;
    let held = until_release(&world, "order", |it| {
        // The other one has it, and is waited for no more.
        waiting_for(it).starts_with(HOLDS) && at(it, "/progress/convergence/acked") == 1
    })
    .await?;
    assert_eq!(at(&held, "/phase"), "preparing");
    assert_eq!(at(&held, "/weight"), 0);
    assert!(waiting_for(&held).contains("in use"), "why: {}", waiting_for(&held));
    assert_eq!(at(&held, "/progress/convergence/refused/0/node"), NODE);
    let status = operator.run(&["status", "order"]).await?;
    assert!(status.contains("1/2") && status.contains(HOLDS), "{status}");
    let nodes = operator.run(&["nodes"]).await?;
    let line = nodes.lines().find(|line| line.contains(NODE)).context("not in the table")?;
    assert!(line.contains("NACK (listener)") && line.contains("in use"), "{nodes}");
    let refusing = r#"tidegate_sidecars_refusing{fleet="demo-2"} 1"#;
    let metrics = metrics(&world).await?;
    assert!(metrics.lines().any(|line| line == refusing), "{metrics}");

    // Who is gone holds nothing. When it comes back and refuses again, the step is held.
    let load = traffic(&world, "order").await?;
    drop(envoy);
    until_release(&world, "order", |it| at(it, "/phase") == "stepping").await?;
    let envoy = start(&world, &fleet, mode).await?;
    let held = until_release(&world, "order", |it| waiting_for(it).contains(HOLDS)).await?;
    load.more(2 * 300).await?;
    let still = release(&world, "order").await?;
    assert_eq!(at(&still, "/weight"), at(&held, "/weight"));

    // It goes back at once all the same.
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
