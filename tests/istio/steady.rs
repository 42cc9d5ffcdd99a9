//! What must not cost a decision: an edited plugin configuration, a control plane that stops.

use anyhow::{Result, ensure};
use tidegate_tests::story::ProgressOutput;

use super::mesh::{Mesh, Setup};
use super::proxy::{Extension, PLUGIN};

/// Edits of the plugin configuration.
const EDITS: u32 = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edited_plugin_configuration_and_a_killed_control_plane_lose_no_decision() {
    run().await.unwrap();
}

async fn run() -> Result<()> {
    let output = ProgressOutput::default();
    let mut mesh = Mesh::start(Setup::default()).await?;
    // Every user is on v2, and the default route leads to v1: a request without a decision is answered by v1.
    mesh.operator().run(&["release", "start", "order", "--version", "v2"]).await?;
    let traffic = mesh.traffic(300.0, 300).await?;
    mesh.operator().run(&["release", "promote", "order", "--all"]).await?;
    traffic.until_only("v2", 600).await?;
    let before = traffic.seen();
    for edit in 0..EDITS {
        let plugin = PLUGIN.replacen('{', &format!("{{\"note\":{edit},"), 1);
        for proxy in &mesh.proxies {
            proxy.replace(Extension::Filter(Some(&plugin)))?;
        }
        traffic.more(300).await?;
    }
    output.say(format_args!("{EDITS} edits of the plugin configuration"));
    mesh.control.kill9()?;
    traffic.more(1_500).await?;
    output.say("5 s without a control plane");
    mesh.control.restart().await?;
    mesh.until_synced().await?;
    traffic.more(600).await?;
    let after = traffic.seen();
    let lost = after.finished_by("v1") - before.finished_by("v1");
    let decided = after.finished_by("v2") - before.finished_by("v2");
    output.say(format_args!("{decided} decisions, {lost} lost"));
    ensure!(lost == 0, "{lost} requests without a decision");
    traffic.end(None).await?;
    Ok(())
}
