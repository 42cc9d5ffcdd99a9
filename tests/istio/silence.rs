//! A sidecar whose filter no longer reports while others do.

use anyhow::{Result, ensure};
use serde_json::Value;
use tidegate_tests::story::{Phase, ProgressOutput};
use tidegate_tests::wait::{WAIT_LIMIT, until};

use super::mesh::Mesh;
use super::proxy::{Extension, PLUGIN};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_sidecar_is_an_alert_and_holds_releases() {
    run().await.unwrap();
}

async fn run() -> Result<()> {
    let output = ProgressOutput::default();
    let mut mesh = Mesh::start().await?;
    let traffic = mesh.traffic(200.0, 200).await?;
    mesh.operator().run(&["release", "start", "order", "--version", "v2"]).await?;
    mesh.operator().until("order", |release| release.weight >= 0.05 && release.converged).await?;
    // Like a failed VM: the process and its connections stay, and nothing reports.
    mesh.proxies[0].replace(Extension::Filter(Some("{}")))?;
    output.say("the filter of the sidecar has lost its configuration");
    let silent = |node: &Value| node["reporting"]["silent"] == 3;
    let node = mesh.proxies[0].node.clone();
    let named = async || {
        let nodes = mesh.nodes().await.ok()?;
        nodes.iter().any(|it| it["id"] == node.as_str() && silent(it)).then_some(())
    };
    until("the sidecar to be silent", WAIT_LIMIT, named).await?;
    output.say("it is silent in `nodes`");
    let metrics =
        reqwest::get(format!("http://{}/metrics", mesh.control.api())).await?.text().await?;
    let counted = "tidegate_istio_sidecars{fleet=\"mesh\",state=\"silent\"} 1";
    ensure!(metrics.contains(counted), "{metrics}");
    // After the time of the step nothing else blocks it.
    let alone = async || {
        let service: Value = mesh.control.get("services/order").await.ok()?;
        let blockers = service["release"]["progress"]["blockers"].as_array()?.clone();
        let [only] = &blockers[..] else { return None };
        (only["kind"] == "silent_sidecars").then(|| only["detail"].to_string())
    };
    let blocked = until("the release to wait for it alone", WAIT_LIMIT, alone).await?;
    output.say(format_args!("the release waits for {blocked}"));
    ensure!(blocked.contains(&node), "{blocked}");
    mesh.proxies[0].replace(Extension::Filter(Some(PLUGIN)))?;
    mesh.operator().until("order", |release| release.phase == Phase::Completed).await?;
    output.say("it reports again, and the release has completed");
    traffic.end(None).await?;
    Ok(())
}
