//! A sidecar that hangs: connected, without answers.

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use tidegate_tests::story::{self, Operator};
use tidegate_tests::{World, WorldOptions};

use super::ONE_WORLD;
use tidegate_tests::status::{at, release, traffic, until_node, until_release, waiting_for};

const BLOCKER: &str = "sidecars: 1 of 2 have it, not yet `envoy-demo-2`";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hanging_sidecar_blocks_a_step_and_no_traffic() {
    run().await.unwrap();
}

async fn run() -> Result<()> {
    let _alone = ONE_WORLD.lock().await;
    let options = WorldOptions { knobs: story::knobs(), ..WorldOptions::default() };
    let world = World::start(options).await?;
    let operator = Operator::new(&world.control);
    let load = traffic(&world, "order").await?;
    let hanging = &world.sidecars.get(1).context("no second sidecar")?.envoy.process;
    hanging.signal(Signal::SIGSTOP)?;
    operator.run(&["release", "start", "order", "--version", "v2"]).await?;
    let blocked = until_release(&world, "order", |it| waiting_for(it).contains(BLOCKER)).await?;
    until_node(&world, "envoy-demo-2", |node| at(node, "/synced") == false).await?;
    // Longer than the step at this request rate. Its time starts with convergence.
    load.more(5 * 300).await?;
    let still = release(&world, "order").await?;
    assert_eq!(at(&still, "/weight_percent"), at(&blocked, "/weight_percent"));
    assert!(waiting_for(&still).contains(BLOCKER), "{still:#}");

    hanging.signal(Signal::SIGCONT)?;
    let before = at(&blocked, "/weight_percent").as_f64().context("no weight")?;
    until_release(&world, "order", |it| at(it, "/weight_percent").as_f64() > Some(before)).await?;
    operator.until("order", |release| release.converged).await?;
    let status = operator.run(&["status", "order"]).await?;
    assert!(status.contains("2/2, p99 "), "{status}");
    operator.run(&["release", "rollback", "order"]).await?;
    load.end(None).await?;
    Ok(())
}
