//! A sidecar whose filter no longer reports while others do.

use anyhow::{Result, ensure};
use tidegate_tests::story::{Phase, ProgressOutput};

use super::mesh::{Mesh, Setup};
use super::proxy::{Extension, PLUGIN, Role};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_sidecar_is_an_alert_and_holds_releases() {
    run().await.unwrap();
}

async fn run() -> Result<()> {
    let output = ProgressOutput::default();
    let mesh = Mesh::start(Setup::default()).await?;
    let traffic = mesh.traffic(200.0, 200).await?;
    mesh.operator().run(&["release", "start", "order", "--version", "v2"]).await?;
    mesh.operator().until("order", |release| release.weight >= 0.05 && release.converged).await?;
    // Like a failed VM: the process and its connections stay, and nothing reports.
    let sidecar = mesh.proxy(Role::Sidecar);
    let node = sidecar.node.clone();
    sidecar.replace(Extension::Filter(Some("{}")))?;
    output.say("the filter of the sidecar has lost its configuration");
    mesh.until_silent(&node).await?;
    output.say("it is silent in `nodes` and in the metrics");
    let blocked = mesh.until_blocked_by_silence(async || Ok(())).await?;
    output.say(format_args!("the release waits for {blocked}"));
    ensure!(blocked.contains("1 of 3") && blocked.contains(&node), "{blocked}");
    mesh.proxy(Role::Sidecar).replace(Extension::Filter(Some(PLUGIN)))?;
    mesh.operator().until("order", |release| release.phase == Phase::Completed).await?;
    output.say("it reports again, and the release has completed");
    traffic.end(None).await?;
    Ok(())
}
