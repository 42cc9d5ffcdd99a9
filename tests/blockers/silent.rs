//! A sidecar that routes and does not report: its filter sends reports to a cluster that its bootstrap does not have.

use std::fs;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tidegate_tests::World;
use tidegate_tests::status::{at, until_release};
use tidegate_tests::story::{Operator, Phase, Traffic};
use tidegate_tests::wait::{WAIT_LIMIT, until};

use super::{ONE_WORLD, QUICK, RATE, USERS, world};

const NODE: &str = "envoy-demo-1";
const FLEET: &str = "  - name: demo-1\n";
const OTHER_CLUSTER: &str = "  - name: demo-1\n    control_plane_cluster: xds_cluster\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sidecar_that_does_not_report_is_named_and_blocks_the_release() {
    let _alone = ONE_WORLD.lock().await;
    silent_sidecar().await.unwrap();
}

async fn silent_sidecar() -> Result<()> {
    let world = world(QUICK, None).await?;
    let traffic = Traffic::start(&world, "order", RATE, USERS).await?;
    edit(&world, FLEET, OTHER_CLUSTER)?;
    until("the silent sidecar", WAIT_LIMIT, async || {
        let nodes: Vec<Value> = world.control.get("nodes").await.ok()?;
        let silent: Vec<_> = nodes.iter().filter(|node| node["silent"] == true).collect();
        matches!(silent.as_slice(), [only] if only["id"] == NODE).then_some(())
    })
    .await?;
    let operator = Operator::new(&world.control);
    operator.run(&["release", "start", "order", "--version", "v2"]).await?;
    until_release(&world, "order", |release| {
        let blockers = at(release, "/progress/blockers").as_array();
        let silent = |it: &Value| it["kind"] == "silent_sidecars" && it["nodes"] == json!([NODE]);
        blockers.is_some_and(|all| all.iter().any(silent))
    })
    .await?;
    let explained = operator.run(&["release", "explain", "order"]).await?;
    ensure!(explained.contains("reports of 1 of 2 sidecars"), "{explained}");
    let listed = operator.run(&["nodes"]).await?;
    ensure!(listed.contains("(missing: not judged)"), "{listed}");
    let metrics = reqwest::get(format!("http://{}/metrics", world.control.api())).await?;
    let metrics = metrics.text().await?;
    ensure!(metrics.contains("tidegate_sidecars_silent{fleet=\"demo-1\"} 1"), "{metrics}");

    edit(&world, OTHER_CLUSTER, FLEET)?;
    operator.until("order", |release| release.phase == Phase::Completed).await?;
    traffic.until_only("v2", USERS).await?;
    traffic.end(None).await?;
    Ok(())
}

fn edit(world: &World, from: &str, to: &str) -> Result<()> {
    let path = world.dir().join("tidegate.yaml");
    let text = fs::read_to_string(&path).context("the configuration")?;
    ensure!(text.contains(from), "no {from:?} in {text}");
    fs::write(&path, text.replacen(from, to, 1))?;
    Ok(())
}
